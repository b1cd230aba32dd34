"""Names of PyTorch's tracer that programs use: settings are accepted, `reset` and `explain` are ours."""
from __future__ import annotations

from types import SimpleNamespace

from .replay import OptimizedModule, explain as explain
from .replay.names import disable as disable, reset as reset

config = SimpleNamespace(suppress_errors=False, cache_size_limit=8, recompile_limit=8, verbose=False,
                         automatic_dynamic_shapes=True, capture_scalar_outputs=False)
eval_frame = SimpleNamespace(OptimizedModule=OptimizedModule)
