"""Kernels through the public functions, with rates beside times and the machine's limits above them.

The work of a case is counted as the textbook does, in floating-point operations (products) or in bytes
that must be read and written (everything else), with gradients where the case says so: a rate is
work by time, whatever the implementation did. Both libraries by turns in one process.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from . import limits
from .report import Table
from .sweep import Index, Of, fastest, inputs_of, runner, torch_here

HEADER = ("kernel", "direction", "rushlight", "PyTorch", "ratio", "rate", "PyTorch's rate", "of the limit")
NOTE = ("Both: forward and gradients of all inputs. Of the limit: our rate by that of multiply-adds in registers, or of the "
        "large copy; what stays in a cache passes 100%, and so may dot products of bfloat16. Winograd counts as the "
        "convolution that it replaces.")


class Kernel(NamedTuple):
    name: str
    inputs: tuple
    run: Callable                   # (torch, *tensors) -> tensor
    forward: float                  # work
    both: float = 0.0               # work with gradients; 0: forward only
    is_product: bool = False        # the work is counted in floating-point operations, else in bytes
    has_gradient: bool = True


def fn(torch):
    return torch.nn.functional


def bytes_of(*shapes) -> float:
    return 4.0 * sum(math.prod(s) for s in shapes)


# -- the cases --------------------------------------------------------------------------------------
def products():
    """Squares, layers, few rows, one row, short and long sums; transposes; batches; other dtypes."""
    for m, k, n in [(128,) * 3, (512,) * 3, (1024,) * 3, (64, 784, 256), (256, 768, 3072), (4096, 64, 64), (257,) * 3,
                    (16, 256, 1024), (4, 768, 768), (1, 1024, 1024), (1, 4096, 4096), (1024, 1024, 1), (1000, 1000, 10),
                    (512, 3, 512), (64, 16384, 64)]:
        yield product((m, k), (k, n))
    for left, right in ((True, False), (False, True), (True, True)):
        for sizes in ((512,) * 3, (16, 256, 1024), (1, 1024, 1024)):
            yield product(sizes[:2], sizes[1:], left, right)
    for batch, m, k, n in [((64,), 128, 32, 128), ((64, 12), 64, 64, 64), ((1000,), 8, 8, 8), ((48,), 1, 64, 128)]:
        yield product((*batch, m, k), (*batch, k, n))
    for dtype in ("bfloat16", "float16", "float64", "int64"):
        for sizes in ((512,) * 3, (256, 1024, 1024), (1, 1024, 1024)):
            yield product(sizes[:2], sizes[1:], right=True, dtype=dtype)


def product(a, b, left=False, right=False, dtype="float32") -> Kernel:
    """A matrix product; `left` and `right`: that operand lies transposed."""
    shapes = [(*s[:-2], s[-1], s[-2]) if flip else s for s, flip in ((a, left), (b, right))]
    turned = f", {' and '.join(['left'] * left + ['right'] * right)} transposed" * (left or right)
    name = f"matmul {'x'.join(map(str, (*a, b[-1])))}{turned}" + f", {dtype}" * (dtype != "float32")
    work = 2.0 * math.prod(a) * b[-1]
    return Kernel(name, tuple(shapes) if dtype == "float32" else tuple(Of(s, dtype) for s in shapes),
                  lambda t, x, y: (x.mT if left else x) @ (y.mT if right else y), work,
                  3 * work if dtype in ("float32", "bfloat16") and not left else 0, True)


def convolutions():
    for n, c, size, o, k, stride, groups in [
            (16, 64, 56, 64, 3, 1, 1), (16, 128, 28, 128, 3, 1, 1), (16, 256, 14, 256, 3, 1, 1), (16, 256, 28, 64, 1, 1, 1),
            (16, 64, 32, 128, 3, 2, 1), (8, 3, 112, 32, 7, 2, 1), (8, 96, 56, 96, 3, 1, 96), (8, 96, 28, 96, 7, 1, 96)]:
        x, w = (n, c, size, size), (o, c // groups, k, k)
        work = 2.0 * n * o * math.ceil(size / stride)**2 * math.prod(w[1:])
        name = f"conv {n}x{c}x{size}x{size} to {o}, {k}x{k}" + f", stride {stride}" * (stride > 1)
        yield Kernel(name + (", depthwise" if groups > 1 else ""), (x, w), lambda t, x, w, s=stride, g=groups: fn(t).conv2d(
            x, w, None, s, w.shape[-1] // 2, 1, g), work, 3 * work, True)


def rows():
    x, w = (4096, 512), (512,)
    image, channels = (32, 64, 32, 32), (64,)
    one, map_ = bytes_of(x), bytes_of(image)
    yield Kernel("softmax 4096x512", (x,), lambda t, x: x.softmax(1), 2 * one, 5 * one)
    yield Kernel("cross_entropy 4096x512", (x, Index((4096,), 512)), lambda t, x, y: fn(t).cross_entropy(x, y), one, 3 * one)
    yield Kernel("layer_norm 4096x512", (x, w, w), lambda t, x, w, b: fn(t).layer_norm(x, (512,), w, b), 2 * one, 5 * one)
    yield Kernel("batch_norm 32x64x32x32", (image, channels, channels),
                 lambda t, x, w, b: fn(t).batch_norm(x, None, None, w, b, training=True), 3 * map_, 7 * map_)
    yield Kernel("group_norm 32x64x32x32", (image, channels, channels),
                 lambda t, x, w, b: fn(t).group_norm(x, 8, w, b), 2 * map_, 5 * map_)
    yield Kernel("sum, all 4096x512", (x,), lambda t, x: x.sum(), one)
    yield Kernel("sum, axis 0 4096x512", (x,), lambda t, x: x.sum(0), one)


def by_hand(t, q, k, v):
    scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
    keep = t.ones(scores.shape[-2:]).tril()
    return scores.masked_fill(keep == 0, float("-inf")).softmax(-1) @ v


def attention():
    for b, h, n, d in [(8, 8, 128, 32), (2, 8, 512, 64)]:
        shapes, work = ((b, h, n, d),) * 3, 4.0 * b * h * n * n * d
        yield Kernel(f"attention {b}x{h}x{n}x{d}", shapes, lambda t, q, k, v: fn(t).scaled_dot_product_attention(q, k, v),
                     work, 3 * work, True)
        yield Kernel(f"attention, causal {b}x{h}x{n}x{d}", shapes, lambda t, q, k, v: fn(t).scaled_dot_product_attention(
            q, k, v, is_causal=True), work / 2, 1.5 * work, True)
        yield Kernel(f"attention by hand, causal {b}x{h}x{n}x{d}", shapes, by_hand, work / 2, 1.5 * work, True)


def indexing():
    table, at, out = (20000, 128), Index((8192,), 20000), (8192, 128)
    moved = 2 * bytes_of(out)
    yield Kernel("embedding 8192 of 20000x128", (table, at), lambda t, w, i: fn(t).embedding(i, w), moved,
                 moved + bytes_of(out, out, table))
    yield Kernel("gather 1024x1024", ((1024, 1024), Index((1024, 1024), 1024)), lambda t, x, i: x.gather(1, i),
                 2 * bytes_of((1024, 1024)) + 8 * 1024**2)
    yield Kernel("index_add 8192 to 20000x128", (table, out, at), lambda t, x, y, i: x.index_add(0, i, y),
                 2 * bytes_of(table) + 3 * bytes_of(out))
    yield Kernel("scatter_add 1024x1024", ((1024, 1024),) * 2 + (Index((1024, 1024), 1024),),
                 lambda t, x, y, i: x.scatter_add(1, i, y), 3 * bytes_of((1024, 1024)) + 8 * 1024**2)


def moving():
    for side in (1024, 4096):
        x, one = (side, side), bytes_of((side, side))
        yield Kernel(f"add {side}x{side}", (x, x), lambda t, x, y: x + y, 3 * one)
        yield Kernel(f"negate {side}x{side}", (x,), lambda t, x: x.neg(), 2 * one)
        yield Kernel(f"transposed copy {side}x{side}", (x,), lambda t, x: x.t().contiguous(), 2 * one)
    big, one = (2048, 2048), bytes_of((2048, 2048))
    yield Kernel("tanh 2048x2048", (big,), lambda t, x: x.tanh(), 2 * one, 5 * one)
    yield Kernel("gelu 2048x2048", (big,), lambda t, x: fn(t).gelu(x), 2 * one, 5 * one)
    image = (16, 64, 32, 32)
    yield Kernel("max_pool2d 16x64x32x32", (image,), lambda t, x: fn(t).max_pool2d(x, 2), 1.25 * bytes_of(image),
                 3.5 * bytes_of(image))


def optimisers():
    """A step on 64 parameters with gradients that are there: each reads and writes all of its state."""
    for name, moved, make in [("SGD with momentum", 5, lambda o, p: o.SGD(p, lr=1e-3, momentum=0.9)),
                              ("Adam", 7, lambda o, p: o.Adam(p)), ("AdamW, foreach", 7, lambda o, p: o.AdamW(p, foreach=True))]:
        yield Kernel(f"{name}, 64 of 256x256", ((64, 256, 256),), stepping(make), moved * bytes_of((64, 256, 256)))


def stepping(make):
    kept: dict = {}         # an optimiser for each library and input

    def run(torch, x):
        if id(x) not in kept:
            parameters = [row.clone().requires_grad_() for row in x.detach()]
            for p in parameters:
                p.grad = torch.ones_like(p)
            kept[id(x)] = make(torch.optim, parameters), parameters[0], x
        kept[id(x)][0].step()
        return kept[id(x)][1].detach()
    return run


ROOMS = (products, convolutions, rows, attention, indexing, moving, optimisers)


# -- measuring --------------------------------------------------------------------------------------
def measure(options) -> tuple[list[Table], bool]:
    """The machine's limits, then every kernel; False if one does not run."""
    import rushlight
    peak, copy = limits.fma_rate(options.threads), limits.copy_rate(options.threads)
    torch = torch_here(options)
    machine = Table("Limits of the machine", ("what", "rate"), [
        (f"multiply-adds in registers, {options.threads} threads", f"{peak / 1e9:.0f} GFLOP/s"),
        (f"copy of 256 MiB, read and written, {options.threads} threads", f"{copy / 1e9:.1f} GB/s")])
    print(f"{machine}\n", flush=True)
    found, failed = [], []
    for kernel in [k for room in ROOMS for k in room() if k.name.startswith(tuple(options.only.split(",")))]:
        try:
            found += rows_of(kernel, torch, rushlight, peak, copy)
        except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
            failed.append((kernel.name, "", f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", *[""] * 5))
    table = Table("Kernels", HEADER, found + failed, NOTE)
    print(f"{table}\n", flush=True)
    return [machine, table], not failed


def rows_of(kernel, torch, rushlight, peak, copy):
    for direction, work in (("forward", kernel.forward), ("both", kernel.both)):
        if work:
            arrays = inputs_of(kernel)
            ours = runner(kernel, rushlight, arrays, direction == "both", rushlight.cpu.synchronize)
            theirs = [runner(kernel, torch, arrays, direction == "both")] if torch else []
            mine, *peer = fastest(ours, *theirs)
            yield row(kernel, direction, work, mine, peer, peak if kernel.is_product else copy)


def row(kernel, direction, work, mine, peer, limit) -> tuple[str, ...]:
    rate = "{:.0f} GFLOP/s" if kernel.is_product else "{:.1f} GB/s"
    return (kernel.name, direction, f"{1e6 * mine:.0f} us", *([f"{1e6 * t:.0f} us" for t in peer] or [""]),
            *([f"{mine / t:.2f}" for t in peer] or [""]), rate.format(work / mine / 1e9),
            *([rate.format(work / t / 1e9) for t in peer] or [""]), f"{100 * work / mine / limit:.0f}%")
