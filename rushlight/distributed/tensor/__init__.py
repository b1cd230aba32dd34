"""torch.distributed.tensor, as far as programs ask whether they have such tensors: they never do."""
from __future__ import annotations

from ...tensor import Tensor


class DTensor(Tensor):
    """Not here: a tensor whose parts lie in several processes."""

    def __new__(cls, *args, **kwargs):
        raise NotImplementedError("torch.distributed.tensor.DTensor")


def distribute_tensor(tensor, device_mesh=None, placements=None, **options):
    """Not here."""
    raise NotImplementedError("torch.distributed.tensor.distribute_tensor")
