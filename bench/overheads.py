"""What rushlight costs besides computing: recording, flushing, importing, binding, compiling."""
from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
from time import perf_counter

from .report import Table

OPS = {
    "add": lambda x: x + x,
    "mul by a number": lambda x: x * 2.0,
    "tanh": lambda x: x.tanh(),
    "matmul": lambda x: x @ x,
    "sum": lambda x: x.sum(),
    "view": lambda x: x.view(4),
}
REPEAT, ROUNDS = 1000, 7
HEADER = ("what", "rushlight", "PyTorch")
RECORD = """
import importlib, json, sys
sys.path.insert(0, {root!r})
from bench.overheads import recording
print(json.dumps(recording(importlib.import_module({library!r}))))
"""


def measure(options) -> tuple[list[Table], bool]:
    """Tables of overheads; nothing here can be wrong."""
    tables = [record_table(options), flush_table(), start_table(options), compile_table()]
    for table in tables:
        print(f"{table}\n", flush=True)
    return tables, True


# -- recording ----------------------------------------------------------------------------------------
def record_table(options) -> Table:
    theirs = in_process(options.torch_python, "torch") if options.torch_python else {}
    rows = [(name, microseconds(t), microseconds(theirs.get(name))) for name, t in
            in_process(sys.executable, "rushlight").items()]
    return Table("Recording one operation on a 2x2 tensor", HEADER, rows,
                 "PyTorch computes the result in that time, too; rushlight only notes what is to be done.")


def in_process(python, library) -> dict[str, float]:
    from .report import ROOT
    code = RECORD.format(root=ROOT, library=library)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def recording(torch) -> dict[str, float]:
    """Seconds for each operation, without and with gradient."""
    times = {}
    for name, op in OPS.items():
        for suffix, grad in (("", False), (", with gradient", True)):
            times[name + suffix] = per_call(op, torch.ones(2, 2, requires_grad=grad))
    return times


def per_call(op, x) -> float:
    """The least mean time of a call over some rounds; results die at once, so nothing stays pending."""
    op(x)
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        started = perf_counter()
        for _ in range(REPEAT):
            op(x)
        best = min(best, (perf_counter() - started) / REPEAT)
    return best


# -- flushing -------------------------------------------------------------------------------------------
def flush_table() -> Table:
    short, long = flush_time(1), flush_time(201)
    rows = [("a flush of one node, plan known", microseconds(short), ""),
            ("each further node", microseconds((long - short) / 200), "")]
    return Table("Flushing a known graph of 2x2 tensors", HEADER, rows)


def flush_time(nodes) -> float:
    """Median seconds to run a chain of `nodes` operations whose plan is known; recording is not counted."""
    import rushlight as torch
    x, times = torch.ones(2, 2), []
    for _ in range(200):
        y = x
        for _ in range(nodes):
            y = y.neg()
        started = perf_counter()
        torch.cpu.synchronize()
        times.append(perf_counter() - started)
    return statistics.median(times)


# -- starting ---------------------------------------------------------------------------------------------
def start_table(options) -> Table:
    theirs = import_time(options.torch_python, "torch") if options.torch_python else None
    rows = [("import", milliseconds(import_time(sys.executable, "rushlight")), milliseconds(theirs)),
            ("import of NumPy alone", milliseconds(import_time(sys.executable, "numpy")), "")]
    return Table("Starting", HEADER, rows, "Fresh processes, files in the system's cache, Python's own start not counted.")


def import_time(python, library) -> float:
    code = f"import time; t = time.perf_counter(); import {library}; print(time.perf_counter() - t)"
    times = [float(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
             for _ in range(ROUNDS)]
    return statistics.median(times)


# -- compiling -----------------------------------------------------------------------------------------------
def compile_table() -> Table:
    """What a loop compiles, and what a batch size costs that has not been seen before."""
    import rushlight as torch
    from rushlight.compiler import plan
    from rushlight.cpu import jit

    from .programs import mlp_small
    before = jit.loads, plan.misses
    step = mlp_small(torch)
    for _ in range(20):
        step().item()
    kernels, plans = jit.loads - before[0], plan.misses - before[1]
    rows = [("kernels of mlp_small, 20 steps", str(kernels), ""), ("plans of mlp_small, 20 steps", str(plans), "")]
    return Table("Compiling", HEADER, rows + batch_rows(torch, jit))


def batch_rows(torch, jit):
    """The first step with a new batch size, once two sizes are known."""
    net = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, 5))

    def step(n):
        started = perf_counter()
        net(torch.ones(n, 20)).pow(2).sum().backward()
        torch.cpu.synchronize()
        net.zero_grad()
        return perf_counter() - started

    for n in (32, 31, 32):
        step(n)
    compiled, times = jit.loads, [step(n) for n in (33, 47, 48, 100, 101)]
    return [("first step of a batch size not seen before", milliseconds(statistics.median(times)), ""),
            ("kernels compiled or loaded for five such", str(jit.loads - compiled), "")]


def microseconds(seconds) -> str:
    return "" if seconds is None else f"{1e6 * seconds:.2f} us"


def milliseconds(seconds) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.1f} ms"
