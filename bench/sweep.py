"""Public operations one by one against PyTorch: the same inputs, by turns in one process.

A case is (name, shapes of the inputs, function of torch and the inputs). Forward is the operation
alone, "both" adds the gradients of its floating-point inputs. Only cases in which PyTorch takes
more than FLOOR count; the table has the WORST, slowest first.
"""
from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from .report import Table

FLOOR = 100e-6
WORST = 20
SECONDS = 0.06          # for each library and direction
ROUNDS = 3
HEADER = ("operation", "direction", "rushlight", "PyTorch", "ratio")


class Index(NamedTuple):
    """An int64 input with values in [0, below)."""
    shape: tuple[int, ...]
    below: int


class Case(NamedTuple):
    name: str
    inputs: tuple           # shapes, or Index
    run: Callable           # (torch, *tensors) -> tensor
    has_gradient: bool = True


# -- the cases ------------------------------------------------------------------------------------------
UNARY = "exp log1p tanh sigmoid sin relu abs sqrt rsqrt erf floor neg reciprocal"
BINARY = "add sub mul div maximum atan2 pow"
REDUCTIONS = "sum mean amax prod var logsumexp argmax"
IMAGE = (1024, 1024)


def fn(torch):
    return torch.nn.functional


def pointwise():
    for name in UNARY.split():
        yield Case(name, (IMAGE,), lambda t, x, n=name: getattr(t, n)(x.abs() if n in ("sqrt", "rsqrt", "log1p") else x))
    for name in BINARY.split():
        yield Case(name, (IMAGE, IMAGE), lambda t, x, y, n=name: getattr(t, n)(x.abs() if n == "pow" else x, y))
    yield Case("add, row broadcast", (IMAGE, (1024,)), lambda t, x, y: x + y)
    yield Case("add, column broadcast", (IMAGE, (1024, 1)), lambda t, x, y: x + y)
    yield Case("add, transposed", (IMAGE, IMAGE), lambda t, x, y: x + y.t())
    yield Case("where", (IMAGE, IMAGE), lambda t, x, y: t.where(x > 0, x, y))
    yield Case("clamp", (IMAGE,), lambda t, x: x.clamp(-0.5, 0.5))
    yield Case("gelu", (IMAGE,), lambda t, x: fn(t).gelu(x))
    yield Case("silu", (IMAGE,), lambda t, x: fn(t).silu(x))
    yield Case("softplus", (IMAGE,), lambda t, x: fn(t).softplus(x))
    yield Case("to float64", (IMAGE,), lambda t, x: x.double())
    yield Case("to bfloat16", (IMAGE,), lambda t, x: x.bfloat16())
    yield Case("lerp", (IMAGE, IMAGE), lambda t, x, y: t.lerp(x, y, 0.3))


def reductions():
    for name in REDUCTIONS.split():
        for dim in (0, 1):
            yield Case(f"{name}, axis {dim}", (IMAGE,), lambda t, x, n=name, d=dim: getattr(t, n)(x, d), name != "argmax")
    yield Case("sum, all", ((4096, 1024),), lambda t, x: x.sum())
    yield Case("sum, middle axis", ((64, 256, 64),), lambda t, x: x.sum(1))
    yield Case("sum, short rows", ((262144, 4),), lambda t, x: x.sum(1))
    yield Case("sum, long row", ((2, 1 << 20),), lambda t, x: x.sum(1))
    yield Case("norm", (IMAGE,), lambda t, x: x.norm(dim=1))
    for dim in (0, 1):
        yield Case(f"softmax, axis {dim}", (IMAGE,), lambda t, x, d=dim: t.softmax(x, d))
        yield Case(f"log_softmax, axis {dim}", (IMAGE,), lambda t, x, d=dim: t.log_softmax(x, d))
        yield Case(f"cumsum, axis {dim}", (IMAGE,), lambda t, x, d=dim: x.cumsum(d))
        yield Case(f"sort, axis {dim}", (IMAGE,), lambda t, x, d=dim: x.sort(d)[0])
    yield Case("topk", (IMAGE,), lambda t, x: x.topk(10, 1)[0])
    yield Case("cross_entropy", ((4096, 512), Index((4096,), 512)), lambda t, x, y: fn(t).cross_entropy(x, y))
    yield Case("mse_loss", (IMAGE, IMAGE), lambda t, x, y: fn(t).mse_loss(x, y))


