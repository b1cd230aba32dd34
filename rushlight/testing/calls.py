"""Runs a lowering's calls on NumPy arrays, without a graph or a plan: for tests and benchmarks of kernels."""
from __future__ import annotations

import ctypes

import numpy as np

from .. import dtypes
from ..compiler.kernel import Call, Code, Ref, View
from ..cpu import jit
from ..runtime import run

SLACK = 128             # bytes at both ends that are neither ours nor zero
POISON = 0xFF           # a NaN in every float dtype


class Memory:
    """Slots of bytes, aligned and poisoned, that Views and Refs point into."""

    def __init__(self):
        self.slots: list[tuple[np.ndarray, int]] = []

    def temp(self, nbytes: int) -> Ref:
        raw = np.full(nbytes + 2 * SLACK + 64, POISON, np.uint8)
        start = SLACK + -(raw.ctypes.data + SLACK) % 64
        self.slots.append((raw, start))
        return Ref(len(self.slots) - 1)

    def put(self, array) -> View:
        """A view of a copy with the strides of `array`."""
        array = np.asarray(array)
        spans = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if n > 1]
        view = View(self.temp(sum(spans) + array.itemsize), dtypes.from_numpy(array.dtype), array.shape,
                    tuple(s // array.itemsize for s in array.strides))
        if array.size:
            self.array(view)[...] = array
        return view

    def new(self, shape, numpy_dtype=np.float32) -> View:
        return self.put(np.full(shape, np.nan, numpy_dtype))

    def array(self, view: View) -> np.ndarray:
        """The memory of a view, not a copy."""
        raw, start = self.slots[view.ref.slot]
        tail = raw[start + view.ref.offset:]
        tail = tail[:len(tail) // view.itemsize * view.itemsize].view(view.dtype.numpy)
        return np.lib.stride_tricks.as_strided(tail, view.shape, [s * view.itemsize for s in view.strides])

    def address(self, word) -> int:
        if isinstance(word, int):
            return word
        if isinstance(word, Code):
            return jit.address(word)
        raw, start = self.slots[word.slot]
        return raw.ctypes.data + start + word.offset

    def bind(self, calls: list[Call]):
        """A function that runs the calls."""
        blocks = [(ctypes.c_int64 * len(c.words))(*map(self.address, c.words)) for c in calls]
        codes = jit.addresses([c.code for c in calls])
        rows = [word for call, code, block in zip(calls, codes, blocks, strict=True)
                for word in (code, ctypes.addressof(block), call.units, call.grain)]
        table = (ctypes.c_int64 * len(rows))(*rows)
        return lambda keep=(self, blocks): run.run(ctypes.addressof(table), len(calls))

    def run(self, calls: list[Call]) -> None:
        self.bind(calls)()
