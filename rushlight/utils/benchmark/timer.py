"""A statement under the clock."""
from __future__ import annotations

import ast
import textwrap
import timeit
from collections.abc import Callable
from enum import Enum

from ... import get_num_threads, set_num_threads, storage
from .measurement import Measurement, TaskSpec

LOOP = """\
def run(times_, synchronize_):
{setup}
    began_ = clock_()
    for _ in times_:
{stmt}
        synchronize_()
    return clock_() - began_
"""


class Language(Enum):
    PYTHON = 0
    CPP = 1


def timer() -> float:
    """The time, once everything pending has run."""
    storage.run_pending()
    return timeit.default_timer()


class Timer:
    """Times a statement: after each run of it what it has recorded, and its value, is computed.

    Args:
        stmt: Python code; the value of a last expression counts as used.
        setup, global_setup: run before, outside of the clock.
        globals: the names that the code sees.
        label, sub_label, description, env: words by which `Compare` arranges measurements.
        num_threads: threads that run kernels meanwhile.
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
                 globals: dict | None = None, label: str | None = None, sub_label: str | None = None,
                 description: str | None = None, env: str | None = None, num_threads: int = 1,
                 language: Language | str = Language.PYTHON):
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language not in (Language.PYTHON, "py", "python"):
            raise NotImplementedError("benchmark.Timer: statements in C++")
        self.clock, self.globals, self.language = timer, dict(globals or {}), Language.PYTHON
        stmt, setup = textwrap.dedent(stmt).strip(), textwrap.dedent(setup).strip()
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)
        self.run = self._made(stmt, setup)

    def _made(self, stmt, setup):
        import rushlight
        names = {"torch": rushlight, **self.globals, "clock_": self.clock}
        text = LOOP.format(setup=textwrap.indent(setup or "pass", "    "), stmt=textwrap.indent(_kept(stmt) or "pass", " " * 8))
        exec(compile(text, "<timeit>", "exec"), names)
        return names["run"]

    def _time(self, number: int) -> float:
        before = get_num_threads()
        set_num_threads(self._task_spec.num_threads)
        try:
            return max(self.run(range(number), storage.run_pending), 1e-9)
        finally:
            set_num_threads(before)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """The time of `number` runs, as one measurement."""
        self._time(max(number // 100, 2))
        return self._measured(number, [self._time(number)])

    def _measured(self, number, times):
        return Measurement(number, times, self._task_spec)

    def repeat(self, repeat: int = -1, number: int = -1):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback=None):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block_size(self, min_run_time: float) -> int:
        """Runs whose time makes the clock's own cost less than a thousandth."""
        self._time(2)
        overhead, number = min(self._overhead() for _ in range(5)), 1
        while True:
            time = self._time(number)
            if overhead / time <= 1e-4 and time >= min_run_time / 1000 or time > min_run_time:
                return number
            number *= 10

    def _overhead(self) -> float:
        began = self.clock()
        return self.clock() - began

    def blocked_autorange(self, callback=None, min_run_time: float = 0.2) -> Measurement:
        """Blocks of as many runs as the clock needs, until `min_run_time` seconds are over."""
        number, times = self._block_size(min_run_time), []
        while sum(times) < min_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return self._measured(number, times)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback=None) -> Measurement:
        """Blocks until their times agree: the middle half within `threshold` of the median, or `max_run_time` is over."""
        number, times = self._block_size(0.05), []
        while True:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
            measured = self._measured(number, times)
            if sum(times) > max_run_time or sum(times) > min_run_time and measured.meets_confidence(threshold):
                return measured

    def collect_callgrind(self, *args, **kwargs):
        raise NotImplementedError("benchmark.Timer.collect_callgrind: counts of instructions")


def _kept(stmt: str) -> str:
    """The statement with the value of its last expression kept, so that it is computed."""
    tree = ast.parse(stmt)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("kept_", ast.Store())], last.value), last)
    return ast.unparse(ast.fix_missing_locations(tree))
