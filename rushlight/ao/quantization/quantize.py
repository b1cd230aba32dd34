"""Models with fake quantisation put in, and taken to the grid for good."""
from __future__ import annotations

from copy import deepcopy

from ... import nn, ops
from ...autograd import no_grad
from ...nn import functional as F

KNOWN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class QuantStub(nn.Module):
    """Where floats come in: what passes is put on a grid."""

    def __init__(self, qconfig=None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        return x


class DeQuantStub(QuantStub):
    """Where floats go out."""


class QuantWrapper(nn.Module):
    """A module between QuantStub and DeQuantStub."""

    def __init__(self, module: nn.Module):
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        self.quant, self.dequant, self.module = QuantStub(qconfig), DeQuantStub(qconfig), module
        self.train(module.training)

    def forward(self, x):
        return self.dequant(self.module(self.quant(x)))


class _Rounding:
    """A layer whose weight goes through `weight_fake_quant`."""

    def _rounded(self, input):
        weight = self.weight_fake_quant(self.weight)
        if isinstance(self, nn.Linear):
            return F.linear(input, weight, self.bias)
        return self._conv_forward(input, weight, self.bias)

    def forward(self, input):
        return self._rounded(input)


def propagate_qconfig_(module: nn.Module, qconfig_dict=None, prepare_custom_config_dict=None) -> None:
    """Every module below gets the configuration of the nearest one above that has its own."""
    _propagated(module, None)


def _propagated(module, above):
    own = module.__dict__.get("qconfig", above)
    module.__dict__["qconfig"] = own
    for child in module.children():
        _propagated(child, own)


def prepare_qat(model: nn.Module, mapping=None, inplace: bool = False) -> nn.Module:
    """Put fake quantisation into a model in training mode that has a `qconfig`: on weights and outputs.

    Linear and convolutional layers round their weights; their outputs, and what comes through
    QuantStubs, are rounded by an `activation_post_process`.

    Raises:
        AssertionError: the model is not in training mode.
        NotImplementedError: `mapping`.
    """
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    if mapping is not None:
        raise NotImplementedError("prepare_qat: mapping")
    model = model if inplace else deepcopy(model)
    propagate_qconfig_(model)
    for module in list(model.modules()):
        if type(module) in KNOWN and module.qconfig is not None:
            module.weight_fake_quant = module.qconfig.weight()
            module.__class__ = type(type(module).__name__, (_Rounding, type(module)), {})
        _watched(module)
    return model


def prepare(model: nn.Module, inplace: bool = False, allow_list=None, observer_non_leaf_module_list=None,
            prepare_custom_config_dict=None) -> nn.Module:
    """Put observers behind the layers of a model that has a `qconfig`; calls then set the grids."""
    model = model if inplace else deepcopy(model)
    propagate_qconfig_(model)
    for module in list(model.modules()):
        _watched(module)
    return model


def _watched(module):
    """Let the output of a layer or QuantStub go through its own observer or fake quantisation."""
    if not isinstance(module, KNOWN) and type(module) is not QuantStub or module.qconfig is None:
        return
    module.activation_post_process = module.qconfig.activation()
    module.register_forward_hook(lambda m, _args, output: m.activation_post_process(output))


class Grid(nn.Module):
    """A grid that is set for good: `scale` and `zero_point` in buffers."""

    def __init__(self, observed):
        super().__init__()
        scale, zero = observed.calculate_qparams()
        self.register_buffer("scale", scale.reshape(-1).clone())
        self.register_buffer("zero_point", zero.reshape(-1).clone())
        self.bounds = observed.dtype.low, observed.dtype.high    # integers hold all of their range, reduced or not

    def forward(self, x):
        return ops.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *self.bounds)


def convert(module: nn.Module, mapping=None, inplace: bool = False, remove_qconfig: bool = True,
            is_reference: bool = False, convert_custom_config_dict=None, use_precomputed_fake_quant: bool = False):
    """The model for inference: weights are on their grids, and what passes is put on the grids that were found.

    All stays in floats, so that the numbers are those of integer inference, and the speed that of floats.
    """
    model = module if inplace else deepcopy(module)
    for m in list(model.modules()):
        observed = m._modules.get("activation_post_process")
        if observed is None or not isinstance(m, (*KNOWN, QuantStub)):
            continue
        if isinstance(m, KNOWN):
            _settled(m)
        m._forward_hooks.clear()
        del m._modules["activation_post_process"]
        m.output_grid = Grid(observed)
        m.register_forward_hook(lambda m, _args, output: m.output_grid(output))
    return model


def _settled(layer):
    """A layer whose weight is on its grid."""
    rounding = layer._modules.pop("weight_fake_quant", None)
    if rounding is not None:
        layer.__class__ = type(layer).__bases__[1]
    rounding = rounding or layer.qconfig.weight()
    with no_grad():
        rounding(layer.weight)
        seen = getattr(rounding, "activation_post_process", rounding)
        scale, zero = seen.calculate_qparams()
        bounds = seen.dtype.low, seen.dtype.high
        if scale.dim() and scale.numel() > 1:
            layer.weight.copy_(ops.fake_quantize_per_channel_affine(layer.weight, scale, zero, seen.ch_axis, *bounds))
        else:
            layer.weight.copy_(ops.fake_quantize_per_tensor_affine(layer.weight, scale, zero, *bounds))
    layer.weight.requires_grad_(False)
