"""Cases from PyTorch's table of operations (`op_db`)."""
from __future__ import annotations

import random
import warnings
from typing import NamedTuple

import torch

import rushlight

from .frozen import Freezer, Thawed, Unsupported
from .seen import TOLERANCE, Difference, Raised, Rules, differences, observe
from .translate import Internal, Lacking, translate

DTYPES = ("float32", "float64", "int64", "bool", "bfloat16", "float16", "complex128")
UNSET = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "empty_permuted", "resize_",
         "resize_as_")        # whose values nobody promises


class Case(NamedTuple):
    """One call in both libraries."""
    op: str
    variant: str
    dtype: str
    number: int
    text: str


class Left(NamedTuple):
    """A case that was not compared, and why."""
    reason: str


def pick(samples, limit, rng):
    """The first few samples and some of the others."""
    samples = list(samples)
    if limit and len(samples) > limit:
        kept = set(range(limit // 2)) | set(rng.sample(range(limit // 2, len(samples)), limit - limit // 2))
        samples = [s for i, s in enumerate(samples) if i in kept]
    return samples


def draw(op, dtype, limit, seed):
    """Samples of an operation, the same ones for the same seed."""
    name = f"{op.full_name}-{dtype}-{seed}"
    rng = random.Random(name)
    torch.manual_seed(rng.getrandbits(32))
    d = getattr(torch, dtype)
    grad = op.supports_autograd and (d.is_floating_point or d.is_complex) and d in op.supported_backward_dtypes("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = op.sample_inputs("cpu", d, requires_grad=grad)
        return [(i, s) for i, s in enumerate(pick(samples, limit, rng))], grad


def in_place(method):
    """An in-place method called on a copy of a leaf, which cannot be written to."""
    def call(self, *args, **kwargs):
        return method(self.clone() if self.requires_grad else self, *args, **kwargs)
    return call


def variants(op):
    """(name, callable of torch, whether it writes) of an operation: function, method, in place, aliases."""
    yield "function", op.op
    if op.method_variant:
        yield "method", op.method_variant
    if op.inplace_variant:
        yield "in place", op.inplace_variant
    for alias in op.aliases:
        if alias.op:
            yield f"alias {alias.name}", alias.op
        if alias.method_variant:
            yield f"alias method {alias.name}", alias.method_variant
        if alias.inplace_variant:
            yield f"alias in place {alias.name}", alias.inplace_variant


def rules_of(op, dtype):
    return Rules(TOLERANCE.get(dtype, TOLERANCE["float32"]), op.name not in UNSET)


def compare(op, fn, frozen, dtype, order, writes, process):
    """Differences of one call, or why there is no comparison."""
    try:
        ours_fn = translate(fn)
        ours_process = translate(process)
        if writes:
            fn, ours_fn = in_place(fn), in_place(ours_fn)
        theirs = observe(torch, fn, Thawed(torch, frozen), order, process)
        ours = observe(rushlight, ours_fn, Thawed(rushlight, frozen), order, ours_process)
    except (Unsupported, Internal) as error:
        return Left(f"{type(error).__name__.lower()}: {error}")
    except Lacking as error:
        return [Difference("lacking", str(error))]
    rules = rules_of(op, dtype)
    found = differences(ours, theirs, rules)
    if found and any(d.kind in ("value", "grad", "grad2") for d in found):
        found = [d for d in found if d.kind not in ("value", "grad", "grad2")
                 or not exact(op, fn, frozen, dtype, order, ours, theirs, process, d.kind)]
    return found


def exact(op, fn, frozen, dtype, order, ours, theirs, process, kind):
    """Whether, measured by the same call in float64, ours is about as near as PyTorch's."""
    if dtype not in ("float16", "bfloat16", "float32"):
        return False
    try:
        wide = observe(torch, fn, Thawed(torch, frozen, ("float16", "bfloat16", "float32")), order, process)
    except Exception:
        return False
    key = "out" if kind == "value" else kind
    if isinstance(wide.get(key), Raised) or wide.get(key) is None:
        return False
    return nearer(ours[key], theirs[key], wide[key], TOLERANCE[dtype])


def nearer(a, b, w, tolerance):
    """Whether a is within rounding of w, or at most twice as far from it as b."""
    import numpy as np
    if hasattr(a, "value") and hasattr(b, "value") and hasattr(w, "value"):
        if a.value.shape != w.value.shape:
            return False
        with np.errstate(all="ignore"):
            to_dtype = lambda v: v.astype(a.value.dtype).astype(float)
            x, y, z = a.value.astype(float), b.value.astype(float), to_dtype(w.value)
            if not np.array_equal(np.isfinite(x), np.isfinite(z)) and not np.array_equal(np.isfinite(x), np.isfinite(y)):
                return False
            ok = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
            off, allowed = np.abs(x - z)[ok], np.abs(y - z)[ok]
            scale = np.abs(z[ok]).max(initial=0)
        return bool((off <= 2 * allowed.max(initial=0) + tolerance * scale).all())
    if type(a) is tuple and type(b) is tuple and type(w) is tuple:
        return len(a) == len(b) == len(w) and all(nearer(x, y, z, tolerance) for x, y, z in zip(a, b, w))
    return a == b


def cases(op, dtypes, limit, few, seed):
    """(case, differences or Left) for the samples of one operation."""
    for dtype in dtypes:
        if not op.supports_dtype(getattr(torch, dtype), "cpu"):
            continue
        try:
            samples, grad = draw(op, dtype, limit, seed)
        except Exception as error:
            yield Case(op.full_name, "samples", dtype, 0, ""), Left(f"no samples: {type(error).__name__}")
            continue
        for i, sample in samples:
            yield from _of_sample(op, dtype, i, sample, grad, few)


def _of_sample(op, dtype, i, sample, grad, few):
    text = sample.summary()[:200] if hasattr(sample, "summary") else ""
    freezer = Freezer()
    try:
        frozen = freezer.sample((sample.input, *sample.args), sample.kwargs)
    except Unsupported as error:
        yield Case(op.full_name, "function", dtype, i, text), Left(f"unsupported: {error}")
        return
    for variant, fn in variants(op):
        if variant != "function" and i >= few:
            continue
        order = 0 if not grad or dtype in ("float16",) else \
            2 if dtype in ("float64", "complex128") and op.supports_gradgrad and variant == "function" else 1
        result = compare(op, fn, frozen, dtype, order, "in place" in variant,
                         sample.output_process_fn_grad)
        yield Case(op.full_name, variant, dtype, i, text), result
    if op.supports_out and i < few:
        yield from _out(op, dtype, i, frozen, text)


def _out(op, dtype, i, frozen, text):
    """The function with out=: of the right kind, of another shape, of another dtype."""
    plain = frozen._replace(memories=frozen.memories, args=_taped_off(frozen.args), kwargs=_taped_off(frozen.kwargs))
    for name, alter in OUTS.items():
        fn = with_out(op.op, torch, alter)
        try:
            ours_fn = with_out(translate(op.op), rushlight, alter)
            theirs = observe(torch, fn, Thawed(torch, plain))
            ours = observe(rushlight, ours_fn, Thawed(rushlight, plain))
            result = differences(ours, theirs, rules_of(op, dtype))
            if any(d.kind == "value" for d in result):
                result = [d for d in result if d.kind != "value" or not exact(
                    op, fn, plain, dtype, 0, ours, theirs, None, d.kind)]
        except (Unsupported, Internal) as error:
            result = Left(f"{type(error).__name__.lower()}: {error}")
        except Lacking as error:
            result = [Difference("lacking", str(error))]
        yield Case(op.full_name, f"out= {name}", dtype, i, text), result


def _taped_off(x):
    from .frozen import Frozen
    if isinstance(x, Frozen):
        return x._replace(requires_grad=False)
    if type(x) in (list, tuple):
        return type(x)(map(_taped_off, x))
    return {k: _taped_off(v) for k, v in x.items()} if isinstance(x, dict) else x


def _strided(T, t):
    """An out tensor that lies with gaps."""
    if not t.dim():
        return T.empty_like(t)
    return T.empty((*t.shape, 2), dtype=t.dtype)[..., 0]


OUTS = {
    "fitting": lambda T, t: T.empty_like(t),
    "strided": _strided,
    "empty": lambda T, t: T.empty(0, dtype=t.dtype),
    "double": lambda T, t: T.empty_like(t, dtype=T.float64),
    "long": lambda T, t: T.empty_like(t, dtype=T.int64),
}


def with_out(fn, T, alter):
    def call(*args, **kwargs):
        first = fn(*args, **kwargs)
        if isinstance(first, (tuple, list)):
            out = type(first)(alter(T, t) for t in first) if type(first) in (tuple, list) else \
                tuple(alter(T, t) for t in first)
        else:
            out = alter(T, first)
        T.manual_seed(1234)
        result = fn(*args, **kwargs, out=out)
        same = (result is out) if hasattr(result, "stride") else all(a is b for a, b in zip(result, out))
        return (*out, result, same) if isinstance(out, (tuple, list)) else (out, result, same)
    return call


def errors(op, seed):
    """(case, differences or Left) for the calls that must fail."""
    if not op.error_inputs_func:
        return
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(op.error_inputs("cpu"))
    for i, bad in enumerate(samples):
        sample = bad.sample_input
        case = Case(op.full_name, "error", "", i, sample.summary()[:200])
        try:
            frozen = Freezer().sample((sample.input, *sample.args), sample.kwargs)
            theirs = observe(torch, op.op, Thawed(torch, frozen))
            ours = observe(rushlight, translate(op.op), Thawed(rushlight, frozen))
        except (Unsupported, Internal) as error:
            yield case, Left(f"{type(error).__name__.lower()}: {error}")
        except Lacking as error:
            yield case, [Difference("lacking", str(error))]
        else:
            yield case, list(differences(ours, theirs, rules_of(op, "float32")))
