"""EfficientNet: Tan & Le, Rethinking Model Scaling for Convolutional Neural Networks (2019), and EfficientNetV2 (2021)."""
from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.vision.models.mobilenetv2 import _make_divisible, initialise
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from rushlight.vision.ops.stochastic_depth import StochasticDepth


class MBConv(nn.Module):
    """Channels widened, filtered one by one, weighted and narrowed, beside a shortcut where sizes stay."""

    def __init__(self, cnf, stochastic_depth_prob, norm_layer, se_layer=SqueezeExcitation):
        super().__init__()
        check_stride(cnf)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        layers = [] if wide == cnf.input_channels else [conv(cnf.input_channels, wide, kernel_size=1)]
        layers += [conv(wide, wide, kernel_size=cnf.kernel, stride=cnf.stride, groups=wide),
                   se_layer(wide, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)),
                   conv(wide, cnf.out_channels, kernel_size=1, activation_layer=None)]
        finish(self, cnf, layers, stochastic_depth_prob)

    def forward(self, input):
        result = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


class FusedMBConv(nn.Module):
    """As `MBConv`, with one whole convolution in place of the widening and the filters."""

    def __init__(self, cnf, stochastic_depth_prob, norm_layer):
        super().__init__()
        check_stride(cnf)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        is_wider = wide != cnf.input_channels
        layers = [conv(cnf.input_channels, wide if is_wider else cnf.out_channels, kernel_size=cnf.kernel,
                       stride=cnf.stride, activation_layer=nn.SiLU)]
        if is_wider:
            layers.append(conv(wide, cnf.out_channels, kernel_size=1, activation_layer=None))
        finish(self, cnf, layers, stochastic_depth_prob)

    forward = MBConv.forward


def check_stride(cnf) -> None:
    if not 1 <= cnf.stride <= 2:
        raise ValueError("illegal stride value")


def finish(block, cnf, layers, stochastic_depth_prob) -> None:
    block.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
    block.block = nn.Sequential(*layers)
    block.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
    block.out_channels = cnf.out_channels


@dataclass
class _MBConvConfig:
    """A stage: how its blocks widen, their kernel and stride, channels, how many there are."""
    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: type

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        return _make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of EfficientNet, scaled in width and depth."""

    def __init__(self, expand_ratio, kernel, stride, input_channels, out_channels, num_layers, width_mult=1.0,
                 depth_mult=1.0, block=None):
        super().__init__(expand_ratio, kernel, stride, self.adjust_channels(input_channels, width_mult),
                         self.adjust_channels(out_channels, width_mult), self.adjust_depth(num_layers, depth_mult),
                         block or MBConv)

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(_MBConvConfig):
    """A stage of EfficientNetV2 whose blocks are fused."""

    def __init__(self, expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block=None):
        super().__init__(expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class EfficientNet(nn.Module):
    """A stem, stages of blocks, a convolution and a linear layer.

    Args:
        inverted_residual_setting: a configuration for each stage. stochastic_depth_prob: of the last block.
        last_channel: of the last convolution; None means four times what it is given.
    """

    def __init__(self, inverted_residual_setting, dropout, stochastic_depth_prob=0.2, num_classes=1000,
                 norm_layer=None, last_channel=None):
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not all(isinstance(s, _MBConvConfig) for s in inverted_residual_setting):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm_layer = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        layers = [conv(3, inverted_residual_setting[0].input_channels, kernel_size=3, stride=2)]
        total, done = sum(s.num_layers for s in inverted_residual_setting), 0
        for stage in inverted_residual_setting:
            depths = [stochastic_depth_prob * float(done + k) / total for k in range(stage.num_layers)]
            layers.append(nn.Sequential(*blocks(stage, depths, norm_layer)))
            done += stage.num_layers
        last = inverted_residual_setting[-1].out_channels
        wide = 4 * last if last_channel is None else last_channel
        layers.append(conv(last, wide, kernel_size=1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(wide, num_classes))
        for module in self.modules():
            initialise(module, draw_linear)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def blocks(stage, depths, norm_layer):
    """The first block changes size and channels, the others keep them."""
    cnf = copy.copy(stage)
    for p in depths:
        yield cnf.block(cnf, p, norm_layer)
        cnf = copy.copy(cnf)
        cnf.input_channels, cnf.stride = cnf.out_channels, 1


def draw_linear(module) -> None:
    bound = 1.0 / math.sqrt(module.out_features)
    nn.init.uniform_(module.weight, -bound, bound)


# Table 1 of the first paper: expansion, kernel, stride, channels before and after, blocks.
B0 = [(1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
      (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1)]
# Table 4 of the second and its code: fused stages, then others.
V2_S = [(1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4)], [
    (4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15)]
V2_M = [(1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5)], [
    (4, 3, 2, 80, 160, 7), (6, 3, 1, 160, 176, 14), (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5)]
V2_L = [(1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7)], [
    (4, 3, 2, 96, 192, 10), (6, 3, 1, 192, 224, 19), (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7)]


def scaled(name: str, width: float, depth: float, dropout: float, norm_layer=None):
    """The builder of an EfficientNet as wide and as deep."""
    @builder(name=name, doc=f"EfficientNet of {width} times the width and {depth} times the depth.")
    def build(**kwargs) -> EfficientNet:
        setting = [MBConvConfig(*stage, width_mult=width, depth_mult=depth) for stage in B0]
        options = {"norm_layer": norm_layer, **kwargs}
        return EfficientNet(setting, options.pop("dropout", dropout), **options)
    return build


def second(name: str, stages, dropout: float):
    """The builder of an EfficientNetV2."""
    @builder(name=name, doc=f"EfficientNetV2 of {sum(s[-1] for part in stages for s in part)} blocks.")
    def build(**kwargs) -> EfficientNet:
        setting = [*(FusedMBConvConfig(*s) for s in stages[0]), *(MBConvConfig(*s) for s in stages[1])]
        options = {"norm_layer": partial(nn.BatchNorm2d, eps=1e-3), **kwargs}
        return EfficientNet(setting, options.pop("dropout", dropout), last_channel=1280, **options)
    return build


SLOW_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
efficientnet_b0 = scaled("efficientnet_b0", 1.0, 1.0, 0.2)
efficientnet_b1 = scaled("efficientnet_b1", 1.0, 1.1, 0.2)
efficientnet_b2 = scaled("efficientnet_b2", 1.1, 1.2, 0.3)
efficientnet_b3 = scaled("efficientnet_b3", 1.2, 1.4, 0.3)
efficientnet_b4 = scaled("efficientnet_b4", 1.4, 1.8, 0.4)
efficientnet_b5 = scaled("efficientnet_b5", 1.6, 2.2, 0.4, SLOW_NORM)
efficientnet_b6 = scaled("efficientnet_b6", 1.8, 2.6, 0.5, SLOW_NORM)
efficientnet_b7 = scaled("efficientnet_b7", 2.0, 3.1, 0.5, SLOW_NORM)
efficientnet_v2_s = second("efficientnet_v2_s", V2_S, 0.2)
efficientnet_v2_m = second("efficientnet_v2_m", V2_M, 0.3)
efficientnet_v2_l = second("efficientnet_v2_l", V2_L, 0.4)
