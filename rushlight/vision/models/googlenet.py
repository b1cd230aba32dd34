"""GoogLeNet: Szegedy et al., Going Deeper with Convolutions (2014), with batch normalisation."""
from __future__ import annotations

import warnings
from collections import namedtuple
from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.registry import builder, fill

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])

# Table 1 of the paper: channels of the 1 x 1, of the 3 x 3 and before it, of the "5 x 5" and before it,
# and after the pooling. The third convolution is 3 x 3, as in torchvision.
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
POOLS = {"3b": (3, "maxpool3"), "4e": (2, "maxpool4")}      # size and name of what follows
NORMALISED = ((0.229, 0.485), (0.224, 0.456), (0.225, 0.406))   # ImageNet's deviations and means


class BasicConv2d(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(self, in_channels, out_channels, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches of different scales, side by side."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(conv(in_channels, ch3x3red, kernel_size=1),
                                     conv(ch3x3red, ch3x3, kernel_size=3, padding=1))
        self.branch3 = nn.Sequential(conv(in_channels, ch5x5red, kernel_size=1),
                                     conv(ch5x5red, ch5x5, kernel_size=3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True),
                                     conv(in_channels, pool_proj, kernel_size=1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier in the middle of the network, for training."""

    def __init__(self, in_channels, num_classes, conv_block=None, dropout=0.7):
        super().__init__()
        self.conv = (conv_block or BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))


class GoogLeNet(nn.Module):
    """Nine inception modules; two auxiliary classifiers, whose outputs are given in training.

    Args:
        aux_logits: with the auxiliary classifiers. transform_input: from ImageNet's normalisation to that
            of -1 .. 1. init_weights: draw the weights anew; None means yes, with a warning.

    Returns:
        (N, num_classes), in training with auxiliary classifiers a `GoogLeNetOutputs` of three.
    """

    def __init__(self, num_classes=1000, aux_logits=True, transform_input=False, init_weights=None, blocks=None,
                 dropout=0.2, dropout_aux=0.7):
        super().__init__()
        blocks = blocks or [BasicConv2d, Inception, InceptionAux]
        if init_weights is None:
            warnings.warn("The default weight initialization of GoogleNet will be changed in future releases of "
                          "torchvision. To keep this one, set init_weights=True.", FutureWarning, stacklevel=2)
            init_weights = True
        if len(blocks) != 3:
            raise ValueError(f"blocks length should be 3 instead of {len(blocks)}")
        conv, inception, aux = blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, channels in INCEPTIONS.items():
            self.add_module(f"inception{name}", inception(*channels))
            if name in POOLS:
                size, pool = POOLS[name]
                self.add_module(pool, nn.MaxPool2d(size, 2, ceil_mode=True))
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules() if init_weights else ():
            initialise(module)

    def forward(self, x):
        if self.transform_input:
            x = from_imagenet(x)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        with_aux, extra = self.training and self.aux_logits, []
        for name in INCEPTIONS:
            x = getattr(self, f"inception{name}")(x)
            if name in POOLS:
                x = getattr(self, POOLS[name][1])(x)
            if with_aux and name in ("4a", "4d"):
                extra.append((self.aux1 if name == "4a" else self.aux2)(x))
        x = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return GoogLeNetOutputs(x, extra[1], extra[0]) if with_aux else x


def from_imagenet(x):
    """Images normalised by ImageNet's means and deviations as numbers of -1 .. 1."""
    return torch.cat([x[:, k:k + 1] * (std / 0.5) + (mean - 0.5) / 0.5 for k, (std, mean) in enumerate(NORMALISED)], 1)


def initialise(module, std: float = 0.01) -> None:
    """By cut normal deviates, whose width a module may say itself."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, mean=0.0, std=getattr(module, "stddev", std), a=-2, b=2)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.constant_(module.weight, 1)
        nn.init.constant_(module.bias, 0)


def filled_with_aux(function, options, state, chosen, heads, is_warned):
    """The published tensors want images of -1 .. 1, and have auxiliary classifiers, which may not be wanted."""
    with_aux = options.pop("aux_logits", not is_warned)
    model = fill(function, {"transform_input": True, "init_weights": False, **options, "aux_logits": True}, state, chosen)
    if not with_aux:
        model.aux_logits = False
        for head in heads:
            setattr(model, head, None)
    elif is_warned:
        warnings.warn(f"auxiliary heads in the pretrained {function.__name__} model are NOT pretrained, "
                      "so make sure to train them", stacklevel=3)
    return model


@builder(filled=partial(filled_with_aux, heads=("aux1", "aux2"), is_warned=True))
def googlenet(**kwargs) -> GoogLeNet:
    """GoogLeNet with 13 million parameters, auxiliary classifiers included."""
    return GoogLeNet(**kwargs)
