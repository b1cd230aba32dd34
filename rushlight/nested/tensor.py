"""A batch of tensors of different sizes as one tensor.

A function is called for each entry; the compiler joins what is alike. Dimensions count the batch.
"""
from __future__ import annotations

import functools
import itertools

from .. import ops
from ..autograd import backward as pull
from ..ops.layouts import jagged, strided
from ..tensor import Tensor, wrap

_NUMBERS = itertools.count(1)


class Ragged:
    """The size of a dimension that differs from entry to entry; equal for the same sizes."""

    known: dict = {}

    def __new__(cls, sizes):
        sizes = tuple(sizes)
        if sizes not in cls.known:
            cls.known[sizes] = object.__new__(cls)
            cls.known[sizes].name = f"j{next(_NUMBERS)}"
        return cls.known[sizes]

    def __repr__(self):
        return self.name


class NestedTensor(Tensor):
    """Entries of one dtype and number of dimensions."""

    is_nested = True

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return answer(func, args, kwargs or {})

    # -- what it is -------------------------------------------------------------------------------------
    @property
    def shape(self):
        """Sizes, a `Ragged` where they differ."""
        if self._kind is strided:
            raise RuntimeError("Internal error: NestedTensorImpl doesn't support sizes. Please file an issue.")
        return tuple(self.size(d) for d in range(self.dim()))

    def size(self, dim=None):
        if dim is None:
            return self.shape
        dim = dim % self.dim()
        if dim == 0:
            return len(self._parts)
        sizes = [p.size(dim - 1) for p in self._parts]
        if self._kind is jagged:
            return Ragged(sizes) if dim == self._ragged_idx else sizes[0]
        if len(set(sizes)) > 1:
            raise RuntimeError(f"Given dimension {dim} is irregular and does not have a size.")
        return sizes[0]

    layout = property(lambda self: self._kind, lambda self, value: None)
    dtype = property(lambda self: self._parts[0].dtype, lambda self, value: None)
    requires_grad = property(lambda self: any(p.requires_grad for p in self._parts))
    grad_fn = property(lambda self: self._parts[0].grad_fn)
    is_leaf = property(lambda self: all(p.is_leaf for p in self._parts))
    ndim = property(lambda self: self.dim())

    def dim(self) -> int:
        return self._parts[0].dim() + 1

    def numel(self) -> int:
        return sum(p.numel() for p in self._parts)

    def is_contiguous(self, memory_format=None) -> bool:
        return all(p.is_contiguous() for p in self._parts)

    def __len__(self):
        return self.size(0)

    def __iter__(self):
        return iter(self._parts)

    def __repr__(self, *, tensor_contents=None):
        if self._kind is strided:
            texts = ["  " + repr(p).replace("\n", "\n  ") for p in self._parts]
            return "nested_tensor([\n" + ",\n".join(texts) + "\n]" + ", requires_grad=True" * self.requires_grad + ")"
        sizes = ", ".join(map(str, self.shape))
        taped = f", grad_fn={self.grad_fn}" if self.grad_fn else ", requires_grad=True" * self.requires_grad
        return (f"NestedTensor(size=({sizes}), offsets={self.offsets()}{taped}, "
                f"contiguous={self.is_contiguous()})")

    __str__ = __repr__

    # -- its entries ------------------------------------------------------------------------------------
    def unbind(self, dim=0) -> tuple[Tensor, ...]:
        """The entries."""
        if dim:
            raise RuntimeError(f"unbind(): only supported for dim=0 on nested tensors, got {dim}")
        return tuple(self._parts)

    def values(self) -> Tensor:
        """The entries joined along the ragged dimension."""
        if self._packed is None:
            return ops.cat(self._parts, self._ragged_idx - 1)
        return self._packed

    def lengths(self):
        """None: entries lie one after the other."""
        return

    def offsets(self) -> Tensor:
        """(B + 1,) where entries begin and end in `values()`."""
        sizes = [p.size(self._ragged_idx - 1) for p in self._parts]
        return ops.tensor([0, *itertools.accumulate(sizes)])

    def to_padded_tensor(self, padding, output_size=None) -> Tensor:
        """See torch.nested.to_padded_tensor."""
        from .making import to_padded_tensor
        return to_padded_tensor(self, padding, output_size)

    def tolist(self):
        return [p.tolist() for p in self._parts]

    # -- its gradient -----------------------------------------------------------------------------------
    @property
    def grad(self):
        grads = [p.grad for p in self._parts]
        return None if all(g is None for g in grads) else made(grads, self._kind, self._ragged_idx)

    def requires_grad_(self, requires_grad=True):
        for p in self._parts:
            p.requires_grad_(requires_grad)
        return self

    def backward(self, gradient=None, **how):
        pull(self._parts, None if gradient is None else list(gradient), **how)


