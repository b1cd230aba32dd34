"""Programs that are another graph each time: a loop over a sequence, items of a list one after the other.

What such a program leaves pending has no form that was seen before, so the passes would run each time. But it
consists of periods that have. Programs are known by the line that begins a trace. Once a line has begun graphs
of several lengths, or many graphs wired in different ways, and no graph twice, its traces are cut after few periods, and where
the backward pass begins and ends: the pieces come again. Where they do not, because what is repeated is a tree or
has branches, they are made shorter. Results do not depend on where a trace is cut. Graphs of new
forms that are wired alike are no such program: their sizes coincide in other ways, as those of batches drawn at random do.
Several models that one function trains in turn are none either: between two new graphs of a line many come again that
are as long, and a line whose turns are cut into the same pieces again and again is left alone from then on.
"""
from __future__ import annotations

from collections import Counter, deque

SHORT = 32          # pending nodes after which a trace of periods is cut where one ends
LENGTHS = 3         # numbers of periods after which a line is one that grows
WIRINGS = 12        # and ways in which graphs of new forms are wired
FEWEST = 4          # periods of a graph
LINES = 512

PIECES = 12         # of which many are new: then they are to be shorter
SHORTEST = 3

SETTLED = 8         # known graphs about as long as a line's shortest, after which what it began before does not count
SEQUENCES = 4       # of pieces that a turn may be cut into
LONGEST = 1024      # pieces of a turn that is compared
STEADY = 16         # turns that were cut as one of those before, after which a line does not grow; each time twice as many

growing: dict = {}          # lines that begin traces of periods -> their pieces
begun: dict = {}            # other lines -> (numbers of periods, wirings of graphs of new forms, nodes of the shortest,
                            # known graphs until then that were as long)
steady: dict = {}           # lines that were found not to grow -> turns that it takes to find so again
known_graphs = [0] * 64     # by bits of their number of nodes


class Pieces:
    """How long the pieces of a trace are, and how many of the latest were of new forms."""

    __slots__ = ("limit", "new", "known", "turn", "turns", "alike")

    def __init__(self):
        self.limit, self.new, self.known = SHORT, 0, 0
        self.turn, self.turns, self.alike = [], deque(maxlen=SEQUENCES), 0      # plans of this turn, and of those before

    def run(self, plan) -> None:
        """A piece of this turn was run."""
        if len(self.turn) < LONGEST:
            self.turn.append(id(plan))

    def turns_alike(self) -> int:
        """How many turns in sequence were cut as one of those before; a new one begins."""
        turn, self.turn = tuple(self.turn), []
        if turn in self.turns and len(turn) < LONGEST:
            self.alike += 1
        elif turn:
            self.turns.append(turn)
            self.alike = 0
        return self.alike

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
    lengths, wirings, shortest, known = begun.get(line, (frozenset(), frozenset(), n, 0))
    if known_as_long(shortest) - known >= SETTLED:
        lengths = wirings = frozenset()
    lengths |= {periods}
    wirings |= {hash(tuple(map(wiring, steps)))}
    if len(lengths) >= LENGTHS or len(wirings) >= WIRINGS:
        begun.pop(line, None)
        remember(growing, line, Pieces())
    else:
        shortest = min(n, shortest)
        remember(begun, line, (lengths, wirings, shortest, known_as_long(shortest)))


def known_as_long(n: int) -> int:
    """How many known graphs there were that are not much shorter than n nodes."""
    return sum(known_graphs[max(n.bit_length() - 2, 0):])


def pieces_of(line):
    """How a trace is cut that begins at a line now; None: it is not."""
    pieces = growing.get(line)
    if pieces is not None and pieces.turns_alike() >= (turns := steady.get(line, STEADY)):
        del growing[line]
        remember(steady, line, 2 * turns)
        return None
    return pieces


def wiring(step) -> tuple:
    """What is applied to which earlier results."""
    return step.sig.prim, *[-1 if source.buffer is not None else source.index for source in step.operands[::2]]


def met_again(line, pieces, n: int, plan) -> None:
    """A graph of n nodes that began at this line was known; a short one may be a part of each turn of a loop."""
    known_graphs[n.bit_length()] += 1
    seen = begun.get(line)
    if seen is not None and n >= seen[2]:
        del begun[line]
    if pieces is not None:
        pieces.met(False, n)
        pieces.run(plan)


def remember(lines: dict, line, what) -> None:
    if len(lines) >= LINES:
        lines.clear()
    lines[line] = what
