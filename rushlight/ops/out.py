"""out=: results put into a tensor that the caller has made.

Most operations convert; those of the tables below want its dtype to be theirs. Operations that do nothing
else with `out` get the argument here, when they become functions of `torch`; methods do not have it.
"""
from __future__ import annotations

from functools import wraps

from .shape import cat
from .promote import FOUND, SAME, into

CONVERTING = """ldexp mvlgamma deg2rad fmax fmin rad2deg sinc angle xlogy kron logit float_power nanmean
    nansum diff inner""".split()
JOINING = "column_stack hstack vstack row_stack dstack".split()
REFUSALS = dict.fromkeys("""cross isin aminmax slice_scatter triangular_solve index_copy index_add index_reduce median
    nanmedian scatter scatter_add scatter_reduce msort renorm take_along_dim tril triu diag
    lu_unpack softmax log_softmax""".split(), SAME)
REFUSALS |= dict.fromkeys("frac sgn hardshrink softshrink softplus gelu".split(), FOUND)
REFUSALS |= dict.fromkeys("cummax cummin".split(), "expected scalar_type {Wanted} but found {Given}")
REFUSALS |= {
    "mode": "expected scalar type '{Wanted}' but got '{Given}' for values output",
    "nonzero": "nonzero: Expected out tensor to have scalar type {Wanted} but got scalar type{Given}",
    "bucketize": "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) depending on "
                 "whether out_int32 flag is True, but we got output tensor's dtype {Given} and out_int32 flag is False",
    "heaviside": "heaviside is not yet implemented for tensors with different dtypes.",
    "signbit": "signbit does not support non-boolean outputs.",
    "isposinf": "isposinf does not support non-boolean outputs.", "isneginf": "isneginf does not support non-boolean outputs.",
    "masked_select": "masked_select(): self and result must have the same scalar type",
    "nan_to_num": "nan_to_num: dtype of out: {Given} should be same as input: {Wanted}",
    "kthvalue": "output values must be of same type as input",
    "take": "take(): self and out expected to have the same dtype, but got self.dtype = {Wanted} and out.dtype = {Given}",
    "tensordot": "tensordot: Expected the output tensor to have dtype {Wanted}, but got an output tensor with dtype {Given}",
    "histc": "torch.histogram: input tensor and hist tensor should have the same dtype, but got input {Wanted} and hist {Given}",
    "histogram": "torch.histogram: input tensor and hist tensor should have the same dtype, but got input {Wanted} and "
                 "hist {Given}"}
REFUSALS["searchsorted"] = REFUSALS["bucketize"]
NAMES = frozenset(CONVERTING) | frozenset(JOINING) | frozenset(REFUSALS)


def accepting_out(name, op):
    """An operation with an argument `out`: a tensor, or one for each of its results."""
    if name in JOINING:
        return _joining(op)
    refusal = REFUSALS.get(name)

    @wraps(op)
    def call(*args, out=None, **kwargs):
        y = op(*args, **kwargs)
        return y if out is None else _placed(out, y, refusal)
    return call


def _joining(op):
    @wraps(op)
    def call(tensors, *, out=None):
        y = op(tensors)
        return y if out is None else cat([y], out=out)
    return call


def _placed(out, y, refusal):
    if not isinstance(y, tuple):
        return into(out, y, refusal)
    parts = [into(to, part, refusal) for to, part in zip(out, y, strict=True)]
    return type(y)(*parts) if hasattr(y, "_fields") else tuple(parts)
