"""PyTorch's table of operations under the transforms, a table of the sweep (`--tables transforms`).

For float64 samples of each operation: vmap along the first and the last axis of all operands, and along each axis
of each operand alone, equals the loop; gradients through vmap equal the loop's; tangents (`func.jvp`,
`autograd.forward_ad`) are PyTorch's, and those of `func.vjp` transposed. Gradients of gradients are in `operations`.
"""
from __future__ import annotations

import functools

import numpy as np
import torch

import rushlight
from rushlight.autograd import forward_ad

from .cases import Case, Left
from .frozen import Freezer, Thawed, Unsupported
from .operations import UNSET, draw
from .seen import Difference
from .translate import Internal, Lacking, translate

RTOL, ATOL = 1e-6, 1e-8
# Wrappers make an input of an operation from any tensor, so that tangents may point anywhere; these call torch by name.
OF_TORCH = ("gradcheck_wrapper_masked_operation", "gradcheck_wrapper_masked_pointwise_operation", "wrapper_set_seed",
            "gradcheck_wrapper_triangular_input_real_positive_diagonal")


class Function:
    """One sample as a function of its leaves, in library T."""

    def __init__(self, T, op, sample, frozen):
        self.thawed = Thawed(T, frozen)
        fn = op.op if T is torch else translate(op.op)
        wrapper = op.gradcheck_wrapper
        self.fn = fn if wrapper.__name__ in OF_TORCH else functools.partial(wrapper, fn)
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
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj()
        return (x.double() if x.dtype is torch.bfloat16 else x).numpy(force=True)
    return np.asarray(x.detach().tolist())


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


def check_each_axis(f):
    """vmap along each axis of each operand, the others common to all entries, against two calls."""
    T, ones = f.T, [x * 0.9 for x in f.leaves]
    whole = f(*f.leaves)
    if any(differs(a, b) for a, b in zip(f(*f.leaves), whole)):
        return None
    for k, x in enumerate(f.leaves):
        try:
            other = f(*f.leaves[:k], ones[k], *f.leaves[k + 1:])
        except Exception:       # a value that this operand may not have
            ones[k], other = x, whole
        if any(a.shape != b.shape for a, b in zip(whole, other)):
            continue
        wanted = [T.stack(pair) for pair in zip(whole, other)]
        for d in range(x.dim() + 1):
            given = (*f.leaves[:k], T.stack([x, ones[k]], d), *f.leaves[k + 1:])
            dims = tuple(d if i == k else None for i in range(len(given)))
            got = T.func.vmap(f, in_dims=dims, randomness="same")(*given)
            if any(differs(y, w) for y, w in zip(got, wanted)):
                return f"operand {k} along axis {d}: values differ from the loop's"
    return None


def check_jvp(f, theirs):
    """Tangents by both interfaces against PyTorch's and against the transposed vjp."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=tuple(x.shape)) for x in f.leaves]
    tangents = {T: [T.tensor(a, dtype=x.dtype).reshape(x.shape) for a, x in zip(arrays, g.leaves)]
                for T, g in ((torch, theirs), (rushlight, f))}
    try:
        wanted = torch.func.jvp(theirs, tuple(theirs.leaves), tuple(tangents[torch]))[1]
    except Exception:
        wanted = None           # PyTorch has no tangents of it
    got = f.T.func.jvp(f, tuple(f.leaves), tuple(tangents[rushlight]))[1]
    if wanted is not None and any(differs(a, b) for a, b in zip(got, wanted)):
        return "func.jvp differs from PyTorch's"
    wanted = got if wanted is None else wanted
    with forward_ad.dual_level():
        outs = f(*[forward_ad.make_dual(x.clone(), t) for x, t in zip(f.leaves, tangents[rushlight])])
        dual = [forward_ad.unpack_dual(y).tangent for y in outs]
    if any(differs(w * 0 if d is None else d, w) for d, w in zip(dual, wanted)):
        return "forward_ad differs from PyTorch's"
    return check_transposed(f, tangents[rushlight], got, rng) if all(y.dtype.itemsize >= 8 for y in got) else None


def check_transposed(f, tangents, images, rng):
    """<u, J v> = <J^T u, v>"""
    T = f.T
    seeds = tuple(T.tensor(rng.normal(size=tuple(y.shape))).reshape(y.shape).to(y.dtype) for y in images)
    pulled = T.func.vjp(f, *f.leaves)[1](seeds)
    sides = [sum((a.conj() * b).real.sum() if a.is_complex() else (a * b).sum() for a, b in pairs)
             for pairs in (zip(seeds, images), zip(pulled, tangents))]
    a, b = (array(T.as_tensor(side)) for side in sides)
    size = sum(float((u.abs() * y.abs()).sum()) for u, y in zip(seeds, images))
    if np.isfinite(a) and np.isfinite(b) and abs(a - b) > 1e-6 * max(1.0, size):
        return f"<u, J v> is {a}, <J^T u, v> is {b}"
    return None


def is_listed(op) -> bool:
    return op.supports_autograd and op.name not in UNSET and op.supports_dtype(torch.float64, "cpu")


def cases(op, limit, seed):
    """(case, differences or Left) for the samples of one operation."""
    try:
        samples, grad = draw(op, "float64", limit, seed)
    except Exception as error:
        yield Case(op.full_name, "vmap", "float64", 0, ""), Left(f"no samples: {type(error).__name__}")
        return
    for i, sample in samples if grad else ():
        try:
            frozen = Freezer().sample((sample.input, *sample.args), sample.kwargs)
            f, theirs = Function(rushlight, op, sample, frozen), Function(torch, op, sample, frozen)
            f(*f.leaves)
        except Exception:       # the other tables of the sweep tell of that
            continue
        checks = {"vmap 0": lambda f=f: check_vmap(f, 0), "vmap -1": lambda f=f: check_vmap(f, -1),
                  "jvp": lambda f=f, theirs=theirs: check_jvp(f, theirs)}
        if not i:
            checks["vmap each"] = lambda f=f: check_each_axis(f)
        for name, check in checks.items():
            yield Case(op.full_name, name, "float64", i, sample.summary()[:120]), outcome(check)


def outcome(check):
    """Differences that a check finds, or why there is nothing to compare."""
    try:
        wrong = check()
    except (Unsupported, Lacking, Internal) as error:
        return Left(f"{type(error).__name__.lower()}: {error}")
    except Exception as error:
        return [Difference("transform-error", f"{type(error).__name__}: {str(error)[:160]}")]
    return [Difference("transform", wrong)] if wrong else []
