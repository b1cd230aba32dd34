"""What every table of the sweep is made of: a case, and how one call is run and compared in both libraries."""
from __future__ import annotations

from typing import NamedTuple

import torch

import rushlight

from .frozen import Thawed, Unsupported
from .seen import TOLERANCE, Difference, Raised, Rules, differences, nearer, observe
from .translate import Internal, Lacking


class Case(NamedTuple):
    """One call in both libraries."""
    op: str
    variant: str
    dtype: str
    number: int
    text: str


class Left(NamedTuple):
    """A case that was not compared, and why."""
    reason: str


HALVES_AND_SINGLE = ("float16", "bfloat16", "float32")


def rules(dtype, values=True):
    return Rules(TOLERANCE.get(dtype, TOLERANCE["float32"]), values)


def compare(call, frozen, dtype, order=0, values=True, process=None):
    """Differences of `call(T)(*args)` on one sample, or why there is no comparison.

    Where values of low precision differ, the same call in float64 decides: it is no difference to be as near to it.
    """
    def run(T, wide=None):
        made = call(T)
        thawed = Thawed(T, frozen, wide)
        return observe(T, lambda *a, **k: made(thawed, *a, **k), thawed, order, process and process(T))
    try:
        theirs, ours = run(torch), run(rushlight)
    except (Unsupported, Internal) as error:
        return Left(f"{type(error).__name__.lower()}: {error}")
    except Lacking as error:
        return [Difference("lacking", str(error))]
    found = differences(ours, theirs, rules(dtype, values))
    doubtful = {"value", "grad", "grad2"}
    if dtype in HALVES_AND_SINGLE and any(d.kind in doubtful for d in found):
        wide = _wide(run)
        found = [d for d in found if d.kind not in doubtful or not _as_near(d.kind, ours, theirs, wide, dtype)]
    return found


def _wide(run):
    try:
        return run(torch, HALVES_AND_SINGLE)
    except Exception:
        return {}


def _as_near(kind, ours, theirs, wide, dtype):
    key = "out" if kind == "value" else kind
    known = wide.get(key)
    return known is not None and not isinstance(known, Raised) and nearer(ours[key], theirs[key], known, TOLERANCE[dtype])
