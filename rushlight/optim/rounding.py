"""Counters that PyTorch keeps in float32 tensors, kept here as Python numbers of the same value."""
import numpy as np


def single(x) -> float:
    """x rounded to float32."""
    if type(x) is float or not hasattr(x, "rounded_to_float32"):
        return float(np.float32(x))
    return x.rounded_to_float32()       # a number whose origin is followed (replay/traced.py)
