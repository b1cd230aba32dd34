"""torch.cuda.comm without a device."""
from . import MISSING

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]


def _refused(name):
    def call(*args, **kwargs):
        raise RuntimeError(f"torch.cuda.comm.{name}: {MISSING}")
    call.__name__ = call.__qualname__ = name
    return call


broadcast, broadcast_coalesced, gather, reduce_add, reduce_add_coalesced, scatter = map(_refused, __all__)
