"""How values between pixels are found."""
from enum import Enum


class InterpolationMode(Enum):
    """Interpolation modes; box, hamming and lanczos work on Pillow images only."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


OF_NUMBER = {0: InterpolationMode.NEAREST, 2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC,
             4: InterpolationMode.BOX, 5: InterpolationMode.HAMMING, 1: InterpolationMode.LANCZOS}


def as_mode(mode) -> InterpolationMode:
    """A mode, also given by its name or as Pillow's number for it.

    Raises:
        TypeError: it is none of these.
        ValueError: there is no such name.
    """
    if isinstance(mode, int):
        mode = OF_NUMBER.get(int(mode))
    if isinstance(mode, str):
        mode = InterpolationMode(mode)
    if not isinstance(mode, InterpolationMode):
        raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow "
                        f"integer constant, found {mode!r}")
    return mode
