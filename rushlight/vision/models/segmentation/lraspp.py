"""LR-ASPP: the segmentation head of Howard et al., Searching for MobileNetV3 (2019)."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models._utils import USUAL, IntermediateLayerGetter, fetched
from rushlight.vision.models.mobilenetv3 import mobilenet_v3_large, stages_of
from rushlight.vision.models.registry import builder, fill

__all__ = ["LRASPP", "LRASPPHead", "lraspp_mobilenet_v3_large"]


class LRASPPHead(nn.Module):
    """High features weighted by their mean, added to low ones."""

    def __init__(self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int):
        super().__init__()
        self.cbr = nn.Sequential(nn.Conv2d(high_channels, inter_channels, 1, bias=False),
                                 nn.BatchNorm2d(inter_channels), nn.ReLU(inplace=True))
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(high_channels, inter_channels, 1, bias=False),
                                   nn.Sigmoid())
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input):
        low, high = input["low"], input["high"]
        x = F.interpolate(self.cbr(high) * self.scale(high), size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.low_classifier(low) + self.high_classifier(x)


class LRASPP(nn.Module):
    """Scores of classes for each pixel; a dict with "out" (N, classes, H, W)."""

    def __init__(self, backbone, low_channels: int, high_channels: int, num_classes: int, inter_channels: int = 128):
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input):
        out = self.classifier(self.backbone(input))
        out = F.interpolate(out, size=input.shape[-2:], mode="bilinear", align_corners=False)
        return OrderedDict(out=out)


def filled(function, options, state, chosen):
    return fill(function, {**options, "weights_backbone": None}, state, chosen)


@builder(filled=filled)
def lraspp_mobilenet_v3_large(*, num_classes=None, weights_backbone=USUAL) -> LRASPP:
    """LR-ASPP on MobileNetV3."""
    body = mobilenet_v3_large(weights=fetched(mobilenet_v3_large, weights_backbone), dilated=True).features
    stages = stages_of(body)
    low, high = stages[-4], stages[-1]
    features = IntermediateLayerGetter(body, {str(low): "low", str(high): "high"})
    return LRASPP(features, body[low].out_channels, body[high].out_channels, 21 if num_classes is None else num_classes)
