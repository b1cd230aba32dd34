"""make_tensor: random tensors for tests."""
from __future__ import annotations

from .. import dtypes, ops
from ..tensor import Tensor, check_device


def make_tensor(*shape, dtype, device="cpu", low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format=None) -> Tensor:
    """A tensor of values uniform on [low, high), by default within a few units of zero.

    `noncontiguous` gives every second element of a larger tensor, `exclude_zero` replaces zeros by
    the smallest positive number.
    """
    check_device(device)
    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if requires_grad and dtype.rank < 2:
        raise ValueError("`requires_grad=True` is not supported for boolean and integral dtypes, but got "
                         f"dtype={dtype}")
    full = (*size[:-1], 2 * size[-1]) if noncontiguous and size and ops.zeros(size).numel() > 1 else size
    x = _drawn(full, dtype, *_limits(dtype, low, high))
    if full is not size:
        x = x[..., ::2]
    elif memory_format is not None:
        x = x.contiguous(memory_format=memory_format)
    if exclude_zero:
        x[x == 0] = dtypes.finfo(dtype).tiny if dtype.rank == 2 else 1
    return x.requires_grad_() if requires_grad else x


def _limits(dtype, low, high):
    default = (0, 2) if dtype is dtypes.bool else (0, 10) if dtype is dtypes.uint8 else (-9, 10) if dtype.rank < 2 else (-9, 9)
    low, high = (d if v is None else v for v, d in zip((low, high), default))
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    return low, high


def _drawn(size, dtype, low, high):
    if dtype.rank < 2:
        return ops.randint(int(low), int(high), size).to(dtype)
    return (ops.rand(size, dtype=dtypes.float64) * (high - low) + low).to(dtype)
