"""torch._tensor: where the class Tensor stands in PyTorch."""
from .tensor import Tensor as Tensor
