"""Lifetimes of slots and one arena for all that does not leave the plan."""
from __future__ import annotations

from bisect import insort
from itertools import accumulate
from operator import itemgetter

import numpy as np

from .kernel import Call, Ref
from .lower import Program

ALIGN = 64
SLACK = 64
FEW = 400               # so many slots are searched through one by one
TIGHT = 1.02            # an arena of so many times what is alive at once is as good as can be
SMALL, LOOSE = 1 << 19, 1.3     # and of so few bytes, so many times: looking for a better one takes longer than it saves


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

    First fit, in several orders where that is quick, until one needs hardly more than what is alive at once.
    """
    arena = [(slot, first, last, -(-(nbytes[slot] + SLACK) // ALIGN) * ALIGN) for slot, first, last in arena]
    if len(arena) > FEW:
        return first_fit(sorted(arena, key=ORDERS[0]))
    alive, found = most_alive(arena), None
    enough = alive * (TIGHT if alive > SMALL else LOOSE)
    for order in ORDERS:
        tried = first_fit(sorted(arena, key=order))
        found = tried if found is None or tried[1] < found[1] else found
        if found[1] <= enough:
            break
    return found


ORDERS = (                          # of (slot, first, last, bytes): what is hard to place, first
    lambda s: (-s[3], s[1]),
    lambda s: (-s[3] * (s[2] - s[1] + 1), s[1]),
    lambda s: (-s[3], -s[2]),
    lambda s: (-s[3]**2 * (s[2] - s[1] + 1), s[1]),
    lambda s: (s[1] - s[2], -s[3]))


def most_alive(arena) -> int:
    """The most bytes that are alive at a step."""
    change: dict = {}
    for _, first, last, need in arena:
        change[first] = change.get(first, 0) + need
        change[last + 1] = change.get(last + 1, 0) - need
    return max(accumulate(change[at] for at in sorted(change)), default=0)


def first_fit(arena) -> tuple[dict[int, int], int]:
    """Each slot at the lowest place that is free as long as it lives, in this order."""
    placed = Few() if len(arena) <= FEW else Many(len(arena))
    offsets: dict = {}
    total = 0
    for slot, first, last, need in arena:
        at = offsets[slot] = placed.hole(first, last, need)
        placed.add(at, at + need, first, last)
        total = max(total, at + need)
    return offsets, total


class Few:
    """Places that are taken, with the first and last step: lowest first."""

    def __init__(self):
        self.taken: list = []

    def add(self, *place) -> None:
        insort(self.taken, place, key=itemgetter(0))

    def hole(self, first, last, need) -> int:
        """The lowest place that is free from the first to the last step."""
        at = 0
        for low, high, begin, end in self.taken:
            if end < first or last < begin:
                continue
            if low - at >= need:
                return at
            if high > at:
                at = high
        return at


class Many:
    """The same in arrays, which is quicker for some hundreds."""

    def __init__(self, most):
        self.taken, self.count = np.empty((4, most + 1), np.int64), 0

    def add(self, *place) -> None:
        self.taken[:, self.count] = place
        self.count += 1

    def hole(self, first, last, need) -> int:
        _, _, begin, end = taken = self.taken[:, :self.count]
        lows, highs = taken[:2, (begin <= last) & (end >= first)]
        order = lows.argsort()
        tops = np.maximum.accumulate(highs[order])
        fits = lows[order[1:]] - tops[:-1] >= need
        if not len(order) or lows[order[0]] >= need:
            return 0
        at = fits.argmax() if len(fits) else 0
        return int(tops[at] if len(fits) and fits[at] else tops[-1])
