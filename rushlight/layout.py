"""Shape, stride and offset arithmetic: every view operation, as pure functions.

A Layout is a shape and strides in elements, without an offset. Layouts are interned: two
equal ones are the same object, so that a layout is compared and hashed by identity on the
hot path. Functions that move the start of a view return (layout, offset change).
"""
from __future__ import annotations

from math import prod
from operator import index
from weakref import WeakValueDictionary


class Size(tuple):
    """The shape of a tensor: a tuple with `numel()`."""

    __slots__ = ()

    def __new__(cls, items=()):
        return tuple.__new__(cls, items)

    def numel(self) -> int:
        return prod(self)

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __getitem__(self, i):
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got

    def __reduce__(self):
        return Size, (tuple(self),)


class Layout:
    __slots__ = ("shape", "strides", "numel", "ndim", "packed", "form", "__weakref__")

    def __repr__(self):
        return f"Layout({tuple(self.shape)}, {self.strides})"

    def __str__(self):
        return "torch.strided"          # users read it as `tensor.layout`


_table: WeakValueDictionary = WeakValueDictionary()
_packed: dict[tuple, Layout] = {}


def layout(shape, strides, is_known_packed=False) -> Layout:
    """The one Layout of this shape and strides."""
    key = (tuple(shape), tuple(strides))
    try:
        found = _table.get(key)
    except TypeError:           # sizes of compiler/sizes.py have no hash
        trace = next(n.trace for n in (*key[0], *key[1]) if type(n) is not int)
        return trace.layout(*key, FreeLayout.of)
    if found is None:
        key = tuple([tuple(map(index, numbers)) for numbers in key])     # NumPy's integers, tensors
        found = _described(Layout(), *key)
        found.packed = is_known_packed or is_packed(*key)
        found = _table.setdefault(key, found)
    return found


def _described(made: Layout, shape, strides) -> Layout:
    made.shape, made.strides = Size(shape), strides
    made.numel, made.ndim, made.form = prod(shape), len(shape), None
    return made


def form_of(l: Layout) -> tuple:
    """(what it is without its sizes, its sizes): of a row-major one the strides are none."""
    if l.form is None:
        is_packed = l is packed(l.shape)
        l.form = (Layout, l.ndim, is_packed), tuple(l.shape) if is_packed else (*l.shape, *l.strides)
    return l.form


class FreeLayout(Layout):
    """A layout whose sizes may become others (compiler/sizes.py): it is equal to itself only."""

    __slots__ = ()

    @classmethod
    def of(cls, shape, strides):
        return _described(cls(), shape, strides)

    @property
    def packed(self) -> bool:
        return is_packed(self.shape, self.strides)


def packed(shape) -> Layout:
    """The row-major layout of a shape."""
    try:
        found = _packed.get(shape)
    except TypeError:
        return layout(shape, packed_strides(shape))
    if found is None:
        if len(_packed) > 10000:
            _packed.clear()
        found = _packed[tuple(shape)] = layout(shape, packed_strides(shape), True)
    return found


def packed_strides(shape) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def is_packed(shape, strides) -> bool:
    """Row-major without gaps; axes of size 1 do not count, and without elements there are no gaps."""
    step = 1
    if 0 in shape:
        return True
    for n, s in zip(reversed(shape), reversed(strides)):
        if n != 1:
            if s != step:
                return False
            step *= n
    return True


def is_dense(l: Layout) -> bool:
    """Whether the elements fill a block of memory exactly once, in whatever order of axes."""
    step = 1
    for s, n in sorted((s, n) for n, s in zip(l.shape, l.strides) if n != 1):
        if s != step:
            return False
        step *= n
    return True


def extent(l: Layout) -> int:
    """How many elements from the first to the last that the layout reaches, both included."""
    return 0 if l.numel == 0 else 1 + sum((n - 1) * s for n, s in zip(l.shape, l.strides) if s > 0)


def behind(l: Layout) -> int:
    """How many elements before its first one the layout reaches, by axes that are walked from their ends."""
    return 0 if l.numel == 0 else -sum((n - 1) * s for n, s in zip(l.shape, l.strides) if s < 0)


def overlaps_itself(l: Layout) -> bool:
    """Whether two indices may reach one element (exact for expanded and dense layouts, else conservative)."""
    reach = 0
    for s, n in sorted((s, n) for n, s in zip(l.shape, l.strides) if n > 1):
        if s <= reach:
            return True
        reach += (n - 1) * s
    return False


# -- axes -----------------------------------------------------------------------------------

