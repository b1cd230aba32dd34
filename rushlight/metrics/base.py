"""What all measures have in common."""
from __future__ import annotations

from ..autograd.grad_mode import no_grad
from ..tensor import Tensor


class Metric:
    """Something gathered over batches: `update(preds, target)`, `compute()`, `reset()`.

    Subclasses set `state` in `reset` and change it in `gather`. What two objects have gathered
    (of two processes, say) is joined by `merge`. Calling the object updates it and gives the
    value of this batch alone.
    """

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}.reset")

    def gather(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch to the state."""
        raise NotImplementedError(f"{type(self).__name__}.gather")

    def compute(self) -> Tensor:
        """The value over everything since the last reset."""
        raise NotImplementedError(f"{type(self).__name__}.compute")

    def merge(self, other: Metric) -> None:
        """Take over what another object of this kind has gathered."""
        raise NotImplementedError(f"{type(self).__name__}.merge")

    @no_grad()
    def update(self, preds: Tensor, target: Tensor) -> Metric:
        """Add a batch; no gradients flow. Returns the object itself."""
        self.gather(preds.detach(), target.detach())
        return self

    def __call__(self, preds: Tensor, target: Tensor) -> Tensor:
        kept, self.state = self.state, None
        self.reset()
        try:
            value = self.update(preds, target).compute()
        finally:
            self.state = kept
        self.update(preds, target)
        return value

    def check_filled(self, count) -> None:
        """RuntimeError if nothing has been gathered."""
        if not count:
            raise RuntimeError(f"{type(self).__name__}.compute: called before update, so there is nothing to compute")


def check_same_shape(name: str, preds: Tensor, target: Tensor) -> None:
    if preds.shape != target.shape:
        raise ValueError(f"{name}: preds and target should have the same shape, "
                         f"but found {tuple(preds.shape)} and {tuple(target.shape)}")
