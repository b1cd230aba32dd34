"""Lifetimes of slots and one arena for all that does not leave the plan."""
from __future__ import annotations

from bisect import insort
from operator import itemgetter

from .kernel import Call, Ref
from .lower import Program

ALIGN = 64
SLACK = 64


def refs_of(step) -> set[int]:
    """The slots that a step touches."""
    if isinstance(step, Call):
        return {w.slot for w in step.words if type(w) is Ref}
    return {ref.slot for ref in (step.out, *step.operands) if ref is not None}


def lifetimes(program: Program) -> Program:
    """Tell each slot the first and the last step that touches it."""
    slots = program.slots
    for at, step in enumerate(program.steps):
        for number in refs_of(step):
            slot = slots[number]
            if slot.target is not None:
                slot = slots[slot.target]
            slot.first = at if slot.first is None else slot.first
            slot.last = at
    return program


def lay_out(arena, nbytes) -> tuple[dict[int, int], int]:
    """Offsets for (slot, first step, last step) such that slots alive at the same time do not overlap.

    First fit by decreasing size: big slots, which cost most, are placed before small ones.
    """
    placed: list = []
    offsets: dict = {}
    total = 0
    for slot, first, last in sorted(arena, key=lambda s: (-nbytes[s[0]], s[1])):
        need = -(-(nbytes[slot] + SLACK) // ALIGN) * ALIGN
        at = offsets[slot] = _hole(placed, first, last, need)
        insort(placed, (at, at + need, first, last), key=itemgetter(0))
        total = max(total, at + need)
    return offsets, total


def _hole(placed, first, last, need) -> int:
    """The lowest place that is free as long as the slot lives."""
    at = 0
    for low, high, begin, end in placed:
        if end < first or last < begin:
            continue
        if low - at >= need:
            return at
        if high > at:
            at = high
    return at
