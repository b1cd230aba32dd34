"""Writes: what `x.add_(y)` and `x[i] = y` mean for memory and for the tape.

In memory a write replaces the storage's value. On the tape a written tensor takes the history of
the new value; if it is a view, its base becomes "the base with this part replaced" (two gradient
rules below) and every view of the base sees that through its own geometry.
"""
from __future__ import annotations

from .. import storage as storages
from ..layout import Layout, extent, is_dense, layout, overlaps_itself, packed, permute
from ..prims.index import copy, write
from ..prims.table import Gradient
from ..tensor import Tensor, wrap
from ..trace.record import Signature, alias, pending, record, record_write
from .grad_mode import mode
from .node import BACKWARD, RELEASED, Saved, attach, grad_fn_of, is_one_of_many, is_tracked, named
from .recall import recalled


def check_writable(x) -> None:
    """PyTorch's errors for a tensor that must not be written to."""
    if mode.enabled and is_tracked(x):
        if grad_fn_of(x) is None:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        base = x._view_of
        if base is not None and base.grad_fn is None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        if base is not None and is_one_of_many(x):
            raise RuntimeError(f"Output {x._output_nr} of {BACKWARD.sub('', x._grad_fn.name())} is a view and is being modified "
                               "inplace. This view is the output of a function that returns multiple views. Such functions "
                               "do not allow the output views to be modified inplace. You should replace the inplace "
                               "operation by an out-of-place one.")
    if x.storage.version < 0 and not mode.inference:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed.You can make a "
                           "clone to get a normal tensor before doing inplace update. See "
                           "https://github.com/pytorch/rfcs/pull/17 for more details.")
    if mode.enabled and x._root is not None and x._view_of is None and is_tracked(x._root):
        raise RuntimeError("A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given "
                           "that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
                           "moving both the view and the inplace either both inside the no_grad block (if you don't want "
                           "the inplace to be tracked) or both outside (if you want the inplace to be tracked).")
    if x.layout.numel > 1 and not x.layout.packed and any(s == 0 and n > 1 for n, s in zip(x.layout.shape, x.layout.strides)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                           "memory location. Please clone() the tensor before performing the operation.")


def overwrite(x, y) -> bool:
    """The pending value y, which nobody else has seen and which lies as x does, becomes all of x's memory; untaped."""
    storage, node = x.storage, y.storage.node
    if x.offset or storage.numel != x.layout.numel or y.storage.numel != storage.numel or y.storage.share is not None \
            or node.buffer is not None or x._is_data or storage.version < 0 and not mode.inference:
        return False
    storage.replace(node)
    node.add_owner(storage)
    return True


def assign(x, y, name: str | None = None):
    """x[...] = y for a freshly computed tensor y of x's shape (or broadcastable to it); returns x."""
    check_writable(x)
    if y.layout.shape != x.layout.shape:
        y = _broadcast(x, y)
    if y.dtype is not x.dtype:
        y = y.to(x.dtype)
    if mode.enabled and is_tracked(x) and not is_tracked(y) and x._view_of is None:
        y = attach(wrap(Tensor, y.storage, y.layout, y.offset), OVERWRITTEN, (x,), {})
        if name is not None:
            named(y, name)
    keep_saved(y, x.storage)
    old_fn = _write_history_before(x) if mode.enabled and (is_tracked(y) or is_tracked(x)) else None
    _store(x, y)
    if x._is_data:
        x.storage.version -= 1
    if mode.enabled and (is_tracked(y) or is_tracked(x)):
        _rewrite_history(x, y, old_fn)
    return x


def _broadcast(x, y):
    try:
        return y.expand(x.layout.shape)
    except RuntimeError:
        raise RuntimeError(f"output with shape {list(x.shape)} doesn't match the broadcast shape {list(y.shape)}") from None


def _store(x, y):
    """The value of y into the memory of x."""
    if x.storage.is_mirrored:
        x, y = wrap(Tensor, storages.plain(x.storage), x.layout, x.offset), as_held(y.detach(), x)
    storage, l = x.storage, x.layout
    if l.numel == storage.numel and x.offset == 0 and (l.packed or is_dense(l)):
        if y.layout is not l or y.storage.numel != l.numel or y.storage.share is not None or _is_shown(y):
            y = copied(y, l)
        node = y.storage.node
        storage.replace(node)
        node.add_owner(storage)
        return
    if not l.numel:
        storage.version += 1
        return
    base = storage.base
    if base.share is not None and storages.written is None and storages.is_shared(base):
        return _store_now(x, y)
    from ..ops.promote import operand
    record_write(storage, write_signature(storage, l, y.layout), (storage.now(), x.offset, *operand(y)))


def _store_now(x, y):
    """Write just the elements that x shows: another process may be writing the ones beside them."""
    values = y._array()
    x.storage.array(x.layout, x.offset)[...] = values
    x.storage.version += 1


def _is_shown(y):
    return y.storage.node.buffer is not None