def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension in [0, ndim) from one in [-ndim, ndim); a 0-d tensor counts as one axis."""
    if dim.__class__ is not int:
        dim = index(dim)
    if 0 <= dim < ndim:
        return dim
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim % n


def wrap_dims(dims, ndim: int) -> tuple[int, ...]:
    wrapped = tuple(wrap_dim(d, ndim) for d in dims)
    for i, d in enumerate(wrapped):
        if d in wrapped[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return wrapped


def permute(l: Layout, dims) -> Layout:
    return layout([l.shape[d] for d in dims], [l.strides[d] for d in dims])


def transpose(l: Layout, a: int, b: int) -> Layout:
    if not l.ndim:
        return l
    dims = list(range(l.ndim))
    dims[a], dims[b] = b, a
    return permute(l, dims)


def unsqueeze(l: Layout, dim: int) -> Layout:
    step = l.shape[dim] * l.strides[dim] if dim < l.ndim else 1
    return layout((*l.shape[:dim], 1, *l.shape[dim:]), (*l.strides[:dim], step, *l.strides[dim:]))


def squeeze(l: Layout, dims) -> Layout:
    keep = [d for d in range(l.ndim) if d not in dims or l.shape[d] != 1]
    return permute(l, keep)


def expand(l: Layout, shape) -> Layout:
    """Broadcast to `shape`: new and stretched axes get stride 0. Sizes must fit (checked by callers)."""
    new = len(shape) - l.ndim
    strides = [s if n == m else 0 for n, m, s in zip(l.shape, shape[new:], l.strides)]
    for d in range(new - 1, -1, -1):        # a new axis of size 1 counts as packed round what follows
        strides.insert(0, shape[d + 1] * strides[0] if shape[d] == 1 and d + 1 < len(shape) else 0)
    return layout(shape, strides)


def narrow(l: Layout, dim: int, start: int, stop: int, step: int = 1) -> tuple[Layout, int]:
    """l[..., start:stop:step, ...] with 0 <= start <= stop and step >= 1."""
    n = max(0, -(-(stop - start) // step))
    shape, strides = list(l.shape), list(l.strides)
    shape[dim], strides[dim] = n, strides[dim] * step
    return layout(shape, strides), start * l.strides[dim]


def select(l: Layout, dim: int, index: int) -> tuple[Layout, int]:
    shape, strides = list(l.shape), list(l.strides)
    del shape[dim], strides[dim]
    return layout(shape, strides), index * l.strides[dim]


def diagonal(l: Layout, offset: int, a: int, b: int) -> tuple[Layout, int]:
    rows, cols = l.shape[a], l.shape[b]
    n = max(min(rows, cols - offset) if offset >= 0 else min(rows + offset, cols), 0)
    start = (offset * l.strides[b] if offset >= 0 else -offset * l.strides[a]) if n else 0
    keep = [d for d in range(l.ndim) if d not in (a, b)]
    shape = [l.shape[d] for d in keep] + [n]
    return layout(shape, [l.strides[d] for d in keep] + [l.strides[a] + l.strides[b]]), start


def unfold(l: Layout, dim: int, size: int, step: int) -> Layout:
    if not l.ndim:
        return layout((size,), (1,))
    shape, strides = list(l.shape), list(l.strides)
    inner = strides[dim]
    shape[dim], strides[dim] = (shape[dim] - size) // step + 1, strides[dim] * step
    return layout((*shape, size), (*strides, inner))


def broadcast_shapes(a, b) -> tuple[int, ...]:
    """The common shape of two; RuntimeError in PyTorch's words if there is none."""
    if a == b:
        return a
    n = max(len(a), len(b))
    out = []
    for i in range(n):
        x = a[i - n + len(a)] if i >= n - len(a) else 1
        y = b[i - n + len(b)] if i >= n - len(b) else 1
        if x != y and x != 1 and y != 1:
            raise RuntimeError(f"The size of tensor a ({x}) must match the size of tensor b ({y}) "
                               f"at non-singleton dimension {i}")
        out.append(y if x == 1 else x)
    return tuple(out)


def view(l: Layout, shape) -> Layout | None:
    """The layout that shows the same elements in another shape without a copy, or None.

    Both shapes are cut into the finest runs of axes with equal products; inside a run the old
    axes must be mergeable (stride[i] = stride[i+1] * size[i+1]).
    """
    if l.packed:
        return packed(tuple(shape)) if l.numel or tuple(shape) != l.shape else l
    if l.numel == 0:
        return l if tuple(shape) == l.shape else packed(tuple(shape))
    old = [(n, s) for n, s in zip(l.shape, l.strides) if n != 1]
    strides: list[int] = []
    i = len(old)
    pending, step = 1, 1                      # elements of the current run not yet given to new axes
    for n in reversed(shape):
        if n == 1:
            strides.append(step)
            continue
        if pending == 1:
            if i == 0:
                return None
            i, pending, step = _merge_run(old, i)
        if pending % n:
            return None
        strides.append(step)
        step, pending = step * n, pending // n
    return layout(shape, reversed(strides)) if pending == 1 and i == 0 else None


def _merge_run(old, i):
    """The longest mergeable run of axes ending before position i: (start, elements, innermost stride)."""
    i -= 1
    n, step = old[i]
    while i and old[i - 1][1] == n * step:
        i -= 1
        n *= old[i][0]
    return i, n, step
