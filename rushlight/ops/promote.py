"""Promotion, broadcasting, scalar arguments, taping: applied once here, never in the body of an op.

What depends only on layouts and dtypes is worked out once and kept in a memo, so that recording
a pointwise operation is a dictionary look-up, a node and a tensor.
"""
from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd.grad_mode import mode
from ..autograd.node import Untracked, attach, is_tracked
from ..compiler.sizes import Number
from ..layout import broadcast_shapes, expand, is_dense, packed, packed_strides, permute
from ..prims.table import Gradient, Primitive
from ..tensor import Tensor, wrap
from ..trace.flush import snapshot
from ..trace.record import Signature, emit, record
from .layouts import Unstrided, answered
from .overriding import answer_one, stranger
from ..errors import warn
from .support import check_supported, legacy_name, native_name

NUMBERS = (bool, int, float)
MEMO_LIMIT = 20000
is_sized = False    # while a call is traced on sizes that may vary (autograd/sized.py): nothing is remembered of it
NONE: dict = {}
traced = None       # the floats of a step that is recorded for replay (replay/traced.py)


SAME = "Expected out tensor to have dtype {wanted}, but got {given} instead"
FOUND = "Found dtype {Given} but expected {Wanted}"
MATCH = "dtype {Wanted} does not match dtype of out parameter ({Given})"
STRICT = frozenset("abs ceil floor neg round sign trunc bitwise_not".split())


def into(out, y, refusal=None):
    """Put a result into the tensor given as `out`, resized if its shape differs; RuntimeError, if it is refused
    in these words, for another dtype than the result's."""
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if mode.enabled and (y.requires_grad or out.requires_grad):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    if refusal is not None and out.dtype is not y.dtype:
        raise RuntimeError(refusal.format(wanted=native_name(y.dtype), given=native_name(out.dtype),
                                          Wanted=legacy_name(y.dtype), Given=legacy_name(out.dtype)))
    if y.dtype.rank > out.dtype.rank:
        raise RuntimeError(f"result type {legacy_name(y.dtype)} can't be cast to the desired output type "
                           f"{legacy_name(out.dtype)}")
    if out.shape != y.shape:
        if out.layout.numel:
            warn(f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match "
                 f"the required output shape {list(y.shape)}. This is deprecated: `out.resize_(0)` says that it is to be.")
        fresh = y.new_empty(y.shape, dtype=out.dtype)
        out.storage, out.layout, out.offset = fresh.storage, y.layout if is_dense(y.layout) else fresh.layout, 0
    return out.copy_(y)


def operand(x):
    """(node, offset) of a tensor's value now."""
    storage = x.storage
    if storage.share is None:
        return storage.node, x.offset
    return snapshot(storage, x.layout, x.offset)


def operands(xs) -> tuple:
    out = []
    for x in xs:
        out.extend(operand(x))
    return tuple(out)


def hashable(params: dict):
    return tuple(params.values())


# -- any primitive, on tensors that already fit ------------------------------------------------------------
def apply(prim: Primitive, xs, params: dict, gradient: Gradient | None = None) -> Tensor:
    """Record a primitive on tensors (and numbers, for scalar operands); tape it if need be."""
    tensors = [x for x in xs if isinstance(x, Tensor)]
    key = (hashable(params), *[(x.layout, x.dtype) if isinstance(x, Tensor) else type(x) for x in xs])
    sig = known(prim.memo, key)
    if sig is None:
        sig = remember(prim.memo, key, _signature(prim, xs, params))
    scalars = tuple(x for x in xs if not isinstance(x, Tensor))
    y = emit(sig, operands(tensors), scalars)
    if mode.enabled and y.dtype.rank >= 2 and any(is_tracked(x) for x in tensors):
        attach(y, gradient or prim.gradient, tensors, params, None, sig)
    return y


def remember(memo, key, value):
    if not is_sized:
        if len(memo) > MEMO_LIMIT:
            memo.clear()
        memo[key] = value
    return value


def known(memo, key):
    """What is remembered, or None."""
    try:
        return memo.get(key)
    except TypeError:       # sizes that may vary have no hash
        return None


def _signature(prim, xs, params):
    layouts = [x.layout if isinstance(x, Tensor) else None for x in xs]
    kinds = [x.dtype if isinstance(x, Tensor) else dtypes.PYTHON_TYPES[type(x)] for x in xs]
    return prim.signature(layouts, kinds, params)


def source(prim: Primitive, params: dict, scalars=(), scalar_dtypes=(), extra=None) -> Tensor:
    """A primitive without tensor operands: full, iota, random words."""
    key = (hashable(params), scalar_dtypes)
    sig = known(prim.memo, key)
    if sig is None:
        sig = remember(prim.memo, key, prim.signature([None] * len(scalars), scalar_dtypes, params))
    return wrap(Tensor, record(sig, (), tuple(scalars), extra), sig.result, 0)


