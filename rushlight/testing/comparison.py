"""assert_close: two values agree within a tolerance, or an error that shows how they do not."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Number

import numpy as np

from .. import dtypes
from ..tensor import Tensor

# (rtol, atol) by dtype; whole numbers and bools must be equal.
TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def assert_close(actual, expected, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
                 check_stride: bool = False, msg: str | Callable[[str], str] | None = None) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere.

    Tensors, arrays, numbers and sequences or mappings of them are compared; the tolerances are
    given both or neither, by default they follow from the dtypes. `msg` replaces the error's text.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("rtol and atol must both be specified or both be unspecified, but got no "
                         + (f"rtol={rtol}" if rtol is None else f"atol={atol}"))
    checks = dict(rtol=rtol, atol=atol, equal_nan=equal_nan, dtype=check_dtype, stride=check_stride)
    try:
        _compare(actual, expected, "", checks)
    except AssertionError as error:
        text = str(error) if msg is None else msg(str(error)) if callable(msg) else msg
        raise AssertionError(text) from None


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg="") -> None:
    """The older form of assert_close: dtypes may differ and nan equals nan."""
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def _compare(a, b, where, checks):
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        _compare_mappings(a, b, where, checks)
    elif _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            raise AssertionError(f"The length of the sequences mismatch: {len(a)} != {len(b)}" + _item(where))
        for i, (x, y) in enumerate(zip(a, b)):
            _compare(x, y, f"{where}[{i}]", checks)
    elif isinstance(a, Number) and isinstance(b, Number):
        _compare_numbers(a, b, where, checks)
    elif a is None and b is None:
        return
    else:
        _compare_tensors(_tensor(a, b), _tensor(b, a), where, checks)


def _is_sequence(x) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _item(where: str) -> str:
    return f"\n\nThe failure occurred for item {where}" if where else ""


def _compare_mappings(a, b, where, checks):
    if set(a) != set(b):
        raise AssertionError("The keys of the mappings do not match:\n"
                             f"Missing keys in the actual mapping: {sorted(set(b) - set(a))}\n"
                             f"Additional keys in the actual mapping: {sorted(set(a) - set(b))}" + _item(where))
    for key in a:
        _compare(a[key], b[key], f"{where}[{key!r}]", checks)


def _tensor(x, other) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (np.ndarray, np.generic)) or isinstance(x, (int, float, bool)) and isinstance(other, np.ndarray):
        from ..ops import tensor
        return tensor(np.asarray(x))
    if isinstance(x, (int, float, bool)) and isinstance(other, Tensor):
        raise AssertionError(f"{type(x).__name__} and {type(other).__name__} cannot be compared: Tensor-likes are not close")
    raise TypeError(f"No comparison pair was able to handle inputs of type {type(x)} and {type(other)}.")


def _tolerance(checks, *kinds):
    if checks["rtol"] is not None:
        return checks["rtol"], checks["atol"]
    both = [TOLERANCES.get(d.name, (0.0, 0.0)) for d in kinds]
    return max(r for r, _ in both), max(a for _, a in both)


def _compare_numbers(a, b, where, checks):
    if checks["dtype"] and type(a) is not type(b):
        raise AssertionError(f"The (d)types do not match: {type(a)} != {type(b)}." + _item(where))
    rtol, atol = _tolerance(checks, *(dtypes.float64 if isinstance(x, float) else dtypes.int64 for x in (a, b)))
    if a == b or checks["equal_nan"] and a != a and b != b:
        return
    gap = abs(a - b)
    if math.isfinite(gap) and gap <= atol + rtol * abs(b):
        return
    raise AssertionError(f"Scalars are not {'close' if rtol or atol else 'equal'}!\n\nExpected {b} but got {a}.\n"
                         f"Absolute difference: {gap}" + (f" (up to {atol} allowed)" if rtol or atol else "")
                         + f"\nRelative difference: {gap / abs(b) if b else math.inf}"
                         + (f" (up to {rtol} allowed)" if rtol or atol else "") + _item(where))


def _compare_tensors(a, b, where, checks):
    if a.shape != b.shape:
        raise AssertionError(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}." + _item(where))
    if checks["dtype"] and a.dtype is not b.dtype:
        raise AssertionError(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}." + _item(where))
    if checks["stride"] and a.stride() != b.stride():
        raise AssertionError(f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}."
                             + _item(where))
    rtol, atol = _tolerance(checks, a.dtype, b.dtype)
    common = dtypes.promote_types(a.dtype, b.dtype)
    x, y = (np.array(t.detach().to(common)._array()) for t in (a, b))
    if common.rank == 2:
        x, y = x.astype(np.float64), y.astype(np.float64)
    bad = ~_close(x, y, rtol, atol, checks["equal_nan"])
    if bad.any():
        raise AssertionError(_report(x, y, bad, rtol, atol) + _item(where))


def _close(x, y, rtol, atol, equal_nan):
    if x.dtype == bool:
        return x == y
    with np.errstate(all="ignore"):
        gap = np.where(x > y, x - y, y - x)
        same = (x == y) | np.isfinite(y) & (gap <= atol + rtol * np.abs(y))
    return same | (np.isnan(x) & np.isnan(y)) if equal_nan and x.dtype.kind == "f" else same


def _report(x, y, bad, rtol, atol) -> str:
    name = "close" if rtol or atol else "equal"
    text = f"{'Scalars' if x.ndim == 0 else 'Tensor-likes'} are not {name}!\n\n"
    if x.ndim:
        text += f"Mismatched elements: {bad.sum()} / {bad.size} ({100 * bad.sum() / bad.size:.1f}%)\n"
    else:
        text += f"Expected {y.item()} but got {x.item()}.\n"
    with np.errstate(all="ignore"):
        gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
        ratio = np.where(y != 0, gap / np.abs(y.astype(np.float64)), np.inf)
    lines = []
    for title, values, limit in (("absolute", gap, atol), ("relative", ratio, rtol)):
        shown = np.where(bad, values, -1)
        at = np.unravel_index(np.argmax(np.where(np.isnan(shown), np.inf, shown)), x.shape)
        place = f" at index ({', '.join(map(str, map(int, at)))})" if x.ndim else ""
        allowed = f" (up to {limit} allowed)" if rtol or atol else ""
        lines.append(f"{'Greatest ' + title if x.ndim else title.capitalize()} difference: {values[at]}{place}{allowed}")
    return text + "\n".join(lines)