def write_signature(storage, l, seen: Layout) -> Signature:
    """Of a write into the part l of a storage; what is written is seen through a layout of its own."""
    from ..ops.promote import known, remember
    key = (l, storage.numel, seen, storage.dtype)
    sig = known(write.memo, key)
    if sig is None:
        sig = remember(write.memo, key, write.signature((l, seen), (storage.dtype,) * 2, dict(layout=l, n=storage.numel)))
    return sig


def is_plain(x) -> bool:
    """Whether a write to x is a matter of its memory alone: nothing to be taped, shared, checked or watched."""
    return type(x) is Tensor and x.storage.share is None and pending.capture is None \
        and not (x._is_data or x.storage.version < 0 and not mode.inference or mode.enabled and (
            x._requires_grad or x._root is not None and (is_tracked(x) or is_tracked(x._root))))


def copied(y, l: Layout):
    """The value of y recorded anew in the memory order of the dense layout l."""
    from ..ops.promote import operand, remember
    order = sorted(range(l.ndim), key=lambda d: (-l.strides[d], d))
    seen = permute(y.layout, order)
    key = (seen, y.dtype, l)
    sig = copy.memo.get(key)
    if sig is None:
        sig = remember(copy.memo, key, copy.signature((seen,), (y.dtype,), {}, l))
    return wrap(Tensor, record(sig, operand(y)), l, 0)


def as_it_is(x):
    """x as it is now: what operations save of it stays readable when x is overwritten."""
    if x.storage.share is not None and x.storage.base is x.storage:
        return x
    x.storage.now()
    old = wrap(Tensor, alias(x.storage), x.layout, x.offset)
    if is_tracked(x):
        old._requires_grad, old._grad_fn, old._output_nr = True, x.grad_fn, x._output_nr
    return old


def keep_saved(y, storage) -> None:
    """Before x's memory is overwritten: what the writing operation saved of the old x stays readable.

    Values never change, so the old node simply gets a storage of its own.
    """
    fn = y._grad_fn
    if fn is None or getattr(fn, "saved", RELEASED) is RELEASED:
        return
    for item in fn.saved:
        if type(item) is Saved and item.storage is storage and item.index != 0 and \
                (storage.share is None or storage.base is not storage):
            storage.now()
            item.storage = alias(storage)
            item.version = 0


def _write_history_before(x):
    """For a view: the base as it was, to be linked to."""
    base = x._view_of
    if base is None:
        return None
    old = wrap(Tensor, base.storage, base.layout, base.offset)
    if is_tracked(base):
        old._requires_grad, old._grad_fn, old._output_nr = True, base.grad_fn, base._output_nr
    return old


def _rewrite_history(x, y, old_base):
    fn = y._grad_fn
    for item in getattr(fn, "saved", ()) if fn is not None and fn.saved is not RELEASED else ():
        if type(item) is Saved and item.index == 0:
            fn.token = None         # what it saved lies otherwise now than its kind says
            item.storage, item.layout, item.offset, item.version = x.storage, x.layout, x.offset, x.storage.version
    base = x._view_of
    if base is None:
        x._grad_fn, x._output_nr, x._requires_grad = fn, y._output_nr, y._requires_grad
        _retain_anew(x)
        return
    holder = wrap(Tensor, base.storage, base.layout, base.offset)
    gradient, places = (COPY_SLICES, (base.layout, x.layout, x.offset - base.offset)) if x.dtype is base.dtype else \
        (COPY_PARTS, in_reals(base, x))
    attach(holder, gradient, (as_held(old_base, base), as_held(y, x)), dict(zip(("base", "view", "at"), places)))
    holder = as_held(holder, base)
    base._grad_fn, base._output_nr, base._requires_grad = holder._grad_fn, 0, True
    base._view_version = base.storage.version
    _retain_anew(base)


def _retain_anew(x) -> None:
    """What is retained is the gradient of the value that x has now."""
    if x._retains_grad:
        from .hooks import retain_grad
        x._retain_handle.remove()
        x._retains_grad = False
        if is_tracked(x):
            retain_grad(x)


# -- gradients of views in general ---------------------------------------------------------------------------
def embed(g, base: Layout, view: Layout, at: int, into=None):
    """A tensor of base's shape, zero (or `into`) but for g where the view lies; differentiable in g."""
    from .. import ops
    shape = tuple(base.shape)
    if not base.numel:
        return ops.zeros(shape, dtype=g.dtype)
    low = min(0, at) if view.numel else 0
    n = max(extent(base), at + extent(view)) - low
    full = ops.zeros(n, dtype=g.dtype) if into is None else into
    y = _placed(full, g, view, at - low).as_strided(shape, base.strides, -low)
    if overlaps_itself(base):           # elements seen several times share the gradient
        times = _placed(ops.zeros(n, dtype=g.dtype), ops.ones(shape, dtype=g.dtype), base, -low)
        y = y / times.as_strided(shape, base.strides, -low)
    return y


def add_part(total, g, base: Layout, view: Layout, at: int):
    """total, of base's shape, with g added where the view lies; None if that takes more than a write."""
    if total.layout is not base or total.storage.numel != base.numel or total.offset or total.dtype is not g.dtype \
            or total.storage.share is not None or not view.numel or overlaps_itself(view):
        return None
    return _added(total, g, view, at)


