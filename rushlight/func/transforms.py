"""Derivatives of functions as functions: grad, vjp, jvp, jacobians, linear parts.

Each calls the function on aliases of its inputs and pulls along the stretch of tape that the call
has made. Forward mode pulls twice: the vector-Jacobian product v -> vJ is linear in v, so pulling a
tangent t along *its* tape gives Jt; what only served the first pull is never computed.

If the function's inputs, or tensors that it captured, are taped outside, so are the results: then
transforms nest, with each other and with vmap.
"""
from __future__ import annotations

import functools
from collections.abc import Callable

from ..autograd.function import by_jvp
from ..autograd.grad_mode import enable_grad, mode
from ..autograd.node import accumulator, is_tracked
from ..tensor import Tensor, wrap
from .pytree import flatten, mapped, unflatten
from .tape import Stretch, moment, place
from .vmap import vmap


class Level:
    """One call of a function that is being differentiated."""

    def __init__(self):
        self.start, self.outside = moment(), mode.enabled
        self.inputs: list[Tensor] = []

    def alias(self, x) -> Tensor:
        """An input to differentiate by: what is done with it is taped, and what x is on the tape of stays."""
        if not isinstance(x, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
        if x.dtype.rank < 2:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self.outside and is_tracked(x):
            y = x.view_as(x)
        else:
            y = wrap(Tensor, x.storage, x.layout, x.offset)
            y._requires_grad = True
        self.inputs.append(y)
        return y

    def aliases(self, tree):
        return mapped(self.alias, tree)

    def close(self, outputs) -> Stretch:
        """The tape from outputs to inputs; `is_open` if it leads to something that is taped outside."""
        self.places = [place(x) for x in self.inputs]
        stretch = Stretch([x for x in outputs if is_tracked(x)], self.start, [fn for fn, _ in self.places])
        own = {accumulator(x) for x in self.inputs if x._grad_fn is None}
        self.is_open = self.outside and stretch.leads_beyond(own)
        return stretch

    def pull(self, stretch, outputs, cotangents, create_graph) -> list:
        """Gradients by the inputs, zeros where nothing arrives."""
        got = stretch.pull(seeds(outputs, cotangents), self.places, create_graph)
        return [x.new_zeros(x.shape) if g is None else g for x, g in zip(self.inputs, got)]

    def freed(self, tree):
        """Results without this level's tape."""
        if self.is_open:
            return tree
        return mapped(lambda x: x.detach() if isinstance(x, Tensor) and is_tracked(x) else x, tree)


def seeds(outputs, cotangents) -> dict:
    """Initial gradients by place; an output that was returned twice gets the sum."""
    found: dict = {}
    for y, g in zip(outputs, cotangents):
        if is_tracked(y):
            p = place(y)
            found[p] = g if p not in found else found[p] + g
    return found


def any_tracked(tensors) -> bool:
    return any(is_tracked(x) for x in tensors)


# -- arguments -------------------------------------------------------------------------------------
def _positions(argnums, n: int) -> tuple[int, ...]:
    """The arguments to differentiate by, as positions."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    places = tuple(_position(a, n) for a in (argnums if isinstance(argnums, tuple) else (argnums,)))
    if not places:
        raise RuntimeError("argnums must be non-empty")
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return places


def _position(a, n):
    if not isinstance(a, int):
        raise RuntimeError(f"argnum must be int, got: {type(a)}")
    if not -n <= a < n:
        raise RuntimeError(f"Got argnum={a}, but only {n} positional inputs")
    return a % n


def _by(func, args, argnums, **kwargs):
    """(the function of the arguments in argnums alone, those arguments)."""
    at = _positions(argnums, len(args))

    def partial(*chosen):
        full = list(args)
        for i, x in zip(at, chosen):
            full[i] = x
        return func(*full, **kwargs)
    return partial, tuple(args[i] for i in at)


def _pick(results, argnums):
    return results if isinstance(argnums, tuple) else results[0]


def _with_aux(out, has_aux, api):
    """(output, auxiliary output or None)."""
    if not has_aux:
        return out, None
    if not (isinstance(out, tuple) and len(out) == 2):
        raise RuntimeError(f"{api}: output of function f should be a tuple: (output, aux) if "
                           "has_aux is True")
    return out


def _named_after(func):
    return functools.wraps(func) if hasattr(func, "__name__") else lambda f: f


# -- reverse mode ----------------------------------------------------------------------------------
def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """The function that computes the gradient of `func`, which returns a scalar tensor.

    Args:
        func: takes tensors in nested containers; returns a 0-d tensor, or (that, aux) with `has_aux`.
        argnums: which positional argument(s) to differentiate by.
        has_aux: whether `func` returns something else besides.

    Returns:
        A function of the same arguments: the gradient, shaped like the argument (a tuple for a tuple
        of argnums); with `has_aux`, (gradient, aux).

    Raises:
        RuntimeError: the output is not one scalar tensor, argnums that do not fit.

    Example:
        >>> torch.func.grad(torch.func.grad(torch.sin))(x)      # -sin(x)
    """
    compute = grad_and_value(func, argnums, has_aux)

    @_named_after(func)
    def wrapped(*args, **kwargs):
        gradient, value = compute(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient
    return wrapped


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """As `grad`, but the function returns (gradient, value), or (gradient, (value, aux))."""
    api = "grad_and_value(f)(*args)"

    @_named_after(func)
    def wrapped(*args, **kwargs):
        level = Level()
        with enable_grad():
            f, chosen = _by(func, args, argnums, **kwargs)
            inputs = level.aliases(chosen)
            value, aux = _with_aux(f(*inputs), has_aux, api)
            _check_scalar(value, api)
            stretch = level.close([value])
            one = value.new_ones(())
            gradients = unflatten(level.pull(stretch, [value], [one], level.is_open), flatten(inputs)[1])
        value = level.freed(value)
        return _pick(gradients, argnums), (value, level.freed(aux)) if has_aux else value
    return wrapped


def _check_scalar(y, api):
    if not isinstance(y, Tensor):
        raise RuntimeError(f"{api}: Expected f(*args) to return a Tensor, got {type(y)}")
    if y.dim():
        raise RuntimeError(f"{api}: Expected f(*args) to return a scalar Tensor, got tensor with "
                           f"{y.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs "
                           "instead?")


def vjp(func: Callable, *primals, has_aux: bool = False):
    """The value of `func` at `primals`, and the function that maps cotangents to v J.

    Args:
        func: takes and returns tensors in nested containers.
        primals: where to differentiate.
        has_aux: whether `func` returns (output, aux).

    Returns:
        (output, vjp_fn) or (output, vjp_fn, aux). vjp_fn takes one tree shaped like the output and
        returns a tuple with a gradient for each primal.
    """
    level = Level()
    with enable_grad():
        inputs = level.aliases(primals)
        out, aux = _with_aux(func(*inputs), has_aux, "vjp(f, *primals)")
        leaves, spec = flatten(out)
        _check_outputs(leaves, "vjp(f, *primals)")
        for y in leaves:
            if y.dtype.rank < 2:
                raise RuntimeError("vjp(f, ...): All outputs of f must be floating-point or "
                                   f"complex Tensors, got Tensor with dtype {y.dtype!r}")
        stretch = level.close(leaves)
    in_spec = flatten(inputs)[1]

    def vjp_fn(cotangents, retain_graph=True, create_graph=None):
        given, found = flatten(cotangents)
        if found != spec:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree "
                               "structure of outputs to the function. cotangents: "
                               f"{found.brief()}, primal output: {spec.brief()}")
        for y, g in zip(leaves, given):
            _check_same_shape(y, g)
        graph = mode.enabled and create_graph is not False and (level.is_open or any_tracked(given))
        return unflatten(level.pull(stretch, leaves, given, graph), in_spec)

    out = level.freed(out)
    return (out, vjp_fn, level.freed(aux)) if has_aux else (out, vjp_fn)


def _check_outputs(leaves, api):
    if not leaves or len(leaves) == 1 and leaves[0] is None:
        raise RuntimeError(f"{api}: Expected f to be a function that has non-empty output (got "
                           f"output = {leaves})")
    for y in leaves:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{api}: expected f(*primals) to return only tensors, got "
                               f"unsupported type {type(y)}")


def _check_same_shape(y, g):
    if y.shape != g.shape:
        raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and "
                           f"output[0] has a shape of {y.shape}.")


# -- forward mode ----------------------------------------------------------------------------------
JVP = "jvp(f, primals, tangents)"


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False):
    """The value of `func` at `primals` and its derivative along `tangents`.

    Args:
        func: takes and returns tensors in nested containers.
        primals, tangents: tuples of equal structure and shapes.
        strict: an output that does not depend on the inputs is an error instead of zeros.
        has_aux: whether `func` returns (output, aux).

    Returns:
        (output, tangent of the output) or (output, tangent, aux).
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{JVP}: Expected primals to be a tuple. E.g. it should be valid to "
                           "call f(*primals).")
    (flat, spec), (given, found) = flatten(primals), flatten(tangents)
    if spec != found:
        raise RuntimeError(f"{JVP}: Expected primals and tangents to have the same python "
                           "structure. For example, if primals is a tuple of 3 tensors, tangents "
                           f"also must be. Got primals with structure {spec} and tangents with "
                           f"structure {found}")
    _check_tensors(flat, "primals")
    _check_tensors(given, "tangents")
    for x, t in zip(flat, given):
        if x.shape != t.shape:
            raise RuntimeError("Trying to set a forward gradient that has a different size than "
                               "that of the original Tensor, this is not supported. Tensor is of "
                               f"size {list(x.shape)} while the given forward gradient is of size "
                               f"{list(t.shape)}.")
    linear = Linear(func, primals, has_aux, strict)
    result = linear.value, linear.tangents(given)
    return (*result, linear.aux) if has_aux else result


