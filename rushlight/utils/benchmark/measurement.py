"""What was measured: times of runs, and how they are told."""
from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import numpy as np

MAX_SIGNIFICANT_FIGURES, MIN_CONFIDENCE_INTERVAL = 4, 25e-9
IQR_WARN, IQR_GROSS = 0.1, 0.25
UNITS = {"ns": (1e-9, "nanosecond"), "us": (1e-6, "microsecond"), "ms": (1e-3, "millisecond"), "s": (1, "second")}


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time is a number of one to three digits, and its length in seconds."""
    at = min(max(int(np.log10(t) // 3) if t > 0 else 0, -3), 0)
    return {-3: "ns", -2: "us", -1: "ms", 0: "s"}[at], 1000.0 ** at


def unit_to_english(u: str) -> str:
    return UNITS[u][1]


def trim_sigfig(x: float, n: int) -> float:
    """x with n significant figures."""
    if x == 0:
        return x
    scale = 10 ** (int(np.floor(np.log10(abs(x)))) + 1 - n)
    return float(np.round(x / scale) * scale)


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was run."""
    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        return self.stmt if "\n" not in self.stmt else "stmt:\n" + self.stmt

    def setup_str(self) -> str:
        return "" if self.setup == "pass" or not self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Title, description and setup, a line each."""
        return "\n".join(part for part in (self.title, self.description, self.setup_str()) if part)


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of `number_per_run` runs each; statistics are of a single run, in seconds."""
    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict | None = None

    times = property(lambda self: [t / self.number_per_run for t in self.raw_times])
    mean = cached_property(lambda self: float(np.mean(self.times)))
    median = cached_property(lambda self: float(np.median(self.times)))

    def __getattr__(self, name):
        if name.startswith("__") or name == "task_spec":
            raise AttributeError(name)
        return getattr(self.task_spec, name)

    @cached_property
    def iqr(self) -> float:
        """The range in which the middle half of the times lies."""
        low, high = np.percentile(self.times, (25, 75))
        return float(high - low)

    @property
    def significant_figures(self) -> int:
        """Digits of the median that the spread of the times lets one believe; at most four."""
        n = len(self.raw_times)
        lower, upper = (sorted(self.times)[i] for i in (max(n // 4, 0), min(n * 3 // 4, n - 1)))
        width = max((upper - lower) / 2, MIN_CONFIDENCE_INTERVAL)
        return min(max(int(np.floor(np.log10(self.median / width))) + 1, 1), MAX_SIGNIFICANT_FIGURES)

    @property
    def has_warnings(self) -> bool:
        return bool(self._warning())

    def _warning(self) -> str:
        if len(self.raw_times) < 2 or self.iqr / self.median < IQR_WARN:
            return ""
        if len(self.raw_times) < 4:
            return ""
        much = "significant" if self.iqr / self.median >= IQR_GROSS else "some"
        return (f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement.\n"
                f"           This {'suggests' if much == 'significant' else 'could indicate'} {much} environmental influence.")

    def meets_confidence(self, threshold: float = IQR_WARN) -> bool:
        """Whether the middle half of the times lies closer together than this share of the median."""
        return len(self.raw_times) >= 4 and self.iqr / self.median < threshold

    @property
    def title(self) -> str:
        return self.task_spec.title

    @property
    def env(self) -> str:
        return self.task_spec.env or ""

    @property
    def as_row_name(self) -> str:
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self):
        unit, scale = select_unit(self.median)
        n = len(self.raw_times)
        lines = [object.__repr__(self), self.task_spec.summarize()]
        lines.append(f"  {'Median: ' if n > 1 else ''}{self.median / scale:.2f} {unit}")
        if n > 3:
            low, high = (float(np.percentile(self.times, q)) / scale for q in (25, 75))
            lines.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        lines.append(f"  {n} measurement{'s' * (n > 1)}, {self.number_per_run} runs "
                     f"{'per measurement' if n > 1 else ''}, {self.num_threads} thread{'s' * (self.num_threads > 1)}")
        return "\n".join(line for line in (*lines, self._warning()) if line)

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Measurements of the same task as one each."""
        groups: dict = defaultdict(list)
        for m in measurements:
            groups[m.task_spec].append(m)
        return [_merged(spec, group) for spec, group in groups.items()]


def _merged(spec, group):
    per_run = group[0].number_per_run
    return Measurement(per_run, [t * per_run for m in group for t in m.times], spec)
