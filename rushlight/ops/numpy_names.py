"""NumPy's names of arguments, which PyTorch takes as well: `axis` for `dim`, `keepdims` for `keepdim`.

Functions that know them are written as text, because a call should not pay for names that it does not use.
"""
from __future__ import annotations

import functools
import inspect
import types

from . import overriding

OTHER_NAMES = {"dim": "axis", "keepdim": "keepdims"}
OURS = {other: name for name, other in OTHER_NAMES.items()}
missing = object()      # the default of what must be given by either name


def renamed(arguments: dict) -> dict:
    """Keyword arguments by their first names."""
    return {OURS.get(name, name): value for name, value in arguments.items()}


ANSWERED = """
    except Exception:
        answer_ = asked_(self_, ({positional}), dict({keywords}))
        if answer_ is None:
            raise
        return answer_[0]"""
AS_IT_IS = """
    try:
        return fn_({passed})""" + ANSWERED


def shown(params) -> str:
    """The parameters as text, defaults as d_NAME, with the other names as keywords."""
    others = [OTHER_NAMES[p.name] for p in params if p.name in OTHER_NAMES]
    words, starred, optional = [], False, False
    for p in params:
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        optional = optional or p.name in OTHER_NAMES
        default = f"=d_{p.name}" if p.default is not p.empty else "=missing_" if optional else ""
        words.append(p.name + default)
    return ", ".join(words + ["*"] * (bool(others) and not starred) + [f"{n}=None" for n in others])


def passed(params) -> str:
    """The arguments handed on."""
    return ", ".join(f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name for p in params)


def as_it_is(params) -> str:
    """The lines that make the call, or let the classes of strangers answer where it fails."""
    return AS_IT_IS.format(passed=passed(params), **by_kind(params))


def by_kind(params) -> dict:
    """How the arguments are handed on as a tuple and keywords."""
    names = [[p.name for p in params if (p.kind is p.KEYWORD_ONLY) == is_named] for is_named in (False, True)]
    return dict(positional="".join(f"{n}, " for n in names[0]), keywords=", ".join(f"{n}={n}" for n in names[1]))


def renaming(params) -> str:
    """The lines that look at the other names, and at what may be missing because of them."""
    lines, optional = [], False
    for p in params:
        if other := OTHER_NAMES.get(p.name):
            lines.append(f"if {other} is not None: {p.name} = {other}")
            optional = True
        if optional and p.default is p.empty:
            lines.append(f"if {p.name} is missing_: return without_(fn_, {{{_pairs(params)}}})")
    return "".join("\n    " + line for line in lines)


def _pairs(params) -> str:
    return ", ".join(f"'{p.name}': {p.name}" for p in params)


def without(fn, arguments):
    """Python's own error for what is missing."""
    return fn(**{name: value for name, value in arguments.items() if value is not missing})


def scope(params) -> dict:
    """What the text refers to."""
    return {f"d_{p.name}": p.default for p in params} | {"missing_": missing, "without_": without}


def accepting(fn):
    """A function that takes the other names of its parameters, too; itself if they have none."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None or hasattr(fn, "takes_numpy_names") or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return fn
    if not OTHER_NAMES.keys() & set(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]):
        return fn
    front = types.FunctionType(_STUB, {"front": lambda: _written(front, fn)})
    front = functools.wraps(fn)(front)
    front.takes_numpy_names, front.remade = True, lambda: accepting(fn)
    return front


_STUB = (lambda *args, **kwargs: front()(*args, **kwargs)).__code__       # noqa: F821


def _written(front, fn):
    """Give the function its code, at its first call."""
    params = list(inspect.signature(fn).parameters.values())
    names = front.__globals__
    names |= scope(params) | {"fn_": fn, "self_": front, "asked_": overriding.asked}
    text = f"def front({shown(params)}):{renaming(params)}{as_it_is(params)}"
    exec(compile(text, __file__, "exec"), names)        # the file: its frames are ours
    made = names["front"]
    front.__code__, front.__defaults__, front.__kwdefaults__ = made.__code__, made.__defaults__, made.__kwdefaults__
    return front
