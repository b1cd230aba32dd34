"""What `compile` gives back: a callable that records a few calls and replays the others."""
from __future__ import annotations

import functools
import weakref

from .. import config
from ..errors import place as spelled_place
from ..trace.record import lock, pending
from . import recording as recordings
from .program import Program
from .recording import Recording
from .watch import Watch

PROGRAMS = 8            # kept for a function (batch sizes, modes); the least recently made goes first
CANDIDATES = 4          # recordings that wait for another one like them
TRIES = 12              # recordings in a row that did not lead to a program before recording is given up
compiled_functions: weakref.WeakSet = weakref.WeakSet()
SETTLING = 3            # calls with effects of Python after which only ordinary recording is left


class Compiled:
    """A function whose calls are replayed as native plans once two recordings have agreed.

    Calling it gives the same results, bit for bit, as calling the function. What cannot be replayed runs as
    ever; `explain` says what and where.
    """

    def __init__(self, fn, disable=False):
        functools.update_wrapper(self, fn, updated=())
        self.fn, self.is_off = fn, disable
        self.forget()
        compiled_functions.add(self)

    def forget(self) -> None:
        """Begin anew: no programs, nothing known of the function."""
        self.programs: list[Program] = []
        self.candidates: list[Recording] = []
        self.functions = [f] if (f := _function_of(self.fn)) else []
        owner = getattr(self.fn, "__self__", None if self.functions else self.fn)
        self.roots = [] if owner is None else [(owner, "self")]
        self.codes: dict = {}
        self.names: set | None = set()
        self.unstable_places, self.unstable_arguments = set(), set()
        self.calls = self.records = self.replays = self.misses = self.hopeless = 0
        self.reasons: dict = {}
        self.recording = False

    def __get__(self, instance, owner=None):
        """As a method: one compiled function for each object, kept with it."""
        if instance is None:
            return self
        name = f"_compiled_{self.fn.__name__}"
        found = instance.__dict__.get(name)
        if found is None:
            found = instance.__dict__[name] = Compiled(self.fn.__get__(instance, owner), self.is_off)
        return found

    def __call__(self, *args, **kwargs):
        self.calls += 1
        for program in self.programs:
            found = program.guard(args, kwargs)
            if found is not None:
                done, result = program.replay(*found)
                self.replays += done
                return result if done else self.fn(*args, **kwargs)
        if self.is_ordinary():
            return self.fn(*args, **kwargs)
        with lock:
            return self.record(args, kwargs)

    def is_ordinary(self) -> bool:
        """Whether this call only runs the function."""
        return (self.is_off or self.misses >= TRIES or self.hopeless >= SETTLING or config.backend.value == "reference"
                or bool(config.debug.value) or pending.capture is not None or recordings.plans.observer is not None)

    # -- recording --------------------------------------------------------------------------------
    def record(self, args, kwargs):
        self.records += 1
        known = set(self.codes)
        r = Recording(self.functions, self.roots, self.codes, self.names, args, kwargs)
        result = r.run(self.fn, self.unstable_places, self.unstable_arguments)
        news = self.learn(r.watch)
        if r.effects:
            self.note_effects(r, bool(news or set(self.codes) - known))
        elif news or self.records == 1:
            self.candidates.clear()             # what it may have read was not all guarded yet
        else:
            self.settle(r)
        return result

    def learn(self, watch: Watch) -> bool:
        """Functions and names that the call ran or used and that were not known; whether there were any."""
        functions = watch.functions(self.functions)
        names = None if watch.all_names or self.names is None else self.names | watch.names()
        news = bool(functions) or names != self.names or not watch.codes.keys() <= self.codes.keys()
        self.functions += functions
        self.codes.update(watch.codes)
        self.names = names
        return news

    def note_effects(self, r, is_new):
        for what, where in r.effects:
            self.reasons[what] = where
        self.hopeless += not is_new

    def settle(self, r):
        """A program, if an earlier recording would have done the same as this one."""
        self.hopeless = 0
        for n, program in enumerate(self.programs):
            if program.recording.disagreement(r) is None:
                self.programs[n] = Program(r, program.free | self.varied(program.recording, r))
                self.misses = 0
                return
        reason = None
        for candidate in reversed(self.candidates):
            found = candidate.disagreement(r)
            if found is None:
                return self.make_program(r, candidate)
            reason = reason or found
        if reason:
            self.misses += 1
            self.reasons[f"did not do the same twice: {reason}"] = None
        self.trace_more(r)
        self.candidates = [*self.candidates[1 - CANDIDATES:], r]

    def make_program(self, r, candidate):
        self.programs.append(Program(r, self.varied(candidate, r)))
        del self.programs[:-PROGRAMS]
        self.candidates.remove(candidate)
        self.misses, self.reasons = 0, {}

    def varied(self, before, now) -> set:
        """The traced floats that were others in an earlier recording: seen to be inputs."""
        keys = [p.id for p in now.cells] + list(now.traced_arguments)
        earlier = dict(zip([p.id for p in before.cells] + list(before.traced_arguments), before.inputs_of_tape()))
        return {k for k, v in zip(keys, now.inputs_of_tape()) if k in earlier and repr(earlier[k]) != repr(v)}

    def trace_more(self, r):
        """Floats that the call changed, or that changed since the last recording, are traced from now on."""
        self.unstable_places |= set(r.changed_floats)
        for other in [p.recording for p in self.programs] + self.candidates:
            self.unstable_places |= {k for k, v in r.floats.items() if k in other.floats and repr(other.floats[k]) != repr(v)}
            before = dict(other.arguments.floats)
            self.unstable_arguments |= {at for at, v in r.arguments.floats if at in before and repr(before[at]) != repr(v)}

    # -- looking at it ----------------------------------------------------------------------------
    def explanation(self) -> str:
        """What became of the calls so far, and why some were not replayed."""
        lines = [f"{self.__name__}: {self.calls} calls, {self.replays} replayed, {self.records} recorded"]
        for k, p in enumerate(self.programs):
            plans = [s.plan for s in p.steps]
            kernels = sum(len(plan.commands) for plan in plans)
            lines.append(f"  program {k}: {len(plans)} plans, {kernels} kernels, {len(p.touched)} tensors in, "
                         f"{len(p.free)} numbers that may vary, {p.replays} replays")
        if self.reasons:
            lines.append("  not replayed, or recorded again, because the function")
            lines += [f"    {what}{spelled_place(where)}" for what, where in self.reasons.items()]
        if self.misses >= TRIES or self.hopeless >= SETTLING:
            lines.append("  further calls run as they would without compile")
        return "\n".join(lines)


def _function_of(fn):
    """The Python function behind a callable."""
    fn = getattr(fn, "__func__", fn)
    return fn if hasattr(fn, "__code__") else None
