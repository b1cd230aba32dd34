"""What a communication hook of DistributedDataParallel gets."""
from __future__ import annotations

from ..tensor import Tensor


class GradBucket:
    """Gradients of some parameters, one after the other in one tensor."""

    def __init__(self, buffer: Tensor, parameters: list, index: int, is_last: bool):
        self._buffer, self._parameters, self._index, self._is_last = buffer, parameters, index, is_last

    def index(self) -> int:
        """Which of the buckets this is; they come in this order."""
        return self._index

    def buffer(self) -> Tensor:
        """All gradients, 1-D."""
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Put another tensor in the place of the gradients."""
        self._buffer = buffer

    def gradients(self) -> list[Tensor]:
        """Views of the buffer with the shapes of the parameters."""
        parts = self._buffer.split([p.numel() for p in self._parameters])
        return [part.view(p.shape) for part, p in zip(parts, self._parameters)]

    def parameters(self) -> list[Tensor]:
        """The parameters whose gradients these are."""
        return list(self._parameters)

    def is_last(self) -> bool:
        """Whether this is the last bucket of the backward pass."""
        return self._is_last
