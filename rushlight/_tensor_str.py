"""The text of a tensor's values, by the names under which packages look it up."""
from __future__ import annotations

from .printing import _values, _with_suffixes, options as PRINT_OPTS      # noqa: F401


def _tensor_str(tensor, indent: int) -> str:
    """The values alone, their rows `indent` columns from the left."""
    array = tensor._array()
    return _values(array, tensor.dtype, indent) if array.size else "[]"


def _add_suffixes(text: str, suffixes: list[str], indent: int, force_newline: bool = False) -> str:
    """What follows the values, and the closing bracket."""
    if force_newline and suffixes:
        text += ",\n" + " " * indent + suffixes[0]
        suffixes = suffixes[1:]
    return _with_suffixes(text, suffixes, indent)
