"""What a call shows in one library, and where two libraries differ."""
from __future__ import annotations

import re
import warnings
from traceback import extract_tb
from typing import NamedTuple

import numpy as np
import torch

from tests.parity.oracle import close

from .frozen import Unsupported
from .translate import Internal, Lacking

TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


class Seen(NamedTuple):
    """One tensor: what it holds and how it lies."""
    value: np.ndarray
    dtype: str
    shape: tuple
    stride: tuple
    requires_grad: bool
    shares: tuple
    bits: tuple


class Raised(NamedTuple):
    type: str
    text: str
    place: str = ""


def traceback(error):
    """The innermost line of rushlight that raised."""
    frames = [f for f in extract_tb(error.__traceback__) if "/rushlight/" in f.filename]
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""


class Difference(NamedTuple):
    """A kind (value, dtype, stride, grad ...) and a sentence."""
    kind: str
    text: str


def is_tensor(x):
    return hasattr(x, "detach") and hasattr(x, "stride")


def array_of(t):
    """A tensor's values; bfloat16 as float32."""
    if str(t.dtype) == "torch.complex32":
        raise Unsupported("complex numbers of 16-bit floats")
    if t.dim() > 64:
        raise Unsupported("more than 64 dimensions")
    t = t.detach()
    if str(t.dtype) == "torch.bfloat16":
        t = t.float()
    return np.array(t.clone().resolve_conj().resolve_neg().numpy())


def memory_of(t):
    return t.untyped_storage()._cdata if isinstance(t, torch.Tensor) else t.storage.base


def see(y, inputs=()):
    """An outcome in comparable form."""
    if is_tensor(y):
        if "sparse" in str(y.layout):
            raise Unsupported("sparse layouts")
        mine = memory_of(y)
        shares = tuple(i for i, t in enumerate(inputs) if y.numel() and memory_of(t) == mine)
        return Seen(array_of(y), str(y.dtype), tuple(y.shape), tuple(y.stride()), y.requires_grad, shares,
                    (y.is_conj(), y.is_neg()))
    if isinstance(y, (tuple, list)) and not type(y).__name__ == "Size":
        return type(y).__name__.removesuffix("_out"), tuple(see(v, inputs) for v in y)
    if type(y).__name__ in ("dtype", "Size", "device", "layout"):
        return str(y)
    return y


def tensors_of(y):
    if isinstance(y, (tuple, list)):
        return [t for v in y for t in tensors_of(v)]
    return [y] if is_tensor(y) else []


def weights(T, t, salt):
    a = np.cos(np.arange(t.numel()) * 0.7 + salt).reshape(tuple(t.shape))
    return T.tensor(a, dtype=t.dtype)


