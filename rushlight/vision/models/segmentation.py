"""FCN: Long, Shelhamer & Darrell, Fully Convolutional Networks for Semantic Segmentation (2014)."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models._weights import builder, refuse_weights
from rushlight.vision.models.resnet import resnet50, resnet101

__all__ = ["FCN", "FCNHead", "IntermediateLayerGetter", "fcn_resnet50", "fcn_resnet101"]


class IntermediateLayerGetter(nn.ModuleDict):
    """A model up to the last of some layers; gives their outputs under new names."""

    def __init__(self, model, return_layers: dict[str, str]):
        names = [name for name, _ in model.named_children()]
        if not set(return_layers) <= set(names):
            raise ValueError("return_layers are not present in model")
        last = max(names.index(name) for name in return_layers)
        super().__init__(OrderedDict(list(model.named_children())[:last + 1]))
        self.return_layers = dict(return_layers)

    def forward(self, x):
        outputs = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                outputs[self.return_layers[name]] = x
        return outputs


class FCNHead(nn.Sequential):
    """From features to scores of classes at each place."""

    def __init__(self, in_channels: int, channels: int):
        between = in_channels // 4
        super().__init__(nn.Conv2d(in_channels, between, 3, padding=1, bias=False), nn.BatchNorm2d(between),
                         nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(between, channels, 1))


class FCN(nn.Module):
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


def make_builder(name: str, backbone):
    def build(*, weights=None, num_classes=21, aux_loss=None, weights_backbone=None, **kwargs) -> FCN:
        refuse_weights(weights, kwargs)
        refuse_weights(weights_backbone, kwargs)
        body = backbone(replace_stride_with_dilation=[False, True, True])
        layers = {"layer4": "out", **({"layer3": "aux"} if aux_loss else {})}
        aux = FCNHead(1024, num_classes) if aux_loss else None
        return FCN(IntermediateLayerGetter(body, layers), FCNHead(2048, num_classes), aux)
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"A fully convolutional network on {backbone.__name__}; `aux_loss` adds a second head."
    return builder(build)


fcn_resnet50 = make_builder("fcn_resnet50", resnet50)
fcn_resnet101 = make_builder("fcn_resnet101", resnet101)
