"""Finding where a nan or an error of the backward pass came into being: detect_anomaly and set_detect_anomaly."""
from __future__ import annotations

import warnings

from ..errors import located, place


class State:
    enabled = False
    check_nan = True


state = State()


def is_anomaly_enabled() -> bool:
    return state.enabled


def is_anomaly_check_nan_enabled() -> bool:
    return state.check_nan


class set_detect_anomaly:
    """Look for nan after each function of the backward pass, or stop looking; also a context manager."""

    def __init__(self, mode: bool, check_nan: bool = True):
        self.before = (state.enabled, state.check_nan)
        state.enabled, state.check_nan = bool(mode), bool(check_nan)

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        state.enabled, state.check_nan = self.before


class detect_anomaly:
    """Within the block a backward pass that makes a nan raises and names the function and its line."""

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and should only be "
                      "enabled for debugging.", stacklevel=2)

    def __enter__(self):
        self.before = (state.enabled, state.check_nan)
        state.enabled, state.check_nan = True, self.check_nan

    def __exit__(self, *exc):
        state.enabled, state.check_nan = self.before


def watched(fn, pull, *args):
    """What `pull(fn, *args)` returns; where that fails or holds a nan, a warning says where `fn` was recorded."""
    try:
        gradients = pull(fn, *args)
        check(fn, gradients)
    except Exception:
        origin = place(fn.where).replace("recorded at ", "")
        warnings.warn(f"Error detected in {fn.name()}. " + (
            f"Traceback of forward call that caused the error:{origin}" if origin else
            "No forward pass information available."), stacklevel=5)
        raise
    return gradients


def check(fn, gradients) -> None:
    """RuntimeError if one of the gradients that `fn` returned holds a nan."""
    if not state.check_nan:
        return
    for i, g in enumerate(gradients):
        if g is not None and g.dtype.rank >= 2 and bool(g.detach().isnan().any()):
            raise located(RuntimeError(f"Function '{fn.name()}' returned nan values in its {i}th output."), fn.where)
