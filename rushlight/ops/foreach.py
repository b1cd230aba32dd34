"""torch._foreach_*: one operation on each tensor of a list, as averages of weights are often written.

Each call records its operations one by one; the compiler joins them into few kernels.
"""
from __future__ import annotations

from ..tensor import Tensor

UNARY = """abs acos asin atan ceil clone cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 max neg reciprocal
    round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc zero_""".split()
WITH_OTHERS = "add clamp_max clamp_min div lerp maximum minimum mm mul pow sub copy_ addcdiv addcmul norm powsum".split()
WITHOUT_PLACE = {"clone", "max", "mm", "norm", "powsum"}


def _norm(x, ord=2, dtype=None):
    from ..linalg import vector_norm
    return vector_norm(x, ord, dtype=dtype)


def _powsum(x, ord, dtype=None):
    return x.abs().pow(ord).sum(dtype=dtype)


def _scaled(name):
    """addcmul and addcdiv, whose factor is their last argument here."""
    def function(x, first, second, value=1):
        return getattr(x, name)(first, second, value=value)
    return function


SPECIAL = {"norm": _norm, "powsum": _powsum,
           "maximum": lambda x, y: x.clamp(min=y), "minimum": lambda x, y: x.clamp(max=y),
           "maximum_": lambda x, y: x.clamp_(min=y), "minimum_": lambda x, y: x.clamp_(max=y),
           **{name: _scaled(name) for name in ("addcmul", "addcmul_", "addcdiv", "addcdiv_")},
           "pow": lambda x, y: x ** y}         # of a number, too


def _check(lists, others):
    if not lists[0]:
        raise RuntimeError("Tensor list must have at least one tensor.")
    for given in others:
        if len(given) != len(lists[0]):
            raise RuntimeError(f"Tensor lists must have the same number of tensors, got {len(lists[0])} and {len(given)}"
                               if given and isinstance(given[0], Tensor) else
                               "Tensor list must have same number of elements as scalar list.")


def foreach(name):
    """The function _foreach_NAME: lists are walked side by side, everything else goes with each of their elements."""
    function = SPECIAL.get(name) or getattr(Tensor, name)
    alone = name.rstrip("_") in UNARY or name in UNARY

    def call(self, *args, **kwargs):
        if alone and (args or kwargs):
            raise TypeError(f"_foreach_{name}() takes 1 positional argument but {1 + len(args)} were given")
        if name.startswith("addc") and len(args) > 2 and isinstance(args[2], Tensor):
            args = (*args[:2], args[2].tolist(), *args[3:])         # a tensor of factors
        walked = isinstance(self, (list, tuple))
        lists = [a for a in (self, *args) if isinstance(a, (list, tuple))]
        _check(lists, lists[1:])
        results = tuple(function(*(a[i] if isinstance(a, (list, tuple)) else a for a in (self, *args)), **kwargs)
                        for i in range(len(lists[0])))
        return self if walked and name.endswith("_") else results
    call.__name__ = call.__qualname__ = "_foreach_" + name
    return call


NAMES = {"_foreach_" + name: name for base in (*UNARY, *WITH_OTHERS)
         for name in ((base,) if base in WITHOUT_PLACE or base.endswith("_") else (base, base + "_"))}
