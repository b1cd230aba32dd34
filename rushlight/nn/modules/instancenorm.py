"""Instance normalisation layers."""
from __future__ import annotations

import warnings

from .. import functional as F
from .batchnorm import _lazy, _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d",
           "LazyInstanceNorm2d", "LazyInstanceNorm3d"]


class _InstanceNorm(_NormBase):
    """Normalises each channel of each sample over its spatial axes."""

    _rank = 0

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1,
                 affine: bool = False, track_running_stats: bool = False, device=None, dtype=None,
                 *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)

    def _check_input_dim(self, input):
        if input.dim() not in (self._rank + 1, self._rank + 2):
            raise ValueError(f"expected {self._rank + 1}D or {self._rank + 2}D input (got "
                             f"{input.dim()}D input)")

    def _check_channels(self, input):
        channels = input.size(-self._rank - 1)
        if channels == self.num_features:
            return
        if self.affine:
            raise ValueError(f"expected input's size at dim={input.dim() - self._rank - 1} to "
                             f"match num_features ({self.num_features}), but got: {channels}.")
        warnings.warn(f"input's size at dim={input.dim() - self._rank - 1} does not match "
                      "num_features. You can silence this warning by not passing in num_features, "
                      "which is not used because affine=False", stacklevel=3)

    def forward(self, input):
        self._check_input_dim(input)
        self._check_channels(input)
        batched = input.dim() == self._rank + 2
        y = F.instance_norm(input if batched else input.unsqueeze(0), self.running_mean,
                            self.running_var, self.weight, self.bias,
                            self.training or not self.track_running_stats,
                            0.0 if self.momentum is None else self.momentum, self.eps)
        return y if batched else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L)."""

    _rank = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W)."""

    _rank = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W)."""

    _rank = 3


LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = map(
    _lazy, (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d))