def norms():
    chan = ((32, 64, 32, 32), (64,), (64,))
    yield Case("layer_norm", ((4096, 512), (512,), (512,)), lambda t, x, w, b: fn(t).layer_norm(x, (512,), w, b))
    yield Case("rms_norm", ((4096, 512), (512,)), lambda t, x, w: fn(t).rms_norm(x, (512,), w))
    yield Case("batch_norm", chan, lambda t, x, w, b: fn(t).batch_norm(x, None, None, w, b, training=True))
    yield Case("group_norm", chan, lambda t, x, w, b: fn(t).group_norm(x, 8, w, b))
    yield Case("instance_norm", chan[:1], lambda t, x: fn(t).instance_norm(x))


def products():
    for m, k, n in [(256, 256, 256), (1024, 1024, 1024), (64, 784, 256), (256, 768, 3072), (4096, 64, 64),
                    (1, 4096, 4096), (4096, 4096, 1)]:
        yield Case(f"matmul {m}x{k}x{n}", ((m, k), (k, n)), lambda t, x, y: x @ y)
    yield Case("matmul, both transposed", ((768, 512), (512, 768)), lambda t, x, y: x.t() @ y.t())
    yield Case("bmm", ((64, 128, 32), (64, 32, 128)), lambda t, x, y: t.bmm(x, y))
    yield Case("linear", ((256, 512), (1024, 512), (1024,)), lambda t, x, w, b: fn(t).linear(x, w, b))
    yield Case("einsum", ((64, 32, 64), (64, 64, 32)), lambda t, x, y: t.einsum("bij,bjk->ik", x, y))
    attention = ((8, 8, 128, 32),) * 3
    yield Case("attention", attention, lambda t, q, k, v: fn(t).scaled_dot_product_attention(q, k, v))


def convolutions():
    def conv(name, x, w, **options):
        rank = len(x) - 2
        return Case(name, (x, w), lambda t, a, b: getattr(fn(t), f"conv{rank}d")(a, b, **options))
    yield conv("conv2d 3x3", (16, 64, 32, 32), (64, 64, 3, 3), padding=1)
    yield conv("conv2d 1x1", (16, 64, 32, 32), (128, 64, 1, 1))
    yield conv("conv2d 3x3, stride 2", (16, 64, 32, 32), (64, 64, 3, 3), stride=2, padding=1)
    yield conv("conv2d 7x7, 3 channels", (8, 3, 112, 112), (32, 3, 7, 7), stride=2, padding=3)
    yield conv("conv2d, dilated", (8, 32, 32, 32), (32, 32, 3, 3), padding=2, dilation=2)
    yield conv("conv2d, 8 groups", (16, 64, 32, 32), (64, 8, 3, 3), padding=1, groups=8)
    yield conv("conv2d, depthwise", (16, 64, 32, 32), (64, 1, 3, 3), padding=1, groups=64)
    yield conv("conv1d", (16, 64, 512), (64, 64, 5), padding=2)
    yield conv("conv3d", (2, 16, 16, 32, 32), (16, 16, 3, 3, 3), padding=1)
    yield Case("conv_transpose2d", ((8, 64, 16, 16), (64, 32, 4, 4)),
               lambda t, x, w: fn(t).conv_transpose2d(x, w, stride=2, padding=1))


