"""Profiling a block: what ran in it, how often, and how long it took.

    with torch.autograd.profiler.profile() as prof:
        with record_function("forward"):
            loss = model(x).sum()
    print(prof.key_averages().table(sort_by="self_cpu_time_total"))

Rows are ranges (`record_function`, steps of optimisers), plans (run or compiled), kernels, and the operations
that these compute. Kernels run one by one under a clock; no result changes by a bit. What nobody needs is
never run, so it is not there.
"""
from __future__ import annotations

from contextlib import ContextDecorator
from functools import wraps

from ..runtime import events
from .profiler_util import EventList as EventList
from .profiler_util import FunctionEvent as FunctionEvent
from .profiler_util import make_event_list


class record_function(ContextDecorator):
    """Give a block, or a decorated function, a name in profiles.

    Work that was recorded before runs before it, and its own work runs within, but only while a
    profile is taken: otherwise nothing happens. Replays of compiled functions leave it out.
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self.open: list = []

    def __enter__(self) -> record_function:
        self.open.append(events.Range(self.name))
        return self

    def __exit__(self, *_) -> None:
        self.open.pop().end()

    def __call__(self, fn):
        @wraps(fn)
        def named(*args, **kwargs):
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)
        return named


class profile:
    """A profile of a block; see the module.

    Args:
        enabled: whether anything is recorded at all.
        record_shapes: keep shapes of operands, so that rows can be told apart by them.
        with_flops: show the operations that products and other kernels count.
        profile_memory: show bytes that stayed allocated.
        with_stack: show the lines of the program from which a plan's work comes.

    The other arguments of PyTorch's are accepted; there is no device but the CPU.
    """

    def __init__(self, enabled=True, *, use_cuda=False, use_device=None, record_shapes=False, with_flops=False,
                 profile_memory=False, with_stack=False, with_modules=False, use_kineto=False, use_cpu=True,
                 experimental_config=None, acc_events=False, custom_trace_id_callback=None,
                 post_processing_timeout_s=None, activity_filters=None):
        self.enabled, self.use_device = enabled, use_device
        self.record_shapes, self.with_flops = record_shapes, with_flops
        self.profile_memory, self.with_stack = profile_memory, with_stack
        self.session, self.function_events = None, None

    def __enter__(self) -> profile:
        if self.enabled:
            if self.session is not None:
                raise RuntimeError("Profiler context manager is not reentrant")
            self.session = events.Session()
            self.session.start()
        return self

    def __exit__(self, *_) -> None:
        if self.enabled:
            self.session.stop()
            self.function_events = self.made()

    def made(self) -> EventList:
        told = [e._replace(shapes=e.shapes if self.record_shapes else (), stack=e.stack if self.with_stack else ())
                for e in self.session.events]
        return make_event_list(told, self.session.begun, has_memory=self.profile_memory, has_flops=self.with_flops)

    def finished(self) -> EventList:
        if self.function_events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self.function_events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False) -> EventList:
        """One row for all events of a name."""
        return self.finished().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def table(self, *args, **kwargs) -> str:
        """All events in order; see `EventList.table`."""
        return self.finished().table(*args, **kwargs)

    def total_average(self):
        """One row for everything."""
        return self.finished().total_average()

    def export_chrome_trace(self, path) -> None:
        """Write a trace for chrome://tracing."""
        self.finished().export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        raise NotImplementedError("profiler.export_stacks: kernels join work of many lines")

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds that somebody was at work."""
        return self.finished().self_cpu_time_total

    def __str__(self):
        return "<unfinished torch.autograd.profile>" if self.function_events is None else str(self.function_events)

    __repr__ = __str__


class emit_nvtx:
    """Ranges for NVIDIA's tools: there is no such device."""

    def __init__(self, enabled=True, record_shapes=False):
        raise NotImplementedError("autograd.profiler.emit_nvtx")


class emit_itt:
    """Ranges for Intel's tools."""

    def __init__(self, enabled=True, record_shapes=False):
        raise NotImplementedError("autograd.profiler.emit_itt")
