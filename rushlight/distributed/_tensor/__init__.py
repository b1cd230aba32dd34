"""The name that torch.distributed.tensor had before."""
from ..tensor import DTensor, distribute_tensor

__all__ = ["DTensor", "distribute_tensor"]
