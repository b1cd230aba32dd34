"""The operations by which arrays of several processes become one."""
from __future__ import annotations

import enum

import numpy as np


class ReduceOp(enum.Enum):
    """SUM, AVG (the sum over the number of processes), PRODUCT, MIN, MAX, and BAND, BOR, BXOR on integers."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7

    def combine(self, dtype: np.dtype):
        """The function of two arrays.

        Raises:
            RuntimeError: bits of numbers that are no integers.
        """
        if self.name in BITWISE and dtype.kind not in "iub":
            raise RuntimeError(f"Cannot use ReduceOp.{self.name} with non-integral dtype")
        return COMBINE[self.name]

    def finish(self, array: np.ndarray, size: int) -> np.ndarray:
        """What is done with the combined array."""
        if self is not ReduceOp.AVG:
            return array
        if array.dtype.kind in "iub":
            return np.trunc(array / size).astype(array.dtype)
        return (array / array.dtype.type(size)).astype(array.dtype)


ReduceOp.RedOpType = ReduceOp       # PyTorch has a class round them
BITWISE = {"BAND", "BOR", "BXOR"}
COMBINE = {
    "SUM": np.add, "AVG": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum,
    "BAND": np.bitwise_and, "BOR": np.bitwise_or, "BXOR": np.bitwise_xor,
}
