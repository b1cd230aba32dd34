"""What a profile found: events, their averages, tables of them, and a trace for Chrome."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable

UNITS = (("s", 1e6), ("ms", 1e3), ("us", 1.0))
BYTES = (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))
DEVICES = ("cuda", "device", "xpu", "privateuse1")
NO_DEVICE = frozenset(f"{part}{device}_{what}" for device in DEVICES for part in ("", "self_")
                      for what in ("time", "time_total", "memory_usage"))


def show_time(us: float, unit: str | None = None) -> str:
    """Microseconds in the unit that fits, or in "s", "ms" or "us"."""
    name, size = next((u for u in UNITS if unit == u[0] or unit is None and us >= u[1]), UNITS[-1])
    return f"{us / size:.3f}{name}"


def show_bytes(n: int) -> str:
    name, size = next((u for u in BYTES if abs(n) >= u[1]), ("B", 1))
    return f"{n} B" if size == 1 else f"{n / size:.2f} {name}"


class Timed:
    """What events and their averages have in common; times in microseconds, `cpu_time` for one call.

    There is no other device: names of times and memory of one are 0.
    """

    def __getattr__(self, name):
        if name in NO_DEVICE:
            return 0
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_total_str(self) -> str:
        return show_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return show_time(self.self_cpu_time_total)

    @property
    def cpu_time_str(self) -> str:
        return show_time(self.cpu_time)

    @property
    def is_user_annotation(self) -> bool:
        return self.kind == "range"


class Interval:
    """From when to when, in microseconds since the profile began."""

    def __init__(self, start: float, end: float):
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        return self.end - self.start


class FunctionEvent(Timed):
    """One range, plan, kernel, or the applications of one operation in a plan (`kind`)."""

    def __init__(self, event, begun: int):
        self.name = self.key = event.name
        self.kind, self.thread, self.input_shapes = event.kind, event.thread, event.shapes
        self.time_range = Interval((event.start - begun) / 1e3, (event.end - begun) / 1e3)
        self.flops, self.cpu_memory_usage, self.stack = event.flops, event.memory, list(event.stack)
        self.count = event.count
        self.cpu_parent, self.cpu_children = None, []

    @property
    def cpu_time_total(self) -> float:
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total - sum(c.cpu_time_total for c in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        return self.cpu_memory_usage - sum(c.cpu_memory_usage for c in self.cpu_children)

    def __repr__(self):
        return (f"<FunctionEvent {self.name} {self.kind} thread={self.thread} cpu_time={self.cpu_time_str} "
                f"count={self.count} input_shapes={self.input_shapes}>")


class FunctionEventAvg(Timed):
    """All events of one name; `cpu_time_total` and others are sums, `cpu_time` is the mean."""

    def __init__(self, first: FunctionEvent):
        self.key, self.kind, self.stack, self.input_shapes = first.name, first.kind, first.stack, first.input_shapes
        self.count = self.cpu_memory_usage = self.self_cpu_memory_usage = self.flops = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0

    def add(self, other) -> FunctionEventAvg:
        """Take one more event or average in."""
        for name in ("count", "cpu_memory_usage", "self_cpu_memory_usage", "flops", "cpu_time_total", "self_cpu_time_total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def __repr__(self):
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
                f"cpu_time={self.cpu_time_str} count={self.count} input_shapes={self.input_shapes}>")


def make_event_list(events: Iterable, begun: int, **shown) -> EventList:
    """Events of a session in order of time, each with its parent."""
    found = EventList([FunctionEvent(e, begun) for e in events], **shown)
    timed = [e for e in found if e.kind != "operation"]
    timed.sort(key=lambda e: (e.thread, e.time_range.start, -e.time_range.end))
    open_ones: list = []
    for e in timed:
        while open_ones and (open_ones[-1].thread != e.thread or open_ones[-1].time_range.end < e.time_range.end):
            open_ones.pop()
        if open_ones:
            e.cpu_parent = open_ones[-1]
            e.cpu_parent.cpu_children.append(e)
        open_ones.append(e)
    found.sort(key=lambda e: e.time_range.start)
    return found


class EventList(list):
    """Events or averages, and how to show them."""

    def __init__(self, events=(), *, has_memory: bool = False, has_flops: bool = False, has_shapes: bool = False):
        super().__init__(events)
        self.shown = {"has_memory": has_memory, "has_flops": has_flops, "has_shapes": has_shapes}

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds that somebody was at work."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """One row for all events of a name, and, if asked, of the same shapes and the same lines of the program."""
        rows: dict = {}
        for e in self:
            key = (e.name, e.kind, str(e.input_shapes) if group_by_input_shapes else "", tuple(e.stack[:group_by_stack_n]))
            if key not in rows:
                rows[key] = FunctionEventAvg(e)
            rows[key].add(e)
        return EventList(rows.values(), **self.shown | {"has_shapes": group_by_input_shapes})

    def total_average(self) -> FunctionEventAvg:
        """One row for everything."""
        if not self:
            raise RuntimeError("total_average: the profile has no events")
        total = FunctionEventAvg(self[0])
        total.key = "Total"
        for e in self:
            total.add(e)
        return total

    # -- tables ------------------------------------------------------------------------------------
    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """Rows of text, the largest first by `sort_by`: "cpu_time_total", "self_cpu_time_total", "cpu_time",
        "cpu_memory_usage", "count", ...; AttributeError for what rows do not have.

        Operations run inside of kernels, so they show calls and shapes, and "--" for time.
        """
        rows = [e for e in self if not top_level_events_only or getattr(e, "cpu_parent", None) is None]
        if sort_by is not None:
            rows.sort(key=lambda e: getattr(e, sort_by), reverse=True)
        rows = rows[:row_limit] if row_limit >= 0 else rows
        whole = self.self_cpu_time_total
        columns = self.columns(whole, time_unit, max_name_column_width, max_shapes_column_width, max_src_column_width)
        lines = [[name for name, _ in columns]] + [[show(e) for _, show in columns] for e in rows]
        widths = [max(12, *map(len, column)) for column in zip(*lines)]
        rule = "  ".join("-" * w for w in widths)
        text = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines]
        head = [] if header is None else ["=" * len(rule), header]
        return "\n".join([*head, rule, text[0], rule, *text[1:], rule,
                          f"Self CPU time total: {show_time(whole, time_unit)}", ""])

    def columns(self, whole, unit, *widths) -> list:
        """(heading, what it shows of a row) for each column."""
        def timed(show):
            return lambda e: "--" if e.kind == "operation" else show(e)

        def percent(of):
            return timed(lambda e: f"{100 * getattr(e, of) / whole:.2f}%" if whole else "--")

        def time(of):
            return timed(lambda e: show_time(getattr(e, of), unit))
        names, shapes, sources = widths
        columns = [("Name", lambda e: shortened(e.key, names)), ("Kind", lambda e: e.kind),
                   ("Self CPU %", percent("self_cpu_time_total")), ("Self CPU", time("self_cpu_time_total")),
                   ("CPU total %", percent("cpu_time_total")), ("CPU total", time("cpu_time_total")),
                   ("CPU time avg", time("cpu_time"))]
        if self.shown["has_memory"]:
            columns.append(("CPU Mem", lambda e: show_bytes(e.cpu_memory_usage)))
        columns.append(("# of Calls", lambda e: str(e.count)))
        if self.shown["has_shapes"]:
            columns.append(("Input Shapes", lambda e: shortened(as_list(e.input_shapes), shapes)))
        if self.shown["has_flops"]:
            columns.append(("Total MFLOPs", lambda e: f"{e.flops / 1e6:.3f}" if e.flops else "--"))
        if any(e.stack for e in self):
            columns.append(("Source Location", lambda e: shortened(" ".join(e.stack), sources)))
        return columns

    def __str__(self):
        return self.table()

    # -- files ---------------------------------------------------------------------------------------
    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write what had a time as JSON for chrome://tracing and Perfetto; gzipped if the name ends so."""
        process = os.getpid()
        events = [{"ph": "X", "cat": e.kind, "name": e.name, "pid": process, "tid": e.thread,
                   "ts": e.time_range.start, "dur": e.cpu_time_total, "args": arguments(e)}
                  for e in self if e.kind != "operation"]
        text = json.dumps({"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": events})
        if os.fspath(path).endswith(".gz"):
            import gzip
            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


def shortened(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[:width - 3] + "..."


def as_list(shapes) -> str:
    """Tuples of sizes as PyTorch writes them."""
    return str([list(s) if isinstance(s, tuple) else s for s in shapes])


def arguments(e: FunctionEvent) -> dict:
    """What a click on an event of the trace shows."""
    found = {"Input Dims": as_list(e.input_shapes)} if e.input_shapes else {}
    found |= {"flops": e.flops} if e.flops else {}
    found |= {"Bytes": e.cpu_memory_usage} if e.cpu_memory_usage else {}
    return found | ({"Call stack": " ".join(e.stack)} if e.stack else {})
