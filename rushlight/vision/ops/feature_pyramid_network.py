"""Feature pyramids: Lin et al., Feature Pyramid Networks for Object Detection (2016)."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.ops.misc import Conv2dNormActivation


class ExtraFPNBlock(nn.Module):
    """Makes more levels, from the pyramid's, what it was made of, and their names."""

    def forward(self, results, x, names):
        raise NotImplementedError(f"{type(self).__name__}.forward")


class LastLevelMaxPool(ExtraFPNBlock):
    """Every second place of the smallest level, as "pool"."""

    def forward(self, x, y, names):
        return [*x, F.max_pool2d(x[-1], kernel_size=1, stride=2, padding=0)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Two smaller levels by convolutions, "p6" and "p7", as RetinaNet has them."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.constant_(module.bias, 0)
        self.use_P5 = in_channels == out_channels

    def forward(self, p, c, names):
        p6 = self.p6(p[-1] if self.use_P5 else c[-1])
        return [*p, p6, self.p7(F.relu(p6))], [*names, "p6", "p7"]


class FeaturePyramidNetwork(nn.Module):
    """Levels of features with what smaller levels know added to them, all of `out_channels`.

    Args:
        in_channels_list: channels of each level, the largest first. extra_blocks: an `ExtraFPNBlock`.

    Shape:
        a dict of (N, C, H, W), the largest first, to a dict of (N, out_channels, H, W).
    """

    def __init__(self, in_channels_list, out_channels: int, extra_blocks=None, norm_layer=None):
        super().__init__()
        if not all(in_channels_list):
            raise ValueError("in_channels=0 is currently not supported")
        options = {"norm_layer": norm_layer, "activation_layer": None}
        pairs = [(Conv2dNormActivation(channels, out_channels, kernel_size=1, padding=0, **options),
                  Conv2dNormActivation(out_channels, out_channels, kernel_size=3, **options))
                 for channels in in_channels_list]
        self.inner_blocks = nn.ModuleList(inner for inner, _ in pairs)
        self.layer_blocks = nn.ModuleList(layer for _, layer in pairs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0)
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"extra_blocks should be of type ExtraFPNBlock not {type(extra_blocks)}")
        self.extra_blocks = extra_blocks

    def forward(self, x):
        names, levels = list(x), list(x.values())
        inner = self.inner_blocks[-1](levels[-1])
        results = [self.layer_blocks[-1](inner)]
        for k in reversed(range(len(levels) - 1)):
            lateral = self.inner_blocks[k](levels[k])
            inner = lateral + F.interpolate(inner, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, self.layer_blocks[k](inner))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, levels, names)
        return OrderedDict(zip(names, results))
