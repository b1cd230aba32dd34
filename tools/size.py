"""How big the rooms are: files, lines, and what a line is, by room; or megabytes of what is installed.

    python tools/size.py                lines of every room of the package, and of tests, bench, tools, docs
    python tools/size.py --installed    unpacked size of rushlight and of what it needs
"""
from __future__ import annotations

import ast
import os
import statistics
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLACES = ("rushlight", "tests", "bench", "tools", "docs", "examples")
NEEDED = ("numpy", "llvmlite", "ml_dtypes")
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef
DOCUMENTED = FUNCTIONS + (ast.ClassDef, ast.Module)


class File(NamedTuple):
    """Numbers of lines: all, code, docstrings, whole-line comments; and the length of each function."""
    lines: int
    code: int
    docs: int
    comments: int
    functions: list[int]


def count(path: str) -> File:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    nodes = list(ast.walk(ast.parse(text)))
    docs, comments = docstring_lines(nodes), comment_lines(text, nodes)
    blank = {i for i, line in enumerate(text.splitlines(), 1) if not line.strip()}
    lines = len(text.splitlines())
    functions = [length(f) for f in nodes if isinstance(f, FUNCTIONS)]
    return File(lines, lines - len(docs | comments | blank), len(docs), len(comments), functions)


def docstring_lines(nodes) -> set[int]:
    strings = [n.body[0] for n in nodes if isinstance(n, DOCUMENTED) and ast.get_docstring(n, clean=False)]
    return {line for n in strings for line in range(n.lineno, n.end_lineno + 1)}


def comment_lines(text: str, nodes) -> set[int]:
    strings = [n for n in nodes if isinstance(n, (ast.Constant, ast.JoinedStr)) and n.end_lineno > n.lineno]
    inside = {line for n in strings for line in range(n.lineno + 1, n.end_lineno + 1)}
    return {i for i, line in enumerate(text.split("\n"), 1) if line.lstrip().startswith("#")} - inside


def length(function) -> int:
    return function.end_lineno - function.lineno + 1


def rooms() -> dict[str, list[File]]:
    """Counted files by room: the first folder below the package, else the place."""
    found = defaultdict(list)
    for place in PLACES:
        for folder, _, names in os.walk(os.path.join(ROOT, place)):
            parts = os.path.relpath(folder, ROOT).split(os.sep)
            room = "/".join(parts[:2]) if place == "rushlight" else place
            found[room] += [count(os.path.join(folder, name)) for name in sorted(names) if name.endswith(".py")]
    return {room: files for room, files in found.items() if files}


def row(files: list[File]) -> tuple:
    lines, code, docs, comments = (sum(column) for column in list(zip(*files))[:4])
    functions = sorted(n for file in files for n in file.functions) or [0]
    return (len(files), lines, code, f"{docs / lines:.0%}", f"{comments / lines:.0%}",
            f"{statistics.median(functions):.0f}", functions[9 * (len(functions) - 1) // 10])


def show_rooms() -> None:
    print(f"{'room':24}{'files':>6}{'lines':>8}{'code':>8}{'doc':>6}{'why':>6}{'median':>8}{'p90':>5}")
    found = rooms()
    package = [file for room, files in found.items() if room.startswith("rushlight") for file in files]
    for room, files in [*sorted(found.items()), ("rushlight, all", package)]:
        files_, lines, code, docs, comments, median, p90 = row(files)
        print(f"{room:24}{files_:6}{lines:8}{code:8}{docs:>6}{comments:>6}{median:>8}{p90:5}")


def show_installed() -> None:
    total = package_bytes()
    print(f"{'rushlight':12}{total / 1e6:8.1f} MB")
    for name in NEEDED:
        size = distribution_bytes(name)
        total += size
        print(f"{name:12}{size / 1e6:8.1f} MB")
    print(f"{'together':12}{total / 1e6:8.1f} MB")


def package_bytes() -> int:
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(ROOT, "rushlight"))
             for name in names if name.endswith(".py")]
    return sum(map(os.path.getsize, paths))


def distribution_bytes(name: str) -> int:
    """What a distribution's files take, without Python's own caches of them."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return 0
    paths = [f.locate() for f in files if not str(f).endswith(".pyc")]
    return sum(os.path.getsize(p) for p in paths if os.path.exists(p))


if __name__ == "__main__":
    show_installed() if "--installed" in sys.argv[1:] else show_rooms()
