"""RegNet: Radosavovic et al., Designing Network Design Spaces (2020)."""
from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

from rushlight import nn
from rushlight.vision.models.mobilenetv2 import _make_divisible
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

STEM = 32


class BottleneckTransform(nn.Sequential):
    """A grouped 3 x 3 convolution between two 1 x 1, with squeeze-and-excitation if a ratio is given."""

    def __init__(self, width_in, width_out, stride, norm_layer, activation_layer, group_width, bottleneck_multiplier,
                 se_ratio):
        wide = round(width_out * bottleneck_multiplier)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer)
        layers = OrderedDict(a=conv(width_in, wide, kernel_size=1),
                             b=conv(wide, wide, kernel_size=3, stride=stride, groups=wide // group_width))
        if se_ratio:
            layers["se"] = SqueezeExcitation(wide, round(se_ratio * width_in), activation=activation_layer)
        layers["c"] = conv(wide, width_out, kernel_size=1, activation_layer=None)
        super().__init__(layers)


class SimpleStemIN(Conv2dNormActivation):
    """A 3 x 3 convolution that halves the size."""

    def __init__(self, width_in, width_out, norm_layer, activation_layer):
        super().__init__(width_in, width_out, kernel_size=3, stride=2, norm_layer=norm_layer,
                         activation_layer=activation_layer)


class AnyStage(nn.Sequential):
    """Blocks of one width."""


class ResBottleneckBlock(nn.Module):
    """A bottleneck beside a shortcut."""

    def __init__(self, width_in, width_out, stride, norm_layer, activation_layer, group_width=1,
                 bottleneck_multiplier=1.0, se_ratio=None):
        super().__init__()
        self.proj = None
        if width_in != width_out or stride != 1:
            self.proj = Conv2dNormActivation(width_in, width_out, kernel_size=1, stride=stride, norm_layer=norm_layer,
                                             activation_layer=None)
        self.f = BottleneckTransform(width_in, width_out, stride, norm_layer, activation_layer, group_width,
                                     bottleneck_multiplier, se_ratio)
        self.activation = activation_layer(inplace=True)

    def forward(self, x):
        return self.activation((x if self.proj is None else self.proj(x)) + self.f(x))


class BlockParams:
    """The stages of a RegNet: widths, depths, groups, bottlenecks and strides.

    Widths grow linearly and are quantised to powers of a factor (section 3.3 of the paper).
    """

    QUANT, STRIDE = 8, 2

    def __init__(self, depths, widths, group_widths, bottleneck_multipliers, strides, se_ratio=None):
        self.depths, self.widths, self.group_widths = depths, widths, group_widths
        self.bottleneck_multipliers, self.strides, self.se_ratio = bottleneck_multipliers, strides, se_ratio

    @classmethod
    def from_init_params(cls, depth, w_0, w_a, w_m, group_width, bottleneck_multiplier=1.0, se_ratio=None, **kwargs):
        """From a depth, the first width, the slope, the factor and the width of groups."""
        if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % 8 != 0:
            raise ValueError("Invalid RegNet settings")
        powers = [round(math.log((w_0 + w_a * k) / w_0) / math.log(w_m)) for k in range(depth)]
        widths = [round(w_0 * w_m ** power / cls.QUANT) * cls.QUANT for power in powers]
        stages = sorted(set(widths))
        depths, groups = [widths.count(w) for w in stages], [min(group_width, w) for w in stages]
        fitting = [_make_divisible(w * bottleneck_multiplier, g) for w, g in zip(stages, groups)]
        count = len(stages)
        return cls(depths, [int(w / bottleneck_multiplier) for w in fitting], groups, [bottleneck_multiplier] * count,
                   [cls.STRIDE] * count, se_ratio)

    def stages(self):
        return zip(self.widths, self.strides, self.depths, self.group_widths, self.bottleneck_multipliers)


class RegNet(nn.Module):
    """A stem, four stages of bottlenecks and a linear layer."""

    def __init__(self, block_params, num_classes=1000, stem_width=STEM, stem_type=None, block_type=None,
                 norm_layer=None, activation=None):
        super().__init__()
        norm_layer, activation = norm_layer or nn.BatchNorm2d, activation or nn.ReLU
        block = block_type or ResBottleneckBlock
        self.stem = (stem_type or SimpleStemIN)(3, stem_width, norm_layer, activation)
        stages, before = OrderedDict(), stem_width
        for k, (width, stride, depth, group, multiplier) in enumerate(block_params.stages(), 1):
            stages[f"block{k}"] = AnyStage(OrderedDict(
                (f"block{k}-{j}", block(width if j else before, width, 1 if j else stride, norm_layer, activation,
                                        group, multiplier, block_params.se_ratio)) for j in range(depth)))
            before = width
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(before, num_classes)
        for module in self.modules():
            initialise(module)

    def forward(self, x):
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))).flatten(start_dim=1))


def initialise(module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, mean=0.0, std=math.sqrt(2.0 / fan_out))
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, mean=0.0, std=0.01)
        nn.init.zeros_(module.bias)


# Of the authors' models: depth, first width, slope, factor, width of groups.
X = {"400mf": (22, 24, 24.48, 2.54, 16), "800mf": (16, 56, 35.73, 2.28, 16), "1_6gf": (18, 80, 34.01, 2.25, 24),
     "3_2gf": (25, 88, 26.31, 2.25, 48), "8gf": (23, 80, 49.56, 2.88, 120), "16gf": (22, 216, 55.59, 2.1, 128),
     "32gf": (23, 320, 69.86, 2.0, 168)}
Y = {"400mf": (16, 48, 27.89, 2.09, 8), "800mf": (14, 56, 38.84, 2.4, 16), "1_6gf": (27, 48, 20.71, 2.65, 24),
     "3_2gf": (21, 80, 42.63, 2.66, 24), "8gf": (17, 192, 76.82, 2.19, 56), "16gf": (18, 200, 106.23, 2.48, 112),
     "32gf": (20, 232, 115.89, 2.53, 232), "128gf": (27, 456, 160.83, 2.52, 264)}


def make_builder(name: str, numbers, se_ratio):
    @builder(name=name, doc=f"A RegNet of {numbers[0]} blocks.")
    def build(**kwargs) -> RegNet:
        norm_layer = kwargs.pop("norm_layer", partial(nn.BatchNorm2d, eps=1e-05, momentum=0.1))
        return RegNet(BlockParams.from_init_params(*numbers, se_ratio=se_ratio), norm_layer=norm_layer, **kwargs)
    return build


globals().update({f"regnet_{kind}_{scale}": make_builder(f"regnet_{kind}_{scale}", numbers, ratio)
         for kind, sizes, ratio in (("x", X, None), ("y", Y, 0.25)) for scale, numbers in sizes.items()})
