"""How a tensor is written, character for character as PyTorch writes it.

The text is a literal: rows in brackets, every element as wide as the widest, lines broken at
`linewidth`, large tensors shortened to their corners. All elements share one style, chosen from
the finite ones that are not zero: integral floats as `3.`, others with `precision` digits, either
in scientific notation if they span too much.
"""
from __future__ import annotations

import contextlib
import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from . import dtypes

__all__ = ["set_printoptions", "get_printoptions", "printoptions", "repr_tensor",
           "show_tensor"]

LARGE, SMALL, SPAN = 1e8, 1e-4, 1000    # beyond these, scientific notation


@dataclass
class Options:
    precision: int = 4
    threshold: float = 1000     # elements; a larger tensor is shortened
    edgeitems: int = 3          # elements kept at each end of a dimension then
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
options = Options()


def set_printoptions(precision: int | None = None, threshold: float | None = None,
                     edgeitems: int | None = None, linewidth: int | None = None,
                     profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Change how tensors are printed.

    Args:
        precision: digits after the point (4).
        threshold: a tensor with more elements is shortened (1000).
        edgeitems: elements shown at each end of a shortened dimension (3).
        linewidth: characters in a line (80).
        profile: 'default', 'short' or 'full': a set of values that the other arguments refine.
        sci_mode: scientific notation always (True), never (False), or where it helps (None).
    """
    chosen = dict(precision=precision, threshold=threshold, edgeitems=edgeitems,
                  linewidth=linewidth)
    base = PROFILES.get(profile, options)
    for name in chosen:
        setattr(options, name, getattr(base, name) if chosen[name] is None else chosen[name])
    options.sci_mode = sci_mode


def get_printoptions() -> dict:
    """The present options by name."""
    return dataclasses.asdict(options)


@contextlib.contextmanager
def printoptions(**kwargs):
    """`set_printoptions` for the length of a block."""
    before = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**before)


def repr_tensor(tensor) -> str:
    """The text of a tensor as `repr` gives it; runs what is pending."""
    name = "tensor" if _is_plain(tensor) else type(tensor).__name__
    if tensor.is_meta:
        dtype = [f"dtype={tensor.dtype!r}"] * (tensor.dtype is not dtypes.default)
        return _with_suffixes(f"{name}(...", ["device='meta'", f"size={tuple(tensor.shape)}", *dtype, *_tape_suffixes(tensor)],
                              indent=len(name) + 1)
    return show_tensor(tensor._array(), tensor.dtype, _tape_suffixes(tensor), name=name)


def _is_plain(tensor) -> bool:
    from .nn.parameter import Parameter
    from .tensor import Tensor
    return type(tensor) in (Tensor, Parameter)


def _tape_suffixes(tensor) -> list[str]:
    if tensor.grad_fn is not None:
        return [f"grad_fn=<{type(tensor.grad_fn).__name__}>"]
    return ["requires_grad=True"] * bool(tensor.requires_grad)


def show_tensor(array: np.ndarray, dtype: dtypes.dtype | None = None, suffixes=(), *,
                name: str = "tensor") -> str:
    """The text of a tensor.

    Args:
        array: its values, any shape and strides.
        dtype: its type; found from `array` if not given.
        suffixes: what follows the values, such as 'requires_grad=True'.
        name: what stands before the bracket.
    """
    dtype = dtype or dtypes.from_numpy(array.dtype)
    suffixes = [*_inherent_suffixes(array, dtype), *suffixes]
    values = _values(array, dtype, len(name) + 1) if array.size else "[]"
    return _with_suffixes(f"{name}({values}", suffixes, indent=len(name) + 1)


def _inherent_suffixes(array, dtype) -> list[str]:
    """The shape if the values do not show it, the dtype if they do not tell it."""
    default = dtypes.default
    hidden = (array.ndim != 1) if not array.size else not options.edgeitems
    obvious = (default,) if not array.size else \
        (default, default.to_complex(), dtypes.int64, dtypes.bool)
    return [f"size={tuple(array.shape)}"] * hidden + [f"dtype={dtype!r}"] * (dtype not in obvious)


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Suffixes go on the last line while they fit, then each where the line before ends."""
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def _values(array: np.ndarray, dtype, indent: int) -> str:
    is_short = array.size > options.threshold
    array = array.astype(np.float32) if dtype in (dtypes.float16, dtypes.bfloat16) else array
    style = _style(_corners(array) if is_short else array, dtype)
    return _nested(array, style, indent, is_short)


def _corners(array: np.ndarray) -> np.ndarray:
    """Only what a shortened tensor shows."""
    edge = options.edgeitems
    for axis, size in enumerate(array.shape):
        if size > 2 * edge:
            array = np.take(array, [*range(edge), *range(size - edge, size)], axis)
    return array


def _nested(array: np.ndarray, style, indent: int, is_short: bool) -> str:
    if array.ndim == 0:
        return style.show(array.item())
    if array.ndim == 1:
        return _row(array, style, indent, is_short)
    parts = [_nested(part, style, indent + 1, is_short) if part is not None else "..."
             for part in _ends(array, is_short)]
    gap = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def _row(row: np.ndarray, style, indent: int, is_short: bool) -> str:
    if is_short and not options.edgeitems:
        return "[...]"
    texts = [" ..." if value is None else style.show(value) for value in _ends(row, is_short)]
    a_line = max(1, math.floor((options.linewidth - indent) / (style.width + 2)))
    lines = [", ".join(texts[k:k + a_line]) for k in range(0, len(texts), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _ends(array: np.ndarray, is_short: bool) -> list:
    """The elements along the first axis; None stands for what is left out."""
    edge = options.edgeitems
    if not is_short or len(array) <= 2 * edge:
        return _listed(array)
    return [*_listed(array[:edge]), None, *_listed(array[len(array) - edge:])]


def _listed(array: np.ndarray) -> list:
    return array.tolist() if array.ndim == 1 else list(array)


# -- how one element is written -----------------------------------------------------------------

def _style(array: np.ndarray, dtype):
    if dtype.is_complex:
        return Complex(array)
    return Float(array) if dtype.is_floating_point else Plain(array)


class Plain:
    """Integers and bools."""

    def __init__(self, array: np.ndarray):
        self.width = max((len(str(value)) for value in array.ravel().tolist()), default=1)

    def show(self, value) -> str:
        return str(value).rjust(self.width)


class Float:
    """Real numbers: integral, fixed or scientific, all alike."""

    @np.errstate(all="ignore")      # signalling nans, quotients of the largest and the least
    def __init__(self, array: np.ndarray):
        flat = array.ravel().astype(np.float64)
        telling = flat[np.isfinite(flat) & (flat != 0)]
        self.is_integral = bool((telling == np.ceil(telling)).all())
        self.is_scientific = self._spans_much(np.abs(telling))
        if options.sci_mode is not None and telling.size:
            self.is_scientific = options.sci_mode
        self.width = max((len(self._write(v)) for v in telling.tolist()), default=1)

    def _spans_much(self, sizes: np.ndarray) -> bool:
        if not sizes.size:
            return False
        small, large = sizes.min(), sizes.max()
        return bool(large / small > SPAN or large > LARGE or not self.is_integral and small < SMALL)

    def _write(self, value: float) -> str:
        if self.is_scientific:
            return f"{value:.{options.precision}e}"
        if self.is_integral:
            return f"{value:.0f}" + "." * math.isfinite(value)
        return f"{value:.{options.precision}f}"

    def show(self, value: float) -> str:
        return self._write(value).rjust(self.width)


class Complex:
    """Real and imaginary parts, each in a style of its own."""

    def __init__(self, array: np.ndarray):
        self.real, self.imaginary = Float(array.real), Float(array.imag)
        self.width = self.real.width + self.imaginary.width + 1

    def show(self, value: complex) -> str:
        imaginary = (self.imaginary.show(value.imag) + "j").lstrip()
        sign = "" if imaginary[0] in "+-" else "+"
        return self.real.show(value.real) + sign + imaginary
