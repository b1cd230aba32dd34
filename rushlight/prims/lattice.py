"""Alignments of a target with the steps of a sequence (connectionist temporal classification).

    lattice     emit (T, N, L), skip (N, L), frames (N, 1), ends (N, 1): log-probabilities (T, N, L)

Forwards: of having come to each state, which stays once a sample's frames are over. In reverse: of
ending in the last state, `ends`, or the one before it, this step's own included. A step stays, goes
on by one state, or by two to a state of `skip`. Source: Graves et al. 2006, equations 6 to 11.
"""
from __future__ import annotations

import numpy as np

from .. import ops as o
from .table import Primitive, same_dtype


def lowest(kind) -> float:
    """What stands for log 0: it can be added to itself for long."""
    return np.finfo(kind).min / 1e6


def _arrived(before, skip, emit):
    low = before.dtype.type(lowest(before.dtype))
    ways = np.full((3, *before.shape), low, before.dtype)
    ways[0] = before
    ways[1, :, 1:] = before[:, :-1]
    ways[2, :, 2:] = np.where(skip[:, 2:], before[:, :-2], low)
    most = ways.max(0)
    return np.maximum(np.log(np.exp(ways - most).sum(0)) + most + emit, low)


def _forwards(emit, skip, frames, ends):
    at, out = np.arange(emit.shape[2]), np.empty_like(emit)
    out[0] = np.where((at < 2) & (at <= ends), emit[0], lowest(emit.dtype))
    for t in range(1, len(emit)):
        out[t] = np.where(frames > t, _arrived(out[t - 1], skip, emit[t]), out[t - 1])
    return out


def _backwards(emit, skip, frames, ends):
    at, out = np.arange(emit.shape[2]), np.empty_like(emit)
    last, low = (at == ends) | (at == ends - 1), lowest(emit.dtype)
    turned = np.zeros_like(skip)
    turned[:, 2:] = skip[:, ::-1][:, :-2]
    following = np.full_like(emit[0], low)
    for t in reversed(range(len(emit))):
        if t + 1 < len(emit):
            came = _arrived(out[t + 1][:, ::-1], turned, emit[t][:, ::-1])[:, ::-1]
            following = np.where(frames > t + 1, came, low)
        out[t] = np.where((frames == t + 1) & last, emit[t], following)
    return out


def _lattice(emit, skip, frames, ends, *, reverse):
    return (_backwards if reverse else _forwards)(emit, skip, frames, ends)


def _each(prim, size, xs, batched, **params):
    return o.stack([prim(*(x[i] if on else x for x, on in zip(xs, batched, strict=True)), **params)
                    for i in range(size)])


def _samples(rng):
    found = []
    for d in (np.float32, np.float64):
        for steps, n, labels in ((5, 3, 2), (1, 1, 1), (9, 2, 4), (3, 2, 7), (4, 2, 8), (6, 3, 20)):
            length = 2 * labels + 1
            emit = np.log(rng.uniform(.05, 1, (steps, n, length))).astype(d)
            skip = (np.arange(length) % 2 > 0) & (rng.uniform(size=(n, length)) < .7)
            frames = rng.integers(1, steps + 1, (n, 1))
            ends = 2 * rng.integers(0, labels + 1, (n, 1))
            found += [((emit, skip, frames, ends), dict(reverse=r)) for r in (False, True)]
    return found


lattice = Primitive("lattice", "host", _lattice, lambda shapes, **_: shapes[0], same_dtype,
                    batch=_each, samples=_samples, ulp=64,
                    without="the loss is taped as a whole (nn/functional/losses.py)")
