"""torch.cuda.nvtx without CUDA: marks are accepted by nobody."""
from __future__ import annotations

from contextlib import contextmanager

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]
MISSING = "NVTX functions not installed. Are you sure you have a CUDA build?"


def _refused(name):
    def call(*args, **kwargs):
        raise RuntimeError(MISSING)
    call.__name__ = call.__qualname__ = name
    return call


range_push, range_pop, range_start, range_end, mark = map(
    _refused, ("range_push", "range_pop", "range_start", "range_end", "mark"))


@contextmanager
def range(msg, *args, **kwargs):
    """A mark round a block; raises as the others do."""
    range_push(msg.format(*args, **kwargs))
    yield
    range_pop()
