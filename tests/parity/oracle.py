"""Runs one program under PyTorch and under rushlight and tells where they differ.

A program is a function of the library and of tensors; an input is an array with a dtype and a way
in which it lies in memory. What is compared: values, dtype, shape, strides, requires_grad, the name
of grad_fn, gradients and gradients of gradients, or the type and words of what was raised.
"""
from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import numpy as np

TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2,
             "complex128": 1e-9, "complex64": 2e-5}


class Input(NamedTuple):
    array: np.ndarray
    dtype: str
    lies: str = "packed"

    def __repr__(self):
        return f"{self.dtype}{list(self.array.shape)}{'' if self.lies == 'packed' else ':' + self.lies}"


def build(T, x: Input, grad: bool):
    """The tensor of an input in library T: a leaf, and what the program gets to see of it."""
    dtype = getattr(T, x.dtype)
    stored = _stored(x)
    leaf = T.tensor(stored, dtype=dtype) if stored.size else T.zeros(stored.shape, dtype=dtype)
    if grad and (dtype.is_floating_point or dtype.is_complex):
        leaf.requires_grad_()
    return leaf, SHOWN[x.lies](leaf)


def _stored(x):
    a = x.array
    return STORED[x.lies](a) if a.ndim else a


STORED = {
    "packed": lambda a: a,
    "transposed": lambda a: np.ascontiguousarray(a.T),
    "strided": lambda a: np.repeat(a, 2, -1),
    "offset": lambda a: np.concatenate([a[:1], a], 0) if len(a) else a,
    "expanded": lambda a: a[:1],
}
SHOWN = {
    "packed": lambda t: t,
    "transposed": lambda t: t.permute(*reversed(range(t.dim()))) if t.dim() else t,
    "strided": lambda t: t[..., ::2] if t.dim() else t,
    "offset": lambda t: t[1:] if t.dim() and len(t) else t,
    "expanded": lambda t: t.expand(3, *t.shape[1:]) if t.dim() and t.shape[0] == 1 else t,
}


class Seen(NamedTuple):
    """What a tensor shows of itself."""
    value: object
    dtype: str = ""
    shape: tuple = ()
    stride: tuple = ()
    requires_grad: bool = False
    grad_fn: str = ""


class Raised(NamedTuple):
    type: str
    text: str


def to_array(t):
    t = t.detach() + 0 if t.requires_grad else t.detach().clone()   # PyTorch's lazy zeros are not arrays
    t = t.resolve_conj() if t.is_complex() else t
    return np.array(t.float().numpy()) if str(t.dtype).endswith("bfloat16") else np.array(t.numpy())


def see(y):
    if isinstance(y, (tuple, list)):
        return tuple(see(v) for v in y)
    if hasattr(y, "detach") and hasattr(y, "stride"):
        fn = y.grad_fn
        return Seen(to_array(y), str(y.dtype), tuple(y.shape), tuple(y.stride()), y.requires_grad,
                    type(fn).__name__ if fn is not None else "")
    if type(y).__name__ in ("dtype", "Size", "device"):
        return str(y)
    return y


def tensors_of(y):
    if isinstance(y, (tuple, list)):
        return [t for v in y for t in tensors_of(v)]
    return [y] if hasattr(y, "detach") and hasattr(y, "stride") else []


