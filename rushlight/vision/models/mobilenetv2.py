"""MobileNetV2: Sandler et al., Inverted Residuals and Linear Bottlenecks (2018)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation

# Table 2 of the paper: expansion, channels, repetitions, stride.
BLOCKS = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2],
          [6, 320, 1, 1]]
STEM, LAST = 32, 1280


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The nearest multiple, but not less than nine tenths."""
    nearest = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * v else nearest


class InvertedResidual(nn.Module):
    """Channels widened, filtered one by one and narrowed again, beside a shortcut where sizes stay."""

    def __init__(self, inp, oup, stride, expand_ratio, norm_layer=None):
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm_layer = norm_layer or nn.BatchNorm2d
        wide = round(inp * expand_ratio)
        self.stride, self.out_channels = stride, oup
        self.use_res_connect = stride == 1 and inp == oup
        layers = [] if expand_ratio == 1 else [Conv2dNormActivation(
            inp, wide, kernel_size=1, norm_layer=norm_layer, activation_layer=nn.ReLU6)]
        layers.append(Conv2dNormActivation(wide, wide, stride=stride, groups=wide, norm_layer=norm_layer,
                                           activation_layer=nn.ReLU6))
        layers += [nn.Conv2d(wide, oup, 1, 1, 0, bias=False), norm_layer(oup)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Inverted residuals between two convolutions, and a linear layer.

    Args:
        width_mult: factor of all channels, which become multiples of round_nearest.
        inverted_residual_setting: lists of expansion, channels, repetitions and stride.
    """

    def __init__(self, num_classes=1000, width_mult=1.0, inverted_residual_setting=None, round_nearest=8,
                 block=None, norm_layer=None, dropout=0.2):
        super().__init__()
        block, norm_layer = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        setting = BLOCKS if inverted_residual_setting is None else inverted_residual_setting
        if len(setting) == 0 or len(setting[0]) != 4:
            raise ValueError(f"inverted_residual_setting should be non-empty or a 4-element list, got {setting}")
        channels = _make_divisible(STEM * width_mult, round_nearest)
        self.last_channel = _make_divisible(LAST * max(1.0, width_mult), round_nearest)
        conv = dict(norm_layer=norm_layer, activation_layer=nn.ReLU6)
        layers = [Conv2dNormActivation(3, channels, stride=2, **conv)]
        for expansion, wanted, count, stride in setting:
            out = _make_divisible(wanted * width_mult, round_nearest)
            for k in range(count):
                layers.append(block(channels, out, 1 if k else stride, expand_ratio=expansion, norm_layer=norm_layer))
                channels = out
        layers.append(Conv2dNormActivation(channels, self.last_channel, kernel_size=1, **conv))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes))
        for module in self.modules():
            initialise(module)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def draw_linear(module) -> None:
    nn.init.normal_(module.weight, 0, 0.01)


def initialise(module, draw_linear=draw_linear) -> None:
    """Convolutions by the size of their results, linear layers by `draw_linear`, without biases."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
        nn.init.ones_(module.weight)
    elif isinstance(module, nn.Linear):
        draw_linear(module)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


@builder
def mobilenet_v2(**kwargs) -> MobileNetV2:
    """MobileNetV2 with 3.5 million parameters."""
    return MobileNetV2(**kwargs)
