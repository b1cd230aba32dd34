"""Windows that are no plots: texts, pictures, sounds, videos, lists of properties."""
from __future__ import annotations

import io
import math
import os
import re
from base64 import b64encode

import numpy as np

from ..as_array import as_array
from ..tensorboard.events import png
from ..tensorboard.media import as_bytes, gif, pillow, wav
from .charts import ensure
from .connection import Connection
from .options import checked


class Panes(Connection):
    """Texts and media."""

    def text(self, text: str, win=None, env=None, opts=None, append: bool = False):
        """A text, HTML; `append` adds a line to a window's."""
        msg = {"data": [{"content": text, "type": "text"}], "win": win, "eid": env, "opts": checked(opts)}
        return self._send({**msg, "append": True}, "update") if append else self._send(msg)

    def properties(self, data, win=None, env=None, opts=None):
        """A list of values that the viewer can edit."""
        return self._send({"data": [{"content": data, "type": "properties"}], "win": win, "eid": env,
                           "opts": checked(opts)})

    # -- pictures --------------------------------------------------------------------------------
    def image(self, img, win=None, env=None, opts=None):
        """A picture (C, H, W) or (H, W): bytes, or floats from 0 to 1 (to 255 if one is above 1).

        Options of its own: caption, jpgquality (needs Pillow), store_history.
        """
        pixels, opts = as_pixels(as_array(img)), checked(opts)
        opts.setdefault("height", pixels.shape[0])
        opts.setdefault("width", pixels.shape[1])
        kept = opts.get("store_history")
        data = [{"content": {"src": source(pixels, opts.get("jpgquality")), "caption": opts.get("caption")},
                 "type": "image_history" if kept else "image"}]
        goes_on = kept and win is not None and self.win_exists(win, env)
        return self._send({"data": data, "win": win, "eid": env, "opts": opts},
                          "update" if goes_on else "events")

    def images(self, tensor, nrow: int = 8, padding: int = 2, win=None, env=None, opts=None):
        """Pictures (N, C, H, W), or a list of them, as a grid of `nrow` a row."""
        x = np.stack([as_array(t) for t in tensor]) if isinstance(tensor, list) else as_array(tensor)
        if x.ndim == 4:
            x = grid(x, nrow, padding)
        return self.image(x, win, env, opts)

    def svg(self, svgstr: str | None = None, svgfile=None, win=None, env=None, opts=None):
        """A drawing."""
        if svgfile is not None:
            with open(svgfile, encoding="utf-8") as file:
                svgstr = file.read()
        ensure(svgstr is not None, "should specify SVG string or filename")
        found = re.search("<svg .+</svg>", svgstr, re.DOTALL)
        ensure(found is not None, "could not parse SVG string")
        return self.text(found.group(0), win, env, opts)

    def matplot(self, plot, opts=None, env=None, win=None):
        """A matplotlib figure, or pyplot itself."""
        file = io.StringIO()
        plot.savefig(file, format="svg")
        drawn, opts = file.getvalue(), dict(opts or {})
        for side, scale in (("height", 1.4), ("width", 1.35)):
            found = re.search(rf'{side}="([0-9.]+)pt"', drawn)
            if found and side not in opts:
                opts[side] = scale * math.ceil(float(found.group(1)))
        return self.svg(drawn, opts=opts, env=env, win=win)

    # -- sounds and videos -----------------------------------------------------------------------
    def audio(self, tensor=None, audiofile=None, win=None, env=None, opts=None):
        """A sound (n,), scaled to the loudest, or a file: wav, mp3, ogg, flac."""
        opts = {"sample_frequency": 44100, **checked(opts), "height": 80, "width": 330}
        ensure(tensor is not None or audiofile is not None, "should specify audio tensor or file")
        if tensor is None:
            kind, data = contents(audiofile, ("wav", "mp3", "ogg", "flac"), "audio")
        else:
            sound = as_array(tensor)
            kind, data = "wav", wav(sound / max(np.abs(sound).max(), 1e-12), opts["sample_frequency"])[1]
        return self.text(f"<audio controls>{embedded('audio', kind, data)}</audio>", win, env, opts)

    def video(self, tensor=None, dim: str = "LxHxWxC", videofile=None, win=None, env=None, opts=None):
        """A video: a file (mp4, ogv, avi, webm), or frames.

        Args:
            tensor: (frames, height, width, channels), 1 or 3 channels, blue first; bytes, or floats from 0 to 1. The
                package av makes a video of them; without it Pillow makes moving pictures without controls.
            dim: "LxHxWxC" or "LxCxHxW".

        Options of its own: fps (25), autoplay, loop.
        """
        ensure(tensor is not None or videofile is not None, "should specify video tensor or file")
        opts = {"fps": 25, "loop": False, "autoplay": False, **checked(opts)}
        if tensor is not None:
            video = frames(as_array(tensor), dim)
            data = encoded(video, opts["fps"])
            if data is None:
                moving = b64encode(gif(video.transpose(0, 3, 1, 2)[None, :, ::-1], opts["fps"])[1]).decode()
                return self.text(f'<img src="data:image/gif;base64,{moving}">', win, env, opts)
            kind = "mp4"
        else:
            kind, data = contents(videofile, ("mp4", "ogv", "avi", "webm"), "video")
        how = " ".join(word for word in ("autoplay", "loop") if opts.get(word))
        kind = "ogg" if kind == "ogv" else kind
        return self.text(f"<video controls {how}>{embedded('video', kind, data)}</video>", win, env, opts)


