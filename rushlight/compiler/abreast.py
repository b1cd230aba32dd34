"""Small kernels that do not need each other run side by side: one call over a table of them.

A kernel over a few thousand elements is not worth the handing out to threads. Three hundred of them,
an optimiser's step over the parameters of a net or the norms of their gradients, are: as one
call whose units are kernels, with a table of (code, place of the args block, units) in front.

    update 300 elements            abreast of 2
    update 9000 elements     ->        update 300 elements
                                       update 9000 elements

Kernels stay what they are, so no bit changes, and they may run in any order because none writes to what
another one touches.
"""
from __future__ import annotations

from itertools import groupby

from .kernel import Call, Ref
from .lower import INPUT, LEAF, Program
from .schedule import GRAIN
from .sizes import larger

ENTRY = 3               # words of an entry of the table


def abreast(program: Program) -> Program:
    """Join small calls that stand next to each other, as far as they are independent."""
    steps: list = []
    for is_run, group in groupby(program.steps, is_loop_nest):
        group = list(group)
        steps += parted(group, program) if is_run and len(group) > 1 else group
    return program._replace(steps=steps)


def is_loop_nest(step) -> bool:
    """Whether a step is a loop nest that never fails."""
    return type(step) is Call and bool(step.writes)


def parted(nests, program) -> list:
    """Runs of nests that one thread would run are joined; the others stand between them."""
    steps: list = []
    for is_small, run in groupby(nests, lambda nest: nest.work <= GRAIN):
        run = list(run)
        steps += joined(run, program) if is_small else run
    return steps


def joined(run, program) -> list:
    """The calls of a run, those together that depend on as many others; as they are if no call comes of it."""
    levels = by_depth(run, program)
    if not any(pays(level) for level in levels):
        return run
    return [call for level in levels for call in ([table_of(level)] if pays(level) else level)]


def pays(calls) -> bool:
    return len(calls) > 1 and sum(c.work for c in calls) >= 2 * GRAIN


def by_depth(run, program) -> list[list[Call]]:
    """Calls by the length of the longest chain of calls before them that they must wait for."""
    levels: list[list[Call]] = []
    written: dict = {}          # memory -> depth of what may touch it after its last write
    touched: dict = {}          # memory -> the same after its last write or read
    for call in run:
        reads, writes = memories(call, program)
        depth = max([written.get(m, 0) for m in reads] + [touched.get(m, 0) for m in writes], default=0)
        for m in writes:
            written[m] = depth + 1
        for m in (*reads, *writes):
            touched[m] = max(touched.get(m, 0), depth + 1)
        if depth == len(levels):
            levels.append([])
        levels[depth].append(call)
    return levels


def memories(call, program) -> tuple[set, set]:
    """What a call reads and what it writes."""
    reads, writes = set(), set()
    for place, word in enumerate(call.words):
        if type(word) is Ref and word.slot:
            (writes if place in call.writes else reads).add(memory(word.slot, program))
    return reads, writes


def memory(number, program):
    """What tells the memory of a slot from that of others: outputs may take over that of inputs."""
    slot = program.slots[number]
    if slot.target is not None:
        return memory(slot.target, program)
    if slot.kind == INPUT:
        return "leaf", program.leaves[slot.number]
    if slot.kind == LEAF:
        return "leaf", slot.number
    return ("leaf", program.donors[number]) if number in program.donors else number


def table_of(calls) -> Call:
    """One call whose units are these calls."""
    from ..cpu.abreast import kernel
    table, blocks = [], []
    for call in calls:
        table += call.code, 8 * (ENTRY * len(calls) + len(blocks)), call.units
        blocks += call.words
    grain = larger(1, len(calls) * GRAIN // larger(1, sum(c.work for c in calls)))
    note = f"{len(calls)} side by side: {calls[0].note}"
    return Call(kernel(), (*table, *blocks), len(calls), grain, note, sum(c.flops for c in calls), sum(c.bytes for c in calls))
