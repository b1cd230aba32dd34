"""Tensors that say what they show, so that transforms of samples know what to do with them.

What is computed with them is plain: only `clone`, `to`, `detach` and `requires_grad_` keep the class.
"""
from __future__ import annotations

import rushlight as torch
from rushlight._C import _disabled_torch_function_impl
from rushlight.vision.pillow import is_image


class TVTensor(torch.Tensor):
    """Base: made of what `as_tensor` takes, and of Pillow images."""

    __torch_function__ = _disabled_torch_function_impl
    axes, least = 3, 2          # of a single one; of what is taken for one

    def __new__(cls, data, *, dtype=None, device=None, requires_grad=None):
        if is_image(data):
            from rushlight.vision.transforms.functional import pil_to_tensor
            data = pil_to_tensor(data)
        if requires_grad is None:
            requires_grad = isinstance(data, torch.Tensor) and data.requires_grad
        made = torch.as_tensor(data, dtype=dtype, device=device).requires_grad_(requires_grad)
        cls.check(made)
        return (made.unsqueeze(0) if made.dim() < cls.axes else made).as_subclass(cls)

    @classmethod
    def check(cls, made) -> None:
        """ValueError if a tensor cannot be one of these."""
        if made.dim() < cls.least:
            raise ValueError(f"Tensor must be {cls.least}D or higher, got {made.dim()}D tensor.")

    def clone(self, *args, **options):
        return super().clone(*args, **options).as_subclass(type(self))

    def to(self, *args, **options):
        return super().to(*args, **options).as_subclass(type(self))

    def detach(self):
        return super().detach().as_subclass(type(self))


class Image(TVTensor):
    """Images (..., C, H, W); of a matrix one with one channel."""


class Video(TVTensor):
    """Videos (..., T, C, H, W)."""

    axes = least = 4


class Mask(TVTensor):
    """Labels of pixels, or one mask for each object: (..., H, W)."""

    axes = least = 2


def wrap(wrappee, *, like):
    """A tensor as one of the class of `like`."""
    return wrappee.as_subclass(type(like)) if isinstance(like, TVTensor) else wrappee