def observe(T, program, inputs, grads=2):
    """Everything that the program shows in library T, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = [build(T, x, grads > 0) for x in inputs]
            y = program(T, *[shown for _, shown in made])
            found = {"out": see(y)}
        except Exception as error:
            return {"out": Raised(type(error).__name__, str(error))}
        leaves = [leaf for leaf, _ in made if leaf.requires_grad]
        outs = [t for t in tensors_of(y) if t.requires_grad]
        if grads and outs and leaves:
            try:
                _differentiate(T, outs, leaves, grads, found)
            except Exception as error:
                found["grad raises"] = Raised(type(error).__name__, str(error))
        return found


def weights(T, t, salt):
    n = t.numel()
    a = np.cos(np.arange(n) * 0.7 + salt).reshape(tuple(t.shape))
    return T.tensor(a, dtype=t.dtype)


def _differentiate(T, outs, leaves, grads, found):
    twice = grads > 1
    got = T.autograd.grad(outs, leaves, [weights(T, t, i) for i, t in enumerate(outs)],
                          create_graph=twice, allow_unused=True)
    found["grad"] = tuple(None if g is None else Seen(to_array(g), str(g.dtype), tuple(g.shape)) for g in got)
    if not twice:
        return
    taped = [g for g in got if g is not None and g.requires_grad]
    if not taped:
        return
    again = T.autograd.grad(taped, leaves, [weights(T, t, 3 + i) for i, t in enumerate(taped)], allow_unused=True)
    found["grad2"] = tuple(None if g is None else to_array(g) for g in again)


ZERO_MEANS_NONE = True


def differences(ours, theirs, tolerance, names=True, strides=True):
    """Sentences about what differs, most serious first."""
    out = []
    one = isinstance(ours["out"], Raised) or isinstance(theirs["out"], Raised)
    for key in ("out",) if one else dict.fromkeys([*theirs, *ours]):
        a, b = ours.get(key), theirs.get(key)
        if key == "grad2":
            out += _second(a, b, tolerance)
        elif key not in ours or key not in theirs:
            if key == "grad" and ("grad raises" in ours or "grad raises" in theirs):
                continue
            out.append(f"{key}: {a!r} instead of {b!r}"[:300])
        else:
            out += _compare(key, a, b, tolerance, names, strides)
    return out


def _second(a, b, tolerance):
    """A second gradient that is zero may be missing on either side."""
    n = len(a or b)
    a, b = a or (None,) * n, b or (None,) * n
    out = []
    for i, (x, y) in enumerate(zip(a, b)):
        if x is None and y is None:
            continue
        x = np.zeros_like(y) if x is None else x
        y = np.zeros_like(x) if y is None else y
        if x is not None and y is not None and not close(x, y, tolerance * 10):
            out.append(f"grad2[{i}]: {_short(x)} instead of {_short(y)}")
    return out


def close(a, b, tolerance):
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "biu" or tolerance == 0:
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    with np.errstate(all="ignore"):
        return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def _short(a):
    return np.array2string(np.asarray(a), precision=4, threshold=6, edgeitems=2).replace("\n", " ")[:120]


def _compare(key, a, b, tolerance, names, strides):
    if isinstance(a, Raised) or isinstance(b, Raised):
        return _compare_raised(key, a, b)
    if isinstance(b, tuple) and not isinstance(b, Seen):
        if not isinstance(a, tuple) or len(a) != len(b):
            return [f"{key}: {a!r} instead of {b!r}"[:300]]
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in _compare(f"{key}[{i}]", x, y, tolerance, names, strides)]
    if isinstance(b, Seen) and isinstance(a, Seen):
        return _compare_seen(key, a, b, tolerance, names, strides)
    if isinstance(b, float) and isinstance(a, float):
        return [] if np.isclose(a, b, rtol=1e-5, equal_nan=True) else [f"{key}: {a} instead of {b}"]
    if type(a) is not type(b) or a != b:
        return [f"{key}: {a!r} instead of {b!r}"[:300]]
    return []


def _compare_seen(key, a, b, tolerance, names, strides):
    out = []
    if a.shape != b.shape:
        out.append(f"{key} shape {a.shape} instead of {b.shape}")
    elif not close(a.value, b.value, tolerance):
        out.append(f"{key} value {_short(a.value)} instead of {_short(b.value)}")
    if a.dtype != b.dtype:
        out.append(f"{key} dtype {a.dtype} instead of {b.dtype}")
    if a.requires_grad != b.requires_grad:
        out.append(f"{key} requires_grad {a.requires_grad} instead of {b.requires_grad}")
    if strides and a.shape == b.shape and a.stride != b.stride:
        out.append(f"{key} stride {a.stride} instead of {b.stride} for {a.shape}")
    if names and a.requires_grad and a.grad_fn != b.grad_fn:
        out.append(f"{key} grad_fn {a.grad_fn} instead of {b.grad_fn}")
    return out


def _compare_raised(key, a, b):
    if not isinstance(a, Raised):
        return [f"{key}: nothing raised instead of {b.type}: {b.text[:160]}"]
    if not isinstance(b, Raised):
        return [f"{key}: raises {a.type}: {a.text[:200]}"]
    if a.type != b.type:
        return [f"{key}: {a.type} ({a.text[:100]}) instead of {b.type} ({b.text[:120]})"]
    if "invalid combination of arguments" in b.text:
        return []
    return [] if same_phrase(a.text, b.text) else [f"{key}: says {a.text[:160]!r} instead of {b.text[:200]!r}"]


def same_phrase(ours, theirs):
    """Whether we say what PyTorch says: two thirds of its words, in whatever frame."""
    words = lambda s: re.findall(r"[a-z0-9_]+", s.lower().split("exception raised from")[0])
    mine, wanted = set(words(ours)), words(theirs)[:40]
    return sum(w in mine for w in wanted) >= 0.6 * len(wanted)


def check(program, *inputs, grads=2, names=True, strides=True, tolerance=None):
    """Where the two libraries differ on one program."""
    import torch

    import rushlight
    if tolerance is None:
        tolerance = max((TOLERANCE.get(x.dtype, 0) for x in inputs), default=0) or 2e-5
    theirs = observe(torch, program, inputs, grads)
    ours = observe(rushlight, program, inputs, grads)
    return differences(ours, theirs, tolerance, names, strides)


def report(program, inputs, **kw):
    """The differences as sentences that name the inputs."""
    return [f"{list(inputs)}: {d}" for d in check(program, *inputs, **kw)]
