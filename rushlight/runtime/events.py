"""What happened when: ranges, plans and kernels with their times, for torch.profiler.

While nobody profiles, `session` is None and plans look at `compiler.plan.watcher`, which is None too, once for each
native segment: recording an operation costs nothing more. A session runs the kernels of a plan one by
one under a clock, which changes no bit of a result.

Work runs late, so a range ends what was recorded before it at its beginning, and what was recorded in it at its
end: its time is that of its own work.
"""
from __future__ import annotations

import re
import threading
from collections import Counter
from time import perf_counter_ns
from typing import NamedTuple

from ..compiler import plan as planning
from ..trace import record
from ..trace.flush import flush
from ..trace.record import pending
from . import memory
from .profile import commands, span

COMMAND_BYTES = 32
SIZES = re.compile(r" (\d+(?:x\d+)*)(?=[ :]|$)")
session = None          # the one that is recording


class Event(NamedTuple):
    """Something with a name; times in nanoseconds. `kind`: range, plan, kernel or operation.

    Operations are recorded and fused, so only their number is known, no time of their own.
    """
    name: str
    kind: str
    start: int
    end: int
    thread: int
    shapes: object = ()
    flops: int = 0
    memory: int = 0         # bytes that stayed allocated, less those that were given back
    stack: tuple = ()
    count: int = 1


class Session:
    """Collects events from `start` to `stop`; the plans' watcher meanwhile."""

    def __init__(self):
        self.events: list[Event] = []
        self.calls: dict = {}           # plan -> its native calls in order
        self.steps: dict = {}           # optimiser -> the range of its step
        self.is_flushing = False        # under the lock of recording

    def start(self) -> None:
        """RuntimeError if another session is recording."""
        global session
        if session is not None:
            raise RuntimeError("Profiler is already enabled on this thread")
        settle()
        from ..optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
        self.hooks = [register_optimizer_step_pre_hook(self.step_begins), register_optimizer_step_post_hook(self.step_ends)]
        self.begun = perf_counter_ns()
        with record.lock:
            session = planning.watcher = self

    def stop(self) -> None:
        global session
        settle()
        for hook in self.hooks:
            hook.remove()
        self.ended = perf_counter_ns()
        with record.lock:           # another thread may be in the middle of a plan
            session = planning.watcher = None
        self.calls.clear()
        self.steps.clear()

    def add(self, name, kind, start, **more) -> None:
        self.events.append(Event(name, kind, start, perf_counter_ns(), threading.get_ident(), **more))

    def step_begins(self, optimizer, args, kwargs) -> None:
        self.steps[optimizer] = Range(f"Optimizer.step#{type(optimizer).__name__}.step")

    def step_ends(self, optimizer, args, kwargs) -> None:
        if optimizer in self.steps:
            self.steps.pop(optimizer).end()

    # -- what plans tell -----------------------------------------------------------------------------
    def flush(self, run, work) -> None:
        """Run a flush and count its operations."""
        nodes, d = work
        counted, where = operations(d), span(nodes)
        start, before = perf_counter_ns(), memory.statistics().live
        self.is_flushing = True
        try:
            run(work)
        finally:
            self.is_flushing = False
        self.add("run a plan", "plan", start, memory=memory.statistics().live - before, stack=(where,))
        self.tell(counted, start, where)

    def tell(self, counted, start, where) -> None:
        self.events += [Event(name, "operation", start, start, threading.get_ident(), shapes, 0, kept, (where,), n)
                        for (name, shapes), (n, kept) in counted.items()]

    def compile(self, make, *args):
        start = perf_counter_ns()
        plan = make(*args)
        self.add("compile a plan", "plan", start)
        return plan

    def segment(self, plan, segment, bases, d) -> None:
        """Run the commands of a segment one by one; outside of a flush it is replayed (replay/program.py)."""
        if self.is_flushing:
            return self.walk(plan, segment, bases, d)
        start = perf_counter_ns()
        self.walk(plan, segment, bases, d)
        where = span(d.nodes)
        self.add("replay a plan", "plan", start, stack=(where,))
        if segment is plan.segments[0]:
            self.tell(operations(d), start, where)

    def walk(self, plan, segment, bases, d) -> None:
        if not isinstance(segment, list):
            return self.kernel(segment, plan, segment, bases, d)
        calls = self.calls.get(plan)
        if calls is None:
            calls = self.calls[plan] = [s for s in plan.recipe.steps if hasattr(s, "units")]
        first = plan.commands.__array_interface__["data"][0]
        for part in commands(segment):
            self.kernel(calls[(part[0] - first) // COMMAND_BYTES], plan, part, bases, d)

    def kernel(self, step, plan, part, bases, d) -> None:
        start = perf_counter_ns()
        plan.run_segment(part, bases, d, watched=False)
        end = perf_counter_ns()
        name, shapes = named(step.note)
        told = ((), 0) if plan.recipe.formula is not None else (shapes, getattr(step, "flops", 0))
        self.events.append(Event(name, "kernel", start, end, threading.get_ident(), *told))


def named(note: str) -> tuple:
    """A kernel's name without its sizes, and these: a recipe tells those of its first plan in all others' notes, too."""
    found = SIZES.search(note)
    return (note, ()) if found is None else (note[:found.start()] + note[found.end():], [int(n) for n in found[1].split("x")])


def operations(d) -> dict:
    """(primitive, its operands' shapes) -> (how often it is applied, bytes of its results that others still see)."""
    counts, kept = Counter(), Counter()
    outputs = set(d.outputs)
    for node in d.nodes:
        sigs = [s for s, _, _ in node.sig.steps] if node.sig.prim is None else [node.sig]
        names = [(s.prim.name, tuple(tuple(v.shape) for v in s.layouts if v is not None)) for s in sigs]
        counts.update(names)
        if node in outputs:
            kept[names[-1]] += node.sig.numel * node.sig.dtype.itemsize
    return {name: (n, kept[name]) for name, n in counts.items()}


def settle() -> None:
    """Run what is pending, unless it belongs to a function that is being traced."""
    if pending.nodes and pending.capture is None:
        flush()


class Range:
    """A named stretch of the program, from its making to `end()`; nothing while nobody records."""

    __slots__ = ("name", "start", "before", "session")

    def __init__(self, name: str):
        self.name, self.session = name, session
        if session is not None:
            settle()
            self.start, self.before = perf_counter_ns(), memory.statistics().live

    def end(self) -> None:
        """Not told if the session ended or another one began meanwhile."""
        if self.session is not None and self.session is session:
            settle()
            session.add(self.name, "range", self.start, memory=memory.statistics().live - self.before)
