"""Derivatives of functions as functions: vjp, jvp, jacobian, hessian, vhp, hvp.

Inputs are a tensor or a tuple of tensors; what comes back has the same structure. With
`create_graph` the results can be differentiated again; `strict` raises where an output does not
depend on an input instead of giving zeros.
"""
from __future__ import annotations

from collections.abc import Callable

from .engine import grad
from .grad_mode import enable_grad


def _tuple(x, name):
    from ..tensor import Tensor
    items = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            raise TypeError(f"The {name} must be either a Tensor or a tuple of Tensors but the value at index {i} has type "
                            f"{type(item)}.")
    return items, isinstance(x, (tuple, list))


def _like(values, several):
    return tuple(values) if several else values[0]


def _prepared(inputs, create_graph):
    """Leaves of their own, or on the tape of the inputs if that is to go on."""
    return tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in inputs)


def _finished(values, create_graph):
    return tuple(v if create_graph else v.detach() for v in values)


def _called(func, xs, name):
    with enable_grad():
        return _tuple(func(*xs), f"outputs of the user-provided function given to {name}")


def _seeded(v, outs, name):
    if v is None:
        if len(outs) != 1 or outs[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if the {name} single-element Tensor.")
        return tuple(y.new_ones(y.shape) for y in outs)
    vs, _ = _tuple(v, "v")
    for a, b in zip(vs, outs):
        if a.shape != b.shape:
            raise RuntimeError(f"Mismatch in shape: v has size {list(a.shape)} but {list(b.shape)} is expected.")
    return vs


def _pulled(outs, xs, seeds, create_graph, strict, name):
    """Gradients along seeds; zeros where an output does not depend on an input."""
    taped = [(y, s) for y, s in zip(outs, seeds) if y.requires_grad]
    if strict and len(taped) < len(outs):
        raise RuntimeError(f"Output {next(i for i, y in enumerate(outs) if not y.requires_grad)} of the user-provided "
                           f"function given to {name} is independent of the inputs. This is not allowed in strict mode.")
    got = grad([y for y, _ in taped], xs, [s for _, s in taped], retain_graph=True, create_graph=create_graph,
               allow_unused=True) if taped else [None] * len(xs)
    for i, g in enumerate(got):
        if g is None and strict:
            raise RuntimeError(f"The output of the user-provided function given to {name} is independent of input {i}. This "
                               "is not allowed in strict mode.")
    return tuple(x.new_zeros(x.shape) if g is None else g for g, x in zip(got, xs))


def vjp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v J): the product of a vector of the outputs' shape with the Jacobian."""
    given, several = _tuple(inputs, "inputs given to vjp")
    xs = _prepared(given, create_graph)
    outs, many = _called(func, xs, "vjp")
    with enable_grad():
        got = _pulled(outs, xs, _seeded(v, outs, "user-provided function returns a"), create_graph, strict, "vjp")
    return _like(_finished(outs, create_graph), many), _like(_finished(got, create_graph), several)


def jvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), J v): the Jacobian times a vector of the inputs' shape, by differentiating a vjp twice."""
    given, _ = _tuple(inputs, "inputs given to jvp")
    xs = _prepared(given, create_graph)
    vs = _seeded(v, given, "input to the user-provided function is a")
    outs, many = _called(func, xs, "jvp")
    with enable_grad():
        seeds = tuple(y.new_zeros(y.shape).requires_grad_() for y in outs)
        back = _pulled(outs, xs, seeds, True, strict, "jvp")
        got = _pulled(back, seeds, vs, create_graph, False, "jvp")
    return _like(_finished(outs, create_graph), many), _like(_finished(got, create_graph), many)


def jacobian(func: Callable, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode"):
    """The Jacobian: for each output and input a tensor of both shapes, one backward pass for each output element."""
    from .. import ops
    given, several = _tuple(inputs, "inputs given to jacobian")
    xs = _prepared(given, create_graph)
    outs, many = _called(func, xs, "jacobian")
    table = []
    with enable_grad():
        for y in outs:
            rows = [_pulled((y,), xs, (_one_at(y, k),), create_graph, strict, "jacobian") for k in range(y.numel())]
            table.append(_like([ops.stack(column).reshape((*y.shape, *x.shape)) if rows else
                                x.new_zeros((*y.shape, *x.shape)) for x, column in zip(xs, zip(*rows) if rows else xs)],
                               several))
    if not create_graph:
        table = [tuple(t.detach() for t in row) if several else row.detach() for row in table]
    return _like(table, many)


def _one_at(y, k):
    seed = y.new_zeros(y.numel())
    seed[k] = 1
    return seed.reshape(y.shape)


def _scalar(func, name):
    def checked(*xs):
        y = func(*xs)
        if not hasattr(y, "numel") or y.numel() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
        return y.reshape(())
    return checked


def hessian(func: Callable, inputs, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode"):
    """The matrix of second derivatives of a function of one number."""
    given, several = _tuple(inputs, "inputs given to hessian")
    target = _scalar(func, "hessian")

    def slope(*xs):
        return _like(_pulled((target(*xs),), xs, (given[0].new_ones(()),), True, strict, "hessian"), several)
    return jacobian(slope, inputs, create_graph=create_graph, strict=strict)


def vhp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v H): a vector of the inputs' shape times the Hessian."""
    given, several = _tuple(inputs, "inputs given to vhp")
    xs = _prepared(given, create_graph)
    vs = _seeded(v, given, "input to the user-provided function is a")
    with enable_grad():
        y = _scalar(func, "vhp")(*xs)
        slope = _pulled((y,), xs, (y.new_ones(()),), True, strict, "vhp")
        got = _pulled(slope, xs, vs, create_graph, strict, "vhp")
    return _finished((y,), create_graph)[0], _like(_finished(got, create_graph), several)


def hvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), H v): the Hessian, which is symmetric, times a vector."""
    return vhp(func, inputs, v, create_graph, strict)
