"""`SummaryWriter`: curves, histograms, images and texts of a run, for TensorBoard to show."""
from __future__ import annotations

import os
import socket
import threading
import time
from datetime import datetime
from itertools import count

import numpy as np

from ...tensor import Tensor
from . import events

__all__ = ["FileWriter", "SummaryWriter"]

_number = count().__next__


def _array(x) -> np.ndarray:
    """A NumPy array of a tensor, an array or numbers."""
    if isinstance(x, Tensor):
        x = x.detach()
        return np.array((x.float() if x.dtype.itemsize == 2 and x.is_floating_point() else x).numpy())
    return np.asarray(x)


def _value(x) -> float:
    x = _array(x)
    if x.size != 1:
        raise AssertionError("scalar should be 0D")
    return float(x.reshape(()))


class FileWriter:
    """One event file in a folder.

    Args:
        flush_secs: after at most so long, when the next event comes, what was written goes to the file.
    """

    def __init__(self, log_dir: str, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = "") -> None:
        self.log_dir, self.flush_secs = str(log_dir), flush_secs
        os.makedirs(self.log_dir, exist_ok=True)
        name = (f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
                f".{_number()}{filename_suffix}")
        self.lock = threading.Lock()
        self.file = open(os.path.join(self.log_dir, name), "wb")
        self.flushed = time.time()
        self.write(events.version(), None, None)
        self.flush()

    def get_logdir(self) -> str:
        return self.log_dir

    def write(self, body: bytes, step, walltime) -> None:
        """Append an event."""
        now = time.time()
        made = events.record(events.event(now if walltime is None else walltime,
                                          None if step is None else int(_value(step)), body))
        with self.lock:
            self.file.write(made)
        if now - self.flushed > self.flush_secs:
            self.flush()

    def add_summary(self, value: bytes, global_step=None, walltime=None) -> None:
        """Append one value of a summary."""
        self.write(events.summary(value), global_step, walltime)

    def flush(self) -> None:
        """Write to the file what was added."""
        with self.lock:
            if not self.file.closed:
                self.file.flush()
        self.flushed = time.time()

    def close(self) -> None:
        with self.lock:
            self.file.close()


