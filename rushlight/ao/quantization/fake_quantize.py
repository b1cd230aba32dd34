"""Rounding to an integer grid that an observer sets, in the midst of training."""
from __future__ import annotations

from ... import dtypes, ops
from ...nn import Module
from .kinds import SYMMETRIC, per_channel_affine, per_channel_symmetric, per_tensor_symmetric, qint8, quint8
from .observer import (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver, _Maker)


class FakeQuantizeBase(Module):
    """Two switches, kept in buffers: whether to observe, and whether to round."""

    def __init__(self):
        super().__init__()
        self.register_buffer("fake_quant_enabled", ops.tensor([1], dtype=dtypes.uint8))
        self.register_buffer("observer_enabled", ops.tensor([1], dtype=dtypes.uint8))

    @classmethod
    def with_args(cls, **kwargs):
        """What makes such a module with these arguments."""
        return _Maker(cls, **kwargs)

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round, or do not."""
        self.fake_quant_enabled[0] = int(enabled)

    def disable_fake_quant(self) -> None:
        """Let values pass as they are."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Let the grid follow the values, or keep it."""
        self.observer_enabled[0] = int(enabled)

    def disable_observer(self) -> None:
        """Keep the grid."""
        self.enable_observer(False)


class FakeQuantize(FakeQuantizeBase):
    """x to (clamp(round(x / scale) + zero_point, low, high) - zero_point) scale; gradients pass within the bounds.

    Args:
        observer: the class of what sets the grid, which gets `observer_kwargs`.
        quant_min, quant_max: ends of the grid; None: the dtype's.
    """

    def __init__(self, observer=MovingAverageMinMaxObserver, quant_min=None, quant_max=None, is_dynamic: bool = False,
                 **observer_kwargs):
        super().__init__()
        if quant_min is not None and quant_min > quant_max:
            raise AssertionError("quant_min must be less than or equal to quant_max")
        self.activation_post_process = observer(quant_min=quant_min, quant_max=quant_max, **observer_kwargs)
        seen = self.activation_post_process
        self.quant_min, self.quant_max = seen.quant_min, seen.quant_max
        self.register_buffer("scale", ops.tensor([1.0]))
        self.register_buffer("zero_point", ops.tensor([0], dtype=dtypes.int32))
        self.dtype, self.qscheme, self.ch_axis = seen.dtype, seen.qscheme, getattr(seen, "ch_axis", -1)
        self.is_per_channel = self.qscheme in (per_channel_affine, per_channel_symmetric)

    def calculate_qparams(self):
        """(scale, zero_point) of what was seen."""
        return self.activation_post_process.calculate_qparams()

    def _grid(self):
        """(scale, zero_point) to round with."""
        return self.calculate_qparams()

    def forward(self, x):
        if self.observer_enabled[0] == 1:
            self.activation_post_process(x.detach())
            scale, zero = self._grid()
            self.scale, self.zero_point = scale.reshape(-1), zero.reshape(-1).to(dtypes.int32)
        if self.fake_quant_enabled[0] != 1:
            return x
        bounds = self.quant_min, self.quant_max
        if self.is_per_channel:
            return ops.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, self.ch_axis, *bounds)
        return ops.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *bounds)

    def extra_repr(self) -> str:
        return (f"fake_quant_enabled={self.fake_quant_enabled}, observer_enabled={self.observer_enabled}, "
                f"scale={self.scale}, zero_point={self.zero_point}, dtype={self.dtype}, quant_min={self.quant_min}, "
                f"quant_max={self.quant_max}, qscheme={self.qscheme}, "
                f"reduce_range={self.activation_post_process.reduce_range}")

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        """Scales and what was seen take the sizes that they were saved with."""
        for home, names in ((self, ("scale", "zero_point")), (self.activation_post_process, ("min_val", "max_val"))):
            at = prefix if home is self else f"{prefix}activation_post_process."
            for name in names:
                saved = state_dict.get(at + name)
                if saved is not None and saved.shape != getattr(home, name).shape:
                    setattr(home, name, ops.zeros_like(saved))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """FakeQuantize with moving averages, whose symmetric grids reach from -(n + 1) to n steps."""

    def _grid(self):
        seen, steps = self.activation_post_process, self.quant_max - self.quant_min
        low, high = seen.min_val.double().clamp(max=0.0), seen.max_val.double().clamp(min=0.0)
        is_even = (low < 0) & (high > 0) if self.qscheme in SYMMETRIC else ops.zeros_like(low, dtype=dtypes.bool)
        even = ops.maximum(-low / (steps // 2 + 1), high / (steps // 2))
        scale = ops.where(is_even, even, (high - low) / steps).float()
        scale = ops.where((scale == 0) | (1 / scale).isinf(), 0.1, scale)
        below, above = self.quant_min - low / scale, self.quant_max - high / scale
        from_low = abs(self.quant_min) + (low / scale).abs() < abs(self.quant_max) + (high / scale).abs()
        zero = ops.where(is_even, (self.quant_min + self.quant_max) / 2, ops.where(from_low, below, above))
        return scale, zero.round().clamp(self.quant_min, self.quant_max)


default_fake_quant = FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255,
                                            dtype=quint8, reduce_range=True)
default_weight_fake_quant = FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127,
                                                   dtype=qint8, qscheme=per_tensor_symmetric, reduce_range=False)
default_per_channel_weight_fake_quant = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, quant_min=-128, quant_max=127, dtype=qint8,
    qscheme=per_channel_symmetric, reduce_range=False, ch_axis=0)


def _switch(name):
    def switch(mod) -> None:
        """For `model.apply`."""
        if isinstance(mod, FakeQuantizeBase):
            getattr(mod, name)()
    switch.__name__ = name
    return switch


enable_fake_quant, disable_fake_quant = _switch("enable_fake_quant"), _switch("disable_fake_quant")
enable_observer, disable_observer = _switch("enable_observer"), _switch("disable_observer")
