"""`rushlight report`: the event files of runs as one page that opens from disk, without a server."""
from __future__ import annotations

import os
import sys

from .run import UsageError

USAGE = "usage: rushlight report RUN_FOLDER... [-o PAGE.html] [--smoothing 0.6]"


def report(arguments: list[str]) -> int:
    """Write the page and print its name."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    folders, page, smoothing = parse(arguments)
    from rushlight.cli.report_page import page_of
    from rushlight.utils.tensorboard.reading import read_runs
    try:
        runs = read_runs(folders)
    except FileNotFoundError as missing:
        raise UsageError(f"report: {missing}") from None
    if not runs:
        raise UsageError(f"report: no event files in {', '.join(folders)}")
    made = page_of(runs, smoothing)
    with open(page + ".new", "w", encoding="utf-8") as file:
        file.write(made)
    os.replace(page + ".new", page)
    print(page)
    print(f"{len(runs)} runs, {len(made.encode()) / 2**20:.1f} MiB", file=sys.stderr)
    return 0


def parse(arguments) -> tuple[list[str], str, float]:
    """Folders, the page's name, the smoothing that it begins with."""
    folders, page, smoothing = [], "report.html", 0.6
    words = iter(arguments)
    for word in words:
        if word in ("-o", "--output"):
            page = value(words, word)
        elif word == "--smoothing":
            smoothing = factor(value(words, word))
        elif word.startswith("-"):
            raise UsageError(f"report: unknown option {word}\n{USAGE}")
        else:
            folders.append(word)
    if not folders:
        raise UsageError(f"report: which folder?\n{USAGE}")
    return folders, page, smoothing


def value(words, option) -> str:
    found = next(words, None)
    if found is None:
        raise UsageError(f"report: {option} needs a value\n{USAGE}")
    return found


def factor(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        found = -1
    if not 0 <= found < 1:
        raise UsageError(f"report: --smoothing is a number from 0 to below 1, not {word}")
    return found
