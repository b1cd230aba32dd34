"""Transforms of single images as transforms of samples, and those that torchvision has in its second kind only."""
from __future__ import annotations

import rushlight as torch
from rushlight.vision import transforms as one
from rushlight.vision.pillow import is_image
from rushlight.vision.transforms.randomly import below, check_crop
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.samples import Alike, Transform, has_any, of_samples
from rushlight.vision.tv_tensors import Image, Mask, Video

CenterCrop, Pad, Resize = (of_samples(kind, moves=True) for kind in (one.CenterCrop, one.Pad, one.Resize))
RandomResizedCrop = of_samples(one.RandomResizedCrop, moves=True)
RandomHorizontalFlip = of_samples(one.RandomHorizontalFlip, moves=True)
RandomVerticalFlip = of_samples(one.RandomVerticalFlip, moves=True)
RandomRotation, RandomAffine = of_samples(one.RandomRotation, moves=True), of_samples(one.RandomAffine, moves=True)
RandomPerspective = of_samples(one.RandomPerspective, moves=True)
ElasticTransform = of_samples(one.ElasticTransform, moves=True)
ColorJitter, GaussianBlur = of_samples(one.ColorJitter), of_samples(one.GaussianBlur)
Grayscale, RandomGrayscale = of_samples(one.Grayscale), of_samples(one.RandomGrayscale)
RandomInvert, RandomAutocontrast = of_samples(one.RandomInvert), of_samples(one.RandomAutocontrast)
RandomEqualize, RandomSolarize = of_samples(one.RandomEqualize), of_samples(one.RandomSolarize)
RandomPosterize = of_samples(one.RandomPosterize)
RandomAdjustSharpness = of_samples(one.RandomAdjustSharpness)
LinearTransformation = of_samples(one.LinearTransformation)


class WithoutPillow(Alike):
    """Base of what is for tensors only."""

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, is_image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")


class Normalize(WithoutPillow, one.Normalize, Transform):
    """(x - mean) / std by channel."""


class RandomErasing(WithoutPillow, one.RandomErasing, Transform):
    """A rectangle overwritten with probability p: Zhong et al., Random Erasing Data Augmentation (2017)."""


class RandomCrop(Alike, one.RandomCrop, Transform):
    """A part of the given size at a random place, after padding."""

    moves = True

    @staticmethod
    def get_params(img, output_size):
        """(top, left, height, width) of the part; nothing is drawn for a side that it fills."""
        _, rows, columns = F.get_dimensions(img)
        height, width = output_size
        check_crop(height, width, rows, columns, "padded input image size {}.")
        top = below(rows - height + 1) if rows > height else 0
        return top, below(columns - width + 1) if columns > width else 0, height, width


class Crops(Alike):
    """Base of what makes several images of one."""

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, Mask):
            raise TypeError(f"BoundingBoxes'es and Mask's are not supported by {type(self).__name__}()")


class FiveCrop(Crops, one.FiveCrop, Transform):
    """The four corners and the middle."""


class TenCrop(Crops, one.TenCrop, Transform):
    """The same, and these flipped."""


class RGB(Transform):
    """Three channels of one."""

    _transformed_types = (Image, Video, is_image, torch.Tensor)

    def transform(self, inpt, params):
        return inpt if isinstance(inpt, Mask) else F.grayscale_to_rgb(inpt)


class GaussianNoise(Transform):
    """Normal noise added to tensors; levels of bytes are 255 times as large."""

    def __init__(self, mean=0.0, sigma=0.1, clip=True):
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, is_image):
            raise ValueError("Gaussian Noise is not implemented for PIL images.")

    def transform(self, inpt, params):
        return inpt if isinstance(inpt, Mask) else F.gaussian_noise(inpt, self.mean, self.sigma, self.clip)
