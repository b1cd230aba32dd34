"""torch.backends: switches of PyTorch's libraries, kept so that programs can set and read them."""
from __future__ import annotations

import contextlib
from types import SimpleNamespace

cudnn = SimpleNamespace(deterministic=False, benchmark=False, enabled=True, allow_tf32=True, benchmark_limit=10,
                        is_available=lambda: False, version=lambda: None)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True),
                       is_built=lambda: False, is_flash_attention_available=lambda: False,
                       preferred_linalg_library=lambda backend=None: backend or "default",
                       preferred_blas_library=lambda backend=None: backend or "default")
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
mkl = SimpleNamespace(is_available=lambda: False, VERBOSE_OFF=0, VERBOSE_ON=1, verbose=contextlib.nullcontext)
mkldnn = SimpleNamespace(is_available=lambda: False, enabled=True)
openmp = SimpleNamespace(is_available=lambda: False)


_attention = dict.fromkeys(("flash", "mem_efficient", "math", "cudnn"), True)     # kept; attention here is of one kind


def _switches(name):
    """(the setter, the getter) of a kind of attention."""
    return lambda enabled: _attention.update({name: bool(enabled)}), lambda: _attention[name]


for _name in _attention:
    _set, _get = _switches(_name)
    vars(cuda).update({f"enable_{_name}_sdp": _set, f"{_name}_sdp_enabled": _get})
_reduced = {"allowed": False}
cuda.allow_fp16_bf16_reduction_math_sdp = lambda enabled: _reduced.update(allowed=bool(enabled))
cuda.fp16_bf16_reduction_math_sdp_allowed = lambda: _reduced["allowed"]
cuda.can_use_flash_attention = cuda.can_use_efficient_attention = cuda.can_use_cudnn_attention = lambda params, debug=False: False


@contextlib.contextmanager
def _sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Within the block the switches of attention are these."""
    before = dict(_attention)
    _attention.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield {}
    finally:
        _attention.update(before)


cuda.sdp_kernel = _sdp_kernel


@contextlib.contextmanager
def _flags(enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True):
    """Within the block the switches of cudnn are these."""
    before = dict(vars(cudnn))
    vars(cudnn).update(enabled=enabled, benchmark=benchmark, benchmark_limit=benchmark_limit,
                       deterministic=deterministic, allow_tf32=allow_tf32)
    try:
        yield
    finally:
        vars(cudnn).update(before)


cudnn.flags = _flags
