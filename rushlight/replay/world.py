"""What a call may read besides its arguments: the objects that can be reached from its functions.

The walk begins at the cells, globals and defaults of the functions that ran (watch.py) and goes
through modules, optimisers, containers and the user's objects; of the latter only attributes whose names
stand in the user's code. Each value has a place: a holder and a key under which it is
found again. Values at places are what guards compare, what Python side effects change, and where
parameters, states of optimisers and buffers live.
"""
from __future__ import annotations

import enum
import functools
import os
from collections import deque
from types import FunctionType, MethodType, ModuleType
from typing import NamedTuple

import numpy as np

from .. import dtypes
from ..layout import Layout, Size
from ..nn.modules.module import Module
from ..ops.layouts import Unstrided
from ..optim.optimizer import Optimizer
from ..random import Generator
from ..tensor import Tensor, device
from .watch import is_standard

MOST = 50_000           # places; beyond it guarding would cost more than recording
ATOMS = (type(None), bool, int, float, str, bytes, complex, type(...), type(NotImplemented), slice, range, Size,
         dtypes.dtype, device, Layout, enum.Enum, np.generic)
MISSING = object()
ITEM, CELL, ATTRIBUTE = "item", "cell", "attribute"
ON_LEAVES = ("_grad", "_hooks", "_accumulate_hooks")
_PACKAGE = __name__.partition(".")[0]


class Place(NamedTuple):
    """Where a value stands: holder[key], the contents of a cell, or an attribute of a tensor."""
    kind: str
    holder: object
    key: object

    def get(self):
        try:
            if self.kind == ITEM:
                return BASE_ITEM[base_of(self.holder)](self.holder, self.key)
            return self.holder.cell_contents if self.kind == CELL else getattr(self.holder, self.key)
        except (LookupError, ValueError, AttributeError):
            return MISSING

    def put(self, value) -> None:
        if self.kind == ITEM:
            base_of(self.holder).__setitem__(self.holder, self.key, value)
        elif self.kind == CELL:
            self.holder.cell_contents = value
        else:
            setattr(self.holder, self.key, value)

    @property
    def id(self):
        return id(self.holder), self.key


BASE_ITEM = {dict: dict.__getitem__, list: list.__getitem__, tuple: tuple.__getitem__, deque: deque.__getitem__}


def base_of(holder):
    """The built-in type that a container's own methods belong to."""
    return next(t for t in BASE_ITEM if isinstance(holder, t))


class Unfit(Exception):
    """Why a call cannot be replayed: what, and the user's line if there is one."""


class Seen(NamedTuple):
    value: object
    path: str