def _check_tensors(leaves, name):
    if not leaves:
        raise RuntimeError(f"{JVP}: Expected {name} to contain at least one Tensor.")
    for x in leaves:
        if not isinstance(x, Tensor):
            raise RuntimeError(f"{JVP}: Expected {name} to only contain Tensors, got {type(x)}")


def linearize(func: Callable, *primals):
    """The value of `func` at `primals`, and the function that maps tangents to J t; `func` is called once.

    Returns:
        (output, jvp_fn); jvp_fn takes tangents like the primals.
    """
    linear = Linear(func, primals)
    spec, shapes = flatten(primals)[1], [x.shape for x in linear.level.inputs]

    def jvp_fn(*tangents):
        given, found = flatten(tangents)
        if found != spec:
            raise RuntimeError(f"Expected the tangents {found.brief()} to have the same structure "
                               f"as the primals {spec.brief()}")
        if any(t.shape != s for t, s in zip(given, shapes)):
            raise RuntimeError("Expected each tangent to have the shape of its primal")
        return linear.tangents(given)
    return linear.value, jvp_fn


class Linear:
    """A function's linear part at a point: its vector-Jacobian product u(v) for some v, taped."""

    def __init__(self, func, primals, has_aux=False, strict=False):
        self.level = level = Level()
        with enable_grad():
            inputs = level.aliases(primals)
            out, aux = _with_aux(func(*inputs), has_aux, JVP)
            self.outputs, self.spec = flatten(out)
            self._check()
            stretch = level.close(self.outputs)
            self.v = [y.new_zeros(y.shape).requires_grad_() if y.dtype.rank >= 2 else None for y in self.outputs]
            with by_jvp():
                got = stretch.pull(seeds(self.outputs, self.v), level.places, True)
            self.u = [g if g is not None and is_tracked(g) else None for g in got]
            taped = [g for g in self.u if g is not None]
            self.v_places = [None if v is None else place(v) for v in self.v]
            self.stretch = Stretch(taped, level.start, [fn for fn, _ in level.places])
        self.strict = strict
        self.value, self.aux = level.freed(out), level.freed(aux)

    def _check(self):
        for y in self.outputs:
            if not isinstance(y, Tensor):
                raise RuntimeError(f"{JVP}: expected f(*primals) to return only tensors, got "
                                   f"unsupported type {type(y)}")

    def tangents(self, given):
        """J t as a tree like the output."""
        pairs = [(g, t) for g, t in zip(self.u, given) if g is not None]
        graph = mode.enabled and (self.level.is_open or any_tracked(given))
        wanted = [p for p in self.v_places if p is not None]
        got = iter(self.stretch.pull(seeds([g for g, _ in pairs], [t for _, t in pairs]), wanted, graph))
        return unflatten([self._tangent(y, None if p is None else next(got))
                          for y, p in zip(self.outputs, self.v_places)], self.spec)

    def _tangent(self, y, t):
        if t is None and self.strict:
            raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is "
                               "independent of the inputs. This is not allowed with strict=True.")
        return y.new_zeros(y.shape) if t is None else t