# -- pointwise operations ---------------------------------------------------------------------------------
class Recipe:
    """What one combination of layouts and dtypes comes to: casts to do, then one node."""

    __slots__ = ("casts", "sig", "casts_scalars")


def computing_dtype(xs, kind: str):
    """The dtype a pointwise op computes in. kind: same, float (integers become the default float), bool."""
    result = result_type(xs)
    if kind == "float" and result.rank < 2:
        return dtypes.default
    return result


def result_type(xs):
    """PyTorch's promotion: tensors with axes, then 0-d tensors, then Python numbers by category."""
    best = {0: None, 1: None}
    weak = -1
    for x in xs:
        if isinstance(x, Tensor):
            slot = 0 if x.layout.ndim else 1
            best[slot] = x.dtype if best[slot] is None else dtypes.promote_types(best[slot], x.dtype)
        else:
            weak = max(weak, dtypes.WEAK.get(type(x), _weak_rank(x)))
    dims, zero = best[0], best[1]
    if dims is None and zero is None:
        return {0: dtypes.bool, 1: dtypes.int64, 2: dtypes.default, 3: dtypes.default.to_complex()}[weak]
    if dims is None:
        result = zero
    elif zero is None or zero.rank <= dims.rank:
        result = dims
    else:
        result = dims.to_complex() if zero.rank == 3 and dims.rank == 2 else zero
    return dtypes.weak_result(result, weak)


def _weak_rank(x):
    for type_, rank in dtypes.WEAK.items():
        if isinstance(x, type_):
            return rank
    raise TypeError(f"expected a Tensor or a number, but found {type(x).__name__}")


def output_order(layouts, shape, by_strides=False):
    """Axes from outermost to innermost as the operands lie in memory (PyTorch's TensorIterator keeps
    a permuted operand's order); None for row-major. `by_strides`: strides of axes of size 1 count, too."""
    if all(l.packed or l.ndim < 2 for l in layouts) and not (by_strides and any(map(is_odd, layouts))):
        return None
    full = [expand(l, shape) for l in layouts]
    inner = list(range(len(shape)))[::-1]       # axes from innermost to outermost
    for i in range(1, len(inner)):              # insertion sort that looks past what no operand tells
        at = i
        for k in range(i - 1, -1, -1):
            told = _inner_first(inner[k], inner[at], full, shape)
            if told < 0:
                inner[k], inner[at], at = inner[at], inner[k], k
            elif told > 0:
                break
    order = inner[::-1]
    return None if order == list(range(len(shape))) else order


def is_odd(l) -> bool:
    """Whether axes of size 1 have other strides than they have in new tensors."""
    return l.packed and l.strides != packed_strides(l.shape)


def _inner_first(a, b, full, shape):
    """1: axis a stays inside of b, -1: they swap, 0: no operand tells."""
    for l in full:
        x, y = l.strides[a], l.strides[b]
        if x == 0 or y == 0:
            continue
        if x != y:
            return 1 if x < y else -1
        if shape[a] > shape[b]:
            return -1
    return 0


def make_recipe(prim, xs, kind, params) -> Recipe:
    recipe = Recipe()
    to, recipe.casts = computed_in(prim, xs, kind)
    layouts = [x.layout for x in xs if isinstance(x, Tensor)]
    first = layouts[0] if layouts else None
    result = None
    if first is None or not first.packed or any(l is not first for l in layouts) or is_odd(first):
        layouts, result = together(prim, layouts, xs, recipe.casts)
    rest = iter(layouts)
    recipe.sig = prim.signature([next(rest) if isinstance(x, Tensor) else None for x in xs], to, params, result)
    return recipe


def computed_in(prim, xs, kind) -> tuple:
    """(dtypes that operands are to have, casts to them): they follow from dtypes and from which operands have axes."""
    key = ("dtypes", kind, *[(x.dtype, x.layout.ndim > 0) if isinstance(x, Tensor) else type(x) for x in xs])
    found = prim.memo.get(key)
    if found is None:
        to, shape = kind_dtypes(prim, xs, kind), ()
        for x in xs:                        # sizes that do not fit are refused before dtypes are
            shape = broadcast_shapes(shape, x.layout.shape) if isinstance(x, Tensor) else shape
        check_supported(prim.name, xs, to[0])
        casts = tuple([d if isinstance(x, Tensor) and x.dtype is not d else None for x, d in zip(xs, to)])
        found = remember(prim.memo, key, (to, casts))
    return found


