"""Padding layers: one class for each filling and rank, made from a table."""
from __future__ import annotations

from .. import functional as F
from .module import Module
from .utils import _ntuple


class _PadNd(Module):
    """Lengthens the last axes by `padding`.

    One number, or (before, after) from the last axis backwards.
    """

    __constants__ = ["padding"]
    _rank, _mode = 0, ""

    def __init__(self, padding) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._rank, "sides")(padding)

    def forward(self, input):
        self._check_input_dim(input)
        return F.pad(input, self.padding, self._mode)

    def _check_input_dim(self, input):
        """Circular padding names the ranks it takes."""
        if self._mode == "circular" and input.dim() not in (self._rank + 1, self._rank + 2):
            raise ValueError(f"expected {self._rank + 1}D or {self._rank + 2}D input (got "
                             f"{input.dim()}D input)")

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    """Fills with one value."""

    __constants__ = ["padding", "value"]
    _mode = "constant"

    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    """Fills with zeros."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


_KINDS = {"ConstantPad": (_ConstantPadNd, "constant", "Fills with one value"),
          "ZeroPad": (_ZeroPadNd, "constant", "Fills with zeros"),
          "ReflectionPad": (_PadNd, "reflect",
                            "Fills with what lies inside, mirrored at the border"),
          "ReplicationPad": (_PadNd, "replicate", "Fills with copies of the border"),
          "CircularPad": (_PadNd, "circular", "Fills with what lies at the other side")}


def _make(kind, rank):
    base, mode, what = _KINDS[kind]
    return type(f"{kind}{rank}d", (base,), {"_rank": rank, "_mode": mode, "__module__": __name__,
                                            "__doc__": f"{what}; pads the last {rank} axes."})


ConstantPad1d, ConstantPad2d, ConstantPad3d = (_make("ConstantPad", n) for n in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_make("ZeroPad", n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_make("ReflectionPad", n) for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _make("ReplicationPad", n) for n in (1, 2, 3))
CircularPad1d, CircularPad2d, CircularPad3d = (_make("CircularPad", n) for n in (1, 2, 3))

__all__ = [f"{kind}{n}d" for kind in _KINDS for n in (1, 2, 3)]
