"""Which layers have a rule of their own: from input and gradient at the output to pieces.

A rule is called with the module, its first input and the gradient at its output, samples along
`axis` of both, and gives {parameter's name: piece}. What norms multiply by their weight they take from the
tape, where it is found (`input_of`), or compute again.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ... import nn
from ...nn import functional as F
from ...nn.functional import norms
from ...tensor import Tensor
from .pieces import Given, Kernel, Outer, Piece, Rows, Scaled, Summed

Rule = Callable[[nn.Module, Tensor, Tensor, int], dict[str, Piece]]
RULES: dict[type, Rule] = {}


def rule_for(*kinds):
    def register(rule):
        RULES.update(dict.fromkeys(kinds, rule))
        return rule
    return register


@rule_for(nn.Linear)
def linear(module, x, g, axis):
    out = Scaled(g, axis)
    return {"weight": Outer(x, out), "bias": Summed(out)}


@rule_for(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def convolution(module, x, g, axis):
    if axis:
        x, g = x.movedim(axis, 0), g.movedim(axis, 0)
    x, padding = _padded(module, x)
    out = Scaled(g, 0)
    geometry = tuple(module.stride), padding, tuple(module.dilation), module.groups
    return {"weight": Kernel(x, out, module.weight, geometry), "bias": Summed(out, 1)}


def _padded(module, x):
    """The input, and how many zeros the contraction itself is to put round it."""
    sides = module._reversed_padding_repeated_twice
    even = all(a == b for a, b in zip(sides[::2], sides[1::2]))
    if module.padding_mode == "zeros" and even:
        return x, tuple(sides[::-2])
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(x, sides, mode=mode), (0,) * (len(sides) // 2)


@rule_for(nn.Embedding)
def embedding(module, index, g, axis):
    return {"weight": Rows(index, Scaled(g, axis), module.weight, module.padding_idx)}


class Normed(NamedTuple):
    """A norm's input x as its own gradient needs it, seen as `shape`: (x - mean) rstd is what the weight sees."""
    x: Tensor
    mean: Tensor
    rstd: Tensor
    shape: tuple

    def value(self) -> Tensor:
        return ((self.x - self.mean) * self.rstd).reshape(self.shape)


def input_of(module, x: Tensor, result: Tensor) -> Tensor | Normed:
    """What the module's rule is to be given for its input x, which is as it was when `result` was made."""
    tape = ON_TAPE.get(type(module))
    if not tape or x.dtype.itemsize < 4:
        return x.detach().clone()
    fn = result.grad_fn
    if fn is not None and getattr(fn, "gradient", None) not in tape:
        fn = fn.edges[0][0] if fn.edges and fn.edges[0] else None       # seen in another shape
    if getattr(fn, "gradient", None) not in tape:
        return x.detach().clone()
    return Normed(*(t.detach() for t in fn.unpack()[1:4]), tuple(x.shape))


ON_TAPE = {nn.LayerNorm: {f.gradient for f in norms._layer.values()},
           nn.GroupNorm: {f.gradient for f in norms._group.values()}}


@rule_for(nn.LayerNorm)
def layer_norm(module, x, g, axis):
    normed = x.value() if isinstance(x, Normed) else F.layer_norm(x, module.normalized_shape, None, None, module.eps)
    return _last_axes(module, normed, g, axis)


@rule_for(nn.RMSNorm)
def rms_norm(module, x, g, axis):
    return _last_axes(module, F.rms_norm(x, module.normalized_shape, None, module.eps), g, axis)


def _last_axes(module, normed, g, axis):
    last = len(module.normalized_shape)
    return _affine(normed, g, [d for d in range(g.dim() - last) if d != axis], axis)


@rule_for(nn.GroupNorm)
def group_norm(module, x, g, axis):
    normed = x.value() if isinstance(x, Normed) else x
    if axis:
        normed, g = normed.movedim(axis, 0), g.movedim(axis, 0)
    if not isinstance(x, Normed):
        normed = F.group_norm(normed, module.num_groups, None, None, module.eps)
    return _affine(normed, g, range(2, g.dim()))


@rule_for(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def instance_norm(module, x, g, axis):
    if axis:
        x, g = x.movedim(axis, 0), g.movedim(axis, 0)
    return _affine(F.instance_norm(x, eps=module.eps), g, range(2, g.dim()))


def _affine(normed, g, dims, axis=0):
    """Of what is multiplied by a weight and shifted by a bias: sums over all other positions."""
    dims = tuple(dims)
    found = [x.sum(dims) if dims else x for x in (normed * g, g)]
    shift = axis - sum(d < axis for d in dims)
    weight, bias = (x.movedim(shift, 0) if shift else x for x in found)
    return {"weight": Given(weight), "bias": Given(bias)}


def rule_of(module: nn.Module) -> Rule | None:
    """The rule for exactly this type: a subclass may compute something else."""
    return RULES.get(type(module))