def made(parts, kind, ragged, packed=None) -> NestedTensor:
    """Entries as one tensor; `ragged` is the dimension in which they differ."""
    empty = ops.empty(0)
    found = wrap(NestedTensor, empty.storage, empty.layout, 0)
    found._parts, found._kind, found._ragged_idx, found._packed = list(parts), kind, ragged, packed
    return found


# -- functions ---------------------------------------------------------------------------------------------
DIMS = {        # functions that take dimensions: how many places of arguments hold them
    **dict.fromkeys(("softmax", "log_softmax", "sum", "mean", "amax", "amin", "var", "std", "prod", "all", "any", "norm",
                     "logsumexp", "cumsum", "argmax", "argmin", "unflatten", "unsqueeze", "squeeze", "glu"), 1),
    "transpose": 2, "flatten": 2}
SECOND = {"chunk", "split"}                 # ... and their dimension comes after another argument
FOLDS = frozenset(("sum", "mean", "amax", "amin", "prod", "all", "any"))
ROWS = frozenset((
    "linear layer_norm rms_norm matmul bmm embedding dropout scaled_dot_product_attention clone detach to contiguous "
    "where masked_fill zeros_like ones_like empty_like full_like rand_like randn_like float double half bfloat16 long "
    "int bool type rmul radd rsub rtruediv rpow truediv floordiv rfloordiv invert imatmul matmul rmatmul iadd isub "
    "imul itruediv and or xor alpha_dropout copy lerp").split())


@functools.cache
def elementwise() -> frozenset:
    """Names of functions that treat every element alike."""
    from ..nn.functional import activations
    from ..ops import pointwise
    names = {n for room in (pointwise, activations) for n in vars(room) if callable(getattr(room, n))}
    return frozenset(n.strip("_") for n in names) | ROWS


def answer(func, args, kwargs):
    """What a public function makes of nested tensors."""
    name = getattr(func, "__name__", "")
    own = NestedTensor.__dict__.get(name)
    if callable(own):
        return own(*args, **kwargs)
    if name == "__get__":
        return func(*args)
    if name == "__getitem__":
        return _entry(*args)
    if name in ("view", "reshape"):
        return _reshaped(func, args[0], args[1:] if len(args) != 2 or isinstance(args[1], int) else args[1])
    if name == "cat":
        dim = _below(args[1] if len(args) > 1 else kwargs.get("dim", 0), args[0][0].dim())
        return _called(func, args[:1], {}, lambda a: (a[0], dim))
    if name in FOLDS and len(args) == 1 and "dim" not in kwargs:
        return func(ops.cat([p.reshape(-1) for p in args[0]._parts]), **kwargs)
    if name in DIMS or name in SECOND:
        return _along(func, name, args, kwargs)
    if name.strip("_") not in elementwise():
        raise NotImplementedError(f"{name} of nested tensors")
    return _called(func, args, kwargs)


def _entry(x, index):
    first, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
    if isinstance(first, int):
        return x._parts[first][rest] if rest else x._parts[first]
    if first is Ellipsis or first == slice(None):
        return _fresh([p[(Ellipsis, *rest) if first is Ellipsis else rest] for p in x._parts], x)
    raise NotImplementedError(f"nested tensors: index {index}")


