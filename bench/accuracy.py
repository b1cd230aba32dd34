"""Products and sums in float32 against the same in float64, beside PyTorch's errors.

Inputs are the same float32 numbers for all; float64 is PyTorch's where it is at hand, else ours. An
error is told as root mean square over that of the exact result, and as largest over largest.
"""
from __future__ import annotations

import numpy as np

from .report import Table
from .sweep import torch_here

HEADER = ("operation", "rms", "PyTorch rms", "largest", "PyTorch largest", "rms ratio")
NOTE = ("In units of 1e-7 (half an ulp of 1 is 0.6): how far float32 results are from float64's. A ratio below 1: ours are "
        "nearer. Numbers are uniform in [-1, 1], or in [0, 1] where it says positive.")
UNIT = 1e-7


def fn(torch):
    return torch.nn.functional


def products():
    for k in (64, 1024, 16384):
        yield f"matmul 64x{k}x64", ((64, k), (k, 64)), lambda t, a, b: [a @ b]
    yield "matmul 64x16384x64, positive", ((64, 16384), (16384, 64)), lambda t, a, b: [a.abs() @ b.abs()]
    for name, x, w, options in CONVOLUTIONS:
        sizes = [1 + (n + 2 * options["padding"] - k) // options.get("stride", 1) for n, k in zip(x[2:], w[2:])]
        shapes = x, w, (x[0], w[0], *sizes)
        for i, what in enumerate(("forward", "input gradient", "weight gradient")):
            yield f"{name}, {what}", shapes, lambda t, x, w, g, i=i, o=options: [convolved(t, x, w, g, o)[i]]


CONVOLUTIONS = (    # images, weights; all but the last are Winograd's
    ("conv2d 3x3, 64 channels", (2, 64, 32, 32), (64, 64, 3, 3), {"padding": 1}),
    ("conv2d 3x3, 256 channels", (2, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}),
    ("conv2d 4x4 of stride 2, 64 channels", (4, 64, 32, 32), (64, 64, 4, 4), {"padding": 1, "stride": 2}),
    ("conv3d 3x3x3, 32 channels", (1, 32, 8, 16, 16), (32, 32, 3, 3, 3), {"padding": 1}),
    ("conv2d 7x7, depthwise", (4, 64, 28, 28), (64, 1, 7, 7), {"padding": 3, "groups": 64}),
)


def convolved(t, x, w, g, options):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = (fn(t).conv2d if x.dim() == 4 else fn(t).conv3d)(x, w, **options)
    y.backward(g)
    return y.detach(), x.grad, w.grad


def reductions():
    for n in (10**3, 10**5, 10**7):
        row = ((max(1, 10**6 // n), n),)
        size = f"{n:.0e}".replace("e+0", "e")
        yield f"sum of {size}", row, lambda t, x: [x.sum(1)]
        yield f"sum of {size}, positive", row, lambda t, x: [x.abs().sum(1)]
        yield f"sum of {size}, over rows", (row[0][::-1],), lambda t, x: [x.abs().sum(0)]
        yield f"mean of {size}, positive", row, lambda t, x: [x.abs().mean(1)]
        yield f"var of {size}", row, lambda t, x: [x.var(1)]
        yield f"softmax over {size}", row, lambda t, x: [(4 * x).softmax(1)]
        yield f"layer_norm over {size}", row, lambda t, x: [fn(t).layer_norm(x + 1, x.shape[1:])]


def cases():
    """(name, shapes of the inputs, function from library and tensors to a list of results)."""
    yield from products()
    yield from reductions()


def measure(options) -> tuple[list[Table], bool]:
    """The table; False if a result of ours is not finite or far off."""
    import rushlight
    torch = torch_here(options)
    rows, good = [], True
    for name, shapes, run in filter(lambda case: case[0].startswith(tuple(options.only.split(","))), cases()):
        rng = np.random.default_rng(0)
        arrays = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]
        exact = results(torch or rushlight, run, arrays, np.float64)
        ours = errors(results(rushlight, run, arrays), exact)
        theirs = errors(results(torch, run, arrays), exact) if torch else None
        rows.append(row(name, ours, theirs))
        good &= bool(ours[0] < 1e-4)
    table = Table("", HEADER, rows, NOTE)
    print(f"{table}\n", flush=True)
    return [table], good


def results(torch, run, arrays, kind=np.float32) -> np.ndarray:
    found = run(torch, *[torch.tensor(a.astype(kind)) for a in arrays])
    return np.concatenate([y.detach().numpy().ravel() for y in found]).astype(np.float64)


def errors(y, exact) -> tuple[float, float]:
    """(root mean square, largest), each by that of the exact result."""
    wrong = y - exact
    return float(np.sqrt((wrong**2).mean() / (exact**2).mean())), float(abs(wrong).max() / abs(exact).max())


def row(name, ours, theirs) -> tuple[str, ...]:
    told = [f"{e / UNIT:.2f}" for pair in zip(ours, theirs or ours) for e in pair]
    if theirs is None:
        told[1] = told[3] = ""
    return (name, *told, f"{ours[0] / theirs[0]:.2f}" if theirs and theirs[0] else "")
