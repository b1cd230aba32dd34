"""Which grids activations and weights get."""
from __future__ import annotations

from collections import namedtuple

from .fake_quantize import FusedMovingAvgObsFakeQuantize, default_fake_quant, default_weight_fake_quant
from .kinds import per_channel_symmetric, per_tensor_symmetric, qint8
from .observer import (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver, default_observer,
                       default_weight_observer)


class QConfig(namedtuple("QConfig", ["activation", "weight"])):
    """What makes observers or fake quantisation of activations and of weights."""

    __slots__ = ()

    def __new__(cls, activation, weight):
        from ...nn import Module
        if isinstance(activation, Module) or isinstance(weight, Module):
            raise ValueError("QConfig received observer instance, please pass observer class instead. Use "
                             "MyObserver.with_args(x=1) to override arguments to constructor if needed")
        return super().__new__(cls, activation, weight)


default_qconfig = QConfig(default_observer, default_weight_observer)
default_qat_qconfig = QConfig(default_fake_quant, default_weight_fake_quant)


def get_default_qat_qconfig(backend: str = "x86", version: int = 1) -> QConfig:
    """The roundings of a backend for inference: "x86", "fbgemm", "onednn" by channel, "qnnpack" by tensor.

    Raises:
        AssertionError: another backend.
    """
    if backend not in ("fbgemm", "x86", "qnnpack", "onednn"):
        raise AssertionError(f"backend: {backend} not supported. backend must be one of ['fbgemm', 'x86', 'qnnpack', "
                             "'onednn']")
    reduces = backend in ("fbgemm", "x86")
    activation = FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver, quant_min=0,
                                                         quant_max=255, reduce_range=reduces)
    by_tensor = backend == "qnnpack"
    weight = FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver if by_tensor else MovingAveragePerChannelMinMaxObserver,
        quant_min=-128, quant_max=127, dtype=qint8,
        qscheme=per_tensor_symmetric if by_tensor else per_channel_symmetric)
    return QConfig(activation, weight)
