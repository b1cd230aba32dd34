"""Kernels side by side: a unit is one kernel of a table, run from its first unit to its last."""
from __future__ import annotations

from functools import cache

from ..compiler.kernel import Code
from .emit import Function

ENTRY_BYTES = 24        # address of the kernel, where its args block begins in this one's, its units


@cache
def kernel() -> Code:
    """The kernel that runs kernels."""
    f = Function("abreast")
    with f.loop(f.lo, f.hi) as loop:
        at = f.at(f.args, "i8", f.mul(loop.index, ENTRY_BYTES))
        code, place, units = (f.load(kind, f.at(at, "i8", 8 * k)) for k, kind in enumerate(("ptr", "i64", "i64")))
        f.line(f"call void {code}({f.at(f.args, 'i8', place).typed}, i64 0, {units.typed})")
    return f.code()
