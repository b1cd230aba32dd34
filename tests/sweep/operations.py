"""Cases from PyTorch's table of operations (`op_db`)."""
from __future__ import annotations

import random
import warnings
import torch

from .cases import Case, Left, compare
from .frozen import Freezer, Frozen, Unsupported
from .translate import translate

DTYPES = ("float32", "float64", "int64", "bool", "bfloat16", "float16", "complex128")
UNSET = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "empty_permuted", "resize_",
         "resize_as_")        # whose values nobody promises


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


def compared(op, fn, frozen, dtype, order, writes, process):
    """Differences between a callable of torch and what rushlight has under its name."""
    def call(T):
        mine = fn if T is torch else translate(fn)
        mine = in_place(mine) if writes else mine
        return lambda _thawed, *args, **kwargs: mine(*args, **kwargs)
    return compare(call, frozen, dtype, order, op.name not in UNSET,
                   process and (lambda T: process if T is torch else translate(process)))


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
        result = compared(op, fn, frozen, dtype, order, "in place" in variant,
                         sample.output_process_fn_grad)
        yield Case(op.full_name, variant, dtype, i, text), result
    if op.supports_out and i < few:
        yield from _out(op, dtype, i, frozen, text)


def _out(op, dtype, i, frozen, text):
    """The function with out=: of the right kind, of another shape, of another dtype."""
    plain = frozen._replace(memories=frozen.memories, args=_taped_off(frozen.args), kwargs=_taped_off(frozen.kwargs))
    for name, alter in OUTS.items():
        def call(T, alter=alter):
            made = with_out(op.op if T is torch else translate(op.op), T, alter)
            return lambda _thawed, *args, **kwargs: made(*args, **kwargs)
        yield Case(op.full_name, f"out= {name}", dtype, i, text), compare(call, plain, dtype, 0, op.name not in UNSET)


def _taped_off(x):
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
        except Unsupported as error:
            yield case, Left(f"unsupported: {error}")
        else:
            yield case, compared(op, op.op, frozen, "float32", 0, False, None)
