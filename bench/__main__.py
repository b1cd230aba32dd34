"""python -m bench [workloads] [overheads] [sweep]: measure, print tables, write docs/performance.md.

Without a name all three run. Only the sections that ran are rewritten. `--readme` runs nothing: it
copies the main numbers from docs/performance.md into README.md.
"""
from __future__ import annotations

import argparse
import sys

from . import overheads, report, sweep, workloads
from .machine import threads, torch_python

SECTIONS = {"workloads": workloads, "overheads": overheads, "sweep": sweep}


def arguments(words=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", help="workloads, overheads, sweep; all if none is named")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--only", default="", help="names of workloads, or beginnings of names of swept operations")
    parser.add_argument("--repeat", type=int, default=3, help="processes for each workload and library")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each process measures a workload")
    parser.add_argument("--modes", default="eager", help="PyTorch's modes: eager, compile or both")
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--dry", action="store_true", help="print, but leave docs/performance.md as it is")
    parser.add_argument("--readme", action="store_true", help="only copy the main numbers into README.md")
    options = parser.parse_args(words)
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}: expected {', '.join(SECTIONS)}")
    options.torch_python = torch_python(options.torch_python)
    return options


def main() -> int:
    options = arguments()
    if options.readme:
        report.update_readme()
        return 0
    if options.torch_python is None:
        print("PyTorch is not installed for this Python (--torch-python names another): its columns are left out")
    failed = False
    for name in options.sections or SECTIONS:
        tables, good = SECTIONS[name].measure(options)
        failed |= not good
        if not options.dry:
            report.update_performance(name, tables, options)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