def _reshaped(func, x, sizes):
    sizes = list(sizes)
    if sizes[0] not in (len(x._parts), -1):
        raise RuntimeError(f"view: For now nested view cannot change or infer the implicit batch dimension: {sizes}")
    own = x.size(x._ragged_idx) if x._kind is jagged else None
    at = next((i for i, n in enumerate(sizes) if i and (n is own and own is not None or n == -1)), x._ragged_idx)
    lengths = [p.size(x._ragged_idx - 1) for p in x._parts]
    parts = [func(p, *(n if i == at - 1 else s for i, s in enumerate(sizes[1:]))) for p, n in zip(x._parts, lengths)]
    return made(parts, x._kind, at)


def _below(dim, count):
    """A dimension of the batch as one of the entries."""
    if isinstance(dim, (tuple, list)):
        return tuple(_below(d, count) for d in dim)
    if dim is None:
        return None
    if dim % count == 0:
        raise RuntimeError("nested tensors: not supported along the batch dimension")
    return dim - 1 if dim > 0 else dim


def _along(func, name, args, kwargs):
    count, first = args[0].dim() + (name == "unsqueeze"), 2 if name in SECOND else 1
    kwargs = {k: _below(v, count) if k in ("dim", "dim0", "dim1", "start_dim", "end_dim") else v
              for k, v in kwargs.items()}
    last = first + DIMS.get(name, 1)
    if name == "transpose":
        a, b = (d % count for d in args[1:3])
        if args[0]._kind is jagged and args[0]._ragged_idx in (a, b):
            moved = made(args[0]._parts, jagged, a + b - args[0]._ragged_idx)
            return _called(func, args, {}, lambda x: (x[0], a - 1, b - 1), moved)
    change = lambda x: (*x[:first], *(_below(d, count) for d in x[first:last]), *x[last:])
    return _called(func, args, kwargs, change)


def _called(func, args, kwargs, change=tuple, like=None):
    """The function for each entry; tensors that are not nested are shared, or batches of as many entries."""
    found = [x for x in _flat((*args, *kwargs.values())) if isinstance(x, NestedTensor)]
    nested = found[0]
    if any(len(x._parts) != len(nested._parts) for x in found):
        raise RuntimeError(f"{func.__name__}: nested tensors of {[len(x._parts) for x in found]} entries")
    if func.__name__.strip("_") not in ROWS and any(
            p.shape != q.shape for x in found[1:] for p, q in zip(x._parts, nested._parts)) and func.__name__ != "cat":
        raise RuntimeError(f"cannot call binary pointwise function {func.__name__} with inputs of shapes "
                           + " and ".join(str(tuple(_sizes(x))) for x in found[:2]))
    parts = [func(*change(tuple(_at(a, i, nested) for a in args)), **{k: _at(v, i, nested) for k, v in kwargs.items()})
             for i in range(len(nested._parts))]
    if isinstance(parts[0], (tuple, list)):
        return tuple(_fresh(list(column), nested) for column in zip(*parts))
    if not isinstance(parts[0], Tensor):
        raise NotImplementedError(f"{func.__name__} of nested tensors")
    return _fresh(parts, nested if like is None else like)


def _sizes(x):
    return x.shape if x._kind is jagged else [tuple(p.shape) for p in x._parts]


def _flat(items):
    for x in items:
        if isinstance(x, (tuple, list)):
            yield from _flat(x)
        else:
            yield x


def _at(x, i, nested):
    """An argument as the i-th entry sees it."""
    if isinstance(x, NestedTensor):
        return x._parts[i]
    if isinstance(x, list | tuple):
        return type(x)(_at(item, i, nested) for item in x)
    if isinstance(x, Tensor) and x.dim() == nested.dim() and x.size(0) in (1, len(nested._parts)):
        return x[i if x.size(0) > 1 else 0]
    return x


def _fresh(parts, like):
    """Entries as a nested tensor; one that is not ragged any more is an ordinary batch."""
    if like._kind is strided:
        return made(parts, strided, like._ragged_idx)
    lengths = [p.size(like._ragged_idx - 1) for p in like._parts]
    at = next((d + 1 for d in (like._ragged_idx - 1, *range(parts[0].dim())) if d < parts[0].dim()
               and [p.size(d) for p in parts] == lengths), None)
    alike = len({p.shape for p in parts}) == 1
    if at is None or alike and len(set(lengths)) > 1:
        return ops.stack(parts)
    return made(parts, jagged, at)