def together(prim, layouts, xs, casts) -> tuple:
    """(how operands are seen, how the result lies if it is not row-major) of different or strided layouts."""
    shape = ()
    for l in layouts:
        shape = broadcast_shapes(shape, l.shape)
    plain = [x.layout if c is None else cast_layout(x.layout) for x, c in zip(xs, casts) if isinstance(x, Tensor)]
    if prim.name == "cast" and is_odd(layouts[0]):
        return layouts, layouts[0]
    is_mixed = len(plain) < len(xs) or any(l.ndim < len(shape) for l in plain)
    order = output_order(plain, shape, by_strides=is_mixed and prim.name in OF_SEVERAL)
    seen = [l if l.shape == shape else expand(l, shape) for l in plain]
    if order is None:
        return seen, None
    return [permute(l, order) for l in seen], in_order(shape, order)


def cast_layout(l):
    """How the cast of a tensor with this layout lies in memory."""
    order = output_order([l], l.shape)
    return packed(l.shape) if order is None else in_order(l.shape, order)


def in_order(shape, order):
    """The dense layout of a shape whose axes lie in memory in this order."""
    inner = packed(tuple(shape[d] for d in order))
    return permute(inner, [order.index(d) for d in range(len(order))])


def kind_dtypes(prim, xs, kind):
    if kind == "where":
        d = result_type(xs[1:])
        return (dtypes.bool, d, d)
    if kind == "cast":
        return (xs[0].dtype,)
    d = computing_dtype(xs, kind)
    return (d,) * len(xs)


def pointwise(prim: Primitive, xs: tuple, kind: str = "same", gradient=None, params: dict = NONE) -> Tensor:
    """Record a pointwise primitive on tensors and numbers: the general path."""
    return by_recipe(recipe_for(prim, xs, kind, params), xs, gradient or prim.gradient, params)


def recipe_for(prim, xs, kind, params=NONE) -> Recipe:
    key = (kind, hashable(params), *[(x.layout, x.dtype) if isinstance(x, Tensor) else type(x) for x in xs])
    recipe = known(prim.memo, key)
    if recipe is None:
        recipe = remember(prim.memo, key, make_recipe(prim, xs, kind, params))
    return recipe


def by_recipe(recipe, xs, gradient, params=NONE) -> Tensor:
    inputs = xs
    if any(recipe.casts):
        inputs = tuple(untaped_cast(x, d) if d is not None else x for x, d in zip(xs, recipe.casts))
    return finish(recipe.sig, inputs, xs, gradient, params)


def finish(sig: Signature, inputs, xs, gradient, params):
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    scalars = tuple([x for x in inputs if not isinstance(x, Tensor)])
    y = emit(sig, operands(tensors), scalars)
    if mode.enabled and y.dtype.rank >= 2:
        taped = [x if isinstance(x, Tensor) else Untracked(x) for x in xs]
        if any(is_tracked(x) for x in taped):
            attach(y, gradient, taped, params, None, sig)
    return y


def untaped_cast(x, dtype):
    from ..prims.pointwise import cast
    before, mode.enabled = mode.enabled, mode.allows(False)
    try:
        return pointwise(cast, (x,), "cast", params={"dtype": dtype})
    finally:
        mode.enabled = before


def _ours(x, arrays):
    """NumPy's numbers as Python's, subclasses of numbers as their base, arrays as tensors."""
    if isinstance(x, Tensor) or type(x) in NUMBERS or type(x) is traced or type(x) is Number:
        return x
    if isinstance(x, np.generic):
        return x.item()
    if arrays and isinstance(x, np.ndarray):
        from .create import tensor
        return tensor(x)
    return next((t(x) for t in NUMBERS if isinstance(x, t)), x)


# How PyTorch names the tape's entry if one operand is a number: second, first.
NUMBER_NAMES = {"pow": ("PowBackward0", "PowBackward2"), "sub": ("SubBackward0", "RsubBackward1"),
                "remainder": ("RemainderBackward0", "RemainderBackward0"), "fmod": ("FmodBackward0", "FmodBackward0"),
                "div": ("DivBackward0", "MulBackward0"), "copysign": ("CopysignBackward1", "CopysignBackward0")}


# Those that PyTorch computes with a number as with a tensor: it then looks at strides that mean nothing, too.
OF_SEVERAL = frozenset("""add sub mul div remainder fmod floor_divide copysign eq ne lt le gt ge bitwise_and bitwise_or
    bitwise_xor""".split())


OPERATORS = {"shift_left": "__lshift__", "shift_right": "__rshift__"}     # that have no method of the primitive's name


