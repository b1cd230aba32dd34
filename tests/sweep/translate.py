"""PyTorch's functions by their rushlight counterparts.

What has a public name in torch is looked up by that name in rushlight; what PyTorch's tables wrap round it
(lambdas, partial applications) is made anew over globals and closures that are translated in turn.
"""
from __future__ import annotations

import functools
import importlib
import types

import torch

import rushlight

ROOMS = ("torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.fft", "torch.nn", "torch.nn.init",
         "torch.signal.windows", "torch.masked", "torch.sparse", "torch.autograd", "torch.optim",
         "torch.optim.lr_scheduler", "torch.nn.utils.rnn", "torch.nn.utils", "torch.nn.parameter")
TABLES = "torch.testing._internal"


class Lacking(Exception):
    """rushlight has no such name."""


class Internal(Exception):
    """A name that is no part of PyTorch's public interface."""


def _index():
    """Objects of torch by their public path."""
    found = {}
    for room in reversed(ROOMS):
        module = importlib.import_module(room)
        for name in dir(module):
            value = getattr(module, name, None)
            if callable(value) and not isinstance(value, types.ModuleType):
                found[id(value)] = (f"{room}.{name}", value)
    for name in dir(torch.Tensor):
        value = getattr(torch.Tensor, name)
        if not (name.startswith("__") and name in dir(object)):
            found.setdefault(id(value), (f"torch.Tensor.{name}", value))
    return found


INDEX = _index()
DTYPE_NAMES = {v: k for k, v in vars(torch).items() if isinstance(v, torch.dtype)}


def counterpart(path: str):
    """What rushlight has under a path that begins with torch."""
    here = rushlight
    for i, name in enumerate(path.split(".")[1:]):
        try:
            here = getattr(here, name)
        except AttributeError:
            raise Lacking(path) from None
    return here


@functools.cache
def _module(name):
    try:
        return importlib.import_module("rushlight" + name[len("torch"):])
    except ImportError:
        return Absent(name)


class Absent:
    """A module that rushlight does not have; asking it for anything says so."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        raise Lacking(f"{self._name}.{name}")


def is_torch(module):
    return module == "torch" or str(module).startswith("torch.")


def translate(x):
    """The counterpart of a torch object; everything else is itself."""
    if isinstance(x, types.ModuleType):
        return _module(x.__name__) if is_torch(x.__name__) and not x.__name__.startswith(TABLES) else x
    if isinstance(x, torch.dtype):
        return getattr(rushlight, DTYPE_NAMES[x])
    if id(x) in INDEX and INDEX[id(x)][1] is x:
        return counterpart(INDEX[id(x)][0])
    if isinstance(x, functools.partial):
        return functools.partial(translate(x.func), *map(translate, x.args),
                                 **{k: translate(v) for k, v in x.keywords.items()})
    if isinstance(x, types.FunctionType):
        return _function(x)
    if isinstance(x, types.MethodType):
        return types.MethodType(translate(x.__func__), x.__self__)
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return type(x)(map(translate, x))
    if type(x).__module__.startswith(TABLES + ".opinfo"):
        return x
    if type(x).__name__ in ("OpOverload", "OpOverloadPacket"):
        raise Internal(str(x))
    if callable(x) and is_torch(getattr(x, "__module__", None)) or type(x).__name__ == "builtin_function_or_method" \
            and "torch" in repr(x):
        raise Internal(repr(x)[:60])
    return x


class _Globals(dict):
    """Globals of a translated function."""


_memo = {}


def _function(f):
    if id(f) in _memo:
        return _memo[id(f)][1]
    if not (is_torch(f.__module__) and f.__module__.startswith(TABLES)) and is_torch(f.__module__):
        raise Internal(f"{f.__module__}.{f.__qualname__}")
    scope = {"__builtins__": __builtins__, "__name__": f.__module__}
    made = types.FunctionType(f.__code__, scope, f.__name__, f.__defaults__ and tuple(map(_soft, f.__defaults__)),
                              _closure(f))
    made.__kwdefaults__ = f.__kwdefaults__ and {k: _soft(v) for k, v in f.__kwdefaults__.items()}
    _memo[id(f)] = f, made
    for name in _names(f.__code__):
        if name in f.__globals__:
            scope[name] = _soft(f.__globals__[name])
    return made


def _closure(f):
    return f.__closure__ and tuple(types.CellType(_soft(c.cell_contents)) for c in f.__closure__)


def _soft(x):
    """A global that cannot be translated may never be used: say so only if it is."""
    try:
        return translate(x)
    except (Lacking, Internal) as error:
        kind, text = type(error), str(error)

        def lacks(*args, **kwargs):
            raise kind(text)
        return lacks


def _names(code):
    found = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= _names(const)
    return found
