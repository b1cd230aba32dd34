"""Programs that are another graph each time: a loop over a sequence, items of a list one after the other.

What such a program leaves pending has no form that was seen before, so the passes would run each time. But it
consists of periods that have. Programs are known by the line that begins a trace. Once a line has begun graphs
of several lengths, or many graphs wired in different ways, and no graph twice, its traces are cut after few periods, and where
the backward pass begins and ends: the pieces come again. Where they do not, because what is repeated is a tree or
has branches, they are made shorter. Results do not depend on where a trace is cut. Graphs of new
forms that are wired alike are no such program: their sizes coincide in other ways, as those of batches drawn at random do.
"""
from __future__ import annotations

from collections import Counter

SHORT = 32          # pending nodes after which a trace of periods is cut where one ends
LENGTHS = 3         # numbers of periods after which a line is one that grows
WIRINGS = 12        # and ways in which graphs of new forms are wired
FEWEST = 4          # periods of a graph
LINES = 512

PIECES = 12         # of which many are new: then they are to be shorter
SHORTEST = 3

growing: dict = {}          # lines that begin traces of periods -> their pieces
begun: dict = {}            # other lines -> (numbers of periods, wirings of graphs of new forms, nodes of the shortest)


class Pieces:
    """How long the pieces of a trace are, and how many of the latest were of new forms."""

    __slots__ = ("limit", "new", "known")

    def __init__(self):
        self.limit, self.new, self.known = SHORT, 0, 0

    def met(self, is_new: bool, n: int) -> None:
        """A piece of n nodes; what something else cut off before its end does not count."""
        if n < self.limit // 2:
            return
        self.new, self.known = self.new + is_new, self.known + (not is_new)
        if self.new + self.known >= PIECES:
            if 3 * self.new > self.known:
                self.limit = max(self.limit // 2, SHORTEST)
            self.new = self.known = 0


def watch(line, pieces, steps, n: int) -> None:
    """A graph of n nodes that began at this line had no known form."""
    if pieces is not None:
        pieces.met(True, n)
    if pieces is not None or line in growing:
        return
    periods = max(Counter([(s.where, s.sig.prim) for s in steps]).values(), default=0)
    if periods < FEWEST:
        return
    lengths, wirings, shortest = begun.get(line, (frozenset(), frozenset(), n))
    lengths |= {periods}
    wirings |= {hash(tuple(map(wiring, steps)))}
    if len(lengths) >= LENGTHS or len(wirings) >= WIRINGS:
        begun.pop(line, None)
        remember(growing, line, Pieces())
    else:
        remember(begun, line, (lengths, wirings, min(n, shortest)))


def wiring(step) -> tuple:
    """What is applied to which earlier results."""
    return step.sig.prim, *[-1 if source.buffer is not None else source.index for source in step.operands[::2]]


def met_again(line, pieces, n: int) -> None:
    """A graph of n nodes that began at this line was known; a short one may be a part of each turn of a loop."""
    seen = begun.get(line)
    if seen is not None and n >= seen[2]:
        del begun[line]
    if pieces is not None:
        pieces.met(False, n)


def remember(lines: dict, line, what) -> None:
    if len(lines) >= LINES:
        lines.clear()
    lines[line] = what
