"""Transforms of Pillow images; all sizes are (height, width), positions (top, left)."""
from __future__ import annotations

import numpy as np

from rushlight.vision.pillow import pillow
from rushlight.vision.transforms.interpolation import InterpolationMode

PAD_MODES = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def resampling(mode: InterpolationMode):
    """Pillow's constant for a mode."""
    return getattr(pillow().Resampling, mode.name.replace("NEAREST_EXACT", "NEAREST"))


def dimensions(image) -> tuple[int, int, int]:
    return len(image.getbands()), image.height, image.width


def crop(image, top, left, height, width):
    return image.crop((left, top, left + width, top + height))


def resize(image, size, mode, antialias=True):
    return image.resize((size[1], size[0]), resampling(mode))


def hflip(image):
    return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)


def vflip(image):
    return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)


def pad(image, sides, fill, padding_mode):
    """Sides are (left, top, right, bottom)."""
    if padding_mode == "constant":
        return padded_with_colour(image, sides, fill)
    if image.mode == "P":
        palette = image.getpalette()
        image = pillow().fromarray(pad_array(np.asarray(image), sides, padding_mode))
        image.putpalette(palette)
        return image
    return pillow().fromarray(pad_array(np.asarray(image), sides, padding_mode))


def padded_with_colour(image, sides, fill):
    made = pillow("ImageOps").expand(image, border=tuple(max(side, 0) for side in sides),
                                     **as_fill(image, fill, name="fill"))
    cut = [max(-side, 0) for side in sides]
    if not any(cut):
        return made
    return made.crop((cut[0], cut[1], made.width - cut[2], made.height - cut[3]))


def pad_array(array, sides, padding_mode):
    left, top, right, bottom = (max(side, 0) for side in sides)
    cut = [max(-side, 0) for side in sides]
    array = array[cut[1]:array.shape[0] - cut[3], cut[0]:array.shape[1] - cut[2]]
    widths = ((top, bottom), (left, right), *[(0, 0)] * (array.ndim - 2))
    return np.pad(array, widths, PAD_MODES[padding_mode])


def as_fill(image, fill, name="fillcolor") -> dict:
    """The colour for an image's bands, as Pillow takes it.

    Raises:
        ValueError: there are more or fewer numbers than bands.
    """
    bands = len(image.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, (int, float)) and bands > 1:
        fill = (fill,) * bands
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * bands
        elif len(fill) != bands:
            raise ValueError("The number of elements in 'fill' does not match the number of channels "
                             f"of the image ({len(fill)} != {bands})")
    if image.mode != "F":
        fill = tuple(int(x) for x in fill) if isinstance(fill, (list, tuple)) else int(fill)
    return {name: tuple(fill) if isinstance(fill, list) else fill}


def affine(image, matrix, mode, fill):
    return image.transform(image.size, pillow().Transform.AFFINE, matrix, resampling(mode),
                           **as_fill(image, fill))


def rotate(image, angle, mode, expand, center, fill):
    return image.rotate(angle, resampling(mode), expand, center, **as_fill(image, fill))


def perspective(image, coefficients, mode, fill):
    return image.transform(image.size, pillow().Transform.PERSPECTIVE, coefficients, resampling(mode),
                           **as_fill(image, fill))


def to_grayscale(image, channels):
    grey = image.convert("L")
    if channels == 1:
        return grey
    return pillow().merge("RGB", (grey,) * 3)


def enhanced(kind):
    def enhance(image, factor):
        return getattr(pillow("ImageEnhance"), kind)(image).enhance(factor)
    return enhance


adjust_brightness, adjust_contrast = enhanced("Brightness"), enhanced("Contrast")
adjust_saturation, adjust_sharpness = enhanced("Color"), enhanced("Sharpness")


def adjust_hue(image, factor):
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.array(factor * 255).astype(np.int64).astype(np.uint8)
    hue = pillow().fromarray(turned.astype(np.uint8), "L")
    return pillow().merge("HSV", (hue, saturation, value)).convert(image.mode)


def adjust_gamma(image, gamma, gain):
    mode = image.mode
    table = [int((255 + 1 - 1e-3) * gain * pow(level / 255.0, gamma)) for level in range(256)] * 3
    return image.convert("RGB").point(table).convert(mode)


def invert(image):
    return pillow("ImageOps").invert(image)


def posterize(image, bits):
    return pillow("ImageOps").posterize(image, bits)


def solarize(image, threshold):
    return pillow("ImageOps").solarize(image, threshold)


def autocontrast(image):
    return pillow("ImageOps").autocontrast(image)


def equalize(image):
    return pillow("ImageOps").equalize(image)
