"""Convolution layers."""
from __future__ import annotations

import math

from ... import ops
from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import _ntuple, _reverse_repeat_tuple

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
           "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d",
           "LazyConvTranspose3d"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _check(in_channels, out_channels, groups, padding, padding_mode, stride):
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups:
        raise ValueError("out_channels must be divisible by groups")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', "
                             f"'same'}}")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
    if padding_mode not in _PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {{'zeros', 'reflect', 'replicate', "
                         f"'circular'}}, but got padding_mode='{padding_mode}'")


class _ConvNd(Module):
    """What convolutions of every rank and direction share: arguments, parameters, printing."""

    __constants__ = ["stride", "padding", "dilation", "groups", "padding_mode", "output_padding",
                     "in_channels", "out_channels", "kernel_size"]

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation,
                 transposed, output_padding, groups, bias, padding_mode, device=None,
                 dtype=None) -> None:
        super().__init__()
        _check(in_channels, out_channels, groups, padding, padding_mode, stride)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation = dilation
        self.transposed, self.output_padding = transposed, output_padding
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._sides()
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(ops.empty((first, second // groups, *kernel_size), device=device,
                                          dtype=dtype))
        if bias:
            self.bias = Parameter(ops.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _sides(self):
        """The padding as `F.pad` takes it."""
        if not isinstance(self.padding, str):
            return _reverse_repeat_tuple(self.padding, 2)
        sides = [0, 0] * len(self.kernel_size)
        if self.padding == "same":
            for i, (d, k) in enumerate(zip(reversed(self.dilation), reversed(self.kernel_size))):
                total = d * (k - 1)
                sides[2 * i:2 * i + 2] = total // 2, total - total // 2
        return sides

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within 1 / sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}")
        zeros = (0,) * len(self.kernel_size)
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * len(self.kernel_size):
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


class _Forward(_ConvNd):
    """A convolution of rank `_rank`, by `_function`."""

    _rank, _function = 0, None

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device=None, dtype=None) -> None:
        size = _ntuple(self._rank, "size")
        padding = padding if isinstance(padding, str) else size(padding)
        super().__init__(in_channels, out_channels, size(kernel_size), size(stride), padding,
                         size(dilation), False, size(0), groups, bias, padding_mode, device, dtype)

    def _conv_forward(self, input, weight, bias):
        convolve = type(self)._function
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return convolve(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return convolve(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input):
        return self._conv_forward(input, *self._registered("_parameters", "weight", "bias"))


class Conv1d(_Forward):
    """Cross-correlation of (N, C_in, L) to (N, C_out, L')."""

    _rank, _function = 1, staticmethod(F.conv1d)


class Conv2d(_Forward):
    """Cross-correlation of (N, C_in, H, W) to (N, C_out, H', W')."""

    _rank, _function = 2, staticmethod(F.conv2d)


class Conv3d(_Forward):
    """Cross-correlation of (N, C_in, D, H, W) to (N, C_out, D', H', W')."""

    _rank, _function = 3, staticmethod(F.conv3d)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution of rank `_rank`, by `_function`."""

    _rank, _function = 0, None

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 output_padding=0, groups: int = 1, bias: bool = True, dilation=1,
                 padding_mode: str = "zeros", device=None, dtype=None) -> None:
        if padding_mode != "zeros":
            raise ValueError('Only "zeros" padding mode is supported for '
                             f'{self.__class__.__name__}')
        size = _ntuple(self._rank, "size")
        super().__init__(in_channels, out_channels, size(kernel_size), size(stride), size(padding),
                         size(dilation), True, size(output_padding), groups, bias, padding_mode,
                         device, dtype)

    def _output_padding(self, input, output_size):
        """The output padding that gives `output_size`."""
        if output_size is None:
            return self.output_padding
        n = self._rank
        spatial = input.shape[-n:]
        sizes = list(output_size)
        sizes = sizes[-n:] if len(sizes) == input.dim() else sizes
        if len(sizes) != n:
            raise ValueError(f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have "
                             f"{n} or {input.dim()} elements (got {len(sizes)})")
        least = [(m - 1) * s - 2 * p + d * (k - 1) + 1 for m, s, p, d, k in
                 zip(spatial, self.stride, self.padding, self.dilation, self.kernel_size)]
        most = [m + s - 1 for m, s in zip(least, self.stride)]
        if any(not a <= m <= b for a, m, b in zip(least, sizes, most)):
            raise ValueError(f"requested an output size of {output_size}, but valid sizes range "
                             f"from {least} to {most} (for an input of {spatial})")
        return tuple(m - a for m, a in zip(sizes, least))

    def forward(self, input, output_size=None):
        return type(self)._function(input, self.weight, self.bias, self.stride, self.padding,
                                    self._output_padding(input, output_size), self.groups,
                                    self.dilation)


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of Conv1d: (N, C_in, L) to (N, C_out, L')."""

    _rank, _function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of Conv2d: (N, C_in, H, W) to (N, C_out, H', W')."""

    _rank, _function = 2, staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of Conv3d: (N, C_in, D, H, W) to (N, C_out, D', H', W')."""

    _rank, _function = 3, staticmethod(F.conv_transpose3d)


class _LazyConv(LazyModuleMixin):
    """Takes `in_channels` from the first input."""

    def __init__(self, out_channels: int, kernel_size, *args, bias: bool = True, device=None,
                 dtype=None, **kwargs) -> None:
        super().__init__(0, 0, kernel_size, *args, bias=False, **kwargs)
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs) -> None:
        if not self.has_uninitialized_params():
            return
        n = len(self.kernel_size)
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to "
                               f"{self.__class__.__name__}, but got input of size: {input.shape}")
        self.in_channels = input.shape[1] if input.dim() == n + 2 else input.shape[0]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        a, b = ((self.in_channels, self.out_channels) if self.transposed
                else (self.out_channels, self.in_channels))
        self.weight.materialize((a, b // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


def _lazy(of):
    """The lazy class of a convolution."""
    return type("Lazy" + of.__name__, (_LazyConv, of),
                {"cls_to_become": of,
                 "__doc__": f"A {of.__name__} that takes `in_channels` from its first input.",
                 "__module__": __name__})


LazyConv1d, LazyConv2d, LazyConv3d = map(_lazy, (Conv1d, Conv2d, Conv3d))
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = map(
    _lazy, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d))
