"""torch.distributed.tensor.experimental, as far as packages import it."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["implicit_replication"]


@contextmanager
def implicit_replication() -> Iterator[None]:
    """Plain tensors may stand beside distributed ones as if each process had them whole: here all tensors are plain."""
    yield
