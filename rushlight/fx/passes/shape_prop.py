"""torch.fx.passes.shape_prop: what runs through a graph, noted at its nodes."""
from __future__ import annotations

from typing import NamedTuple

from ...func.pytree import mapped
from ...tensor import Tensor
from ..interpreter import Interpreter


class TensorMetadata(NamedTuple):
    """What a tensor looks like."""
    shape: tuple
    dtype: object
    requires_grad: bool
    stride: tuple
    memory_format: object = None
    is_quantized: bool = False
    qparams: dict = {}


def _metadata(x):
    return TensorMetadata(x.shape, x.dtype, x.requires_grad, x.stride()) if isinstance(x, Tensor) else None


class ShapeProp(Interpreter):
    """Runs a graph and keeps the metadata of each node's tensors in `node.meta["tensor_meta"]`."""

    def run_node(self, n):
        y = super().run_node(n)
        found = mapped(_metadata, y)
        if found is not None:
            n.meta["tensor_meta"] = found
        n.meta["type"] = type(y)
        return y

    def propagate(self, *args):
        """Run the graph on these arguments."""
        return self.run(*args)
