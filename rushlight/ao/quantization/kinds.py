"""Names of integer grids, and of how they lie."""
from __future__ import annotations


class Kind:
    """One of PyTorch's constants."""

    def __init__(self, name: str, low: int = 0, high: int = 0):
        self.name, self.low, self.high = name, low, high

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return kind, (self.name,)


quint8, qint8 = Kind("quint8", 0, 255), Kind("qint8", -128, 127)
per_tensor_affine, per_tensor_symmetric = Kind("per_tensor_affine"), Kind("per_tensor_symmetric")
per_channel_affine, per_channel_symmetric = Kind("per_channel_affine"), Kind("per_channel_symmetric")
SYMMETRIC = (per_tensor_symmetric, per_channel_symmetric)
KINDS = {k.name: k for k in (quint8, qint8, per_tensor_affine, *SYMMETRIC, per_channel_affine)}


def kind(name: str) -> Kind:
    """The constant of a name."""
    return KINDS[name]
