"""torch.backends: switches of PyTorch's libraries, kept so that programs can set and read them."""
from __future__ import annotations

import contextlib
from types import SimpleNamespace

cudnn = SimpleNamespace(deterministic=False, benchmark=False, enabled=True, allow_tf32=True, benchmark_limit=10,
                        is_available=lambda: False, version=lambda: None)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True),
                       is_built=lambda: False)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
mkl = SimpleNamespace(is_available=lambda: False)
mkldnn = SimpleNamespace(is_available=lambda: False, enabled=True)
openmp = SimpleNamespace(is_available=lambda: False)


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
