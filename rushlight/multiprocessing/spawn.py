"""Starting a function in several processes, and telling how they ended."""
from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
import warnings
from multiprocessing.connection import wait

ENV_VAR_PARALLEL_START = "TORCH_MP_PARALLEL_START"
GRACE = 30.0        # seconds that the others have to leave when one has failed


class ProcessException(Exception):
    """A process has failed: `error_index` says which, `error_pid` was its number in the system."""

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid

    @property
    def error_pid(self) -> int:
        return self.pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """The function raised; the message holds its traceback."""

    def __init__(self, msg: str, error_index: int, error_pid: int):
        super().__init__(msg, error_index, error_pid)


class ProcessExitedException(ProcessException):
    """The process was killed, or left with an exit code other than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int,
                 signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def call(function, index: int, args: tuple, failures) -> None:
    """What runs in a process: the function, and word of how it failed."""
    try:
        function(index, *args)
    except KeyboardInterrupt:
        return
    except Exception:
        failures.send(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """Processes that were started together."""

    def __init__(self, processes, failures):
        self.processes, self.failures = processes, failures
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}
        self.texts: dict[int, str] = {}

    def pids(self) -> list[int]:
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until all have ended; whether they have.

        Raises:
            ProcessRaisedException, ProcessExitedException: one has failed; the others are stopped.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.sentinels:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            ready = wait([*self.sentinels, *self.failures.values()], left)
            if not ready:
                return False
            self.read(ready)
            for sentinel in [s for s in ready if s in self.sentinels]:
                index = self.sentinels.pop(sentinel)
                self.processes[index].join()
                if self.processes[index].exitcode:
                    self.stop(GRACE if grace_period is None else grace_period)
                    raise self.failure(index)
            if timeout is not None:
                break
        return not self.sentinels

    def read(self, ready) -> None:
        """Take in what failed processes tell."""
        for index, connection in list(self.failures.items()):
            if connection in ready:
                try:
                    self.texts[index] = connection.recv()
                except EOFError:
                    del self.failures[index]

    def stop(self, grace_period: float) -> None:
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + grace_period
        for process in self.processes:
            process.join(max(deadline - time.monotonic(), 0))
            if process.exitcode is None:
                process.kill()
                process.join()

    def failure(self, index: int) -> ProcessException:
        self.read(wait(list(self.failures.values()), 0))
        process = self.processes[index]
        code = process.exitcode
        if index in self.texts:
            text = f"\n\n-- Process {index} terminated with the following error:\n{self.texts[index]}"
            return ProcessRaisedException(text, index, process.pid)
        if code < 0:
            name = signal_name(-code)
            return ProcessExitedException(f"process {index} terminated with signal {name}", index,
                                          process.pid, code, name)
        return ProcessExitedException(f"process {index} terminated with exit code {code}", index,
                                      process.pid, code)


class SpawnContext(ProcessContext):
    """Processes that were started by "spawn"."""


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"<Unknown signal {number}>"


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn",
                    numa_options=None):
    """Run `fn(i, *args)` in processes i = 0 .. nprocs - 1.

    Returns:
        None once all have ended, or a `ProcessContext` if `join` is false.

    Raises:
        ProcessRaisedException, ProcessExitedException: as in `ProcessContext.join`.
    """
    return started(ProcessContext, fn, args, nprocs, join, daemon, start_method)


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """`start_processes` by the start method "spawn"; `fn` must be importable.

    Raises:
        ProcessRaisedException, ProcessExitedException: as in `ProcessContext.join`.
    """
    if start_method != "spawn":
        warnings.warn(f"This method only supports start_method=spawn (got: {start_method}).\n"
                      "To use a different start_method use:\n"
                      "\t\t torch.multiprocessing.start_processes(...)", FutureWarning, stacklevel=2)
    return started(SpawnContext, fn, args, nprocs, join, daemon, "spawn")


def started(kind, fn, args, nprocs, join, daemon, start_method):
    context = multiprocessing.get_context(start_method)
    processes, failures = [], {}
    for index in range(nprocs):
        failures[index], theirs = context.Pipe(duplex=False)
        process = context.Process(target=call, args=(fn, index, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
    group = kind(processes, failures)
    if not join:
        return group
    while not group.join():
        continue