class World:
    """One walk: `places` (id to place and value), `sizes` of containers, `tensors` in order."""

    def __init__(self, functions, objects, names):
        self.names = names              # None: follow every attribute
        self.places: dict = {}
        self.values: dict = {}
        self.sizes: list = []           # (container, length, path)
        self.absent: list = []          # (attributes of an object, name of its class's that it lacks)
        self.tensors: dict = {}         # id -> (tensor, path)
        self.held: dict = {}            # id -> object that was entered
        self.stack: list = []
        for f in functions:
            self.function(f)
        for x, path in objects:
            self.enter(x, path)
        while self.stack:
            self.open(*self.stack.pop())

    # -- one value at a place ---------------------------------------------------------------------
    def see(self, kind, holder, key, path):
        place = Place(kind, holder, key)
        value = place.get()
        self.places[place.id] = place
        self.values[place.id] = Seen(value, path)
        if len(self.places) > MOST:
            raise Unfit(f"can reach more than {MOST} Python values (at {path})")
        self.enter(value, path)

    def enter(self, value, path):
        if value is MISSING or isinstance(value, ATOMS) or id(value) in self.held:
            return
        self.held[id(value)] = value
        self.stack.append((value, path))

    def open(self, x, path):
        """The places inside of an object."""
        if isinstance(x, Unstrided):
            self.attributes(x, path, None)
        elif isinstance(x, Tensor):
            self.tensor(x, path)
        elif isinstance(x, (Module, Optimizer)):
            self.attributes(x, path, None)
        elif isinstance(x, tuple(BASE_ITEM)):
            self.container(x, path)
        elif isinstance(x, (set, frozenset)):
            if not all(isinstance(item, ATOMS) for item in x):
                raise Unfit(f"can reach the set {path}, whose order is nobody's")
        elif isinstance(x, MethodType):
            self.enter(x.__self__, path)
        elif isinstance(x, functools.partial):
            self.container(x.args, f"{path}.args")
            self.container(x.keywords, f"{path}.keywords")
        elif isinstance(x, ModuleType):
            self.module(x, path)
        elif isinstance(x, type):
            self.class_(x, vars(x))
        elif isinstance(x, np.ndarray):
            raise Unfit(f"can reach the NumPy array {path}, whose values nobody watches")
        elif hasattr(type(x), "__next__"):
            raise Unfit(f"can reach the iterator {path}, which moves on")
        elif not isinstance(x, (FunctionType, Generator)) and hasattr(x, "__dict__"):
            self.attributes(x, path, None if _is_ours(type(x)) else self.names)
            self.class_(type(x), x.__dict__)

    def tensor(self, x, path):
        self.tensors[id(x)] = (x, path)
        if x._requires_grad and x._grad_fn is None:
            for name in ON_LEAVES:
                self.see(ATTRIBUTE, x, name, f"{path}.{name.lstrip('_')}")

    def container(self, x, path):
        self.sizes.append((x, len(x), path))
        if isinstance(x, dict):
            for k, key in enumerate(dict.keys(x)):
                self.see(ITEM, x, key, f"{path}[{key!r}]" if isinstance(key, ATOMS) else f"{path}[key {k}]")
                self.enter(key, path)
        else:
            for k in range(len(x)):
                self.see(ITEM, x, k, f"{path}[{k}]")

    def attributes(self, x, path, names):
        fields = x.__dict__
        if names is None:
            self.sizes.append((fields, len(fields), path))
        for name in fields:
            if names is None or name in names:
                self.see(ITEM, fields, name, f"{path}.{name}")

    def class_(self, cls, fields):
        """What a user's class itself holds, and its object reads as long as it has none of its own."""
        for base in cls.__mro__:
            if base.__module__ == "builtins" or _is_ours(base):
                continue
            for name, value in vars(base).items():
                if not name.startswith("__") and (self.names is None or name in self.names) and _is_data(value):
                    self.see(ATTRIBUTE, base, name, f"{base.__qualname__}.{name}")
                    if name not in fields:
                        self.absent.append((fields, name))

    def module(self, x, path):
        """A module of the user's own is looked into; NumPy works on values that nobody watches."""
        if x.__name__.partition(".")[0] == "numpy":
            raise Unfit(f"uses NumPy ({path})")
        file = getattr(x, "__file__", None)
        if file and not _is_ours(x) and not is_standard(file) and os.sep + "site-packages" + os.sep not in file:
            self.attributes(x, path, self.names)

    # -- one function -----------------------------------------------------------------------------
    def function(self, f):
        name = f.__qualname__
        for cell_name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            self.see(CELL, cell, None, cell_name)
        if f.__defaults__:
            self.container(f.__defaults__, f"{name}.__defaults__")
        if f.__kwdefaults__:
            self.container(f.__kwdefaults__, f"{name}.__kwdefaults__")

    def read_globals(self, codes, names_of):
        """The globals that code mentions."""
        for code, variables in codes.items():
            for name in names_of(code):
                if name in variables and not name.startswith("__"):
                    self.see(ITEM, variables, name, name)
        while self.stack:
            self.open(*self.stack.pop())


def _is_ours(x) -> bool:
    name = x.__name__ if isinstance(x, ModuleType) else x.__module__
    return name == _PACKAGE or name.startswith(_PACKAGE + ".")


def _is_data(value) -> bool:
    return not isinstance(value, (FunctionType, staticmethod, classmethod, property)) and not hasattr(value, "__get__")
