"""Measurements side by side."""
from __future__ import annotations

from enum import Enum

from .measurement import Measurement, select_unit, trim_sigfig, unit_to_english

BEST, GOOD, BAD, VERY_BAD, BOLD, END = "\033[92m", "\033[34m", "\033[2m\033[91m", "\033[31m", "\033[1m", "\033[0m"


class Colorize(Enum):
    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class Compare:
    """A table of measurements: a row for each sub-label, number of threads and environment, a column for each description."""

    def __init__(self, results: list[Measurement]):
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim, self._colors, self._warns = False, Colorize.NONE, False

    def extend_results(self, results) -> None:
        """More measurements.

        Raises:
            ValueError: something is no Measurement.
        """
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Show only the digits that the spread of the times lets one believe."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colour times by how they compare within their column, or row."""
        self._colors = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Mark measurements that vary much."""
        self._warns = True

    def print(self) -> None:
        print(str(self))

    def __str__(self):
        merged = Measurement.merge(self._results)
        labels = dict.fromkeys(m.label for m in merged)
        return "\n".join(self._table([m for m in merged if m.label == label]) for label in labels)

    def _table(self, results) -> str:
        unit, scale = select_unit(min(m.median for m in results))
        columns = list(dict.fromkeys(m.description for m in results))
        rows = list(dict.fromkeys((m.num_threads, m.env, m.as_row_name) for m in results))
        cells = {(m.num_threads, m.env, m.as_row_name, m.description): m for m in results}
        names = [(f"({env})  " if env else "") + name for _, env, name in rows]
        lead = max(map(len, names)) + 6
        grid = [[cells.get((*row, c)) for c in columns] for row in rows]
        texts = [[self._number(m, scale) if m else "" for m in line] for line in grid]
        widths = [max(len(c or ""), *(len(t[i]) for t in texts)) + 2 for i, c in enumerate(columns)]
        lines = [" " * lead + "  |  " + "  |  ".join((c or "").center(w) for c, w in zip(columns, widths))]
        threads = None
        for row, name, line, text in zip(rows, names, grid, texts):
            if row[0] != threads:
                threads = row[0]
                lines.append(f"{threads} threads: ".ljust(len(lines[0]), "-"))
            shown = [self._colored(m, grid, i, t.rjust(w)) for i, (m, t, w) in enumerate(zip(line, text, widths))]
            lines.append(("      " + name).ljust(lead) + "  |  " + "  |  ".join(shown))
        title = f" {results[0].label or results[0].task_spec.title} "
        return "\n".join([f"[{title.center(len(lines[0]) - 2, '-')}]", *lines, "",
                          f"Times are in {unit_to_english(unit)}s ({unit}).", ""])

    def _number(self, m, scale) -> str:
        value = m.median / scale
        if self._trim:
            value = trim_sigfig(value, m.significant_figures)
            text = f"{value:.{max(0, m.significant_figures - len(str(int(value))))}f}"
        else:
            text = f"{value:.1f}"
        return text + (f" (! {m.iqr / m.median * 100:.0f}%)" if self._warns and m.has_warnings else "")

    def _colored(self, m, grid, column, text) -> str:
        if m is None or self._colors is Colorize.NONE:
            return text
        group = [line[column] for line in grid] if self._colors is Colorize.COLUMNWISE else \
            next(line for line in grid if line[column] is m)
        best = min(x.median for x in group if x is not None)
        ratio = m.median / best
        color = BEST + BOLD if ratio <= 1.05 else GOOD if ratio <= 1.1 else VERY_BAD if ratio > 5 else BAD if ratio > 2 else ""
        return color + text + END * bool(color)
