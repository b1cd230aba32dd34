"""Image files as tensors."""
from __future__ import annotations

from enum import Enum
from io import BytesIO

from rushlight.vision.pillow import pillow
from rushlight.vision.transforms import functional as F

__all__ = ["ImageReadMode", "decode_image", "read_image", "write_jpeg", "write_png"]


class ImageReadMode(Enum):
    """What channels an image is read with."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


PILLOW_MODE = {"GRAY": "L", "GRAY_ALPHA": "LA", "RGB": "RGB", "RGB_ALPHA": "RGBA"}


def read_image(path, mode=ImageReadMode.UNCHANGED):
    """The image of a file as a uint8 tensor (C, H, W)."""
    with pillow().open(str(path)) as image:
        return in_mode(image, mode)


def decode_image(input, mode=ImageReadMode.UNCHANGED):
    """The image of a file's bytes, a uint8 tensor (n,), as a uint8 tensor (C, H, W)."""
    if isinstance(input, (str, bytes)) or hasattr(input, "__fspath__"):
        return read_image(input, mode)
    return in_mode(pillow().open(BytesIO(input.numpy().tobytes())), mode)


def in_mode(image, mode):
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    if mode is not ImageReadMode.UNCHANGED:
        image = image.convert(PILLOW_MODE[mode.name])
    elif image.mode == "P":
        image = image.convert("RGB")
    return F.pil_to_tensor(image)


def write_png(input, filename, compression_level=6):
    """Write a uint8 tensor (C, H, W) as a PNG file."""
    F.to_pil_image(input).save(str(filename), "PNG", compress_level=compression_level)


def write_jpeg(input, filename, quality=75):
    """Write a uint8 tensor (C, H, W) as a JPEG file."""
    F.to_pil_image(input).save(str(filename), "JPEG", quality=quality)
