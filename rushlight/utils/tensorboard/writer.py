"""`SummaryWriter`: curves, histograms, images and texts of a run, for TensorBoard to show."""
from __future__ import annotations

import os
import socket
import threading
import time
from datetime import datetime
from itertools import count

import ml_dtypes
import numpy as np

from ... import dtypes
from ...tensor import Tensor
from ..as_array import as_array
from . import events, graph, media, onnx, plugins, projector

__all__ = ["FileWriter", "SummaryWriter"]

_number = count().__next__


def _exactly(x) -> np.ndarray:
    """A NumPy array of the same dtype, bfloat16 included."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    if x.dtype is dtypes.bfloat16:
        return np.array(x.detach().view(dtypes.int16).numpy()).view(ml_dtypes.bfloat16)
    return np.array(x.detach().numpy())


def _value(x) -> float:
    x = as_array(x)
    if x.size != 1:
        raise AssertionError("scalar should be 0D")
    return float(x.reshape(()))


class FileWriter:
    """One event file in a folder. Events go to the file at once, so that nothing is lost when the
    process is killed; `max_queue` and `flush_secs`, which say how long they may wait, have no meaning.
    """

    def __init__(self, log_dir: str, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = "") -> None:
        self.log_dir, self.flush_secs = str(log_dir), flush_secs
        os.makedirs(self.log_dir, exist_ok=True)
        name = (f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
                f".{_number()}{filename_suffix}")
        self.lock = threading.Lock()
        self.file = open(os.path.join(self.log_dir, name), "ab", buffering=0)
        self.write(events.version(), None, None)

    def get_logdir(self) -> str:
        return self.log_dir

    def write(self, body: bytes, step, walltime) -> None:
        """Append an event."""
        now = time.time() if walltime is None else walltime
        made = events.record(events.event(now, None if step is None else int(_value(step)), body))
        with self.lock:
            self._append(made)

    def _append(self, made: bytes):
        """All of a record or nothing: readers stop at half a record."""
        written = 0
        try:
            while written < len(made):
                written += self.file.write(made[written:] if written else made)
        except OSError:
            self.file.truncate(os.fstat(self.file.fileno()).st_size - written)
            raise

    def add_summary(self, *values: bytes, global_step=None, walltime=None) -> None:
        """Append values as one summary."""
        self.write(events.summary(*values), global_step, walltime)

    def flush(self) -> None:
        """Nothing: what was added is in the file."""

    def close(self) -> None:
        with self.lock:
            self.file.close()


class SummaryWriter:
    """Adds values of a run to an event file in `log_dir`; another writer there appends to the run.

    Args:
        log_dir: by default runs/DATE_TIME_HOST, followed by `comment`.
        purge_step: TensorBoard forgets what was written earlier from this step on.
        max_queue, flush_secs: accepted; values go to the file at once.
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
                self.file_writer.write(events.version(), self.purge_step, None)
                self.file_writer.write(events.start(), self.purge_step, None)
                self.purge_step = None
        return self.file_writer

    def get_logdir(self) -> str:
        """The folder of the event files."""
        return self.log_dir

    def _add(self, value, step, walltime):
        self._get_file_writer().add_summary(value, global_step=step, walltime=walltime)

    # -- numbers ---------------------------------------------------------------------------------
    def add_scalar(self, tag: str, scalar_value, global_step=None, walltime=None, new_style=False,
                   double_precision=False) -> None:
        """A point of a curve, float32; `new_style` as a tensor, which may be of double precision."""
        value = _value(scalar_value)
        if new_style:
            kept = np.array(value, np.float64 if double_precision else np.float32)
            made = events.tensor(tag, kept, events.metadata("scalars"))
        else:
            made = events.scalar(tag, value)
        self._add(made, global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict, global_step=None,
                    walltime=None) -> None:
        """Points of several curves in one chart; each has an event file of its own."""
        self._get_file_writer()
        for tag, x in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, *self._options)
            self.all_writers[folder].add_summary(events.scalar(main_tag, _value(x)),
                                                 global_step=global_step, walltime=walltime)

    def add_tensor(self, tag: str, tensor, global_step=None, walltime=None) -> None:
        """A tensor as it is, of any dtype but the unsigned ones over 8 bits."""
        self._add(events.tensor(tag, _exactly(tensor), events.metadata("tensor")), global_step, walltime)

    def add_histogram(self, tag: str, values, global_step=None, bins="tensorflow", walltime=None,
                      max_bins=None) -> None:
        """The distribution of values.

        Args:
            bins: "tensorflow" (edges grow by a tenth), or what numpy.histogram takes.
            max_bins: join neighbours until there are no more than so many.
        """
        self._add(_histogram(tag, as_array(values), bins, max_bins), global_step, walltime)

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
        self._add(events.image(tag, _pixels(as_array(img_tensor), dataformats)), global_step, walltime)

    def add_images(self, tag: str, img_tensor, global_step=None, walltime=None,
                   dataformats: str = "NCHW") -> None:
        """A batch of pictures, as one that shows them side by side."""
        self._add(events.image(tag, _pixels(as_array(img_tensor), dataformats)), global_step, walltime)

    def add_image_with_boxes(self, tag: str, img_tensor, box_tensor, global_step=None, walltime=None,
                             rescale=1, dataformats: str = "CHW", labels=None) -> None:
        """A picture with boxes (N, 4): xmin, ymin, xmax, ymax in pixels. Needs Pillow.

        Args:
            rescale: draw, then resize by this factor.
            labels: a name for each box, or one for the only box.
        """
        boxes = as_array(box_tensor)
        labels = [labels] if isinstance(labels, str) else labels
        if labels is not None and len(labels) != len(boxes):
            labels = None
        pixels = _pixels(as_array(img_tensor), dataformats)
        drawn = media.with_boxes(pixels, boxes, labels, rescale)
        self._add(events.image(tag, drawn), global_step, walltime)

    def add_figure(self, tag: str, figure, global_step=None, close: bool = True,
                   walltime=None) -> None:
        """A matplotlib figure, or a list of them, as a picture; `close` closes them afterwards."""
        if isinstance(figure, list):
            images = np.stack([media.drawn(f, close) for f in figure])
            return self.add_image(tag, images, global_step, walltime, dataformats="NCHW")
        return self.add_image(tag, media.drawn(figure, close), global_step, walltime)

    def add_video(self, tag: str, vid_tensor, global_step=None, fps=4, walltime=None) -> None:
        """A video (N, T, C, H, W) as a GIF with the batch as a grid; values as in `add_image`. Needs Pillow."""
        sizes, file = media.gif(as_array(vid_tensor), fps)
        self._add(events.picture(tag, *sizes, file), global_step, walltime)

    # -- sounds and shapes -----------------------------------------------------------------------
    def add_audio(self, tag: str, snd_tensor, global_step=None, sample_rate=44100,
                  walltime=None) -> None:
        """A sound: (L,) or (1, L), values from -1 to 1."""
        frames, file = media.wav(as_array(snd_tensor), sample_rate)
        self._add(events.audio(tag, sample_rate, frames, file), global_step, walltime)

    def add_mesh(self, tag: str, vertices, colors=None, faces=None, config_dict=None,
                 global_step=None, walltime=None) -> None:
        """Points or a mesh in space.

        Args:
            vertices: (B, N, 3) coordinates.
            colors: (B, N, 3), 0 to 255, or None.
            faces: (B, M, 3) indices of the vertices of triangles, or None.
            config_dict: three.js classes and their configuration.
        """
        given = [None if x is None else as_array(x) for x in (vertices, colors, faces)]
        self._get_file_writer().add_summary(*plugins.mesh(tag, *given, config_dict),
                                            global_step=global_step, walltime=walltime)

    def add_embedding(self, mat, metadata=None, label_img=None, global_step=None,
                      tag: str = "default", metadata_header=None) -> None:
        """Vectors for the projector.

        Args:
            mat: (N, D).
            metadata: N names, or N rows of names under `metadata_header`.
            label_img: N pictures (N, C, H, W), or None.
        """
        images = None if label_img is None else as_array(label_img)
        self._get_file_writer()
        projector.write(self.log_dir, as_array(mat), metadata, images, global_step or 0, tag,
                        metadata_header)

    # -- curves of more than one number ----------------------------------------------------------
    def add_pr_curve(self, tag: str, labels, predictions, global_step=None, num_thresholds=127,
                     weights=None, walltime=None) -> None:
        """Precision and recall at thresholds between 0 and 1.

        Args:
            labels: 0 or 1 for each sample.
            predictions: the probability of 1 for each sample.
            num_thresholds: at most 127.
            weights: what each sample counts, or None.
        """
        rows = plugins.counted(as_array(labels), as_array(predictions), num_thresholds,
                               None if weights is None else as_array(weights))
        self._add(plugins.pr_curve(tag, rows, num_thresholds), global_step, walltime)

    def add_pr_curve_raw(self, tag: str, true_positive_counts, false_positive_counts,
                         true_negative_counts, false_negative_counts, precision, recall,
                         global_step=None, num_thresholds=127, weights=None, walltime=None) -> None:
        """Precision and recall that were counted elsewhere, a number for each threshold."""
        rows = [as_array(x) for x in (true_positive_counts, false_positive_counts,
                                    true_negative_counts, false_negative_counts, precision, recall)]
        self._add(plugins.pr_curve(tag, rows, num_thresholds), global_step, walltime)

    def add_custom_scalars(self, layout: dict) -> None:
        """Charts of curves that were added elsewhere: {category: {title: [kind, tags]}}.

        The kind is "Multiline", or "Margin" with three tags: value, lower and upper bound.
        """
        self._add(plugins.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(self, tags, category: str = "default",
                                          title: str = "untitled") -> None:
        """One chart of several curves."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags, category: str = "default",
                                       title: str = "untitled") -> None:
        """One chart of a curve between two others: value, lower, upper."""
        if len(tags) != 3:
            raise AssertionError(f"Expected 3 tags, got {len(tags)}.")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    # -- models ----------------------------------------------------------------------------------
    def add_graph(self, model, input_to_model=None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """What a model does with inputs (a tensor or a tuple of them), drawn by its modules."""
        made = graph.graph_def(model, () if input_to_model is None else input_to_model, verbose)
        self._get_file_writer().write(events.graph_def(made), None, None)

    def add_onnx_graph(self, prototxt) -> None:
        """The operators of the model in an ONNX file, by its path."""
        self._get_file_writer().write(events.graph_def(onnx.graph_def(prototxt)), None, None)

    def add_hparams(self, hparam_dict: dict, metric_dict: dict, hparam_domain_discrete=None,
                    run_name=None, global_step=None) -> None:
        """Hyper-parameters (numbers, strings, bools) and what came of them, as a run of its own.

        Args:
            hparam_domain_discrete: all values that a hyper-parameter may have, by name.
            run_name: the run's folder in `log_dir`, by default the time.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        given = {k: _value(v) if isinstance(v, (Tensor, np.number, np.bool_)) else v
                 for k, v in hparam_dict.items()}
        made = plugins.hparams(given, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(folder) as run:
            for value in made:
                run._add(value, global_step, None)
            for tag, x in metric_dict.items():
                run.add_scalar(tag, x, global_step)

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