@recalled("total g")
def _added(total, g, view, at):
    part = wrap(Tensor, total.storage, view, total.offset + at)
    return wrap(Tensor, _written(total, part + g, view, at).storage, total.layout, 0)


def _placed(full, g, view, at):
    """g added to the flat tensor `full` where the view lies."""
    from .. import ops
    if not overlaps_itself(view):
        return _written(full, g, view, at)
    index = ops.arange(full.numel()).as_strided(view.shape, view.strides, at)
    return full.index_add(0, index.reshape(-1), g.reshape(-1))


def _written(full, g, view, at):
    from ..ops.promote import operand
    sig = write_signature(full.storage, view, g.layout)
    node, _ = operand(full)
    y = wrap(Tensor, record(sig, (node, at, *operand(g))), packed((full.storage.numel,)), 0)
    if mode.enabled and (is_tracked(g) or is_tracked(full)):
        attach(y, WRITTEN, (full, g), dict(view=view, at=at))
    return y


def _hole(g, base, view, at):
    """g with zeros where the view lies."""
    from .. import ops
    flat = _dense_like(g, base)
    if flat.offset or flat.storage.numel != base.numel and is_dense(base):      # g is a part of another tensor
        flat = flat.clone()
    return _written(flat, ops.zeros(view.shape, dtype=g.dtype), view, at).as_strided(base.shape, base.strides)


def _dense_like(g, base: Layout):
    """The elements of g, of base's shape, flat as base lies in memory."""
    if not is_dense(base):
        from .. import ops
        return _placed(ops.zeros(extent(base), dtype=g.dtype), g, base, 0)
    order = sorted(range(base.ndim), key=lambda d: (-base.strides[d], d))
    return g.permute(order).contiguous().reshape(-1)


def _part(g, base, view, at):
    return _seen_at(_dense_like(g, base), view, at)


def _seen_at(flat, view, at):
    """The view of a flat tensor whose first element may lie anywhere in its memory."""
    return flat.as_strided(view.shape, view.strides, flat.offset + at)


OVERWRITTEN = Gradient("CopyBackwards", (lambda g, _y, _x: g * 0,))
WRITTEN = Gradient("SliceScatterBackward0", (
    lambda g, _y, _full, _g, *, view, at: _hole(g, packed(tuple(g.shape)), view, at),
    lambda g, _y, _full, _g, *, view, at: _seen_at(g.contiguous(), view, at)))
COPY_SLICES = Gradient("CopySlices", (
    lambda g, _y, _old, _new, *, base, view, at: _hole(g, base, view, at),
    lambda g, _y, _old, _new, *, base, view, at: _part(g, base, view, at)))
AS_STRIDED = Gradient("AsStridedBackward0", (
    lambda g, _y, _x, *, base, view, at: embed(g, base, view, at),))


def as_view_of(base, x):
    """A GradFn that says: x is this part of base."""
    held = as_held(base, base)
    y = wrap(Tensor, storages.plain(x.storage), x.layout, x.offset)
    if x.dtype is base.dtype:
        attach(y, AS_STRIDED, (held,), dict(base=base.layout, view=x.layout, at=x.offset - base.offset))
    else:
        attach(y, SEEN_AS, (held,), dict(zip(("base", "view", "at"), in_reals(base, x))))
    return as_held(y, x)._grad_fn


def as_held(y, x):
    """What x shows as its memory holds it, or what it holds as x shows it: y, conjugated or negated as x's memory is."""
    if x.storage.is_conj:
        y = y.conj_physical()
    return -y if x.storage.is_neg else y


# -- where a view has other numbers than its base: a part of its reals, or pairs of them -----------------------
def in_reals(base, view) -> tuple:
    """The layouts of both and the distance between them, counted in real numbers."""
    (a, at), (b, to) = _reals(base), _reals(view)
    return a, b, to - at


def _reals(x):
    if not x.dtype.is_complex:
        return x.layout, x.offset
    return layout((*x.layout.shape, 2), (*(2 * s for s in x.layout.strides), 1)), 2 * x.offset


def _as_reals(g):
    from .. import ops
    return ops.view_as_real(g) if g.dtype.is_complex else g


def _paired(g):
    """Real numbers as complex ones."""
    from .. import ops
    return ops.view_as_complex(g.contiguous())


def _hole_in_parts(g, _y, _old, _new, *, base, view, at):
    rest = _hole(_as_reals(g), base, view, at)
    return _paired(rest) if g.dtype.is_complex else rest


def _parts_of(g, _y, _old, _new, *, base, view, at):
    part = _part(_as_reals(g), base, view, at)
    return part if g.dtype.is_complex else _paired(part)


def _embedded_parts(g, _y, _x, *, base, view, at):
    whole = embed(_as_reals(g), base, view, at)
    return whole if g.dtype.is_complex else _paired(whole)


COPY_PARTS = Gradient("CopySlices", (_hole_in_parts, _parts_of))
SEEN_AS = Gradient("AsStridedBackward0", (_embedded_parts,))
