"""Every environment variable: name, default, allowed values, one sentence.

A flag is read as a plain attribute, `config.debug.value`; `config.debug.override(3)` is a context
manager, `config.override(debug=3, check=True)` sets several at once. docs/flags.md
is `table()`.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, contextmanager


class Flag:
    """One setting. `value` is what holds now, read once from the environment at import."""

    __slots__ = ("variable", "default", "parse", "allowed", "meaning", "value", "watchers")

    def __init__(self, variable: str, default: str, kind: tuple[Callable, str], meaning: str):
        self.variable, self.default, self.meaning = variable, default, meaning
        self.parse, self.allowed = kind
        self.watchers = []
        self.value = self.checked(os.environ.get(variable) or default)

    def checked(self, value):
        """`value` in the flag's own type; ValueError names the flag and what it allows."""
        try:
            return self.parse(str(value).strip())
        except ValueError:
            raise ValueError(f"{self.variable}={str(value)!r}: expected {self.allowed}") from None

    def set(self, value) -> None:
        """Change the value for this process and tell those who `watch` the flag."""
        self.value = self.checked(value)
        for told in self.watchers:
            told(self.value)

    @contextmanager
    def override(self, value):
        """Hold `value` inside a `with` block."""
        before = self.value
        self.set(value)
        try:
            yield self
        finally:
            self.set(before)

    def __repr__(self):
        return f"{self.variable}={self.value}"


def _integer(low: int, high: int | None = None):
    def parse(text):
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError
        return number
    return parse, f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"


def _one_of(*names: str):
    def parse(text):
        if text.lower() not in names:
            raise ValueError
        return text.lower()
    return parse, "one of " + ", ".join(names)


def _switch():
    words = {"0": False, "false": False, "off": False, "no": False,
             "1": True, "true": True, "on": True, "yes": True}

    def parse(text):
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]
    return parse, "0 or 1"


def _text(allowed: str):
    return (lambda text: "" if text == "-" else text), allowed


def _folder():
    def parse(text):
        if text == "off":
            return ""
        return default_cache_folder() if text == "auto" else os.path.abspath(
            os.path.expanduser(text))
    return parse, "a folder, auto, or off"


def default_cache_folder() -> str:
    """The user's cache folder for rushlight, "" where the user has no home."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")     # the XDG rules ignore relative paths
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")
    return os.path.join(base, "rushlight") if os.path.isabs(base) else ""


debug = Flag("RUSHLIGHT_DEBUG", "0", _integer(0, 6),
             "Verbosity: 1 flushes and plan cache, 2 kernels with times, 3 groups, 4 kernel IR, "
             "5 LLVM IR, 6 assembly.")
show = Flag("RUSHLIGHT_SHOW", "-", _text("the name of a pass, or - for none"),
            "Print the graph before and after the compiler pass of this name.")
backend = Flag("RUSHLIGHT_BACKEND", "cpu", _one_of("cpu", "reference"),
               "What runs graphs: compiled kernels, or the primitives' NumPy meanings.")
check = Flag("RUSHLIGHT_CHECK", "0", _switch(),
             "Verify every graph between passes and every LLVM module before code generation.")
cache = Flag("RUSHLIGHT_CACHE", "auto", _folder(),
             "Folder of compiled objects; auto is the user's cache folder, off keeps none.")
cache_size = Flag("RUSHLIGHT_CACHE_SIZE", "256", _integer(0),
                  "Bound of that folder in MiB; the oldest objects leave first.")
recipes = Flag("RUSHLIGHT_RECIPES", "on", _switch(),
               "Keep what the compiler made of a graph in that folder, too, for the next process.")
sized = Flag("RUSHLIGHT_SIZED", "on", _switch(),
             "Replay calls on sizes that they never had, too; off makes the first calls of each size as they are.")
threads = Flag("RUSHLIGHT_THREADS", "0", _integer(0, 1024),
               "Number of threads that run kernels; 0 is every core this process may use.")
winograd = Flag("RUSHLIGHT_WINOGRAD", "on", _switch(),
                "Let convolutions of many channels use Winograd's algorithm; off sums over taps, "
                "which is slower and more exact.")

FLAGS = {"debug": debug, "show": show, "backend": backend, "check": check, "cache": cache,
         "cache_size": cache_size, "recipes": recipes, "sized": sized, "threads": threads, "winograd": winograd}


@contextmanager
def override(**values):
    """Hold several flags at given values inside a `with` block: `override(debug=2, threads=1)`."""
    unknown = sorted(set(values) - set(FLAGS))
    if unknown:
        raise ValueError(f"no flag named {unknown[0]!r}: expected one of {', '.join(FLAGS)}")
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(FLAGS[name].override(value))
        yield


def table() -> str:
    """All flags as a Markdown table."""
    rows = ["| variable | default | allowed | what it does |", "|---|---|---|---|"]
    rows += [f"| `{f.variable}` | `{f.default}` | {f.allowed} | {f.meaning} |"
             for f in FLAGS.values()]
    return "\n".join(rows) + "\n"
