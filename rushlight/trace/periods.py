"""Programs that are another graph each time: a loop over a sequence, items of a list one after the other.

What such a program leaves pending has no form that was seen before, so the passes would run each time. But it
consists of periods that have. Programs are known by the line that begins a trace. Once a line has begun graphs
of several lengths, or many graphs wired in different ways, and no graph twice, its traces are cut after few periods, and where
the backward pass begins and ends: the pieces come again. Results do not depend on where a trace is cut. Graphs of new
forms that are wired alike are no such program: their sizes coincide in other ways, as those of batches drawn at random do.
"""
from __future__ import annotations

from collections import Counter

SHORT = 32          # pending nodes after which a trace of periods is cut where one ends
LENGTHS = 3         # numbers of periods after which a line is one that grows
WIRINGS = 12        # and ways in which graphs of new forms are wired
FEWEST = 4          # periods of a graph
LINES = 512

growing: dict = {}          # lines that begin traces of periods
begun: dict = {}            # other lines -> (numbers of periods, ways in which graphs of new forms were wired)


def watch(line, steps) -> None:
    """A graph that began at this line had no known form."""
    if line in growing:
        return
    periods = max(Counter([(s.where, s.sig.prim) for s in steps]).values(), default=0)
    if periods < FEWEST:
        return
    lengths, wirings = begun.get(line, (frozenset(), frozenset()))
    lengths |= {periods}
    wirings |= {hash(tuple(map(wiring, steps)))}
    if len(lengths) >= LENGTHS or len(wirings) >= WIRINGS:
        begun.pop(line, None)
        remember(growing, line, True)
    else:
        remember(begun, line, (lengths, wirings))


def wiring(step) -> tuple:
    """What is applied to which earlier results."""
    return step.sig.prim, *[-1 if source.buffer is not None else source.index for source in step.operands[::2]]


def met_again(line) -> None:
    """A graph that began at this line was known."""
    begun.pop(line, None)


def remember(lines: dict, line, what) -> None:
    if len(lines) >= LINES:
        lines.clear()
    lines[line] = what
