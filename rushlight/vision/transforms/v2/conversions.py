"""Transforms that change the type of what is in a sample."""
from __future__ import annotations

import warnings

import numpy as np

import rushlight as torch
from rushlight.vision.pillow import is_image
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.samples import Transform, is_pure_tensor
from rushlight.vision.tv_tensors import Image, TVTensor, Video

INSTEAD = "v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])"


def is_array(x) -> bool:
    return isinstance(x, np.ndarray)


class Identity(Transform):
    """Samples as they are."""

    def transform(self, inpt, params):
        return inpt


class Lambda(Transform):
    """A function for all parts of a sample that are of some types, by default of any."""

    _transformed_types = (object,)

    def __init__(self, lambd, *types: type):
        super().__init__()
        self.lambd, self.types = lambd, types or self._transformed_types

    def transform(self, inpt, params):
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt

    def extra_repr(self) -> str:
        name = getattr(self.lambd, "__name__", None)
        return f"{name + ', ' if name else ''}types={[kind.__name__ for kind in self.types]}"


class PILToTensor(Transform):
    """Pillow images become tensors; values stay as they are."""

    _transformed_types = (is_image,)

    def transform(self, inpt, params):
        return F.pil_to_tensor(inpt)


class ToImage(Transform):
    """Pillow images, arrays (H, W, C) and tensors become Images; values stay as they are."""

    _transformed_types = (is_pure_tensor, is_image, is_array)

    def transform(self, inpt, params):
        return F.to_image(inpt)


class ToPILImage(Transform):
    """Tensors (C, H, W) and arrays (H, W, C) become Pillow images."""

    _transformed_types = (is_pure_tensor, Image, is_array)

    def __init__(self, mode=None):
        super().__init__()
        self.mode = mode

    def transform(self, inpt, params):
        return F.to_pil_image(inpt, self.mode)


class ToPureTensor(Transform):
    """Tensors no longer say what they show."""

    _transformed_types = (TVTensor,)

    def transform(self, inpt, params):
        return inpt.as_subclass(torch.Tensor)


class ToTensor(Transform):
    """Pillow images and arrays of bytes become floats in 0 .. 1; deprecated by torchvision."""

    _transformed_types = (is_image, is_array)

    def __init__(self):
        warnings.warn("The transform `ToTensor()` is deprecated and will be removed in a future release. "
                      f"Instead, please use `{INSTEAD}`. Output is equivalent up to float precision.", stacklevel=2)
        super().__init__()

    def transform(self, inpt, params):
        return F.to_tensor(inpt)


class ToDtype(Transform):
    """Another dtype, of images and videos or by class; with `scale`, levels are those of its range.

    Args:
        dtype: a dtype, or a dict from classes, and "others", to dtypes or None, which leaves things as they are.

    Raises:
        ValueError: it is neither; or, in a call, a class is not in the dict.
    """

    _transformed_types = (torch.Tensor,)

    def __init__(self, dtype, scale=False):
        super().__init__()
        if not isinstance(dtype, (dict, torch.dtype)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt, params):
        scales = is_pure_tensor(inpt) or isinstance(inpt, (Image, Video))
        dtype = self.of_class(type(inpt)) if isinstance(self.dtype, dict) else self.dtype if scales else None
        return inpt if dtype is None else F.to_dtype(inpt, dtype, self.scale and scales)

    def of_class(self, kind):
        if kind not in self.dtype and "others" not in self.dtype:
            raise ValueError(f"No dtype was specified for type {kind}. Name it in the dict, or give \"others\" a "
                             "dtype, or None to leave the rest as it is.")
        return self.dtype[kind] if kind in self.dtype else self.dtype["others"]


class ConvertImageDtype(Transform):
    """`ToDtype(dtype, scale=True)`."""

    _transformed_types = (is_pure_tensor, Image, Video)

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt, params):
        return F.to_dtype(inpt, self.dtype, scale=True)
