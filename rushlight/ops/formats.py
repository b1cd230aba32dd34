"""Memory formats: how results of functions of images lie in memory.

Elementwise operations keep the order of their operands (`output_order` in promote.py). Everything else gives packed results
but for functions of images, whose results have their channels last if those of an operand do; that rule stands here.
"""
from __future__ import annotations

import functools

from .. import layout as L
from ..autograd.grad_mode import mode
from ..autograd.node import attach, taping
from ..prims.index import copy
from ..tensor import Tensor, wrap
from .promote import apply, in_order

ORDERS = {"channels_last": (0, 2, 3, 1), "channels_last_3d": (0, 2, 3, 4, 1)}      # axes, the innermost last
_OF_RANK = {len(order): order for order in ORDERS.values()}


@functools.lru_cache(4096)
def _order_told(shape, strides):
    """The order of channels last if strides tell it: torch's `suggest_memory_format`.

    Axes may be further apart than need be. What strides of axes of size 1 leave open counts as packed.
    """
    order, reach = _OF_RANK.get(len(shape)), 0
    if order is None or 0 in shape or strides[1] == 0:
        return None
    for d in reversed(order):
        if strides[d] < reach or d == 0 and reach == strides[1]:
            return None
        reach = strides[d] * shape[d]
    return order


def order_of(l) -> tuple | None:
    """The order of channels last if this is how a layout lies."""
    if l.ndim not in _OF_RANK or l.packed and l.shape[1] != 1 and l.shape[-1] != 1:
        return None
    try:
        return _order_told(l.shape, l.strides)
    except TypeError:           # sizes that may vary have no hash
        return _order_told.__wrapped__(l.shape, l.strides)


def dense(shape, memory_format):
    """The dense layout of a shape in a memory format."""
    order = ORDERS.get(memory_format.name)
    if order is None:
        return L.packed(tuple(shape))
    if len(order) != len(shape):
        raise RuntimeError(f"required rank {len(order)} tensor to use {memory_format.name} format")
    return in_order(shape, order)


def copied(x, memory_format, gradient=copy.gradient):
    """A copy in a memory format."""
    l = dense(x.layout.shape, memory_format)
    y = wrap(Tensor, _copied(x, l).storage, l, 0)
    return attach(y, gradient, (x,), {}) if taping(x) else y


def laid_out(y, l):
    """y, a fresh result, in memory of this dense layout: it keeps its place on the tape."""
    if y.layout is l:
        return y
    if y.layout.packed and L.is_packed(l.shape, l.strides):        # they differ in axes of size 1
        made = wrap(Tensor, y.storage, l, y.offset)
    else:
        made = wrap(Tensor, _copied(y, l).storage, l, 0)
    made._requires_grad, made._grad_fn, made._output_nr = y._requires_grad, y._grad_fn, y._output_nr
    return made


def _copied(y, l):
    inwards = sorted(range(l.ndim), key=lambda d: (-l.strides[d], d))
    before, mode.enabled = mode.enabled, mode.allows(False)
    try:
        return apply(copy, (wrap(Tensor, y.storage, L.permute(y.layout, inwards), y.offset),), {})
    finally:
        mode.enabled = before


def like_images(y, *images):
    """y, a fresh result, with its channels last if those of one of the images are, or as it is."""
    order = next((o for x in images if (o := order_of(x.layout)) is not None), None)
    return y if order is None else laid_out(y, in_order(y.layout.shape, order))


def common_order(parts) -> tuple | None:
    """The order of channels last if all parts lie so."""
    order = order_of(parts[0].layout)
    return order if order and all(order_of(x.layout) is order for x in parts[1:]) else None


def keeps_format(fn):
    """The results of fn have their channels last if its first argument's are."""
    @functools.wraps(fn)
    def formatted(input, *args, **kwargs):
        y = fn(input, *args, **kwargs)
        if order_of(input.layout) is None or y is input:
            return y
        return tuple(like_images(part, input) for part in y) if type(y) is tuple else like_images(y, input)
    return formatted
