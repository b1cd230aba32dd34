"""Networks that give scores for each pixel: what they share."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models._utils import USUAL, IntermediateLayerGetter, fetched
from rushlight.vision.models.mobilenetv3 import mobilenet_v3_large, stages_of
from rushlight.vision.models.registry import builder, fill
from rushlight.vision.models.resnet import resnet50, resnet101


class SimpleSegmentationModel(nn.Module):
    """Scores of classes for each pixel, from a backbone's features, brought to the image's size.

    Returns:
        a dict: "out" (N, classes, H, W), and "aux" alike if there is an auxiliary head.
    """

    def __init__(self, backbone, classifier, aux_classifier=None):
        super().__init__()
        self.backbone, self.classifier, self.aux_classifier = backbone, classifier, aux_classifier

    def forward(self, x):
        features = self.backbone(x)
        heads = {"out": self.classifier, "aux": self.aux_classifier}
        return OrderedDict(
            (name, F.interpolate(head(features[name]), size=x.shape[-2:], mode="bilinear", align_corners=False))
            for name, head in heads.items() if head is not None)


class FCNHead(nn.Sequential):
    """From features to scores of classes at each place."""

    def __init__(self, in_channels: int, channels: int):
        between = in_channels // 4
        super().__init__(nn.Conv2d(in_channels, between, 3, padding=1, bias=False), nn.BatchNorm2d(between),
                         nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(between, channels, 1))


def resnet_features(build, weights, aux: bool):
    """(features, their channels, those of the auxiliary head): strides of the last stages are dilations."""
    body = build(weights=fetched(build, weights), replace_stride_with_dilation=[False, True, True])
    layers = {"layer4": "out", **({"layer3": "aux"} if aux else {})}
    return IntermediateLayerGetter(body, layers), 2048, 1024


def mobilenet_features(weights, aux: bool):
    body = mobilenet_v3_large(weights=fetched(mobilenet_v3_large, weights), dilated=True).features
    stages = stages_of(body)
    layers = {str(stages[-1]): "out", **({str(stages[-4]): "aux"} if aux else {})}
    return IntermediateLayerGetter(body, layers), body[stages[-1]].out_channels, body[stages[-4]].out_channels


BACKBONES = {"resnet50": lambda *args: resnet_features(resnet50, *args),
             "resnet101": lambda *args: resnet_features(resnet101, *args),
             "mobilenet_v3_large": mobilenet_features}


def filled(function, options, state, chosen):
    """The published tensors have the auxiliary head, and their own backbone."""
    if options.setdefault("aux_loss", True) is not True:
        raise ValueError(f"The parameter 'aux_loss' expected value True but got {options['aux_loss']} instead.")
    return fill(function, {**options, "weights_backbone": None}, state, chosen)


def make_builder(kind: type, prefix: str, head, body: str):
    """The builder of a model of a kind, with heads over a backbone."""
    @builder(name=f"{prefix}_{body}", filled=filled,
             doc=f"{kind.__name__} on {body}, trained for classes if `weights_backbone` is; `aux_loss` adds a head.")
    def build(*, num_classes=None, aux_loss=None, weights_backbone=USUAL):
        classes = 21 if num_classes is None else num_classes
        features, channels, aux_channels = BACKBONES[body](weights_backbone, bool(aux_loss))
        aux = FCNHead(aux_channels, classes) if aux_loss else None
        return kind(features, head(channels, classes), aux)
    return build
