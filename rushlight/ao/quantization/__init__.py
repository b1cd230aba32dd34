"""Training with the roundings of integer inference: observers, fake quantisation, prepare_qat.

B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, CVPR 2018. There are no integer tensors: models stay in floats, on the integers' grid.
"""
from .fake_quantize import (FakeQuantize, FakeQuantizeBase, FusedMovingAvgObsFakeQuantize, default_fake_quant,
                            default_per_channel_weight_fake_quant, default_weight_fake_quant, disable_fake_quant,
                            disable_observer, enable_fake_quant, enable_observer)
from .kinds import (per_channel_affine, per_channel_symmetric, per_tensor_affine, per_tensor_symmetric, qint8,
                    quint8)
from .observer import (MinMaxObserver, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver,
                       NoopObserver, ObserverBase, PerChannelMinMaxObserver, default_observer,
                       default_per_channel_weight_observer, default_weight_observer)
from .qconfig import QConfig, default_qat_qconfig, default_qconfig, get_default_qat_qconfig
from .quantize import DeQuantStub, QuantStub, QuantWrapper, convert, prepare, prepare_qat, propagate_qconfig_

__all__ = [
    "DeQuantStub", "FakeQuantize", "FakeQuantizeBase", "FusedMovingAvgObsFakeQuantize", "MinMaxObserver",
    "MovingAverageMinMaxObserver", "MovingAveragePerChannelMinMaxObserver", "NoopObserver", "ObserverBase",
    "PerChannelMinMaxObserver", "QConfig", "QuantStub", "QuantWrapper", "convert", "default_fake_quant",
    "default_observer", "default_per_channel_weight_fake_quant", "default_per_channel_weight_observer",
    "default_qat_qconfig", "default_qconfig", "default_weight_fake_quant", "default_weight_observer",
    "disable_fake_quant", "disable_observer", "enable_fake_quant", "enable_observer", "get_default_qat_qconfig",
    "per_channel_affine", "per_channel_symmetric", "per_tensor_affine", "per_tensor_symmetric", "prepare",
    "prepare_qat", "propagate_qconfig_", "qint8", "quint8"]
