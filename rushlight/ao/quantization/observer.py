"""What values occur: from it follow the scale and the zero point of a grid."""
from __future__ import annotations

import functools
import math

from ... import dtypes, ops
from ...autograd import no_grad
from ...nn import Module
from .kinds import SYMMETRIC, per_channel_affine, per_channel_symmetric, per_tensor_affine, qint8, quint8


class _Maker(functools.partial):
    """A class with some arguments."""

    def with_args(self, **kwargs):
        return _Maker(self, **kwargs)


class ObserverBase(Module):
    """Looks at what passes."""

    def __init__(self, dtype=quint8, is_dynamic: bool = False):
        super().__init__()
        self.dtype, self.is_dynamic = dtype, is_dynamic

    @classmethod
    def with_args(cls, **kwargs) -> _Maker:
        """What makes such an observer with these arguments."""
        return _Maker(cls, **kwargs)

    def calculate_qparams(self):
        """(scale, zero_point)"""
        raise NotImplementedError(f"{type(self).__name__}.calculate_qparams")


class NoopObserver(ObserverBase):
    """Looks at nothing."""

    def forward(self, x):
        return x


class MinMaxObserver(ObserverBase):
    """The smallest and the largest value so far.

    Args:
        dtype: quint8 or qint8; reduce_range: one bit less.
        qscheme: affine, or symmetric about 0.
        quant_min, quant_max: ends of the grid, in place of the dtype's.
    """

    def __init__(self, dtype=quint8, qscheme=per_tensor_affine, reduce_range: bool = False, quant_min=None,
                 quant_max=None, factory_kwargs=None, eps: float = dtypes.finfo(dtypes.float32).eps,
                 is_dynamic: bool = False, **_ignored):
        super().__init__(dtype, is_dynamic)
        self.qscheme, self.reduce_range, self.has_customized_qrange = qscheme, reduce_range, quant_min is not None
        low, high = (dtype.low, dtype.high) if quant_min is None else (quant_min, quant_max)
        if not low <= 0 <= high:
            raise AssertionError("Used-specified quantization range must include 0.")
        self.quant_min, self.quant_max = (low // 2, high // 2) if reduce_range else (low, high)
        self.register_buffer("eps", ops.tensor([eps]))
        self._begin()

    def _begin(self):
        self.register_buffer("min_val", ops.tensor(math.inf))
        self.register_buffer("max_val", ops.tensor(-math.inf))

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self._begin()

    def _ends(self, x):
        """(least, greatest) of a tensor."""
        return x.amin(), x.amax()

    def forward(self, x):
        if x.numel():
            with no_grad():
                low, high = self._ends(x.detach().to(self.min_val.dtype))
                self.min_val, self.max_val = self._updated(low, high)
        return x

    def _updated(self, low, high):
        if self.min_val.shape != low.shape:
            return low, high
        return ops.minimum(low, self.min_val), ops.maximum(high, self.max_val)

    def calculate_qparams(self):
        """(scale, zero_point): float32 and int32; 1 and 0 if nothing was seen."""
        low, high = self.min_val, self.max_val
        if not low.numel() or low.dim() == 0 and low.item() == math.inf and high.item() == -math.inf:
            return ops.tensor([1.0]), ops.tensor([0])
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        steps = float(self.quant_max - self.quant_min)
        if self.qscheme in SYMMETRIC:
            scale = ops.maximum(ops.maximum(-low, high) / (steps / 2), self.eps)
            middle = (self.quant_min + self.quant_max) // 2 if self.has_customized_qrange else 128
            zero = ops.full(low.shape, middle if self.dtype is quint8 else 0, dtype=dtypes.int64)
            return scale, zero.expand(scale.shape)
        scale = ops.maximum((high - low) / steps, self.eps)
        zero = self.quant_min - (low / scale).round().to(dtypes.int32)
        return scale, zero.clamp(self.quant_min, self.quant_max)

    def extra_repr(self) -> str:
        return f"min_val={_shown(self.min_val)}, max_val={_shown(self.max_val)}"


def _shown(x):
    return x.item() if not x.dim() else x


class MovingAverageMinMaxObserver(MinMaxObserver):
    """Means of smallest and largest values, the newest with weight `averaging_constant`."""

    def __init__(self, averaging_constant: float = 0.01, dtype=quint8, qscheme=per_tensor_affine, **kwargs):
        super().__init__(dtype, qscheme, **kwargs)
        self.averaging_constant = averaging_constant

    def _updated(self, low, high):
        c = self.averaging_constant
        if self.min_val.shape != low.shape or not low.dim() and self.min_val.item() == math.inf:
            return low, high
        return self.min_val + c * (low - self.min_val), self.max_val + c * (high - self.max_val)


class PerChannelMinMaxObserver(MinMaxObserver):
    """The smallest and the largest value of each channel."""

    def __init__(self, ch_axis: int = 0, dtype=quint8, qscheme=per_channel_affine, **kwargs):
        super().__init__(dtype, qscheme, **kwargs)
        self.ch_axis = ch_axis

    def _begin(self):
        self.register_buffer("min_val", ops.tensor([]))
        self.register_buffer("max_val", ops.tensor([]))

    def _ends(self, x):
        rows = x.movedim(self.ch_axis, 0).flatten(1) if x.dim() > 1 else x.reshape(-1, 1)
        return rows.amin(1), rows.amax(1)


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver, MovingAverageMinMaxObserver):
    """Means of smallest and largest values of each channel."""

    def __init__(self, averaging_constant: float = 0.01, ch_axis: int = 0, dtype=quint8, qscheme=per_channel_affine,
                 **kwargs):
        MinMaxObserver.__init__(self, dtype, qscheme, **kwargs)
        self.averaging_constant, self.ch_axis = averaging_constant, ch_axis

    _updated = MovingAverageMinMaxObserver._updated


default_observer = MinMaxObserver.with_args(quant_min=0, quant_max=127)
default_weight_observer = MinMaxObserver.with_args(dtype=qint8, qscheme=SYMMETRIC[0])
default_per_channel_weight_observer = PerChannelMinMaxObserver.with_args(dtype=qint8, qscheme=per_channel_symmetric)