def elementwise(prim: Primitive, kind: str = "same", gradient: Gradient | None = None, operator: bool = False):
    """The public function of a pointwise primitive of one or two arguments; the hot path of recording.

    `out` is a tensor to put the result into.
    As an operator of Tensor it takes NumPy's arrays and leaves what it does not know to its own class.
    """
    memo, gradient = {}, gradient or prim.gradient
    second, first = (gradient.named(n) for n in NUMBER_NAMES.get(prim.name, (gradient.name,) * 2))

    def slow(xs, key):
        if any(isinstance(x, Unstrided) for x in xs):
            return answered(prim.name, xs)
        recipe = recipe_for(prim, xs, kind)
        if not any(recipe.casts):
            remember(memo, key, recipe.sig)
        return by_recipe(recipe, xs, second if type(xs[-1]) in NUMBERS else first if type(xs[0]) in NUMBERS else gradient)

    refusal = FOUND if prim.name in STRICT else None

    def unary(input, *, out=None):
        try:
            key = (input.layout, input.dtype)
        except AttributeError:
            return answer_one(unary, (input,), out)
        sig = memo.get(key)
        if sig is None or input.storage.share is not None:
            y = slow((input,), key)
        else:
            y = emit(sig, (input.storage.node, input.offset))
            if (input._requires_grad or input._view_of is not None and is_tracked(input)) and mode.enabled \
                    and sig.dtype.rank >= 2:
                attach(y, gradient, (input,), NONE, None, sig)
        return y if out is None else into(out, y, refusal)

    def binary(input, other, *, out=None):
        if out is not None:
            return into(out, binary(input, other))
        a, b, kind = input, other, type(other)
        if kind is float or kind is int or kind is bool:
            return with_number(a, b)
        if type(a) in NUMBERS:
            return number_first(a, b)
        try:
            key = (a.layout, a.dtype, b.layout, b.dtype)
        except AttributeError:
            return foreign(a, b)
        sig = memo.get(key)
        if sig is None or a.storage.share is not None or b.storage.share is not None:
            return slow((a, b), key)
        y = emit(sig, (a.storage.node, a.offset, b.storage.node, b.offset))
        if (a._requires_grad or b._requires_grad or is_tracked(a) or is_tracked(b)) and mode.enabled \
                and sig.dtype.rank >= 2:
            attach(y, gradient, (a, b), NONE, None, sig)
        return y

    def with_number(a, b):
        if type(a) in NUMBERS:
            raise TypeError(f"{prim.name}(): argument 'input' (position 1) must be Tensor, not {type(a).__name__}")
        try:
            key = (a.layout, a.dtype, type(b))
        except AttributeError:
            return foreign(a, b)
        sig = memo.get(key)
        if sig is None or a.storage.share is not None:
            return slow((a, b), key)
        y = emit(sig, (a.storage.node, a.offset), (b,))
        if (a._requires_grad or a._view_of is not None and is_tracked(a)) and mode.enabled and sig.dtype.rank >= 2:
            attach(y, second, (a, Untracked(b)), NONE, None, sig)
        return y

    def number_first(a, b):
        try:
            key = (type(a), b.layout, b.dtype)
        except AttributeError:
            return foreign(a, b)
        sig = memo.get(key)
        if sig is None or b.storage.share is not None:
            return slow((a, b), key)
        y = emit(sig, (b.storage.node, b.offset), (a,))
        if is_tracked(b) and mode.enabled and sig.dtype.rank >= 2:
            attach(y, first, (Untracked(a), b), NONE, None, sig)
        return y

    def foreign(a, b):
        """NumPy's numbers count as Python's, its arrays as tensors in expressions; anything else is not ours."""
        a, b = _ours(a, operator), _ours(b, operator)
        if traced in (type(a), type(b)) or Number in (type(a), type(b)):
            return pointwise(prim, (a, b), kind, first if isinstance(b, Tensor) else second)
        if complex in (type(a), type(b)) and any(
                isinstance(x, Tensor) and not isinstance(x, Unstrided) for x in (a, b)):
            return pointwise(prim, (a, b), kind, second if type(b) is complex else first)
        if all(isinstance(x, Tensor) or type(x) in NUMBERS for x in (a, b)):
            return binary(a, b)
        found = stranger(getattr(Tensor, OPERATORS.get(prim.name, prim.name)) if operator else binary, (a, b), {})
        if found is not None:
            return found[0]
        if operator:
            return NotImplemented
        bad = a if not isinstance(a, Tensor) else b
        raise TypeError(f"{prim.name}(): argument '{'input' if bad is a else 'other'}' (position {1 if bad is a else 2}) "
                        f"must be Tensor, not {type(bad).__name__}")

    return unary if len(prim.vjp) == 1 or prim.vjp == () and kind == "unary" else binary
