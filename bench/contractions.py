"""Contraction kernels against PyTorch, turn by turn in one process: GFLOP/s of each and their ratio.

    python bench/contractions.py [matmul] [conv] [--seconds 0.15]

Ours writes to memory that is there; PyTorch's matmul too (out=), its convolutions allocate.
"""
from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from time import perf_counter

import numpy as np
import torch

from rushlight.cpu.conv import lower_conv, lower_conv_input_grad, lower_conv_weight_grad
from rushlight.cpu.gemm import lower_matmul
from rushlight.testing.calls import Memory

MATMULS = [     # batch, m, k, n
    ((), 128, 128, 128), ((), 256, 256, 256), ((), 512, 512, 512), ((), 1024, 1024, 1024), ((), 64, 784, 256),
    ((), 256, 768, 3072), ((), 4096, 64, 64), ((), 32, 512, 10), ((64,), 128, 32, 128), ((64,), 128, 128, 32),
    ((), 1, 1024, 1024), ((), 1024, 1024, 1)]
CONVS = [       # n, c, size, o, kernel, stride, padding, and groups if not one
    (32, 64, 56, 64, 3, 1, 1), (32, 128, 28, 128, 3, 1, 1), (32, 256, 14, 256, 3, 1, 1), (32, 3, 224, 64, 7, 2, 3),
    (32, 256, 56, 64, 1, 1, 0), (64, 1, 28, 32, 3, 1, 0), (64, 32, 26, 64, 3, 1, 0), (32, 64, 32, 64, 3, 1, 1),
    (32, 64, 32, 128, 3, 2, 1), (32, 512, 4, 512, 3, 1, 1), (4, 16, 128, 16, 3, 1, 1),
    (8, 144, 56, 144, 3, 1, 1, 144), (8, 144, 56, 144, 3, 2, 1, 144), (8, 96, 56, 96, 7, 1, 3, 96),
    (32, 128, 28, 128, 3, 1, 1, 32)]


def fastest(seconds, *functions) -> list[float]:
    """The least time of each, in alternating bursts: waiting threads of one spin into the other's time."""
    best = [float("inf")] * len(functions)
    for _ in range(BURSTS):
        for i, function in enumerate(functions):
            function()
            end = perf_counter() + seconds / BURSTS
            while (start := perf_counter()) < end:
                function()
                best[i] = min(best[i], perf_counter() - start)
    return best


BURSTS = 4


def show(name: str, flops: int, ours: float, theirs: float) -> None:
    print(f"{name:44} {flops / ours / 1e9:8.1f} {flops / theirs / 1e9:8.1f} {theirs / ours:6.2f} {ours * 1e6:10.1f} us")


def matmuls(seconds: float) -> None:
    rng = np.random.default_rng(0)
    for (batch, m, k, n), left, right in product(MATMULS, (0, 1), (0, 1)):
        a = rng.uniform(-1, 1, (*batch, *((k, m) if left else (m, k)))).astype(np.float32)
        b = rng.uniform(-1, 1, (*batch, *((n, k) if right else (k, n)))).astype(np.float32)
        a, b = (x.swapaxes(-1, -2) if flip else x for x, flip in ((a, left), (b, right)))
        memory = Memory()
        out = memory.new((*batch, m, n))
        calls = lower_matmul(out, memory.put(a), memory.put(b), memory.temp)
        theirs = partial(torch.matmul, *map(torch.from_numpy, (a, b)), out=torch.empty(*batch, m, n))
        times = fastest(seconds, memory.bind(calls), theirs)
        show(calls[-1].note, 2 * np.prod(batch, dtype=int) * m * k * n, *times)


def convs(seconds: float) -> None:
    for n, c, size, o, kernel, stride, padding, *more in CONVS:
        groups = more[0] if more else 1
        x, w = torch.rand(n, c, size, size) - 0.5, torch.rand(o, c // groups, kernel, kernel) - 0.5
        y = torch.conv2d(x, w, None, stride, padding, 1, groups)
        flops = 2 * y.numel() * w[0].numel()
        name = f"{n},{c},{size},{o} k{kernel} s{stride} p{padding}" + f" g{groups}" * (groups > 1)
        for what, ours in our_convolutions(x, y, w, stride, padding, groups):
            times = fastest(seconds, ours, *(theirs_for(what, x, y, w, stride, padding, groups, form)
                                             for form in (torch.contiguous_format, torch.channels_last)))
            show(f"{name} {what}", flops, times[0], min(times[1:]))


def our_convolutions(x, y, w, stride, padding, groups):
    memory = Memory()
    vx, vy, vw = (memory.put(t.numpy()) for t in (x, y, w))
    geometry = (stride,) * 2, (padding,) * 2, (1, 1), groups, memory.temp
    yield "forward", memory.bind(lower_conv(memory.new(y.shape), vx, vw, *geometry))
    yield "input grad", memory.bind(lower_conv_input_grad(memory.new(x.shape), vy, vw, *geometry))
    yield "weight grad", memory.bind(lower_conv_weight_grad(memory.new(w.shape), vy, vx, *geometry))


def theirs_for(what, x, y, w, stride, padding, groups, form):
    x, y, w = (t.contiguous(memory_format=form) for t in (x, y, w))
    if what == "forward":
        return lambda: torch.conv2d(x, w, None, stride, padding, 1, groups)
    mask = [what == "input grad", what == "weight grad", False]
    return lambda: torch.ops.aten.convolution_backward(
        y, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=["matmul", "conv", []])
    parser.add_argument("--seconds", type=float, default=0.15, help="per measurement")
    options = parser.parse_args()
    print(f"{'':44} {'GFLOP/s':>8} {'PyTorch':>8} {'ratio':>6}")
    for name, run in (("matmul", matmuls), ("conv", convs)):
        if name in (options.what or ["matmul", "conv"]):
            run(options.seconds)


if __name__ == "__main__":
    main()
