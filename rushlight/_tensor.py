"""torch._tensor: where the class Tensor, and what rebuilds its subclasses, stand in PyTorch."""
from .io.rebuild import _rebuild_from_type_v2 as _rebuild_from_type_v2
from .tensor import Tensor as Tensor
