"""torch.jit, as far as a decorator that changes nothing is an honest answer.

rushlight compiles every program; there is no second language to translate functions into. What
only asks for speed returns its argument. What asks for a program apart from Python raises.
"""
from __future__ import annotations

import contextlib
from typing import Final as Final


def script(obj, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """The function, class or module itself: it is compiled as it runs."""
    return obj


def trace(func, example_inputs=None, **options):
    """The function or module itself; it is not frozen to the path of the example."""
    return func


def ignore(drop=False, **_options):
    """A decorator that changes nothing; also `@ignore` without arguments."""
    return drop if callable(drop) else lambda fn: fn


def export(fn):
    """A decorator that changes nothing."""
    return fn


unused = _overload = _overload_method = script_method = interface = export


def script_if_tracing(fn):
    """A decorator that changes nothing."""
    return fn


def is_scripting() -> bool:
    """False: the program runs as Python."""
    return False


def is_tracing() -> bool:
    """False: the program runs as Python."""
    return False


def isinstance(obj, target_type) -> bool:
    """Python's isinstance."""
    import builtins
    return builtins.isinstance(obj, target_type)


def annotate(the_type, the_value):
    """The value."""
    return the_value


@contextlib.contextmanager
def optimized_execution(should_optimize):
    """Changes nothing."""
    yield


@contextlib.contextmanager
def fuser(name):
    """Changes nothing."""
    yield


class ScriptModule:
    """Not here."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.jit.ScriptModule")


ScriptFunction = ScriptModule


def _missing(name):
    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.jit.{name}: programs apart from Python")
    refuse.__name__, refuse.__doc__ = name, "Not here."
    return refuse


save, load, freeze, fork, wait, optimize_for_inference = map(
    _missing, ("save", "load", "freeze", "fork", "wait", "optimize_for_inference"))
