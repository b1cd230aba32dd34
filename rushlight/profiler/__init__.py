"""torch.profiler: profiles of chosen steps of a program.

    with profile(schedule=schedule(wait=1, warmup=1, active=3), on_trace_ready=tensorboard_trace_handler("runs/x")) as prof:
        for batch in loader:
            train(batch)
            prof.step()
    print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
"""
from __future__ import annotations

import enum
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable

from ..autograd import profiler as profiler
from ..autograd.profiler import record_function as record_function


class ProfilerActivity(enum.Enum):
    """What is looked at; everything runs on the CPU."""
    CPU, XPU, MTIA, CUDA, HPU, PrivateUse1 = range(6)


class ProfilerAction(enum.Enum):
    """What is done in a step."""
    NONE, WARMUP, RECORD, RECORD_AND_SAVE, DEVICE_STOPPED = range(5)


NONE, WARMUP, RECORD, RECORD_AND_SAVE, _ = ProfilerAction
RECORDING = (RECORD, RECORD_AND_SAVE)


def supported_activities() -> set:
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """False: profiles are taken by the library itself."""
    return False


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """What to do in which step: skip `skip_first`, then `wait`, `warmup` and record `active` steps, again and again.

    repeat: how many times; 0 is for ever. skip_first_wait: leave the first wait out if it is not 0.
    """
    if min(wait, warmup, active, repeat, skip_first) < 0 or active == 0:
        raise AssertionError("Invalid profiler schedule arguments")
    if not warmup:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results")
    period = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        step -= skip_first
        if step < 0:
            return NONE
        if skip_first_wait:
            step += wait
        turn, at = divmod(step, period)
        if repeat and turn >= repeat or at < wait:
            return NONE
        if at < wait + warmup:
            return WARMUP
        return RECORD_AND_SAVE if at == period - 1 else RECORD
    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False,
                              use_python_export: bool = False) -> Callable:
    """For `on_trace_ready`: a Chrome trace for each profile in a folder, named as TensorBoard's plugin looks for it."""
    def save(prof) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        end = ".pt.trace.json.gz" if use_gzip else ".pt.trace.json"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}{end}"))
    return save


class profile:
    """A profile of those steps that a schedule chooses, or of all.

    Args:
        activities: of `ProfilerActivity`; those of devices that are not there see nothing.
        schedule: from a step's number to a `ProfilerAction`; without it all is recorded.
        on_trace_ready: called with this object whenever a profile is complete.
        acc_events: keep the events of all recorded stretches, not only those of the last.
        record_shapes, profile_memory, with_stack, with_flops: see `torch.autograd.profiler.profile`.

    The other arguments of PyTorch's are accepted.
    """

    def __init__(self, *, activities: Iterable | None = None, schedule: Callable | None = None,
                 on_trace_ready: Callable | None = None, record_shapes: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config=None,
                 execution_trace_observer=None, acc_events: bool = False, use_cuda: bool | None = None,
                 custom_trace_id_callback=None, post_processing_timeout_s: float | None = None):
        self.activities = supported_activities() if activities is None else set(activities)
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        self.schedule, self.on_trace_ready, self.acc_events = schedule or (lambda step: RECORD), on_trace_ready, acc_events
        self.record_steps = schedule is not None
        self.options = dict(record_shapes=record_shapes, profile_memory=profile_memory, with_stack=with_stack,
                            with_flops=with_flops)
        self.step_num, self.profiler, self.stretch, self.earlier = 0, None, None, []
        self.current_action = NONE

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self.current_action = self.schedule(self.step_num)
        self.begin_step()

    def step(self) -> None:
        """The next step begins."""
        self.end_step()
        before, self.step_num = self.current_action, self.step_num + 1
        self.current_action = self.schedule(self.step_num)
        if before is RECORD_AND_SAVE or before is RECORD and self.current_action not in RECORDING:
            self.finish()
        self.begin_step()

    def stop(self) -> None:
        """End here; an open profile is complete."""
        self.end_step()
        if self.current_action in RECORDING:
            self.finish()
        self.current_action = NONE

    def begin_step(self) -> None:
        if self.current_action not in RECORDING:
            return
        if not self.is_open():
            self.profiler = profiler.profile(**self.options)
            self.profiler.__enter__()
        if self.record_steps:
            self.stretch = record_function(f"ProfilerStep#{self.step_num}").__enter__()

    def end_step(self) -> None:
        if self.stretch is not None:
            self.stretch.__exit__()
            self.stretch = None

    def is_open(self) -> bool:
        return self.profiler is not None and self.profiler.function_events is None

    def finish(self) -> None:
        """Stop recording and hand the profile over."""
        self.profiler.__exit__()
        if self.acc_events:
            self.profiler.function_events[:0] = self.earlier
            self.earlier = list(self.profiler.function_events)
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def found(self) -> profiler.profile:
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before getting its results: no step has been recorded")
        return self.profiler

    def events(self) -> profiler.EventList:
        """All events of the last profile, in order."""
        return self.found().finished()

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> profiler.EventList:
        """One row for all events of a name."""
        return self.found().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str) -> None:
        """Write the last profile for chrome://tracing."""
        self.found().export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        self.found().export_stacks(path, metric)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        raise NotImplementedError("profiler.export_memory_timeline")
