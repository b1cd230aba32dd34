"""The three convolution kernels against sums over taps in float64, on arrays, without a graph."""
from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..cpu.conv import lower_conv, lower_conv_input_grad, lower_conv_weight_grad
from ..runtime.threads import set_num_threads
from .calls import Memory


# --- the definition ------------------------------------------------------------------------

def padded(x, padding):
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])


def taps(x, kernel, out, stride, dilation):
    """For every tap: the part of padded x that it meets, as a view."""
    for tap in product(*map(range, kernel)):
        yield tap, x[(..., *(slice(k * d, k * d + (n - 1) * s + 1, s)
                             for k, d, n, s in zip(tap, dilation, out, stride, strict=True)))]


def grouped(x, groups, dim):
    return x.reshape(*x.shape[:dim], groups, x.shape[dim] // groups, *x.shape[dim + 1:])


def out_sizes(x, w, stride, padding, dilation, groups):
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(x[2:], w[2:], stride, padding, dilation, strict=True)]


def reference_conv(x, w, stride, padding, dilation, groups):
    out, ws = out_sizes(x.shape, w.shape, stride, padding, dilation, groups), grouped(w, groups, 0)
    y = sum(np.einsum("ngc...,goc->ngo...", grouped(seen, groups, 1), ws[(slice(None),) * 3 + tap])
            for tap, seen in taps(padded(x, padding), w.shape[2:], out, stride, dilation))
    return y.reshape(y.shape[0], w.shape[0], *out)


def reference_input_grad(g, w, size, stride, padding, dilation, groups):
    inner = (n + 2 * p for n, p in zip(size[1:], padding, strict=True))
    dx = np.zeros((g.shape[0], size[0], *inner))
    gs, ws = grouped(g, groups, 1), grouped(w, groups, 0)
    for tap, seen in taps(dx, w.shape[2:], g.shape[2:], stride, dilation):
        met = np.einsum("ngo...,goc->ngc...", gs, ws[(slice(None),) * 3 + tap])
        seen += met.reshape(seen.shape)
    return dx[(..., *(slice(p, p + n) for p, n in zip(padding, size[1:], strict=True)))]


def reference_weight_grad(g, x, kernel, stride, padding, dilation, groups):
    positions = prod(g.shape[2:])
    parts = [np.einsum("ngop,ngcp->goc", flat(g, groups, positions),
                       flat(seen, groups, positions), optimize=True)
             for _, seen in taps(padded(x, padding), kernel, g.shape[2:], stride, dilation)]
    dw = np.stack(parts, -1)            # [group, o, c, tap]
    return dw.reshape(g.shape[1], dw.shape[2], *kernel)


def flat(x, groups, positions):
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, positions)


# --- the three lowerings ------------------------------------------------------------------------

def draw(rng, shape, kind=np.float32, axes=None):
    """Numbers in memory order `axes`."""
    axes = axes or range(len(shape))
    x = rng.uniform(-1, 1, [shape[a] for a in axes]).astype(kind)
    return x.transpose(np.argsort(list(axes)))


def all_three(x, g, w, geometry, threads=1):
    """y, dx, dw as the kernels make them."""
    set_num_threads(threads)
    memory = Memory()
    vx, vg, vw = map(memory.put, (x, g, w))
    y, dx, dw = (memory.new(a.shape, a.dtype) for a in (g, x, w))
    memory.run(lower_conv(y, vx, vw, *geometry, memory.temp))
    memory.run(lower_conv_input_grad(dx, vg, vw, *geometry, memory.temp))
    memory.run(lower_conv_weight_grad(dw, vg, vx, *geometry, memory.temp))
    return [memory.array(v).copy() for v in (y, dx, dw)]


TOLERANCE = {2: 2e-2, 4: 2e-6, 8: 1e-14}


def check(xs, ws, *geometry, kind=np.float32, axes=None, threads=1, seed=0):
    rng = np.random.default_rng(seed)
    x, w = draw(rng, xs, kind, axes), draw(rng, ws, kind)
    g = draw(rng, (xs[0], ws[0], *out_sizes(xs, ws, *geometry)), kind, axes)
    wide = [a.astype(np.float64) for a in (x, g, w)]
    wanted = references(*wide, geometry)
    scale = references(*map(np.abs, wide), geometry)
    made = all_three(x, g, w, geometry, threads)
    for name, got, want, size in zip(("y", "dx", "dw"), made, wanted, scale, strict=True):
        error = np.max(np.abs(got.astype(np.float64) - want) / (size + 1e-30), initial=0)
        assert error < TOLERANCE[x.itemsize], (name, xs, ws, geometry)


def references(x, g, w, geometry):
    return (reference_conv(x, w, *geometry), reference_input_grad(g, w, x.shape[1:], *geometry),
            reference_weight_grad(g, x, w.shape[2:], *geometry))
