"""torch.cuda.comm without a device."""
from ..errors import absent
from . import NOT_COMPILED

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]

broadcast, broadcast_coalesced, gather, reduce_add, reduce_add_coalesced, scatter = map(
    absent("torch.cuda.comm", RuntimeError, NOT_COMPILED), __all__)
