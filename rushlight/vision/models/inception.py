"""Inception v3: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2015)."""
from __future__ import annotations

import warnings
from collections import namedtuple
from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.googlenet import BasicConv2d, filled_with_aux, from_imagenet, initialise
from rushlight.vision.models.registry import builder

InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])


class Branches(nn.Module):
    """Makes its convolutions by `conv_block`, `BasicConv2d` if None."""

    def __init__(self, conv_block=None):
        super().__init__()
        self._conv = conv_block or BasicConv2d

    def add(self, **layers):
        """name = (channels before and after, options)."""
        for name, (before, after, options) in layers.items():
            self.add_module(name, self._conv(before, after, **options))

    def run(self, x, *names):
        """x through some of the layers, one after the other."""
        for name in names:
            x = getattr(self, name)(x)
        return x


def size(kernel_size, padding=0, stride=1):
    options = {"kernel_size": kernel_size}
    return options | ({"padding": padding} if padding else {}) | ({"stride": stride} if stride != 1 else {})


WIDE, HIGH = size((1, 7), (0, 3)), size((7, 1), (3, 0))
mean3 = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1)
halved = partial(F.max_pool2d, kernel_size=3, stride=2)


class InceptionA(Branches):
    """A 1 x 1, a 5 x 5, two 3 x 3 and a mean (Figure 5 of the paper)."""

    def __init__(self, in_channels, pool_features, conv_block=None):
        super().__init__(conv_block)
        self.add(branch1x1=(in_channels, 64, size(1)), branch5x5_1=(in_channels, 48, size(1)),
                 branch5x5_2=(48, 64, size(5, 2)), branch3x3dbl_1=(in_channels, 64, size(1)),
                 branch3x3dbl_2=(64, 96, size(3, 1)), branch3x3dbl_3=(96, 96, size(3, 1)),
                 branch_pool=(in_channels, pool_features, size(1)))

    def forward(self, x):
        return torch.cat([
            self.branch1x1(x), self.run(x, "branch5x5_1", "branch5x5_2"),
            self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), self.branch_pool(mean3(x))], 1)


class InceptionB(Branches):
    """Half the size: a 3 x 3, two 3 x 3 and a maximum (Figure 10)."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__(conv_block)
        self.add(branch3x3=(in_channels, 384, size(3, stride=2)), branch3x3dbl_1=(in_channels, 64, size(1)),
                 branch3x3dbl_2=(64, 96, size(3, 1)), branch3x3dbl_3=(96, 96, size(3, stride=2)))

    def forward(self, x):
        return torch.cat([
            self.branch3x3(x), self.run(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), halved(x)], 1)


class InceptionC(Branches):
    """Convolutions of 7 x 7 as 1 x 7 and 7 x 1 (Figure 6)."""

    def __init__(self, in_channels, channels_7x7, conv_block=None):
        super().__init__(conv_block)
        c7 = channels_7x7
        self.add(branch1x1=(in_channels, 192, size(1)), branch7x7_1=(in_channels, c7, size(1)),
                 branch7x7_2=(c7, c7, WIDE), branch7x7_3=(c7, 192, HIGH), branch7x7dbl_1=(in_channels, c7, size(1)),
                 branch7x7dbl_2=(c7, c7, HIGH), branch7x7dbl_3=(c7, c7, WIDE), branch7x7dbl_4=(c7, c7, HIGH),
                 branch7x7dbl_5=(c7, 192, WIDE), branch_pool=(in_channels, 192, size(1)))

    def forward(self, x):
        return torch.cat([
            self.branch1x1(x), self.run(x, *(f"branch7x7_{k}" for k in range(1, 4))),
            self.run(x, *(f"branch7x7dbl_{k}" for k in range(1, 6))), self.branch_pool(mean3(x))], 1)


class InceptionD(Branches):
    """Half the size: a 3 x 3, a 7 x 7 and 3 x 3, and a maximum."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__(conv_block)
        self.add(branch3x3_1=(in_channels, 192, size(1)), branch3x3_2=(192, 320, size(3, stride=2)),
                 branch7x7x3_1=(in_channels, 192, size(1)), branch7x7x3_2=(192, 192, WIDE),
                 branch7x7x3_3=(192, 192, HIGH), branch7x7x3_4=(192, 192, size(3, stride=2)))

    def forward(self, x):
        return torch.cat([self.run(x, "branch3x3_1", "branch3x3_2"),
                          self.run(x, *(f"branch7x7x3_{k}" for k in range(1, 5))), halved(x)], 1)


class InceptionE(Branches):
    """Branches that spread in 1 x 3 and 3 x 1 (Figure 7)."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__(conv_block)
        wide, high = size((1, 3), (0, 1)), size((3, 1), (1, 0))
        self.add(branch1x1=(in_channels, 320, size(1)), branch3x3_1=(in_channels, 384, size(1)),
                 branch3x3_2a=(384, 384, wide), branch3x3_2b=(384, 384, high),
                 branch3x3dbl_1=(in_channels, 448, size(1)), branch3x3dbl_2=(448, 384, size(3, 1)),
                 branch3x3dbl_3a=(384, 384, wide), branch3x3dbl_3b=(384, 384, high),
                 branch_pool=(in_channels, 192, size(1)))

    def forward(self, x):
        once, twice = self.branch3x3_1(x), self.run(x, "branch3x3dbl_1", "branch3x3dbl_2")
        return torch.cat([
            self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once), self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice), self.branch_pool(mean3(x))], 1)


class InceptionAux(nn.Module):
    """A classifier in the middle of the network, for training."""

    def __init__(self, in_channels, num_classes, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x):
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Inception3(nn.Module):
    """A stem and eleven modules; an auxiliary classifier, whose output is given in training.

    Args:
        aux_logits: with the auxiliary classifier. transform_input: from ImageNet's normalisation to that
            of -1 .. 1. init_weights: draw the weights anew; None means yes, with a warning.

    Returns:
        (N, num_classes), in training with the auxiliary classifier an `InceptionOutputs` of two.
    """

    def __init__(self, num_classes=1000, aux_logits=True, transform_input=False, inception_blocks=None,
                 init_weights=None, dropout=0.5):
        super().__init__()
        if inception_blocks is None:
            inception_blocks = [BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux]
        if init_weights is None:
            warnings.warn("The default weight initialization of inception_v3 will be changed in future releases of "
                          "torchvision. To keep this one, set init_weights=True.", FutureWarning, stacklevel=2)
            init_weights = True
        if len(inception_blocks) != 7:
            raise ValueError(f"length of inception_blocks should be 7 instead of {len(inception_blocks)}")
        conv, a, b, c, d, e, aux = inception_blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = a(192, 32), a(256, 64), a(288, 64)
        self.Mixed_6a = b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = c(768, 128), c(768, 160), c(768, 160), c(768, 192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a = d(768)
        self.Mixed_7b, self.Mixed_7c = e(1280), e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        for module in self.modules() if init_weights else ():
            initialise(module, std=0.1)

    def forward(self, x):
        x = from_imagenet(x) if self.transform_input else x
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        aux = self.AuxLogits(x) if self.training and self.aux_logits else None
        x = self.avgpool(self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))))
        x = self.fc(torch.flatten(self.dropout(x), 1))
        return InceptionOutputs(x, aux) if self.training and self.aux_logits else x


@builder(filled=partial(filled_with_aux, heads=("AuxLogits",), is_warned=False))
def inception_v3(**kwargs) -> Inception3:
    """Inception v3 with 27 million parameters, the auxiliary classifier included; images of 299 x 299."""
    return Inception3(**kwargs)
