"""Sounds, videos, figures and pictures with boxes as files that TensorBoard shows."""
from __future__ import annotations

import io
import warnings
import wave

import numpy as np


def pillow():
    try:
        import PIL.Image
        import PIL.ImageDraw
    except ImportError as missing:
        raise ModuleNotFoundError("videos and boxes need Pillow: pip install pillow", name="PIL") from missing
    return PIL


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Floats of 0 to 1 as bytes; bytes as they are."""
    return x if x.dtype == np.uint8 else np.clip(x.astype(np.float32) * 255, 0, 255).astype(np.uint8)


# -- sound ---------------------------------------------------------------------------------------
def wav(sound: np.ndarray, rate: int) -> tuple[int, bytes]:
    """The number of frames and a WAV file of 16 bits; amplitudes beyond 1 are clipped."""
    sound = np.squeeze(sound)
    if sound.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    if sound.size and abs(sound).max() > 1:
        warnings.warn("audio amplitude out of range, auto clipped.", stacklevel=4)
        sound = sound.clip(-1, 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(int(rate))
        w.writeframes((sound * 32767).astype("<i2").tobytes())
    return len(sound), file.getvalue()


# -- moving pictures -----------------------------------------------------------------------------
def gif(video: np.ndarray, fps: float) -> tuple[tuple[int, int, int], bytes]:
    """(batch, time, channels, height, width) as a GIF of a grid: its (height, width, channels), the file."""
    if video.ndim != 5:
        raise ValueError(f"not enough values to unpack (expected 5, got {video.ndim}): a video is "
                         "(batch, time, channels, height, width)")
    frames = _grid(as_bytes(video))
    images = [pillow().Image.fromarray(f[..., 0] if f.shape[2] == 1 else f) for f in frames]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=1000 / fps, loop=0)
    return frames.shape[1:], file.getvalue()


def _grid(video):
    """The batch, filled up to a power of two, side by side in each frame."""
    b, t, c, h, w = video.shape
    full = 1 << (b - 1).bit_length()
    rows = 1 << (full.bit_length() - 1) // 2
    video = np.concatenate([video, np.zeros((full - b, t, c, h, w), video.dtype)])
    video = video.reshape(rows, full // rows, t, c, h, w)
    return video.transpose(2, 0, 4, 1, 5, 3).reshape(t, rows * h, full // rows * w, c)


# -- pictures ------------------------------------------------------------------------------------
def with_boxes(pixels: np.ndarray, boxes: np.ndarray, labels, rescale: float) -> np.ndarray:
    """Bytes (height, width, 3) with red boxes (xmin, ymin, xmax, ymax) and their names drawn in."""
    image = pillow().Image.fromarray(np.ascontiguousarray(pixels))
    draw = pillow().ImageDraw.Draw(image)
    for k, (left, top, right, bottom) in enumerate(boxes.tolist()):
        draw.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], "red", 2)
        if labels is not None:
            _name(draw, left, bottom, labels[k])
    size = int(image.width * rescale), int(image.height * rescale)
    return np.asarray(image.resize(size, pillow().Image.Resampling.LANCZOS) if rescale != 1 else image)


def _name(draw, left, bottom, text):
    _, _, width, height = draw.textbbox((0, 0), text)
    draw.rectangle([left, bottom - height - 2, left + width + 2, bottom], "red")
    draw.text((left + 1, bottom - height - 1), text, "black")


def drawn(figure, close: bool) -> np.ndarray:
    """Bytes (3, height, width) of a matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())[..., :3].transpose(2, 0, 1)
    if close:
        from matplotlib import pyplot
        pyplot.close(figure)
    return pixels
