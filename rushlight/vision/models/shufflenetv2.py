"""ShuffleNetV2: Ma et al., Practical Guidelines for Efficient CNN Architecture Design (2018)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.registry import builder

REPEATS = [4, 8, 4]


def pointwise(inp, oup):
    return nn.Conv2d(inp, oup, 1, bias=False), nn.BatchNorm2d(oup), nn.ReLU(inplace=True)


def filtered(channels, stride):
    return nn.Conv2d(channels, channels, 3, stride, 1, bias=False, groups=channels), nn.BatchNorm2d(channels)


class InvertedResidual(nn.Module):
    """Half of the channels convolved, half as they are (or, with a stride, both convolved), then shuffled."""

    def __init__(self, inp, oup, stride):
        super().__init__()
        if not 1 <= stride <= 3:
            raise ValueError("illegal stride value")
        self.stride, half = stride, oup // 2
        if stride == 1 and inp != 2 * half:
            raise ValueError(f"Invalid combination of stride {stride}, inp {inp} and oup {oup} values. "
                             "If stride == 1 then inp should be equal to oup // 2 << 1.")
        self.branch1 = nn.Sequential(*filtered(inp, stride), *pointwise(inp, half)) if stride > 1 else nn.Sequential()
        self.branch2 = nn.Sequential(*pointwise(inp if stride > 1 else half, half), *filtered(half, stride),
                                     *pointwise(half, half))

    def forward(self, x):
        kept, other = x.chunk(2, 1) if self.stride == 1 else (self.branch1(x), x)
        return F.channel_shuffle(torch.cat((kept, self.branch2(other)), 1), 2)


class ShuffleNetV2(nn.Module):
    """A stem, three stages of blocks, a convolution and a linear layer.

    Args:
        stages_repeats: blocks of each stage. stages_out_channels: of the stem, the stages and the convolution.
    """

    def __init__(self, stages_repeats, stages_out_channels, num_classes=1000, inverted_residual=InvertedResidual):
        super().__init__()
        if len(stages_repeats) != 3:
            raise ValueError("expected stages_repeats as list of 3 positive ints")
        if len(stages_out_channels) != 5:
            raise ValueError("expected stages_out_channels as list of 5 positive ints")
        first, *wide, last = stages_out_channels
        self.conv1 = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first),
                                   nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for k, (count, before, channels) in enumerate(zip(stages_repeats, [first, *wide], wide)):
            blocks = [inverted_residual(channels if j else before, channels, 1 if j else 2) for j in range(count)]
            self.add_module(f"stage{k + 2}", nn.Sequential(*blocks))
        self.conv5 = nn.Sequential(*pointwise(wide[-1], last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x):
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(self.conv5(x).mean([2, 3]))


def make_builder(name: str, channels):
    @builder(name=name, doc=f"ShuffleNetV2 with {channels} channels.")
    def build(**kwargs) -> ShuffleNetV2:
        return ShuffleNetV2(REPEATS, channels, **kwargs)
    return build


shufflenet_v2_x0_5 = make_builder("shufflenet_v2_x0_5", [24, 48, 96, 192, 1024])
shufflenet_v2_x1_0 = make_builder("shufflenet_v2_x1_0", [24, 116, 232, 464, 1024])
shufflenet_v2_x1_5 = make_builder("shufflenet_v2_x1_5", [24, 176, 352, 704, 1024])
shufflenet_v2_x2_0 = make_builder("shufflenet_v2_x2_0", [24, 244, 488, 976, 2048])
