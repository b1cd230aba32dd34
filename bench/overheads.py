"""What rushlight costs besides computing: recording, flushing, importing, binding, compiling."""
from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
from time import perf_counter

from .report import Table


def operations(torch, grad: bool) -> dict:
    """Calls to be timed, by name; `grad` says whether what they read is tracked."""
    nn, F = torch.nn, torch.nn.functional

    def make(*shape):
        return torch.ones(*shape, requires_grad=grad)
    x, w, b, image, taps = make(2, 2), make(2, 2), make(2), make(1, 2, 4, 4), make(2, 2, 3, 3)
    index, layer, plain = torch.tensor([0, 1]), nn.Linear(2, 2).requires_grad_(grad), torch.ones(2, 2)
    return {
        "add": lambda: x + x,
        "mul by a number": lambda: x * 2.0,
        "tanh": lambda: x.tanh(),
        "sigmoid": lambda: torch.sigmoid(x),
        "gelu": lambda: F.gelu(x),
        "where": lambda: torch.where(plain > 0, x, 0.0),
        "clone": lambda: x.clone(),
        "sum": lambda: x.sum(),
        "mean over an axis": lambda: x.mean(dim=1, keepdim=True),
        "max": lambda: x.max(),
        "matmul": lambda: x @ x,
        "F.linear": lambda: F.linear(x, w, b),
        "conv2d": lambda: F.conv2d(image, taps),
        "max_pool2d": lambda: F.max_pool2d(image, 2),
        "view": lambda: x.view(4),
        "transpose": lambda: x.transpose(0, 1),
        "chunk": lambda: x.chunk(2, 1),
        "x[0]": lambda: x[0],
        "x[:, 1:]": lambda: x[:, 1:],
        "x[index]": lambda: x[index],
        "cat": lambda: torch.cat([x, x], 1),
        "stack": lambda: torch.stack([x, x]),
        "softmax": lambda: F.softmax(x, -1),
        "layer_norm": lambda: F.layer_norm(x, (2,), b, b),
        "cross_entropy": lambda: F.cross_entropy(x, index),
        "mse_loss": lambda: F.mse_loss(x, plain),
        "embedding": lambda: F.embedding(index, x),
        "dropout": lambda: F.dropout(x, 0.5),
        "call of nn.Linear": lambda: layer(x),
        "add_ of a number": lambda: plain.add_(1.0),
        "mul_ of a tensor": lambda: plain.mul_(plain),
        "x[0] = 1": lambda: plain.__setitem__(0, 1.0),
        "zeros": lambda: torch.zeros(2, 2),
    }


def steps(torch) -> dict:
    """Calls over PARAMETERS parameters of 8 x 8, by name; times are divided by their number."""
    def optimiser(name, **options):
        parameters = [torch.nn.Parameter(torch.ones(8, 8)) for _ in range(PARAMETERS)]
        for p in parameters:
            p.grad = torch.ones(8, 8)
        return parameters, getattr(torch.optim, name)(parameters, **options)
    made = {"SGD": optimiser("SGD", lr=1e-3), "SGD with momentum": optimiser("SGD", lr=1e-3, momentum=0.9),
            "Adam": optimiser("Adam"), "AdamW": optimiser("AdamW"), "RMSprop": optimiser("RMSprop")}
    calls = {f"{name}, step": optimizer.step for name, (_, optimizer) in made.items()}
    parameters, sgd = made["SGD"]
    return calls | {"clip_grad_norm_": lambda: torch.nn.utils.clip_grad_norm_(parameters, 1.0),
                    "zero_grad": sgd.zero_grad}


PARAMETERS = 300
REPEAT, ROUNDS = 200, 15
HEADER = ("what", "rushlight", "PyTorch")
MEASURE = """
import importlib, json, sys
sys.path.insert(0, {root!r})
from bench import {module}
torch = importlib.import_module({library!r})
torch.set_num_threads(1)
print(json.dumps({module}.{what}(torch)))
"""


def measure(options) -> tuple[list[Table], bool]:
    """Tables of overheads; nothing here can be wrong."""
    tables = [record_table(options), step_table(options), flush_table(), start_table(options), compile_table()]
    for table in tables:
        print(f"{table}\n", flush=True)
    return tables, True


# -- recording ----------------------------------------------------------------------------------------
def record_table(options) -> Table:
    return Table("Recording one operation on tensors of a few elements", HEADER, both(options, "recording"),
                 "PyTorch computes the result in that time, too; rushlight only notes what is to be done.")


def step_table(options) -> Table:
    return Table(f"One parameter's share of a step over {PARAMETERS} parameters of 8 x 8", HEADER, both(options, "stepping"),
                 "Everything is computed in that time, by both.")


def both(options, what) -> list:
    """Rows of microseconds: ours, theirs."""
    theirs = in_process(options.torch_python, "torch", what) if options.torch_python else {}
    return [(name, microseconds(t), microseconds(theirs.get(name))) for name, t in
            in_process(sys.executable, "rushlight", what).items()]


def in_process(python, library, what, module="overheads") -> dict[str, float]:
    """What a function of a module of this folder measures with a library, in a process of its own with one thread."""
    from .report import ROOT
    code = MEASURE.format(root=ROOT, library=library, what=what, module=module)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def recording(torch) -> dict[str, float]:
    """Seconds for each operation, without and with gradient."""
    times = {}
    for suffix, grad in (("", False), (", with gradient", True)):
        for name, call in operations(torch, grad).items():
            times[name + suffix] = per_call(torch, call)
    return dict(sorted(times.items(), key=lambda item: list(times).index(item[0].removesuffix(", with gradient"))))


def stepping(torch) -> dict[str, float]:
    """Seconds for each parameter of a step; what is pending is run and counts."""
    def with_flush(call):
        def run():
            call()
            torch.cpu.synchronize()
        return run
    return {name: per_call(torch, with_flush(call), repeat=1, rounds=60) / PARAMETERS
            for name, call in steps(torch).items()}


def per_call(torch, call, repeat=REPEAT, rounds=ROUNDS) -> float:
    """The least mean time of a call over some rounds; nothing is pending when a round begins."""
    for _ in range(4):
        call()
    best = float("inf")
    for _ in range(rounds):
        torch.cpu.synchronize()
        gc.collect(0)
        started = perf_counter()
        for _ in range(repeat):
            call()
        best = min(best, (perf_counter() - started) / repeat)
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
