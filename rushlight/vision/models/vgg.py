"""VGG: Simonyan & Zisserman, Very Deep Convolutional Networks (2014)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.vision.models.registry import builder

# Table 1 of the paper: channels of the 3 x 3 convolutions, M for a max-pooling.
LAYERS = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def make_layers(cfg, batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of a list of channels and "M"."""
    layers, channels = [], 3
    for item in cfg:
        if item == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(channels, int(item), 3, padding=1))
        layers += [nn.BatchNorm2d(int(item))] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
        channels = int(item)
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """Stacked 3 x 3 convolutions and three linear layers; images (N, 3, H, W) of at least 32 x 32."""

    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True,
                 dropout: float = 0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(4096, num_classes))
        if init_weights:
            for module in self.modules():
                initialise(module)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def initialise(module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.constant_(module.weight, 1)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.constant_(module.bias, 0)


def make_builder(depth: int, batch_norm: bool):
    @builder(name=f"vgg{depth}{'_bn' if batch_norm else ''}",
             doc=f"VGG with {depth} layers{' and batch normalisation' if batch_norm else ''}.")
    def build(**kwargs) -> VGG:
        return VGG(make_layers(LAYERS[depth].split(), batch_norm), **kwargs)
    return build


vgg11, vgg13, vgg16, vgg19 = (make_builder(depth, False) for depth in LAYERS)
vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn = (make_builder(depth, True) for depth in LAYERS)
