"""Sequences of different lengths: padding them into one tensor, packing them step by step."""
from __future__ import annotations

from collections import namedtuple
from itertools import pairwise

import numpy as np

from ... import dtypes, ops
from ...prims.introsort import std_sort
from ...tensor import Tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence",
           "pad_sequence", "unpad_sequence", "pack_sequence", "unpack_sequence"]


class PackedSequence(namedtuple("PackedSequence",
                                ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])):
    """Sequences sorted by falling length, stored step after step.

    `batch_sizes` counts those that reach each.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The same with the data moved or cast."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def cpu(self):
        """The same on the CPU."""
        return self.to(device="cpu")

    def cuda(self, *args, **kwargs):
        """The same on a GPU; raises where there is none."""
        return type(self)(self.data.cuda(*args, **kwargs), *self[1:])

    def double(self):
        """The same in float64."""
        return self.to(dtype=dtypes.float64)

    def float(self):
        """The same in float32."""
        return self.to(dtype=dtypes.float32)

    def half(self):
        """The same in float16."""
        return self.to(dtype=dtypes.float16)

    def pin_memory(self):
        """The same; memory is not pinned on the CPU."""
        return self

    def is_pinned(self) -> bool:
        """Whether the data are pinned."""
        return self.data.is_pinned()

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Where each index went."""
    if permutation is None:
        return None
    return ops.empty_like(permutation).scatter_(0, permutation, ops.arange(permutation.numel()))


def pack_padded_sequence(input: Tensor, lengths, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """Pack padded sequences (T, B, *), or (B, T, *) with `batch_first`."""
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    order = None
    if not enforce_sorted:
        order = ops.tensor(std_sort([-n for n in sizes]), dtype=dtypes.int64)
        input = input.index_select(0 if batch_first else 1, order)
        sizes = [sizes[i] for i in order.tolist()]
    x = input if batch_first else input.transpose(0, 1)
    _check_lengths(sizes, x)
    counts = _counts(sizes)
    data = x[:, :sizes[0]].transpose(0, 1).flatten(0, 1).index_select(0, _places(counts))
    return PackedSequence(data, ops.tensor(counts, dtype=dtypes.int64), order, None)


def _check_lengths(sizes, x):
    if len(sizes) != x.size(0):
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(sizes)} (batch_size={x.size(0)})")
    if min(sizes) <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           "in 'lengths' that is <= 0")
    if any(a < b for a, b in pairwise(sizes)):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to "
                           "pack_padded_sequence and/or pack_sequence to sidestep this requirement "
                           "if you do not need ONNX exportability.")
    if sizes[0] > x.size(1):
        raise RuntimeError(f"Expected sequence length to be at most {x.size(1)}, but got "
                           f"{sizes[0]}")


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False,
                        padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`: (padded, lengths)."""
    counts = sequence.batch_sizes.tolist()
    steps = len(counts)
    if total_length is not None and total_length < steps:
        raise ValueError("Expected total_length to be at least the length of the longest sequence "
                         "in input, but got "
                         f"total_length={total_length} and max sequence length being {steps}")
    padded = _from_packed(sequence.data, counts, total_length or steps, padding_value)
    padded = padded.transpose(0, 1) if batch_first else padded
    lengths = ops.tensor(_counts(counts), dtype=dtypes.int64)
    if sequence.unsorted_indices is None:
        return padded, lengths
    back = sequence.unsorted_indices
    return padded.index_select(0 if batch_first else 1, back), lengths[back]


def _counts(falling):
    """How many of falling numbers are greater than 0, 1, ...: lengths to counts, or back."""
    return (np.array(falling)[:, None] > np.arange(falling[0])).sum(0).tolist()


def _filled(counts):
    """Where in a padded array (T, B) packed rows lie."""
    return np.arange(counts[0]) < np.array(counts)[:, None]


def _places(counts):
    """Numbers of the rows of a padded array (T B, *) that packed rows lie in."""
    return ops.tensor(np.flatnonzero(_filled(counts)))


def _from_packed(data, counts, total, value):
    """Packed rows as (total, B, *), with `value` behind the ends."""
    filled = np.zeros((total, counts[0]), bool)
    filled[:len(counts)] = _filled(counts)
    return _spread(data, filled, value)


def _spread(rows, filled, value):
    """The rows in order at the places that are filled, and `value` at the others.

    The places are data, so batches of other lengths have the same kernels.
    """
    if filled.all():
        return rows.reshape(*filled.shape, *rows.shape[1:])
    source = np.where(filled, np.cumsum(filled).reshape(filled.shape) - 1, 0)
    found = rows.index_select(0, ops.tensor(source.reshape(-1)))
    kept = ops.tensor(filled.reshape(-1, *[1] * (rows.dim() - 1)))
    return ops.where(kept, found, ops.full((), value, dtype=rows.dtype)).unflatten(0, filled.shape)


def pad_sequence(sequences, batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:
    """Sequences (L_i, *), padded and stacked: (T, B, *), or (B, T, *) with `batch_first`."""
    if not isinstance(sequences, (list, tuple, Tensor)):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of "
                           f"type: {type(sequences)}")
    if padding_side not in ("left", "right"):
        raise RuntimeError("padding_side should be either \"right\" or \"left\", but got "
                           f"{padding_side}")
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    lengths = np.array([s.size(0) for s in sequences])[:, None]
    times = np.arange(lengths.max())
    filled = times < lengths if padding_side == "right" else times[::-1] < lengths
    padded = _spread(ops.cat([s.to(sequences[0].dtype) for s in sequences]), filled, padding_value)
    return padded if batch_first else padded.transpose(0, 1).contiguous()


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor,
                   batch_first: bool = False) -> list[Tensor]:
    """The list of sequences without their padding."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(x, lengths.tolist())]


def pack_sequence(sequences, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (L_i, *)."""
    lengths = ops.tensor([s.size(0) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
