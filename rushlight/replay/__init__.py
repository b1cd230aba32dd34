"""`compile`: whole calls of a function replayed as native plans, without the Python that recorded them.

Without it every call is recorded anew and meets the plans of the last one; with it the function
itself is left out once two recordings have agreed in all that they read and did. Nothing is assumed of
the function: what it may have read is guarded (watch.py, world.py, guard.py), what a replay could not
do again keeps it from being replayed (recording.py). Floats that change are inputs (traced.py).
"""
from __future__ import annotations

from .compiled import Compiled
from .module import OptimizedModule

__all__ = ["compile", "explain", "Compiled", "OptimizedModule"]


def compile(model, disable=False):
    """A callable like `model`, a function or Module, that replays what it did."""
    from ..nn.modules.module import Module
    if isinstance(model, Module):
        return OptimizedModule(model, disable)
    if isinstance(model, Compiled):
        return model
    if not callable(model):
        raise TypeError(f"compile(): expected a callable, but found {type(model).__name__}")
    return Compiled(model, disable)


def explain(fn) -> str:
    """How the calls of a compiled function or Module ran: programs, replays, and reasons against them.

    Raises TypeError for what `compile` did not give.
    """
    compiled = getattr(fn, "_compiled_call", fn)
    if not isinstance(compiled, Compiled):
        raise TypeError(f"explain(): expected what rushlight.compile gave, but found {type(fn).__name__}")
    return compiled.explanation()
