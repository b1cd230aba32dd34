"""How sparse tensors are printed, character for character as PyTorch prints them."""
from __future__ import annotations

from .. import dtypes, printing
from ..ops.layouts import sparse_coo, sparse_csr

INDENT = len("tensor(")


def show(x) -> str:
    """The text of a sparse tensor: its parts, then what they do not tell."""
    lines = [f"{name}={_text(part, len(name))}" for name, part in _named_parts(x)]
    text = "tensor(" + (",\n" + " " * INDENT).join(lines)
    notes = [f"size={tuple(x.shape)}", f"nnz={x._nnz()}", *_dtype(x), f"layout={x.layout}", *printing._tape_suffixes(x)]
    if x.layout is not sparse_coo:
        return printing._with_suffixes(text, notes, INDENT)
    last = printing._with_suffixes(" " * (INDENT - 2) + notes[0], notes[1:], INDENT)   # always on a line of their own
    return text + ",\n  " + last


def _named_parts(x):
    if x.layout is sparse_coo:
        return ("indices", x._at), ("values", x._data)
    long, short = ("crow", "col") if x.layout is sparse_csr else ("ccol", "row")
    return (f"{long}_indices", x._starts), (f"{short}_indices", x._plain), ("values", x._data)


def _text(part, name_length) -> str:
    array, indent = part.detach()._array(), INDENT + name_length + len("=tensor(")
    if not array.size:
        return f"tensor([], size={tuple(array.shape)})"
    return f"tensor({printing._values(array, part.dtype, indent)})"


def _dtype(x) -> list[str]:
    default = dtypes.default
    return [] if x.dtype in (default, default.to_complex(), dtypes.int64, dtypes.bool) else [f"dtype={x.dtype!r}"]
