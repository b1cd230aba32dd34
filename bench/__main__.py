"""python -m bench [sections]: measure, print tables, write docs/performance.md (accuracy: docs/accuracy.md).

Without a name all sections run. Only those that ran are rewritten. `--readme` runs nothing: it
copies the main numbers from docs/performance.md into README.md. A wrong result anywhere makes the
command fail.
"""
from __future__ import annotations

import argparse
import sys

from . import accuracy, costs, kernels, loading, others, overheads, private, report, sweep, workloads
from .machine import has_module, threads, torch_python

SECTIONS = {"workloads": workloads.measure, "programs": workloads.measure_further, "others": others.measure,
            "kernels": kernels.measure, "memory": costs.measure_memory, "compiling": costs.measure_compiling,
            "overheads": overheads.measure, "sweep": sweep.measure, "private": private.measure, "loading": loading.measure,
            "accuracy": accuracy.measure}


def arguments(words=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", help=f"{', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--others-python", default=sys.executable, help="a Python that has JAX, tinygrad or both")
    parser.add_argument("--inductor-cache", default=None, metavar="FOLDER", help="where torch.compile keeps its kernels from "
                        "run to run; by default it starts with none for each workload")
    parser.add_argument("--only", default="", help="names of workloads, or beginnings of names of operations")
    parser.add_argument("--repeat", type=int, default=2, help="processes for each workload, library and mode")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each process measures a workload")
    parser.add_argument("--minima", action="store_true", help="each process tells its best step instead of the median, "
                        "for a machine that has other work to do")
    parser.add_argument("--modes", default="eager,compile", help="eager, compile or both, of either library")
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--dry", action="store_true", help="print, but leave docs/performance.md as it is")
    parser.add_argument("--readme", action="store_true", help="only copy the main numbers into README.md")
    options = parser.parse_args(words)
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}: expected {', '.join(SECTIONS)}")
    options.torch_python = torch_python(options.torch_python)
    options.peers = [m for m in ("jax", "tinygrad") if has_module(options.others_python, m)]
    return options


def main() -> int:
    options = arguments()
    if options.readme:
        report.update_readme()
        return 0
    if options.torch_python is None:
        print("PyTorch is not installed for this Python (--torch-python names another): its columns are left out")
    failed = []
    for name in options.sections or SECTIONS:
        tables, good = SECTIONS[name](options)
        failed += [] if good else [name]
        if tables and not options.dry:
            report.update(name, tables, options)
    if failed:
        print(f"WRONG or not running in: {', '.join(failed)} (see above)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