class SummaryWriter:
    """Adds values of a run to an event file in `log_dir`.

    Args:
        log_dir: by default runs/DATE_TIME_HOST, followed by `comment`.
        flush_secs: how long values may wait before they are written to the file.
        filename_suffix: added to the file's name.
    """

    def __init__(self, log_dir=None, comment: str = "", purge_step=None, max_queue: int = 10,
                 flush_secs: float = 120, filename_suffix: str = "") -> None:
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir, self.purge_step = str(log_dir), purge_step
        self._options = (max_queue, flush_secs, filename_suffix)
        self.file_writer = self.all_writers = None
        self._get_file_writer()

    def _get_file_writer(self) -> FileWriter:
        """The file, opened again after `close`."""
        if self.file_writer is None:
            self.file_writer = FileWriter(self.log_dir, *self._options)
            self.all_writers = {self.log_dir: self.file_writer}
            if self.purge_step is not None:
                self.file_writer.write(b"", self.purge_step, None)
                self.purge_step = None
        return self.file_writer

    def get_logdir(self) -> str:
        """The folder of the event files."""
        return self.log_dir

    def _add(self, value, step, walltime):
        self._get_file_writer().add_summary(value, step, walltime)

    # -- numbers ---------------------------------------------------------------------------------
    def add_scalar(self, tag: str, scalar_value, global_step=None, walltime=None, new_style=False,
                   double_precision=False) -> None:
        """A point of a curve."""
        self._add(events.scalar(tag, _value(scalar_value)), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict, global_step=None,
                    walltime=None) -> None:
        """Points of several curves in one chart; each has an event file of its own."""
        self._get_file_writer()
        for tag, x in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, *self._options)
            self.all_writers[folder].add_summary(events.scalar(main_tag, _value(x)), global_step,
                                                 walltime)

    def add_histogram(self, tag: str, values, global_step=None, bins="tensorflow", walltime=None,
                      max_bins=None) -> None:
        """The distribution of values.

        Args:
            bins: "tensorflow" (edges grow by a tenth), or what numpy.histogram takes.
            max_bins: join neighbours until there are no more than so many.
        """
        self._add(_histogram(tag, _array(values), bins, max_bins), global_step, walltime)

    def add_histogram_raw(self, tag: str, min, max, num, sum, sum_squares, bucket_limits,
                          bucket_counts, global_step=None, walltime=None) -> None:
        """A histogram that was counted elsewhere: counts up to each limit."""
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        self._add(events.histogram(tag, min, max, num, sum, sum_squares, bucket_limits,
                                   bucket_counts), global_step, walltime)

    # -- pictures --------------------------------------------------------------------------------
    def add_image(self, tag: str, img_tensor, global_step=None, walltime=None,
                  dataformats: str = "CHW") -> None:
        """A picture; floats are taken as 0 to 1, bytes as they are. The letters name the axes."""
        self._add(events.image(tag, _pixels(_array(img_tensor), dataformats)), global_step, walltime)

    def add_images(self, tag: str, img_tensor, global_step=None, walltime=None,
                   dataformats: str = "NCHW") -> None:
        """A batch of pictures, as one that shows them side by side."""
        self._add(events.image(tag, _pixels(_array(img_tensor), dataformats)), global_step, walltime)

    # -- texts -----------------------------------------------------------------------------------
    def add_text(self, tag: str, text_string: str, global_step=None, walltime=None) -> None:
        """A text in Markdown."""
        value = events.strings(f"{tag}/text_summary", "text", [text_string])
        self._add(value, global_step, walltime)

    # -- the files -------------------------------------------------------------------------------
    def flush(self) -> None:
        """Write what was added to the files."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Close the files; another value opens a new one."""
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _edges():
    up = 1e-12 * 1.1 ** np.arange(int(np.log(1e32) / np.log(1.1)) + 1)
    return np.concatenate([-up[::-1], [0.0], up])


def _histogram(tag, values, bins, max_bins):
    values = values.astype(np.float64).reshape(-1)
    if values.size == 0:
        raise ValueError("The input has no element.")
    counts, limits = np.histogram(values, _edges() if isinstance(bins, str) and bins == "tensorflow"
                                  else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = len(counts) // max_bins
        counts = np.add.reduceat(counts, np.arange(0, len(counts), step))
        limits = np.append(limits[:-1:step], limits[-1])
    filled = np.flatnonzero(counts)
    if not len(filled):
        raise ValueError("The histogram is empty, please file a bug report.")
    first, last = filled[0], filled[-1] + 1
    counts = np.append(counts[first - 1] if first else 0, counts[first:last])
    return events.histogram(tag, values.min(), values.max(), values.size, values.sum(),
                            values @ values, limits[first:last + 1], counts)


def _pixels(x, axes):
    """Bytes (height, width, channels) of a picture or of a batch."""
    axes = axes.upper()
    if len(axes) != x.ndim or len(set(axes)) != len(axes):
        raise AssertionError(f"size of input tensor and input format are different. tensor shape: "
                             f"{x.shape}, input_format: {axes}")
    scale = 1 if x.dtype == np.uint8 else 255
    if "N" in axes:
        x = _side_by_side(np.einsum(f"{axes.lower()}->nhwc", x) if "C" in axes else
                          np.einsum(f"{axes.lower()}->nhw", x)[..., None])
    else:
        x = np.einsum(f"{axes.lower()}->{'hwc' if 'C' in axes else 'hw'}", x)
        x = x if x.ndim == 3 else x[..., None]
    x = np.repeat(x, 3, axis=2) if x.shape[2] == 1 else x
    return np.clip(x.astype(np.float32) * scale, 0, 255).astype(np.uint8)


def _side_by_side(x):
    """(N, H, W, C) as one picture of rows of at most 8."""
    n, h, w, c = x.shape
    columns = min(n, 8)
    rows = -(-n // columns)
    x = np.concatenate([x, np.zeros((rows * columns - n, h, w, c), x.dtype)])
    return x.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
