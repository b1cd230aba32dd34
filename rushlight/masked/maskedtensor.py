"""Tensors that carry a mask of which elements count."""
from __future__ import annotations

import numpy as np

from .. import dtypes, ops
from ..tensor import Tensor, wrap

__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]

REDUCTIONS = frozenset(("sum", "mean", "amax", "amin", "argmax", "argmin", "prod", "norm", "var", "std", "softmax",
                        "log_softmax", "cumsum", "cumprod", "logsumexp", "median"))
SHAPES = frozenset(("reshape", "view", "transpose", "t", "permute", "flatten", "unsqueeze", "squeeze", "expand",
                    "__getitem__", "index_select", "narrow", "contiguous", "clone", "unbind", "select", "movedim",
                    "swapaxes", "repeat", "flip", "expand_as", "broadcast_to"))
SPLITS = frozenset(("unbind", "split", "chunk"))


class MaskedTensor(Tensor):
    """Data and a mask of the same shape, True where an element counts.

    Element-wise functions keep the mask, reductions leave out what it hides, and what hides all of it is hidden.
    """

    def __new__(cls, data, mask, requires_grad=False):
        _check(data, mask)
        return made(data.detach().clone().requires_grad_(requires_grad), mask)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return answer(func, args, kwargs or {})

    def get_data(self) -> Tensor:
        """The data, hidden elements included."""
        return self._masked_data

    def get_mask(self) -> Tensor:
        """Which elements count."""
        return self._masked_mask

    def to_tensor(self, value) -> Tensor:
        """The data with a value in place of what is hidden."""
        return self._masked_data.masked_fill(~self._masked_mask, value)

    shape = property(lambda self: self._masked_data.shape)
    dtype = property(lambda self: self._masked_data.dtype, lambda self, value: None)
    requires_grad = property(lambda self: self._masked_data.requires_grad)
    grad_fn = property(lambda self: self._masked_data.grad_fn)
    is_leaf = property(lambda self: self._masked_data.is_leaf)
    ndim = property(lambda self: self._masked_data.ndim)

    @property
    def grad(self):
        grad = self._masked_data.grad
        return None if grad is None else made(grad, self._masked_mask)

    def size(self, dim=None):
        return self._masked_data.size(dim)

    def dim(self) -> int:
        return self._masked_data.dim()

    def numel(self) -> int:
        return self._masked_data.numel()

    def backward(self, *args, **kwargs):
        self._masked_data.backward(*args, **kwargs)

    def requires_grad_(self, requires_grad=True):
        self._masked_data.requires_grad_(requires_grad)
        return self

    def tolist(self):
        """Nested lists with None in place of what is hidden."""
        shown = self._masked_data.detach().numpy().astype(object)
        return np.where(self._masked_mask.numpy(), shown, None).tolist()

    def item(self):
        return self._masked_data.item()

    def __repr__(self, *, tensor_contents=None):
        data, mask = self._masked_data.detach(), self._masked_mask
        if not self.dim():
            return f"MaskedTensor({_cell(data, True)}, {mask.item()})"
        return "MaskedTensor(\n" + _lines(data, mask, "  ") + "\n)"

    __str__ = __repr__


def _cell(x, shown):
    kind = "{:8.4f}" if x.is_floating_point() else "{}"
    return kind.format(x.item()) if shown else f"{'--':>8}"


def _lines(data, mask, indent):
    if data.dim() == 1:
        return f"{indent}[{', '.join(_cell(x, m.item()) for x, m in zip(data, mask))}]"
    inner = ",\n".join(_lines(x, m, indent + "  ") for x, m in zip(data, mask))
    return f"{indent}[\n{inner}\n{indent}]"


def made(data, mask) -> MaskedTensor:
    """A MaskedTensor of data that stay on the tape."""
    empty = ops.empty(0)
    found = wrap(MaskedTensor, empty.storage, empty.layout, 0)
    found._masked_data, found._masked_mask = data, mask
    return found


def _check(data, mask):
    for name, x in (("data", data), ("mask", mask)):
        if not isinstance(x, Tensor) or isinstance(x, MaskedTensor):
            raise TypeError(f"{name} must be a Tensor")
    if data.dim() != mask.dim():
        raise ValueError("data.dim() must equal mask.dim()")
    if data.size() != mask.size():
        raise ValueError("data.size() must equal mask.size()")
    if mask.dtype != dtypes.bool:
        raise TypeError("mask must have dtype bool")


def masked_tensor(data: Tensor, mask: Tensor, requires_grad: bool = False) -> MaskedTensor:
    """A leaf with a copy of the data."""
    return MaskedTensor(data, mask, requires_grad)


def as_masked_tensor(data: Tensor, mask: Tensor) -> MaskedTensor:
    """The data, on the tape as they are, with a mask."""
    _check(data, mask)
    return made(data, mask)


def is_masked_tensor(obj) -> bool:
    """Whether it carries a mask."""
    return isinstance(obj, MaskedTensor)


# -- functions ---------------------------------------------------------------------------------------------
def answer(func, args, kwargs):
    """What a public function makes of MaskedTensors."""
    from . import reductions
    name = getattr(func, "__name__", "")
    own = MaskedTensor.__dict__.get(name)
    if own is not None and callable(own):
        return own(*args, **kwargs)
    if name == "__get__":
        return func(*args)
    if name in REDUCTIONS:
        return getattr(reductions, name)(*args, **kwargs)
    if name == "where":
        condition, x, y = args
        x, y = (t if is_masked_tensor(t) else made(t, ops.ones_like(t, dtype=dtypes.bool)) for t in (x, y))
        return made(ops.where(condition, x._masked_data, y._masked_data),
                    ops.where(condition, x._masked_mask, y._masked_mask))
    if name in SHAPES or name in SPLITS:
        x, *rest = args
        data, mask = func(x._masked_data, *rest, **kwargs), func(x._masked_mask, *rest, **kwargs)
        return tuple(map(made, data, mask)) if isinstance(data, (tuple, list)) else made(data, mask)
    return _elementwise(func, name, args, kwargs)


def _elementwise(func, name, args, kwargs):
    masks = [x._masked_mask for x in args if is_masked_tensor(x)]
    if "matmul" in name or name in ("mm", "bmm", "linear"):
        raise TypeError("unsupported operand type(s) for @: 'MaskedTensor' and 'Tensor'")
    if any(m is not masks[0] and (m.shape != masks[0].shape or not ops.equal(m, masks[0])) for m in masks[1:]):
        raise ValueError("Input masks must match. If you need support for this, please open an issue on Github.")
    found = func(*(x._masked_data if is_masked_tensor(x) else x for x in args), **kwargs)
    if not isinstance(found, Tensor) or found.shape != masks[0].shape:
        raise NotImplementedError(f"masked: {name} of a MaskedTensor")
    return made(found, masks[0])