# -- jacobians -------------------------------------------------------------------------------------
def jacrev(func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False,
           chunk_size: int | None = None, _preallocate_and_copy: bool = False) -> Callable:
    """The function that computes the Jacobian of `func`, row by row (reverse mode), all rows at once.

    Args:
        func, argnums, has_aux: as for `grad`, but the output may be any tree of tensors.
        chunk_size: how many rows to compute at once; None: all.

    Returns:
        A function of the same arguments: for each output a tree like the argument(s), of tensors
        [*output shape, *argument shape].
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @_named_after(func)
    def wrapped(*args):
        f, chosen = _by(func, args, argnums)
        out, pull, *aux = vjp(f, *chosen, has_aux=has_aux)
        leaves, spec = flatten(out)
        rows = vmap(lambda *g: flatten(pull(unflatten(list(g), spec)))[0], chunk_size=chunk_size)(*basis(leaves))
        in_spec = flatten(chosen)[1]
        blocks = list(zip(*[_split_rows(r, leaves) for r in rows]))
        result = unflatten([_pick(unflatten(list(b), in_spec), argnums) for b in blocks], spec)
        return (result, *aux) if has_aux else result
    return wrapped


def basis(leaves) -> list:
    """For each tensor [total, *shape]: together the rows are the unit vectors of all elements of all."""
    from ..ops import cat, eye
    total, at, out = sum(x.numel() for x in leaves), 0, []
    for x in leaves:
        n = x.numel()
        parts = [x.new_zeros((at, n)), eye(n, dtype=x.dtype), x.new_zeros((total - at - n, n))]
        out.append((parts[1] if n == total else cat(parts)).view(total, *x.shape))
        at += n
    return out


def _split_rows(rows, leaves):
    """[total, *rest] cut into [*shape, *rest] for each leaf."""
    parts = rows.split([x.numel() for x in leaves], 0) if len(leaves) > 1 else (rows,)
    return [p.reshape(*x.shape, *rows.shape[1:]) for p, x in zip(parts, leaves)]


def jacfwd(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
           randomness: str = "error") -> Callable:
    """The function that computes the Jacobian of `func`, column by column (forward mode), all at once.

    Args and results are those of `jacrev`; `randomness` is accepted, `func` is called only once.
    """
    @_named_after(func)
    def wrapped(*args):
        f, chosen = _by(func, args, argnums)
        _check_tensors(flatten(chosen)[0], "primals")
        linear = Linear(f, chosen, has_aux)
        inputs, in_spec = flatten(chosen)
        columns = vmap(lambda *t: flatten(linear.tangents(t))[0], randomness=randomness)(*basis(inputs))
        blocks = [[_turned(b, x, y) for b, x in zip(_split_rows(c, inputs), inputs)]
                  for c, y in zip(columns, linear.outputs)]
        result = unflatten([_pick(unflatten(b, in_spec), argnums) for b in blocks], linear.spec)
        return (result, linear.aux) if has_aux else result
    return wrapped


def _turned(block, x, y):
    """[*argument shape, *output shape] with the output's axes in front."""
    n = x.dim()
    return block.permute(*range(n, n + y.dim()), *range(n))


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """The function that computes second derivatives of `func`: the Jacobian of its Jacobian.

    Returns:
        For each output and argument a tree like the argument(s), of tensors
        [*output shape, *argument shape, *argument shape].
    """
    return jacrev(jacrev(func, argnums), argnums)


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """The function itself: recording has already turned writes into new values and views into layouts.

    Raises:
        RuntimeError: `remove` is neither "mutations" nor "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid "
                           "options are:\n     remove='mutations': all inplace and out= operators will be removed.\n"
                           "     remove='mutations_and_views': views will be removed as well.")
    return func
