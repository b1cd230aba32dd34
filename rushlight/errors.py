"""How a message is built: operation, argument, what was found, what is expected, whose line."""
from __future__ import annotations

import os
import sys
import warnings

HERE = os.path.dirname(__file__) + os.sep
told: set[str] = set()
always = [False]            # what set_warn_always was told last


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning that points at the first line outside of this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((HERE, "<string>")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def warn_once(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning that a process gives a single time, unless `set_warn_always(True)` was called."""
    if always[0] or text not in told:
        told.add(text)
        warn(text, category)


class Missing(AttributeError, NotImplementedError):
    """A name of PyTorch's that is not there yet: `hasattr` is told no, a program is told what is missing."""


# What an index out of range raises, by the operation that recorded it.
INDEX_ERRORS = {
    "index": (IndexError, "index {index} is out of bounds for dimension {axis} with size {size}"),
    "gather": (RuntimeError, "index {index} is out of bounds for dimension {axis} with size {size}"),
    "select": (IndexError, "index out of range in self (index {index}, size {size})"),
    "embedding": (IndexError, "index out of range in self (index {index}, number of rows {size})"),
    "target": (IndexError, "Target {index} is out of bounds. There are {size} classes"),
    "source": (RuntimeError, "Number of elements of source < number of ones in mask ({size} elements)"),
    "unpool": (RuntimeError, "Found an invalid max index: {index} (output volumes have {size} elements)"),
    "variance": (ValueError, "var has negative entry/entries"),
    "division": (RuntimeError, "ZeroDivisionError"),
    "probability": (RuntimeError, "all elements of {argument} should be between 0 and 1"),
    "take": (IndexError, "out of range: tried to access index {index} on a tensor of {size} elements."),
}


class _LinAlgError(RuntimeError):
    """A matrix that an operation cannot take: singular, not positive-definite."""


LinAlgError = _LinAlgError


def index_error(kind: str, index: int, axis: int, size: int) -> Exception:
    type_, text = INDEX_ERRORS[kind]
    return type_(text.format(index=index, axis=axis, size=size, argument="input" if index == 2 else "target"))


def place(where) -> str:
    """'recorded at train.py:41' with the source line, for errors found when a plan runs."""
    if where is None:
        return ""
    import linecache
    from .trace.record import line_of
    code, line = where[0], line_of(where)
    text = linecache.getline(code.co_filename, line).strip()
    return f"\n    recorded at {code.co_filename}:{line}" + (f"  {text}" if text else "")


def blame(error: Exception, node) -> Exception:
    """The exception with the user's line, told of the recorded node that cannot be computed."""
    error = located(error, node.where)
    error.node = getattr(node, "origin", node)
    return error


def located(error: Exception, where) -> Exception:
    """The same exception with the user's line in its message."""
    return type(error)(f"{error}{place(where)}")


def absent(module: str, kind: type[Exception], reason: str):
    """The `__getattr__` of a module without its device: whatever it has no word for raises when it is called."""
    def missing(name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args, **kwargs):
            raise kind(f"{module}.{name}: {reason}: rushlight computes on the CPU only")
        call.__name__ = call.__qualname__ = name
        return call
    return missing
