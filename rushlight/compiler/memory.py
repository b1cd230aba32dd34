"""Lifetimes of slots and one arena for all that does not leave the plan."""
from __future__ import annotations

from bisect import insort

from .kernel import Call, Ref
from .lower import ARENA, Program

ALIGN = 64
SLACK = 64


def refs_of(step) -> set[int]:
    """The slots that a step touches."""
    if isinstance(step, Call):
        return {w.slot for w in step.words if isinstance(w, Ref)}
    return {o[0].slot for o in step.operands if o is not None} | {step.out.slot}


def plan_memory(program: Program):
    """Give every arena slot an offset such that slots alive at the same time do not overlap.

    First fit by decreasing size: big slots, which cost most, are placed before small ones.
    """
    slots = program.slots
    for at, step in enumerate(program.steps):
        for number in refs_of(step):
            slot = slots[number]
            if slot.target is not None:
                slot = slots[slot.target]
            slot.first = at if slot.first is None else slot.first
            slot.last = at
    placed: list = []
    total = 0
    todo = [s for s in slots if s.kind == ARENA and s.first is not None]
    for slot in sorted(todo, key=lambda s: (-s.nbytes, s.first)):
        need = -(-(slot.nbytes + SLACK) // ALIGN) * ALIGN
        slot.offset = _hole(placed, slot, need)
        insort(placed, (slot.offset, slot.offset + need, slot), key=lambda p: p[0])
        total = max(total, slot.offset + need)
    return program, total


def _hole(placed, slot, need):
    """The lowest place that is free as long as the slot lives."""
    at = 0
    for low, high, other in placed:
        if other.last < slot.first or slot.last < other.first:
            continue
        if low - at >= need:
            return at
        at = max(at, high)
    return at
