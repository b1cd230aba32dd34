"""PyTorch's table of operations under the transforms: `python -m tests.sweep.transforms --shard 0/8`.

For float64 samples of each operation: vmap along the first and the last axis equals the loop, gradients through
vmap equal the loop's, and tangents (`func.jvp`, `autograd.forward_ad`) are PyTorch's.
"""
from __future__ import annotations

import argparse
import sys
import time
import warnings

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import rushlight
from rushlight.autograd import forward_ad

from .frozen import Freezer, Thawed, Unsupported
from .operations import UNSET, draw
from .translate import Internal, Lacking, translate

RTOL, ATOL = 1e-6, 1e-8


class Function:
    """One sample as a function of its leaves, in library T."""

    def __init__(self, T, op, sample, frozen):
        self.thawed = Thawed(T, frozen)
        self.fn = op.op if T is torch else translate(op.op)
        process = sample.output_process_fn_grad
        self.process = process if T is torch or process is None else translate(process)
        self.T, self.leaves = T, [x.detach() for x in self.thawed.leaves]

    def __call__(self, *xs):
        table = {id(old): new for old, new in zip(self.thawed.leaves, xs)}
        args, kwargs = _replaced(self.thawed.args, table), _replaced(self.thawed.kwargs, table)
        self.T.manual_seed(3)
        out = self.fn(*args, **kwargs)
        outs = _tensors(self.T, self.process(out) if self.process else out)
        return tuple(y for y in outs if y.is_floating_point() or y.is_complex())


def _replaced(tree, table):
    if isinstance(tree, (list, tuple)) and type(tree) in (list, tuple):
        return type(tree)(_replaced(x, table) for x in tree)
    if isinstance(tree, dict):
        return {k: _replaced(v, table) for k, v in tree.items()}
    return table.get(id(tree), tree)


def _tensors(T, out):
    if isinstance(out, T.Tensor):
        return [out]
    return [y for part in out for y in _tensors(T, part)] if isinstance(out, (list, tuple)) else []


def array(x):
    return x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x.detach().tolist())


def differs(a, b):
    a, b = array(a), array(b)
    return a.shape != b.shape and a.size + b.size > 0 or not np.allclose(
        a.reshape(b.shape), b, RTOL, ATOL * max(1, np.abs(b[np.isfinite(b)]).max(initial=0)), equal_nan=True)


def check_vmap(f, dim):
    """vmap over two entries along `dim` against two calls."""
    T, entries = f.T, [f.leaves, [x * 0.9 for x in f.leaves]]
    try:
        loop = [f(*xs) for xs in entries]
    except Exception:
        entries = [f.leaves, f.leaves]
        loop = [f(*xs) for xs in entries]
    if any(differs(a, b) for a, b in zip(f(*f.leaves), loop[0])) or any(a.shape != b.shape for a, b in zip(*loop)):
        return None
    batch = [T.stack([a, b], dim) for a, b in zip(*entries)]
    got = T.func.vmap(f, in_dims=dim, randomness="same")(*batch)
    if any(differs(y, T.stack([a, b])) for y, a, b in zip(got, *loop)):
        return "values differ from the loop's"
    return None if dim else check_gradients(f, batch, entries)


def check_gradients(f, batch, entries):
    """Gradients through vmap against those of two calls."""
    T, outs = f.T, f(*f.leaves)
    if not outs or any(y.is_complex() for y in outs):
        return None

    def total(h):
        return lambda *xs: sum((y * y.new_ones(()) .mul(0.7)).sum() for y in h(*xs)).sum()
    at = tuple(range(len(batch)))
    try:
        alone = [T.func.grad(total(f), at)(*xs) for xs in entries]
    except Exception as error:
        return f"gradients: {type(error).__name__}: {error}" if "not implemented" not in str(error) else None
    through = T.func.grad(total(T.func.vmap(f, randomness="same")), at)(*batch)
    per_entry = T.func.vmap(T.func.grad(total(f), at), randomness="same")(*batch)
    wanted = [T.stack([a, b]) for a, b in zip(*alone)]
    if any(differs(g, w) for g, w in zip(per_entry, wanted)):
        return "vmap(grad) differs from the loop's"
    return "grad(vmap) differs from the loop's" if any(differs(g, w) for g, w in zip(through, wanted)) else None


def check_jvp(f, theirs):
    """Tangents by both interfaces against PyTorch's."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(x.shape)) for x in f.leaves]
    tangents = {T: [T.tensor(a, dtype=x.dtype).reshape(x.shape) for a, x in zip(arrays, g.leaves)]
                for T, g in ((torch, theirs), (rushlight, f))}
    try:
        wanted = torch.func.jvp(theirs, tuple(theirs.leaves), tuple(tangents[torch]))[1]
    except Exception:
        return None
    got = f.T.func.jvp(f, tuple(f.leaves), tuple(tangents[rushlight]))[1]
    if any(differs(a, b) for a, b in zip(got, wanted)):
        return "func.jvp differs from PyTorch's"
    with forward_ad.dual_level():
        outs = f(*[forward_ad.make_dual(x.clone(), t) for x, t in zip(f.leaves, tangents[rushlight])])
        dual = [forward_ad.unpack_dual(y).tangent for y in outs]
    bad = any(differs(w * 0 if d is None else d, w) for d, w in zip(dual, wanted))
    return "forward_ad differs from PyTorch's" if bad else None


def findings(op, limit, seed):
    """(check, sample number, what is wrong) for the samples of one operation."""
    samples, grad = draw(op, "float64", limit, seed)
    for i, sample in samples if grad else ():
        try:
            frozen = Freezer().sample((sample.input, *sample.args), sample.kwargs)
            f, theirs = Function(rushlight, op, sample, frozen), Function(torch, op, sample, frozen)
            f(*f.leaves)
        except Exception:       # the other parts of the sweep tell of that
            continue
        checks = {"vmap 0": lambda f=f: check_vmap(f, 0), "vmap -1": lambda f=f: check_vmap(f, -1),
                  "jvp": lambda f=f, theirs=theirs: check_jvp(f, theirs)}
        for name, check in checks.items():
            try:
                wrong = check()
            except (Unsupported, Lacking, Internal):
                continue
            except Exception as error:
                wrong = f"{type(error).__name__}: {str(error)[:160]}"
            if wrong:
                yield name, i, wrong + "   " + sample.summary()[:120]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="leave out so many operations of the shard")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=1e9)
    given = parser.parse_args()
    shard, of = map(int, given.shard.split("/"))
    warnings.simplefilter("ignore")
    names = given.only.split(",") if given.only else None
    ops = [op for op in op_db if op.supports_autograd and op.name not in UNSET
           and op.supports_dtype(torch.float64, "cpu") and (names is None or op.full_name in names)]
    start, count, wrong = time.time(), 0, 0
    for op in ops[shard::of][given.start:]:
        if time.time() - start > given.seconds:
            break
        count += 1
        for check, i, text in findings(op, given.samples, given.seed):
            wrong += 1
            print(f"{op.full_name} #{i} {check}: {text}", flush=True)
    print(f"{count} operations, {wrong} findings, {time.time() - start:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
