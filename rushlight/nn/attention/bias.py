"""Causal masks of queries and keys of different lengths, as tensors that attention takes for masks."""
from __future__ import annotations

from enum import IntEnum
from warnings import warn

from ... import dtypes, ops
from ...tensor import Tensor, wrap

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Which corner of the scores the diagonal starts from."""

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


class CausalBias(Tensor):
    """(L, S) booleans, True where query i may look at key j.

    j <= i for UPPER_LEFT; j <= i + S - L, so that the last query sees all, for LOWER_RIGHT.
    """

    def __new__(cls, variant: CausalVariant, seq_len_q: int, seq_len_kv: int):
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant)}")
        shift = 0 if variant == CausalVariant.UPPER_LEFT else seq_len_kv - seq_len_q
        mask = ops.ones(seq_len_q, seq_len_kv, dtype=dtypes.bool).tril(shift)
        return wrap(cls, mask.storage, mask.layout, mask.offset)

    def __init__(self, variant: CausalVariant, seq_len_q: int, seq_len_kv: int):
        self.variant, self.seq_len_q, self.seq_len_kv = variant, seq_len_q, seq_len_kv
        if seq_len_q > seq_len_kv and variant == CausalVariant.LOWER_RIGHT:
            warn("Lower right causal bias will produce NaNs in the output when seq_len_q > seq_len_kv!", stacklevel=3)

    def _materialize(self, device=None) -> Tensor:
        return self.as_subclass(Tensor)

    def __repr__(self, *, tensor_contents=None):
        return repr(self._materialize())


def causal_upper_left(*size: int) -> CausalBias:
    """The mask of `is_causal=True`, for L queries and S keys."""
    return CausalBias(CausalVariant.UPPER_LEFT, *_two(size))


def causal_lower_right(*size: int) -> CausalBias:
    """The causal mask of the last L of S positions, as with keys of earlier ones in a cache."""
    return CausalBias(CausalVariant.LOWER_RIGHT, *_two(size))


def _two(size):
    if len(size) != 2:
        raise AssertionError("a causal bias must be two-dimensional")
    return size
