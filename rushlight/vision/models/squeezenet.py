"""SqueezeNet: Iandola et al., AlexNet-level accuracy with 50x fewer parameters (2016)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.vision.models.registry import builder

# Channels of the fire modules: squeezed, then expanded by 1 x 1 and by 3 x 3 alike.
FIRES = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
POOLED_BEFORE = {"1_0": (0, 3, 7), "1_1": (0, 2, 4)}


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 side by side."""

    def __init__(self, inplanes, squeeze_planes, expand1x1_planes, expand3x3_planes):
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([self.expand1x1_activation(self.expand1x1(x)),
                          self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Fire modules and a last 1 x 1 convolution; version "1_0" or "1_1"."""

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        if version not in POOLED_BEFORE:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        self.num_classes = num_classes
        channels = 96 if version == "1_0" else 64
        layers = [nn.Conv2d(3, channels, 7 if version == "1_0" else 3, 2), nn.ReLU(inplace=True)]
        for k, (few, many) in enumerate(FIRES):
            if k in POOLED_BEFORE[version]:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            layers.append(Fire(channels, few, many, many))
            channels = 2 * many
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(inplace=True),
                                        nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.constant_(module.bias, 0)

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


@builder
def squeezenet1_0(**kwargs) -> SqueezeNet:
    """SqueezeNet as in the paper."""
    return SqueezeNet("1_0", **kwargs)


@builder
def squeezenet1_1(**kwargs) -> SqueezeNet:
    """SqueezeNet with less work and the same accuracy."""
    return SqueezeNet("1_1", **kwargs)
