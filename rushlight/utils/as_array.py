"""Data of all kinds as NumPy arrays, for what is shown."""
from __future__ import annotations

import numpy as np

from ..tensor import Tensor


def as_array(x) -> np.ndarray:
    """An array of its own of a tensor (16-bit floats as float32), or of what NumPy understands."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    x = x.detach()
    return np.array((x.float() if x.dtype.itemsize == 2 and x.is_floating_point() else x).numpy())