def observe(T, call, thawed, order=0, process=None):
    """Everything that `call` shows in library T: `out`, `inputs`, `grad`, `grad2`, or what was raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            T.manual_seed(1234)
            y = call(*thawed.args, **thawed.kwargs)
            if process is not None:
                y = process(y)
            found = {"out": see(y, thawed.inputs)}
        except (Lacking, Internal, Unsupported):
            raise
        except Exception as error:
            return {"out": Raised(type(error).__name__, str(error), traceback(error))}
        found["inputs"] = tuple(array_of(t) for t in thawed.inputs)
        outs = [t for t in tensors_of(y) if t.requires_grad]
        if order and outs and thawed.leaves:
            _differentiate(T, outs, thawed.leaves, order, found)
        return found


def _gradients(T, outs, leaves, salt, again):
    given = [weights(T, t, salt + i) for i, t in enumerate(outs)]
    return T.autograd.grad(outs, leaves, given, create_graph=again, allow_unused=True)


def _differentiate(T, outs, leaves, order, found):
    try:
        got = _gradients(T, outs, leaves, 0, order > 1)
        found["grad"] = tuple(None if g is None else see(g) for g in got)
    except Exception as error:
        found["grad"] = Raised(type(error).__name__, str(error))
        return
    taped = [g for g in got if g is not None and g.requires_grad]
    if order < 2 or not taped:
        return
    try:
        got = _gradients(T, taped, leaves, 3, False)
        found["grad2"] = tuple(None if g is None else see(g) for g in got)
    except Exception as error:
        found["grad2"] = Raised(type(error).__name__, str(error))


# -- differences ------------------------------------------------------------------------------------

class Rules(NamedTuple):
    """How strictly two outcomes are compared."""
    tolerance: float = 0.0
    values: bool = True


def differences(ours, theirs, rules):
    """What differs, most serious first."""
    if isinstance(ours["out"], Raised) or isinstance(theirs["out"], Raised):
        return _raised("", ours["out"], theirs["out"])
    found = _compare("", ours["out"], theirs["out"], rules)
    if rules.values:
        found += [Difference("mutation", f"input {i}: {short(a)} instead of {short(b)}")
                  for i, (a, b) in enumerate(zip(ours["inputs"], theirs["inputs"])) if not close(a, b, rules.tolerance)]
        found += _gradient("grad", ours.get("grad"), theirs.get("grad"), rules)
        if any(isinstance(x.get("grad"), Raised) for x in (ours, theirs)):
            return found
        found += _gradient("grad2", ours.get("grad2"), theirs.get("grad2"), rules._replace(tolerance=rules.tolerance * 100))
    return found


def _gradient(key, a, b, rules):
    if isinstance(a, Raised) or isinstance(b, Raised):
        return _raised(key, a, b)
    n = len(a or b or ())
    out = []
    for i, (x, y) in enumerate(zip(a or (None,) * n, b or (None,) * n)):
        if x is None or y is None:
            some = x or y
            if some is not None and not close(some.value, np.zeros_like(some.value), rules.tolerance):
                out.append(Difference(key, f"[{i}]: {x and short(x.value)} instead of {y and short(y.value)}"))
        elif x.shape != y.shape or x.dtype != y.dtype:
            out.append(Difference(key, f"[{i}] is {x.dtype}{x.shape} instead of {y.dtype}{y.shape}"))
        elif not close(x.value, y.value, rules.tolerance):
            out.append(Difference(key, f"[{i}]: {short(x.value)} instead of {short(y.value)}"))
    return out


def short(a):
    return np.array2string(np.asarray(a), precision=5, threshold=6, edgeitems=2).replace("\n", " ")[:110]


def _compare(at, a, b, rules):
    if isinstance(b, Seen) and isinstance(a, Seen):
        return _tensors(at, a, b, rules)
    if isinstance(b, tuple) and isinstance(a, tuple) and len(b) == 2 and isinstance(b[1], tuple):
        if a[0] != b[0] or len(a[1]) != len(b[1]):
            return [Difference("type", f"{at}{a[0]} of {len(a[1])} instead of {b[0]} of {len(b[1])}")]
        return [d for i, (x, y) in enumerate(zip(a[1], b[1])) for d in _compare(f"{at}[{i}] ", x, y, rules)]
    if isinstance(b, float) and isinstance(a, float):
        same = np.isclose(a, b, rtol=rules.tolerance or 1e-6, atol=rules.tolerance, equal_nan=True)
        return [] if same or not rules.values else [Difference("value", f"{at}{a} instead of {b}")]
    if type(a) is not type(b) or a != b:
        return [Difference("type", f"{at}{a!r} instead of {b!r}"[:300])]
    return []


def _tensors(at, a, b, rules):
    out = []
    if a.shape != b.shape:
        out.append(Difference("shape", f"{at}{a.shape} instead of {b.shape}"))
    elif a.dtype != b.dtype:
        out.append(Difference("dtype", f"{at}{a.dtype} instead of {b.dtype}"))
    elif rules.values and not close(a.value, b.value, rules.tolerance):
        out.append(Difference("value", f"{at}{_where(a.value, b.value)}"))
    if a.requires_grad != b.requires_grad:
        out.append(Difference("requires_grad", f"{at}{a.requires_grad} instead of {b.requires_grad}"))
    if a.shape == b.shape and a.stride != b.stride:
        out.append(Difference("stride", f"{at}{a.stride} instead of {b.stride} for {a.shape}"))
    if a.shares != b.shares:
        out.append(Difference("alias", f"{at}shares memory with inputs {a.shares} instead of {b.shares}"))
    if a.bits != b.bits:
        out.append(Difference("bits", f"{at}(is_conj, is_neg) are {a.bits} instead of {b.bits}"))
    return out


def _where(a, b):
    """The elements that differ most."""
    with np.errstate(all="ignore"):
        off = ~np.isclose(a.astype(float), b.astype(float), rtol=1e-9, atol=0, equal_nan=True)
        gap = np.where(off, np.nan_to_num(np.abs(a.astype(float) - b.astype(float)), nan=np.inf), -1)
    i = np.unravel_index(np.argmax(gap), gap.shape)
    return f"at {tuple(map(int, i))} of {a.shape}: {a[i]} instead of {b[i]}"


def _raised(key, a, b):
    kind = "error" if not key else key
    if not isinstance(a, Raised):
        return [Difference(kind + "-missing", f"nothing raised instead of {b.type}: {b.text[:160]}")]
    if not isinstance(b, Raised):
        return [Difference(kind + "-raises", f"{a.type}: {a.text[:200]} ({a.place})")]
    if a.type != b.type:
        return [Difference(kind + "-type", f"{a.type} ({a.text[:100]}) instead of {b.type} ({b.text[:120]})")]
    if key or "invalid combination of arguments" in b.text or same_phrase(a.text, b.text):
        return []
    return [Difference(kind + "-text", f"{a.text[:160]!r} instead of {b.text[:200]!r}")]


def same_phrase(ours, theirs):
    """Whether we say what PyTorch says: six of ten of its words, in whatever frame."""
    words = lambda s: re.findall(r"[a-z0-9_]+", s.lower().split("exception raised from")[0])
    mine, wanted = set(words(ours)), words(theirs)[:40]
    return sum(w in mine for w in wanted) >= 0.6 * len(wanted)


def nearer(a, b, w, tolerance):
    """Whether a is within rounding of w, or at most twice as far from it as b."""
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
