"""A stretch of the tape: what was taped since a moment, pulled on its own.

The transforms differentiate what one call of a function has taped and nothing before it. So a
stretch ends where the tape leads to leaves or to what is older; there the gradients are
handed out instead of being sent on.
"""
from __future__ import annotations

import heapq

from ..autograd.engine import add_gradient, step
from ..autograd.grad_mode import mode
from ..autograd.node import AccumulateGrad, count, accumulator, grad_fn_of
from ..trace import record

moment = count         # a number larger than that of everything taped so far
NEVER = 1 << 60


def place(x) -> tuple:
    """Where the gradient of a tracked tensor arrives: (function, output number)."""
    return grad_fn_of(x) or accumulator(x), x._output_nr


class Stretch:
    """The functions taped since `start` that `tensors` lead to, and the places where they end.

    `ends` maps (function, output number) to the edge that leads there: leaves, what is older than
    `start`, and the functions in `stops`.
    """

    def __init__(self, tensors, start: int, stops=()):
        self.start, self.stops = start, frozenset(stops)
        self.counts: dict = {}
        self.ends: dict = {}
        for x in tensors:
            self._reach((*place(x), x.layout, x.dtype))

    def _reach(self, edge):
        stack = [edge]
        while stack:
            edge = stack.pop()
            fn = edge[0]
            if type(fn) is AccumulateGrad or fn.seq < self.start or fn in self.stops:
                self.ends.setdefault(edge[:2], edge)
                self.counts[fn] = NEVER
            elif fn not in self.counts:
                self.counts[fn] = 0
                stack.extend(e for e in fn.edges if e is not None)

    def leads_beyond(self, own) -> bool:
        """Whether it ends anywhere but at the functions in `own`."""
        return any(fn not in own for fn, _ in self.ends)

    def pull(self, seeds: dict, wanted, create_graph: bool) -> list:
        """Gradients at the places in `wanted`, None where none arrives, from those in `seeds`."""
        arrived: dict = {}
        keep = self._leading_to({fn for fn, _ in wanted})
        before, line = mode.enabled, mode.line
        mode.enabled = create_graph
        try:
            for (fn, nr), g in seeds.items():
                add_gradient(arrived, fn, nr, g)
            self._run(arrived, keep, create_graph)
        finally:
            mode.enabled, mode.line = before, line
            record.set_line(line)
        return [arrived[fn][nr] if fn in arrived else None for fn, nr in wanted]

    def _leading_to(self, keep):
        """Functions from which a wanted one is reached; edges lead to what was taped earlier."""
        for fn in sorted((f for f, n in self.counts.items() if n is not NEVER), key=lambda f: f.seq):
            if any(e is not None and e[0] in keep for e in fn.edges):
                keep.add(fn)
        return keep

    def _run(self, arrived, keep, create_graph):
        counts = self._edges_from(arrived)
        heap = [(-fn.seq, id(fn), fn) for fn in arrived if not counts[fn]]
        heapq.heapify(heap)
        while heap:
            fn = heapq.heappop(heap)[2]
            grads = tuple(arrived.pop(fn, None) or [None] * fn.outputs)
            step(fn, grads, arrived, counts, heap, keep, {}, True, create_graph)

    def _edges_from(self, roots) -> dict:
        """How many edges lead to each function that these reach."""
        counts = {fn: NEVER if self.counts[fn] is NEVER else 0 for fn in roots}
        stack = [fn for fn, n in counts.items() if n is not NEVER]
        while stack:
            for e in stack.pop().edges:
                if e is None:
                    continue
                fn = e[0]
                if fn not in counts:
                    counts[fn] = NEVER if self.counts[fn] is NEVER else 0
                    if counts[fn] is not NEVER:
                        stack.append(fn)
                if counts[fn] is not NEVER:
                    counts[fn] += 1
        return counts