def windows():
    image = ((16, 64, 32, 32),)
    yield Case("max_pool2d", image, lambda t, x: fn(t).max_pool2d(x, 2))
    yield Case("max_pool2d, overlapping", image, lambda t, x: fn(t).max_pool2d(x, 3, 1, 1))
    yield Case("avg_pool2d", image, lambda t, x: fn(t).avg_pool2d(x, 2))
    yield Case("adaptive_avg_pool2d", image, lambda t, x: fn(t).adaptive_avg_pool2d(x, 7))
    yield Case("unfold", image, lambda t, x: fn(t).unfold(x, 3))
    yield Case("interpolate, nearest", image, lambda t, x: fn(t).interpolate(x, scale_factor=2))
    yield Case("interpolate, bilinear", image, lambda t, x: fn(t).interpolate(
        x, scale_factor=2, mode="bilinear", align_corners=False))
    yield Case("pad, reflect", image, lambda t, x: fn(t).pad(x, (2, 2, 2, 2), mode="reflect"))
    yield Case("pad, constant", image, lambda t, x: fn(t).pad(x, (2, 2, 2, 2)))


def indexing():
    rows = Index((8192,), 4096)
    table = (4096, 256)
    yield Case("embedding", (table, rows), lambda t, x, i: fn(t).embedding(i, x))
    yield Case("index_select", (table, rows), lambda t, x, i: x.index_select(0, i))
    yield Case("x[i]", (table, rows), lambda t, x, i: x[i])
    yield Case("gather", (IMAGE, Index(IMAGE, 1024)), lambda t, x, i: x.gather(1, i))
    yield Case("scatter_add", (IMAGE, IMAGE, Index(IMAGE, 1024)), lambda t, x, y, i: x.scatter_add(1, i, y))
    yield Case("index_add", (table, (8192, 256), rows), lambda t, x, y, i: x.index_add(0, i, y))
    yield Case("index_put", (table, (8192, 256), rows), lambda t, x, y, i: x.index_put((i,), y, accumulate=True))
    yield Case("masked_fill", (IMAGE,), lambda t, x: x.masked_fill(x.detach() > 0, 1.0))
    yield Case("tril", (IMAGE,), lambda t, x: x.tril())
    yield Case("roll", (IMAGE,), lambda t, x: x.roll(3, 1))
    yield Case("flip", (IMAGE,), lambda t, x: x.flip(1))


def copies():
    yield Case("transposed copy", (IMAGE,), lambda t, x: x.t().contiguous())
    yield Case("permuted copy", ((16, 64, 32, 32),), lambda t, x: x.permute(0, 2, 3, 1).contiguous())
    yield Case("strided copy", ((2048, 2048),), lambda t, x: x[::2, ::2].contiguous())
    yield Case("cat, axis 0", (IMAGE, IMAGE), lambda t, x, y: t.cat([x, y], 0))
    yield Case("cat, axis 1", (IMAGE, IMAGE), lambda t, x, y: t.cat([x, y], 1))
    yield Case("stack, last axis", (IMAGE, IMAGE), lambda t, x, y: t.stack([x, y], -1))
    yield Case("repeat", ((256, 256),), lambda t, x: x.repeat(4, 4))
    yield Case("clone", ((2048, 2048),), lambda t, x: x.clone() + 0)


ROOMS = (pointwise, reductions, norms, products, convolutions, windows, indexing, copies)


# -- measuring --------------------------------------------------------------------------------------------
def measure(options) -> tuple[list[Table], bool]:
    """The worst cases; False if one does not run."""
    torch = torch_here(options)
    if torch is None:
        print("sweep: left out, it compares with PyTorch in one process (`make parity` makes .venv-parity, which has it)")
        return [], True
    import rushlight
    rows, failed = [], []
    for case in [c for room in ROOMS for c in room() if chosen(c, options)]:
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
    return [rng.integers(0, spec.below, spec.shape) if isinstance(spec, Index)
            else rng.uniform(-1, 1, spec).astype(np.float32) for spec in case.inputs]


def runner(case, torch, arrays, backward, wait=lambda: None):
    """A function that runs the case once, to its end."""
    tensors = [torch.tensor(a) for a in arrays]
    floats = [x.requires_grad_(backward) for x in tensors if x.is_floating_point()]
    with torch.no_grad():
        seed = torch.ones_like(case.run(torch, *tensors))

    def once():
        y = case.run(torch, *tensors)
        keep = torch.autograd.grad(y, floats, seed) if backward else y
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
