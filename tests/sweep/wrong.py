"""Wrong calls: samples of PyTorch's table of operations with one argument replaced by what cannot be, or hardly.

Each argument in turn becomes a word, None, a list, a number, a tensor of another dtype, rank or shape, a number or a list out of
range. Both libraries get the call; what is compared is whether it raises, and which type of exception. This table is not among
those that must hold in full (`--tables wrong`): what is left is counted by operation, and nobody's program hangs on it.
"""
from __future__ import annotations

import torch

from .cases import Case, Left
from .frozen import Freezer, Sample, Thawed, Unsupported
from .operations import draw
from .seen import Difference, Raised, is_tensor, observe
from .translate import Internal, Lacking, translate

SAMPLES = 2
# PyTorch ends the process: by memory that nobody owns, or by a division by zero.
LEFT_OUT = """new_empty_strided empty_strided empty_permuted native_batch_norm _native_batch_norm_legit _batch_norm_with_update
    lu_unpack nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d""".split()


def tensors(t):
    """What may stand wrongly for a tensor."""
    plain = t.detach()
    yield from {"word": "a", "None": None, "list": [1, 2], "number": 3, "float": 1.5}.items()
    for name in ("int64", "bool", "float64", "complex64", "bfloat16"):
        if str(t.dtype) != f"torch.{name}":
            yield name, _cast(plain, getattr(torch, name))
    yield "one rank more", torch.stack([plain, plain])
    yield "0-d", plain.new_ones(())
    yield "no element", plain.new_ones((0,))
    if t.dim():
        yield "longer", torch.cat([plain, plain.narrow(-1, 0, min(1, t.shape[-1]))], -1) if t.shape[-1] else plain.new_ones(3)
        yield "one rank less", plain[0] if len(plain) else plain.new_ones(())
    yield "huge values", plain * 0 + 100


def _cast(t, dtype):
    return t.real.to(dtype) if t.is_complex() and not dtype.is_complex else t.to(dtype)


WRONG = {
    bool: {"word": "a", "None": None, "list": [1], "number": 2, "float": 0.5},
    int: {"word": "a", "None": None, "list": [1], "list of two": [1, 2], "float": 1.5, "bool": True, "negative": -100, "large": 100,
          "minus one": -1, "zero": 0, "complex": 1j},
    float: {"word": "a", "None": None, "list": [1.0], "complex": 1j, "negative": -2.0, "nan": float("nan")},
    complex: {"word": "a", "None": None, "list": [1.0]},
    str: {"unknown word": "nonsense", "None": None, "number": 3, "list": ["a"]},
}


def lists(x):
    yield from {"word": "a", "None": None, "number": 3, "float": 1.5, "empty": type(x)(), "words": type(x)("ab")}.items()
    if x:
        yield "longer", type(x)((*x, x[-1]))
        yield "shorter", type(x)(x[:-1])
        if all(type(n) is int for n in x):
            yield "negative", type(x)([-100] * len(x))
            yield "large", type(x)([100] * len(x))
            yield "floats", type(x)([1.5] * len(x))
            yield "zeros", type(x)([0] * len(x))
            yield "None in it", type(x)([None] * len(x))
        if all(isinstance(t, torch.Tensor) for t in x):
            yield from ((f"one {kind}", type(x)((*x[:-1], bad))) for kind, bad in tensors(x[-1]))


def wrong(x):
    """(kind, value) that may stand wrongly for an argument."""
    if isinstance(x, torch.Tensor):
        return list(tensors(x)) if x.layout is torch.strided and type(x) in (torch.Tensor, torch.nn.Parameter) else []
    if type(x) in (list, tuple):
        return list(lists(x))
    return list(WRONG.get(type(x), {}).items())


def calls(args, kwargs):
    """(place, kind, args, kwargs) with one argument replaced, one left out, one that nobody knows."""
    for i, x in enumerate(args):
        for kind, bad in wrong(x):
            yield str(i), kind, (*args[:i], bad, *args[i + 1:]), kwargs
    for name, x in kwargs.items():
        for kind, bad in wrong(x):
            yield name, kind, args, {**kwargs, name: bad}
    yield "last", "left out", args[:-1], kwargs
    yield "after last", "one more", (*args, "a"), kwargs
    yield "unknown", "keyword", args, {**kwargs, "nonsense": 1}


def cases(op, seed):
    """(case, differences or Left) for wrong calls of one operation."""
    dtype = next((d for d in ("float32", "int64", "bool", "complex64") if op.supports_dtype(getattr(torch, d), "cpu")), None)
    if dtype is None or op.name in LEFT_OUT:
        return
    try:
        samples, _ = draw(op, dtype, SAMPLES, seed)
    except Exception as error:
        yield Case(op.full_name, "wrong", dtype, 0, ""), Left(f"no samples: {type(error).__name__}")
        return
    for i, sample in samples:
        for place, kind, args, kwargs in calls((sample.input, *sample.args), sample.kwargs):
            case = Case(op.full_name, f"wrong {place}", dtype, i, kind)
            try:
                frozen = Freezer().sample(args, kwargs)
                yield case, _compare(op.op, frozen)
            except (Unsupported, Internal, Lacking) as error:
                yield case, Left(f"unsupported: {error}")


def _outcome(T, fn, frozen: Sample):
    thawed = Thawed(T, frozen)

    def call(*args, **kwargs):
        result = fn(*args, **kwargs)
        return None if not is_tensor(result) else result.detach()
    return observe(T, call, thawed)["out"]


def _compare(fn, frozen):
    theirs, ours = _outcome(torch, fn, frozen), _outcome(translate(torch), translate(fn), frozen)
    if not isinstance(theirs, Raised):
        return [Difference("wrong-raises", f"{ours.type}: {ours.text[:200]} ({ours.place})")] if isinstance(ours, Raised) else []
    if not isinstance(ours, Raised):
        return [Difference("wrong-taken", f"nothing raised instead of {theirs.type}: {theirs.text[:200]}")]
    if ours.type != theirs.type:
        return [Difference("wrong-type", f"{ours.type} ({ours.text[:160]} {ours.place}) instead of {theirs.type} ({theirs.text[:160]})")]
    return []
