"""Tables on the terminal, in docs/performance.md and in README.md.

A block that a command writes stands between two markers, <!-- bench:NAME --> and
<!-- /bench:NAME -->; what is outside of them is written by hand and stays.
"""
from __future__ import annotations

import datetime
import os
import re
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PERFORMANCE, ACCURACY, README = (os.path.join(ROOT, *parts) for parts in (
    ("docs", "performance.md"), ("docs", "accuracy.md"), ("README.md",)))
SHOWN = {"workload": "workload", "rushlight": "rushlight, ms a step", "compiled": "compiled", "PyTorch": "PyTorch, ms a step",
         "torch.compile": "torch.compile", "ratio": "ratio", "ratio, compiled": "ratio, compiled",
         "first, cold": "first step, nothing cached", "first, cached": "first step, cached"}


class Table(NamedTuple):
    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    def __str__(self):
        columns = [c for c in range(len(self.header)) if any(row[c] for row in self.rows)]
        cells = [[str(row[c]) for c in columns] for row in [self.header, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n\n".join(filter(None, (f"### {self.title}" if self.title else "", "\n".join(lines), self.note)))


def replace_block(text: str, name: str, content: str) -> str:
    """`text` with the block called `name` replaced; LookupError if there is none."""
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.S)
    if not pattern.search(text):
        raise LookupError(f"there is no block between {start} and {end}")
    return pattern.sub(lambda _: f"{start}\n{content}\n{end}", text)


def block(text: str, name: str) -> str:
    found = re.search(f"<!-- bench:{name} -->\n(.*?)\n?<!-- /bench:{name} -->", text, re.S)
    return found[1] if found else ""


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def update(section: str, tables: list[Table], options) -> None:
    """Put fresh tables into the page that they belong to; docs/performance.md says where and when, too."""
    from .machine import describe, load
    page = ACCURACY if section == "accuracy" else PERFORMANCE
    text = replace_block(read(page), section, "\n\n".join(map(str, tables)))
    if page == PERFORMANCE:
        line = f"Measured {datetime.date.today()}, load before {load()}: {describe(options)}."
        text = replace_block(text, "machine", line)
    write(page, text)


def update_readme() -> None:
    """Copy the main columns of the tables of workloads from docs/performance.md."""
    text = read(PERFORMANCE)
    lines = [line for line in block(text, "workloads").splitlines() if line.startswith("|")]
    if not lines:
        raise SystemExit("docs/performance.md holds no table of workloads yet: run `python -m bench workloads`")
    content = f"{readme_table(lines)}\n\n{block(text, 'machine')}"
    write(README, replace_block(read(README), "readme", content))


def readme_table(lines: list[str]) -> Table:
    """The columns that the README shows, of one or several tables with the same first column."""
    rows: dict[str, dict[str, str]] = {}
    header: list[str] = []
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines):
        if cells[0] == "workload":
            header = cells
        elif cells[0].strip("-"):
            rows.setdefault(cells[0], {}).update(zip(header, cells))
    shown = [name for name in SHOWN if any(name in row for row in rows.values())]
    return Table("", tuple(SHOWN[name] for name in shown), [tuple(r.get(name, "") for name in shown) for r in rows.values()])
