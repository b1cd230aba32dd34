"""What the ten programs cost besides time: memory, and compiling. Short processes, no step is timed."""
from __future__ import annotations

import statistics
import tempfile

from .programs import PROGRAMS
from .report import Table
from .workloads import OURS, THEIRS, run, unit

MEMORY = ("workload", "rushlight", "PyTorch", "ratio", "grown", "PyTorch grown", "tensors", "arena", "without reuse",
          "outputs", "in place")
COMPILING = ("workload", "calls", "distinct", "compiled, cold", "LLVM", "first, cold", "first, cached",
             "new size", "compiled for it")
MEMORY_NOTE = (
    "MiB. The first columns are peaks of whole processes, libraries included; grown is what the first four steps "
    "added to the process that had built model and batch. The rest is rushlight's own account of a step: the peak "
    "of all tensors and temporaries; the arena of its largest plan, and what the arena's slots would need side by "
    "side; the plan's outputs, and those of them that took over the memory of an input.")
COMPILING_NOTE = (
    "Calls are kernels of the first step's plans, distinct those that differ; compiled counts what LLVM was called "
    "for, the runtime's own kernels included, in LLVM seconds on all cores. New size is the first step on a batch "
    "with one sample less, recording and passes included, after some steps with the full one.")


def measure_memory(options) -> tuple[list[Table], bool]:
    """Peaks of processes, and the arena of the largest plan."""
    return measured("Memory of a training step", MEMORY, memory_row, MEMORY_NOTE, options)


def measure_compiling(options) -> tuple[list[Table], bool]:
    """Kernels and seconds of first steps, with and without a cache, and of a new batch size."""
    return measured("First steps", COMPILING, compiling_row, COMPILING_NOTE, options)


def measured(title, header, row, note, options):
    names = options.only.split(",") if options.only else list(PROGRAMS)
    rows = [row(name, options) for name in names if name in PROGRAMS]
    table = Table(title, header, rows, note)
    print(f"{table}\n", flush=True)
    return [table], not any("failed" in cell for r in rows for cell in r)


def memory_row(name, options) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as cache:
        run(OURS, name, options, cache, seconds=0)      # compiling takes memory, too; here it is on disk
        ours = run(OURS, name, options, cache, seconds=0)
    theirs = run(THEIRS, name, options, cache, seconds=0) if options.torch_python else {}
    if "error" in ours:
        return (name, "failed: " + ours["error"], *[""] * (len(MEMORY) - 2))
    share = ours["rss_mib"] / theirs["rss_mib"] if "rss_mib" in theirs else None
    return (name, mib(ours, "rss_mib"), mib(theirs, "rss_mib"), unit(share, ".2f"), mib(ours, "grown_mib"),
            mib(theirs, "grown_mib"), *[mib(ours, key) for key in (
                "tensors_mib", "arena_mib", "slots_mib", "outputs_mib", "in_place_mib")])


def mib(facts, key) -> str:
    number = facts.get(key)
    return unit(number, ".0f" if number and number >= 10 else ".2f")


def compiling_row(name, options) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as cache:
        cold, *cached = [run(OURS, name, options, cache, seconds=0) for _ in range(3)]
    error = next((r["error"] for r in (cold, *cached) if "error" in r), None)
    if error:
        return (name, "failed: " + error, *[""] * (len(COMPILING) - 2))
    new = [r["new_size_s"] for r in cached if "new_size_s" in r]
    return (name, str(cold["calls"]), str(cold["distinct"]), str(cold["compiled"]), unit(cold["llvm_s"], ".2f", " s"),
            unit(cold["first_s"], ".2f", " s"), unit(statistics.median(r["first_s"] for r in cached), ".2f", " s"),
            unit(1e3 * min(new) if new else None, ".1f", " ms"), str(cached[0].get("new_size_compiled", "")))
