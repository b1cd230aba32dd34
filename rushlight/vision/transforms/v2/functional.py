"""Functions of images and of tensors that say what they show; results are of the same class."""
from __future__ import annotations

import functools

import numpy as np

import rushlight as torch
from rushlight.vision.pillow import is_image
from rushlight.vision.transforms import functional as one
from rushlight.vision.transforms.functional import (
    InterpolationMode as InterpolationMode, get_dimensions as get_dimensions,
    get_image_num_channels as get_image_num_channels, pil_to_tensor as pil_to_tensor,
    to_pil_image as to_pil_image, to_tensor as to_tensor,
)
from rushlight.vision.tv_tensors import Image, TVTensor, wrap


def keeping(function):
    """The same function, whose results are of the class of the first argument."""
    @functools.wraps(function)
    def call(inpt, *args, **options):
        made = function(inpt, *args, **options)
        if not isinstance(inpt, TVTensor):
            return made
        return tuple(wrap(x, like=inpt) for x in made) if isinstance(made, tuple) else wrap(made, like=inpt)
    return call


adjust_brightness, adjust_contrast = keeping(one.adjust_brightness), keeping(one.adjust_contrast)
adjust_gamma, adjust_hue = keeping(one.adjust_gamma), keeping(one.adjust_hue)
adjust_saturation, adjust_sharpness = keeping(one.adjust_saturation), keeping(one.adjust_sharpness)
affine, autocontrast, center_crop, crop = map(keeping, (one.affine, one.autocontrast, one.center_crop, one.crop))
elastic = elastic_transform = keeping(one.elastic_transform)
equalize, erase, five_crop = map(keeping, (one.equalize, one.erase, one.five_crop))
gaussian_blur, hflip, invert = map(keeping, (one.gaussian_blur, one.hflip, one.invert))
normalize, pad, perspective = map(keeping, (one.normalize, one.pad, one.perspective))
posterize, resize, resized_crop = map(keeping, (one.posterize, one.resize, one.resized_crop))
rgb_to_grayscale, rotate, solarize = map(keeping, (one.rgb_to_grayscale, one.rotate, one.solarize))
ten_crop, vflip = keeping(one.ten_crop), keeping(one.vflip)
convert_image_dtype = keeping(one.convert_image_dtype)
horizontal_flip, vertical_flip, to_grayscale = hflip, vflip, rgb_to_grayscale


def to_image(inpt) -> Image:
    """A Pillow image, an array (H, W, C) or a tensor (C, H, W) as an Image; values stay as they are.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(inpt, np.ndarray):
        return Image(torch.from_numpy(np.atleast_3d(inpt)).permute((2, 0, 1)).contiguous())
    if not is_image(inpt) and not isinstance(inpt, torch.Tensor):
        raise TypeError("Input can either be a pure Tensor, a numpy array, or a PIL image, but got "
                        f"{type(inpt)} instead.")
    return Image(inpt)


def to_dtype(inpt, dtype=torch.float32, scale=False):
    """Another dtype; with `scale`, levels are those of the new dtype's range."""
    return convert_image_dtype(inpt, dtype) if scale else wrap(inpt.to(dtype), like=inpt)


def get_size(inpt) -> list[int]:
    """[height, width]"""
    return list(get_dimensions(inpt)[1:])


@keeping
def grayscale_to_rgb(inpt):
    """An image with one channel as one with three; others as they are."""
    if get_dimensions(inpt)[0] >= 3:
        return inpt
    return one.rgb_to_grayscale(inpt, 3)


@keeping
def gaussian_noise(inpt, mean=0.0, sigma=0.1, clip=True):
    """inpt + N(mean, sigma^2), in units of the largest level.

    Raises:
        ValueError: a negative sigma, or a dtype that is neither float nor uint8.
    """
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if inpt.dtype is torch.uint8:
        levels = torch.randn_like(inpt, dtype=torch.float32) * (sigma * 255) + mean * 255
        noisy = inpt + levels.to(torch.int16)
        return (noisy.clamp(0, 255) if clip else noisy).to(torch.uint8)
    if not inpt.is_floating_point():
        raise ValueError(f"Input tensor is expected to be in uint8 or float dtype, got dtype={inpt.dtype}")
    noisy = inpt + (mean + torch.randn_like(inpt) * sigma)
    return noisy.clamp(0, 1) if clip else noisy
