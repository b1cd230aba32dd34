"""Public operations one by one against PyTorch: the same inputs, by turns in one process.

The cases are in bench/operations.py. Forward is the operation alone, "both" adds the gradients of its
floating-point inputs. Only cases in which PyTorch takes more than FLOOR count; the table has the
WORST, slowest first.
"""
from __future__ import annotations

import math
import statistics
from time import perf_counter

import numpy as np

from .operations import all_cases
from .report import Table
from .table import Index, Of

FLOOR = 100e-6
WORST = 20
SECONDS = 0.06          # for each library and direction
ROUNDS = 3
HEADER = ("operation", "direction", "rushlight", "PyTorch", "ratio")


# -- measuring --------------------------------------------------------------------------------------------
def measure(options) -> tuple[list[Table], bool]:
    """The worst cases; False if one does not run."""
    torch = torch_here(options)
    if torch is None:
        print("sweep: left out, it compares with PyTorch in one process (`make parity` makes .venv-parity, which has it)")
        return [], True
    import rushlight
    rows, failed = [], []
    for case in [c for c in all_cases() if chosen(c, options)]:
        try:
            rows += rows_of(case, torch, rushlight)
        except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
            failed.append((case.name, "", "", "", f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"))
    return tables(rows, failed), not failed


def torch_here(options):
    """PyTorch in this process, both libraries on the threads asked for; None if it is not here."""
    import rushlight
    rushlight.set_num_threads(options.threads)
    if options.torch_python is None:
        return None
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(options.threads)
    return torch


def chosen(case, options) -> bool:
    return not options.only or case.name.startswith(tuple(options.only.split(",")))


def tables(rows, failed) -> list[Table]:
    worst = sorted(rows, key=lambda row: -row[-1])
    shown = [(*row[:2], f"{1e6 * row[2]:.0f} us", f"{1e6 * row[3]:.0f} us", f"{row[4]:.2f}") for row in worst[:WORST]]
    slower = sum(row[-1] > 1 for row in rows)
    mean = math.exp(statistics.fmean(math.log(row[-1]) for row in rows)) if rows else math.nan
    note = f"The {len(shown)} worst of {len(rows)}; {slower} are slower than PyTorch, geometric mean of all ratios {mean:.2f}."
    made = [Table("", HEADER, shown, note)] + ([Table("Not running", HEADER, failed)] if failed else [])
    for table in made:
        print(f"{table}\n", flush=True)
    return made


def rows_of(case, torch, rushlight):
    """(name, direction, ours, theirs, ratio) for each direction that is long enough to count."""
    for direction in ("forward", "both") if case.has_gradient else ("forward",):
        arrays = inputs_of(case)
        ours = runner(case, rushlight, arrays, direction == "both", rushlight.cpu.synchronize)
        theirs = runner(case, torch, arrays, direction == "both")
        mine, peer = fastest(ours, theirs)
        if peer > FLOOR:
            yield case.name, direction, mine, peer, mine / peer


def inputs_of(case):
    rng = np.random.default_rng(0)
    return [input_of(spec, rng) for spec in case.inputs]


def input_of(spec, rng):
    if isinstance(spec, Index):
        return rng.integers(0, spec.below, spec.shape)
    if isinstance(spec, Of):
        return rng.uniform(-100, 100, spec.shape)
    return rng.uniform(-1, 1, spec).astype(np.float32)


def tensors_of(case, torch, arrays):
    return [torch.tensor(a).to(getattr(torch, spec.dtype)) if isinstance(spec, Of) else torch.tensor(a)
            for spec, a in zip(case.inputs, arrays, strict=True)]


def runner(case, torch, arrays, backward, wait=lambda: None):
    """A function that runs the case once, to its end."""
    tensors = tensors_of(case, torch, arrays)
    floats = [x.requires_grad_(backward) for x in tensors if x.is_floating_point()]
    with torch.no_grad():
        seed = torch.ones_like(case.run(torch, *tensors))

    def once():
        y = case.run(torch, *tensors)
        keep = torch.autograd.grad(y, floats, seed, allow_unused=True) if backward else y
        wait()
        return keep
    return once


def fastest(*functions) -> list[float]:
    """The least time of each, by turns: waiting threads of one library spin into the other's time."""
    best = [math.inf] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(functions):
            function()
            end = perf_counter() + SECONDS / ROUNDS
            while (started := perf_counter()) < end:
                function()
                best[i] = min(best[i], perf_counter() - started)
    return best
