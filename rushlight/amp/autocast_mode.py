"""`autocast` and the switches that it is made of.

Only the CPU computes, so only autocast for "cpu" changes anything; that for "cuda" turns itself off with
PyTorch's warning. The lists of operations are in ops/cast_lists.py.
"""
from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from .. import dtypes
from ..autograd.grad_mode import mode
from ..ops.casting import DEVICES, settle, state
from ..tensor import Tensor

CPU_DTYPES = (dtypes.bfloat16, dtypes.float16)


def _check_device(device_type) -> str:
    if device_type not in DEVICES:
        raise RuntimeError("Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, "
                           "hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, hpu, mtia, "
                           f"privateuseone device type at start of device string: {device_type}")
    return device_type


# -- switches of a thread, by kind of device ---------------------------------------------------
def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a kind of device, present or not."""
    return _check_device(device_type) in DEVICES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a kind of device."""
    return state.enabled[_check_device(device_type)]


def set_autocast_enabled(device_type, enabled: bool | None = None) -> None:
    """Turn autocast on or off; with one argument, a flag, for "cuda"."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    state.enabled[_check_device(device_type)] = bool(enabled)
    settle()


def get_autocast_dtype(device_type: str):
    """What autocast of a kind of device casts to."""
    return state.dtypes[_check_device(device_type)]


def set_autocast_dtype(device_type: str, dtype) -> None:
    """Let autocast of a kind of device cast to `dtype`."""
    state.dtypes[_check_device(device_type)] = dtype
    settle()


def is_autocast_cache_enabled() -> bool:
    """Whether a weight is cast only once within the outermost autocast."""
    return state.uses_cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Cast a weight once, or each time that it is used."""
    state.uses_cache = bool(enabled)


def autocast_increment_nesting() -> int:
    """Count an autocast that is entered; gives the depth."""
    state.nesting += 1
    return state.nesting


def autocast_decrement_nesting() -> int:
    """Count an autocast that is left; gives the depth."""
    state.nesting -= 1
    return state.nesting


def clear_autocast_cache() -> None:
    """Forget the weights that were cast."""
    state.cache.clear()


def is_autocast_cpu_enabled() -> bool:
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype():
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype) -> None:
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype():
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype) -> None:
    set_autocast_dtype("cuda", dtype)


# -- the context manager -----------------------------------------------------------------------
class autocast:
    """Within the block, or the decorated function, operations of PyTorch's lists compute in `dtype`
    (products, convolutions, attention) or in float32 (losses, decompositions).

    Args:
        device_type: "cpu"; others are accepted and have no effect here.
        dtype: bfloat16 or float16; by default what `set_autocast_dtype` has set, first bfloat16.
        enabled: False computes without casts, also within an enabled block.
        cache_enabled: whether weights are cast once within the outermost block.

    Raises:
        ValueError: `device_type` is not a str.
        RuntimeError: there is no such kind of device.
    """

    def __init__(self, device_type: str, dtype=None, enabled: bool = True,
                 cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type "
                               f"'{device_type}'")
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = state.uses_cache if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and self._is_possible()
        self._before: list = []

    def _is_possible(self) -> bool:
        """Whether there is something to cast on; says why not."""
        if self.device == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.",
                          stacklevel=3)
            return False
        if self.device == "cpu" and self.fast_dtype not in CPU_DTYPES:
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling "
                          "autocast.\nCPU Autocast only supports dtypes of torch.bfloat16, "
                          "torch.float16 currently.", stacklevel=3)
            return False
        return True

    def __enter__(self):
        kind = self.device
        self._before.append((state.enabled[kind], state.dtypes[kind], state.uses_cache,
                             mode.casting))
        state.enabled[kind], state.dtypes[kind] = self._enabled, self.fast_dtype
        state.uses_cache = self._cache_enabled
        autocast_increment_nesting()
        settle()
        return self

    def __exit__(self, *_) -> bool:
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        kind = self.device
        state.enabled[kind], state.dtypes[kind], state.uses_cache, casting = self._before.pop()
        settle()
        mode.casting = casting          # the backward pass has it off
        return False

    def __call__(self, func):
        if not callable(func):
            raise TypeError(f"autocast()(func) requires a callable, but got {type(func).__name__}. "
                            "Did you mean to use autocast as a context manager? For example:\n"
                            "    with torch.autocast(device_type=...):\n"
                            "        output = model(input)")

        @functools.wraps(func)
        def decorated(*args, **kwargs):
            with self:
                return func(*args, **kwargs)
        return decorated


# -- custom functions --------------------------------------------------------------------------
def _cast(value, kind, dtype):
    """A structure with its floating point tensors, but float64, cast."""
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.dtype is not dtypes.float64
        return value.to(dtype) if eligible and kind == "cpu" else value
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, kind, dtype): _cast(v, kind, dtype) for k, v in value.items()}
    if isinstance(value, Iterable):
        parts = (_cast(v, kind, dtype) for v in value)
        return type(value)(parts) if isinstance(value, (list, tuple)) else parts
    return value


def _check_kind(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def custom_fwd(fwd=None, *, device_type: str, cast_inputs=None):
    """A decorator of `forward` of an `autograd.Function`.

    Args:
        cast_inputs: within autocast, floating point arguments (but float64) are cast to this dtype
            and `forward` runs with autocast off; None runs it as autocast is.
    """
    _check_kind(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx, *args, **kwargs):
        on = is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs),
                       **_cast(kwargs, device_type, cast_inputs))
    return forward


def custom_bwd(bwd=None, *, device_type: str):
    """A decorator of `backward`: it runs with autocast as `forward`, under `custom_fwd`, did."""
    _check_kind(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx, *grads):
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *grads)
    return backward
