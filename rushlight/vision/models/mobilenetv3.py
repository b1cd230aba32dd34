"""MobileNetV3: Howard et al., Searching for MobileNetV3 (2019)."""
from __future__ import annotations

from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.vision.models.mobilenetv2 import _make_divisible, initialise
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

# Tables 1 and 2 of the paper: kernel, expanded and output channels, squeeze-and-excitation, nonlinearity, stride.
LARGE = [(16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2), (24, 3, 72, 24, False, "RE", 1),
         (24, 5, 72, 40, True, "RE", 2), (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
         (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
         (80, 3, 184, 80, False, "HS", 1), (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
         (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1), (160, 5, 960, 160, True, "HS", 1)]
SMALL = [(16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1),
         (24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1), (40, 5, 240, 40, True, "HS", 1),
         (40, 5, 120, 48, True, "HS", 1), (48, 5, 144, 48, True, "HS", 1), (48, 5, 288, 96, True, "HS", 2),
         (96, 5, 576, 96, True, "HS", 1), (96, 5, 576, 96, True, "HS", 1)]


class InvertedResidualConfig:
    """What a block does, channels multiplied by `width_mult`."""

    def __init__(self, input_channels, kernel, expanded_channels, out_channels, use_se, activation, stride, dilation,
                 width_mult):
        self.input_channels, self.expanded_channels, self.out_channels = (
            self.adjust_channels(n, width_mult) for n in (input_channels, expanded_channels, out_channels))
        self.kernel, self.use_se, self.use_hs = kernel, use_se, activation == "HS"
        self.stride, self.dilation = stride, dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        return _make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Channels widened, filtered one by one, weighted and narrowed, beside a shortcut where sizes stay."""

    def __init__(self, cnf, norm_layer, se_layer=partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)):
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        wide = cnf.expanded_channels
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer,
                       activation_layer=nn.Hardswish if cnf.use_hs else nn.ReLU)
        layers = [] if wide == cnf.input_channels else [conv(cnf.input_channels, wide, kernel_size=1)]
        layers.append(conv(wide, wide, kernel_size=cnf.kernel, stride=1 if cnf.dilation > 1 else cnf.stride,
                           dilation=cnf.dilation, groups=wide))
        if cnf.use_se:
            layers.append(se_layer(wide, _make_divisible(wide // 4, 8)))
        layers.append(conv(wide, cnf.out_channels, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels, self._is_cn = cnf.out_channels, cnf.stride > 1

    def forward(self, input):
        result = self.block(input)
        return result + input if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """Inverted residuals between two convolutions, and two linear layers.

    Args:
        inverted_residual_setting: an `InvertedResidualConfig` for each block. last_channel: of the hidden layer.
    """

    def __init__(self, inverted_residual_setting, last_channel, num_classes=1000, block=None, norm_layer=None,
                 dropout=0.2, **kwargs):
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not all(isinstance(s, InvertedResidualConfig) for s in inverted_residual_setting):
            raise TypeError("The inverted_residual_setting should be List[InvertedResidualConfig]")
        block, norm_layer = block or InvertedResidual, norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish)
        first, last = inverted_residual_setting[0].input_channels, inverted_residual_setting[-1].out_channels
        self.features = nn.Sequential(
            conv(3, first, kernel_size=3, stride=2), *(block(s, norm_layer) for s in inverted_residual_setting),
            conv(last, 6 * last, kernel_size=1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(6 * last, last_channel), nn.Hardswish(inplace=True),
                                        nn.Dropout(p=dropout, inplace=True), nn.Linear(last_channel, num_classes))
        for module in self.modules():
            initialise(module)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def stages_of(features) -> list[int]:
    """The places of the first layer, of the blocks that halve the size, and of the last layer."""
    return [0, *(k for k, block in enumerate(features) if getattr(block, "_is_cn", False)), len(features) - 1]


def make(table, last_channel, width_mult=1.0, reduced_tail=False, dilated=False, **kwargs) -> MobileNetV3:
    """Of a table; `reduced_tail` halves the channels of the last blocks, `dilated` keeps their size."""
    tail = len(table) - 3                       # the blocks of the last size
    setting = []
    for k, (channels, kernel, wide, out, *rest) in enumerate(table):
        share = 2 if reduced_tail else 1
        if k >= tail:
            out //= share
        if k > tail:
            channels, wide = channels // share, wide // share
        dilation = 2 if dilated and k >= tail else 1
        setting.append(InvertedResidualConfig(channels, kernel, wide, out, *rest, dilation, width_mult))
    last = InvertedResidualConfig.adjust_channels(last_channel // (2 if reduced_tail else 1), width_mult)
    return MobileNetV3(setting, last, **kwargs)


@builder
def mobilenet_v3_large(**kwargs) -> MobileNetV3:
    """MobileNetV3 with 5.5 million parameters."""
    return make(LARGE, 1280, **kwargs)


@builder
def mobilenet_v3_small(**kwargs) -> MobileNetV3:
    """MobileNetV3 with 2.5 million parameters."""
    return make(SMALL, 1024, **kwargs)