def frames(x: np.ndarray, dim: str) -> np.ndarray:
    """Bytes (frames, height, width, channels)."""
    ensure(x.ndim == 4, "video should be in 4D tensor")
    ensure(dim in ("LxHxWxC", "LxCxHxW"), "dimension argument should be LxHxWxC or LxCxHxW")
    x = x.transpose(0, 2, 3, 1) if dim == "LxCxHxW" else x
    ensure(x.shape[3] in (1, 3), f"a video has 1 or 3 channels, got {x.shape[3]}")
    return as_bytes(x)


def encoded(video: np.ndarray, fps: int) -> bytes | None:
    """An mp4 file of bytes (frames, height, width, channels), blue first; None without the package av."""
    try:
        import av
    except ImportError:
        return None
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as container:
        stream = container.add_stream("h264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *video.shape[1:3], "yuv420p"
        kind = "gray" if video.shape[3] == 1 else "bgr24"
        for picture in video:
            drawn = np.ascontiguousarray(picture[..., 0] if kind == "gray" else picture)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format=kind)))
        container.mux(stream.encode())
    return file.getvalue()


def contents(path, kinds, what):
    kind = os.path.splitext(path)[1][1:].lower()
    ensure(kind in kinds, f"unknown {what} type: {kind}")
    with open(path, "rb") as file:
        return kind, file.read()


def embedded(what, kind, data) -> str:
    return f'<source type="{what}/{kind}" src="data:{what}/{kind};base64,{b64encode(data).decode()}">'


def as_pixels(x: np.ndarray) -> np.ndarray:
    """Bytes (height, width, 3)."""
    ensure(x.ndim in (2, 3), f"a picture has 2 or 3 dims, got {x.ndim}")
    x = x[None] if x.ndim == 2 else x
    x = np.repeat(x, 3, axis=0) if len(x) == 1 else x
    if x.dtype.kind == "f":
        x = np.nan_to_num(x) * (255 if x.size and np.nanmax(x) <= 1 else 1)
    return np.clip(x, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def source(pixels, quality) -> str:
    """A picture as an address that holds it."""
    if quality is None:
        return f"data:image/png;base64,{b64encode(png(pixels)).decode()}"
    file = io.BytesIO()
    pillow().Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def grid(x, nrow, padding) -> np.ndarray:
    """(N, C, H, W) side by side, `padding` of white round each."""
    n, c, h, w = x.shape
    columns = min(nrow, n)
    rows = -(-n // columns)
    white = 255 if x.dtype.kind != "f" or x.max() > 1 else 1
    cells = np.full((rows * columns, c, h + 2 * padding, w + 2 * padding), white, x.dtype)
    cells[:n, :, padding:padding + h, padding:padding + w] = x
    _, _, H, W = cells.shape
    return cells.reshape(rows, columns, c, H, W).transpose(2, 0, 3, 1, 4).reshape(c, rows * H, columns * W)
