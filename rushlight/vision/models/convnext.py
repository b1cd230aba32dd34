"""ConvNeXt: Liu et al., A ConvNet for the 2020s (2022)."""
from __future__ import annotations

from functools import partial
from typing import NamedTuple

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation, Permute
from rushlight.vision.ops.stochastic_depth import StochasticDepth


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of (N, C, H, W)."""

    def forward(self, x):
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A depthwise 7 x 7 convolution and two linear layers, scaled, beside a shortcut."""

    def __init__(self, dim, layer_scale, stochastic_depth_prob, norm_layer=None):
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim), Permute([0, 2, 3, 1]), norm_layer(dim),
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), Permute([0, 3, 1, 2]))
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input):
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class CNBlockConfig(NamedTuple):
    """A stage: its channels, those of the next one (None at the end), its blocks."""
    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """A stem, stages of blocks with downsampling between them, and a linear layer.

    Args:
        block_setting: a `CNBlockConfig` for each stage. stochastic_depth_prob: of the last block.
    """

    def __init__(self, block_setting, stochastic_depth_prob=0.0, layer_scale=1e-6, num_classes=1000, block=None,
                 norm_layer=None, **kwargs):
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not all(isinstance(stage, CNBlockConfig) for stage in block_setting):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block, norm_layer = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        layers = [Conv2dNormActivation(3, block_setting[0].input_channels, 4, 4, 0, norm_layer=norm_layer,
                                       activation_layer=None, bias=True)]
        total, done = sum(stage.num_layers for stage in block_setting), 0
        for channels, after, count in block_setting:
            depths = [stochastic_depth_prob * (done + k) / (total - 1.0) for k in range(count)]
            layers.append(nn.Sequential(*[block(channels, layer_scale, p) for p in depths]))
            done += count
            if after is not None:
                layers.append(nn.Sequential(norm_layer(channels), nn.Conv2d(channels, after, 2, 2)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm_layer(last), nn.Flatten(1), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)))


def make_builder(name: str, channels, counts, depth_prob):
    @builder(name=name, doc=f"ConvNeXt with {channels} channels and {counts} blocks in its stages.")
    def build(**kwargs) -> ConvNeXt:
        stages = [CNBlockConfig(*stage) for stage in zip(channels, (*channels[1:], None), counts)]
        return ConvNeXt(stages, kwargs.pop("stochastic_depth_prob", depth_prob), **kwargs)
    return build


convnext_tiny = make_builder("convnext_tiny", (96, 192, 384, 768), (3, 3, 9, 3), 0.1)
convnext_small = make_builder("convnext_small", (96, 192, 384, 768), (3, 3, 27, 3), 0.4)
convnext_base = make_builder("convnext_base", (128, 256, 512, 1024), (3, 3, 27, 3), 0.5)
convnext_large = make_builder("convnext_large", (192, 384, 768, 1536), (3, 3, 27, 3), 0.5)
