"""What Python code a call runs: its functions, and what it does that a replay could not do again.

A profile function sees every call of a Python function or a built-in one. Functions of the user
tell which globals, cells and attributes the call may have read (world.py guards them); built-in
ones that are not known to be free of effects (`print`, `time.time`, `random.random`) make the call
unfit for replay, with their line.
"""
from __future__ import annotations

import builtins
import collections
import functools
import gc
import itertools
import math
import operator
import os
import re
import sys
import sysconfig
from types import CodeType, FunctionType, GeneratorType, ModuleType

from ..trace import record

_STANDARD = os.path.abspath(sysconfig.get_paths()["stdlib"]) + os.sep
_PACKAGES = os.path.abspath(sysconfig.get_paths()["purelib"]) + os.sep
PURE_MODULES = {m.__name__ for m in (builtins, math, operator, functools, itertools, collections)} | {
    "_operator", "_functools", "_collections", "_collections_abc", "_abc", "_weakref", "_types", "_struct", "_typing",
    "_contextvars", "_warnings", "_thread", "_json", "_sre", "_stat", "_heapq", "_bisect", "cmath", "_imp", "sys", "copy",
    "_copy", "_string", "_statistics"}
PURE_TYPES = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, collections.deque,
              slice, range, property, BaseException, re.Pattern, re.Match, FunctionType, CodeType, ModuleType,
              functools.partial, super, memoryview, GeneratorType, type({}.keys()), type({}.values()), type({}.items()))
EFFECTS = {"print", "input", "open", "exec", "eval", "compile", "next", "breakpoint", "anext", "setrecursionlimit",
           "settrace", "setprofile", "exit", "intern", "_getframe", "lock", "stdout", "addaudithook"}
DECIDING = {"isnan", "isinf", "isfinite", "isclose", "copysign", "modf", "frexp"}    # of math: a float does not know of them
DYNAMIC = {"vars", "dir", "locals", "globals"}          # names of attributes do not stand in the code


def is_internal(code) -> bool:
    """Whether code is rushlight's own."""
    name = code.co_filename
    found = record._internal.get(name)
    return record._is_internal(name) if found is None else found


@functools.cache
def is_standard(filename: str) -> bool:
    path = os.path.abspath(filename)
    return filename.startswith("<frozen") or path.startswith(_STANDARD) and not path.startswith(_PACKAGES)


@functools.cache
def is_library(filename: str) -> bool:
    """Whether a file belongs to what rushlight itself is built on: user code that uses it is found by its globals."""
    path = os.path.abspath(filename)
    return path.startswith(_PACKAGES) and path[len(_PACKAGES):].partition(os.sep)[0] in ("numpy", "llvmlite", "ml_dtypes")


def is_ours_to_answer(frame) -> bool:
    """Whether rushlight called the library function that a frame belongs to."""
    while frame is not None and is_standard(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is None or is_internal(frame.f_code) or is_library(frame.f_code.co_filename)


class Watch:
    """The functions of one call; `effects` are (what, where) that cannot be done again by a replay."""

    def __init__(self, tape):
        self.tape = tape
        self.seen: set = set()
        self.codes: dict = {}           # code of the user's functions -> globals
        self.modules: set = set()
        self.effects: list = []
        self.all_names = False

    def __enter__(self):
        self.before = sys.getprofile()
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(self.before)

    def __call__(self, frame, event, arg):
        if event == "call":
            code = frame.f_code
            if code not in self.seen:
                self.seen.add(code)
                if not (is_internal(code) or is_standard(code.co_filename) or is_library(code.co_filename)):
                    self.codes[code] = frame.f_globals
        elif event == "c_call" and not is_internal(frame.f_code) and not is_library(frame.f_code.co_filename):
            self.called(frame, arg)

    def called(self, frame, function):
        name = getattr(function, "__name__", "")
        if name in DYNAMIC:
            self.all_names = True
        if name in DECIDING:
            self.tape.pin_all()
        if function is sys.setprofile or is_pure(function, name):
            return
        if is_standard(frame.f_code.co_filename) and (name == "next" or is_ours_to_answer(frame)):
            return                      # a context manager's own generator; what rushlight does by a library
        self.effect(f"calls {_spelled(function)}", (frame.f_code, frame.f_lineno))

    def effect(self, what, where=None):
        if len(self.effects) < 20:
            self.effects.append((what, where or record.user_line()))

    def names(self) -> set:
        """Names that the user's functions may have looked up in globals or objects."""
        found: set = set()
        stack = list(self.codes)
        while stack:
            code = stack.pop()
            found.update(code.co_names)
            for x in code.co_consts:
                if isinstance(x, str):
                    found.add(x)
                elif isinstance(x, CodeType):
                    stack.append(x)
        return found

    def functions(self, known) -> list:
        """The function objects that ran and were not made by the call itself."""
        inner = {x for code in self.codes for x in code.co_consts if isinstance(x, CodeType)}
        missing = {c for c in self.codes if c.co_freevars and c not in inner} - {f.__code__ for f in known}
        if not missing:
            return []
        return [f for f in gc.get_objects() if type(f) is FunctionType and f.__code__ in missing]


def is_pure(function, name) -> bool:
    """Whether a built-in function only computes, or changes only what the walk over objects sees."""
    owner = getattr(function, "__self__", None)
    if owner is None:
        return issubclass(getattr(function, "__objclass__", type(None)), PURE_TYPES) or (
            getattr(function, "__module__", None) in PURE_MODULES and name not in EFFECTS)
    if isinstance(owner, ModuleType):
        return owner.__name__ in PURE_MODULES and name not in EFFECTS
    if isinstance(owner, type):
        return owner in (object, type) or issubclass(owner, PURE_TYPES)
    return isinstance(owner, PURE_TYPES) or name in ("__init_subclass__", "__reduce_ex__", "__dir__")


def _spelled(function) -> str:
    owner = getattr(function, "__self__", None)
    prefix = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__ if owner is not None else ""
    return f"{prefix}.{function.__name__}" if prefix and prefix != "builtins" else function.__name__
