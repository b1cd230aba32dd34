"""The name that torch.distributed.tensor.experimental had before."""
from ..tensor.experimental import implicit_replication

__all__ = ["implicit_replication"]
