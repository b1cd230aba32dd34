"""Counters that PyTorch keeps in float32 tensors, kept here as Python numbers of the same value."""
import numpy as np


def single(x: float) -> float:
    """x rounded to float32."""
    return float(np.float32(x))
