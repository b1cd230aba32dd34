"""Recipes on disk: what the passes made of a graph, for the next process.

A recipe follows from the form of a graph, its sizes, the CPU, the settings and the source of the compiler,
so these are its name. It is kept beside the machine code that it calls (cache.py), which it names by key.
One that was traced holds for a range of sizes: those of a family are numbered.
"""
from __future__ import annotations

import os
import pickle
import sys
import zlib
from functools import cache
from hashlib import blake2b

from .. import config
from ..dtypes import dtype
from ..layout import Layout
from ..prims.table import PRIMITIVES
from ..trace.form import SIZES
from ..trace.likeness import numbered
from . import cache as objects

VERSION = "2"               # raise it when a recipe is kept in another form
SOURCES = ("compiler", "cpu", "prims", "runtime", "trace", "layout.py", "dtypes.py")
PLAIN = (int, float, bool, str, type(None), dtype)


class Shelf:
    """The recipes of one family; None is found, and nothing kept, where there is no folder for them."""

    def __init__(self, sketch, form):
        self.name = name_of(sketch, form) if config.recipes.value and config.cache.value else None
        self.ranges = 0         # how many are kept that hold for ranges of sizes

    def for_ranges(self):
        """Recipes that were traced, in the order in which they were."""
        while recipe := self.load(f"range {self.ranges}"):
            self.ranges += 1
            yield recipe

    def keep_for_range(self, recipe) -> None:
        self.store(f"range {self.ranges}", recipe)
        self.ranges += 1

    def load(self, which: str):
        """A recipe whose machine code is there, too."""
        if self.name is None:
            return None
        content = objects.load(self.key(which))
        if content is None:
            return None
        try:
            recipe = pickle.loads(zlib.decompress(content))
        except Exception:           # of another version of something: it is made anew
            return None
        return recipe if recipe.link() else None

    def store(self, which: str, recipe) -> None:
        if self.name is not None:
            objects.store(self.key(which), zlib.compress(pickle.dumps(recipe, pickle.HIGHEST_PROTOCOL), 1))

    def key(self, which: str) -> str:
        return objects.make_key("recipe", *surroundings(), self.name, which)


class Unnamed(Exception):
    """A parameter that has no name which another process would give it, too."""


def name_of(sketch, form) -> str | None:
    """The sketch of a form by names that mean the same in every process."""
    try:
        names = [repr(named(sig)) for sig in form.signatures]
    except Unnamed:
        return None
    kinds = numbered(names[k] for k in sketch.likeness.signatures)
    digest = blake2b(digest_size=20)
    for part in (list(dict.fromkeys(names)), kinds, sketch.wiring, sketch.donated):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def named(sig) -> tuple:
    if PRIMITIVES.get(sig.prim.name) is not sig.prim:
        raise Unnamed
    dtypes = [d and d.name for d in sig.dtypes]
    axes = [l and l.ndim for l in (*sig.layouts, sig.out, *layouts_of(sig))]
    return sig.prim.name, dtypes, axes, sig.dtype.name, [(name, told(name, value)) for name, value in sig.params.items()]


def layouts_of(sig) -> list:
    return [value for value in sig.params.values() if isinstance(value, Layout)]


def told(name, value):
    """A parameter without its sizes."""
    if isinstance(value, Layout):
        return "layout"
    if name in SIZES:
        return len(value) if isinstance(value, (tuple, list)) else 1
    if type(value) in (tuple, list):
        return [told("", v) for v in value]
    if type(value) is dtype:
        return "dtype", value.name
    if type(value) not in PLAIN:
        raise Unnamed
    return type(value).__name__, value


def surroundings() -> tuple[str, ...]:
    """What a recipe depends on besides its graph; some passes ask for the number of threads."""
    from ..cpu import jit
    from ..runtime.threads import get_num_threads
    return (*jit.machine(), sources(), str(config.winograd.value), str(get_num_threads()))


@cache
def sources() -> str:
    """Which compiler this is, by the dates and sizes of its files."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    told = [VERSION, sys.version]
    for place in SOURCES:
        path = os.path.join(root, place)
        for entry in sorted(os.scandir(path), key=lambda e: e.name) if os.path.isdir(path) else ():
            if entry.name.endswith(".py"):
                told.append((entry.name, *dated(entry.path)))
        if os.path.isfile(path):
            told.append((place, *dated(path)))
    return repr((root, told))


def dated(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size
