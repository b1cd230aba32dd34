"""Classifiers as backbones with a feature pyramid."""
from __future__ import annotations

import warnings

from rushlight import nn
from rushlight.vision.models import resnet as resnets
from rushlight.vision.models._utils import IntermediateLayerGetter, fetched
from rushlight.vision.models.mobilenetv3 import mobilenet_v3_large, stages_of
from rushlight.vision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from rushlight.vision.ops.misc import FrozenBatchNorm2d


class BackboneWithFPN(nn.Module):
    """Some layers of a model, as a pyramid of `out_channels`."""

    def __init__(self, backbone, return_layers, in_channels_list, out_channels, extra_blocks=None, norm_layer=None):
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers)
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels, extra_blocks or LastLevelMaxPool(), norm_layer)
        self.out_channels = out_channels

    def forward(self, x):
        return self.fpn(self.body(x))


def _resnet_fpn_extractor(model, trainable_layers: int, returned_layers=None, extra_blocks=None, norm_layer=None):
    if not 0 <= trainable_layers <= 5:
        raise ValueError(f"Trainable layers should be in the range [0,5], got {trainable_layers}")
    trained = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable_layers]
    trained += ["bn1"] if trainable_layers == 5 else []
    freeze_others(model, trained)
    returned = [1, 2, 3, 4] if returned_layers is None else returned_layers
    if min(returned) <= 0 or max(returned) >= 5:
        raise ValueError(f"Each returned layer should be in the range [1,4]. Got {returned}")
    channels = [model.inplanes // 8 * 2 ** (k - 1) for k in returned]
    layers = {f"layer{k}": str(place) for place, k in enumerate(returned)}
    return BackboneWithFPN(model, layers, channels, 256, extra_blocks, norm_layer)


def freeze_others(model, names) -> None:
    for name, parameter in model.named_parameters():
        if not any(name.startswith(kept) for kept in names):
            parameter.requires_grad_(False)


def resnet_fpn_backbone(*, backbone_name, weights, norm_layer=FrozenBatchNorm2d, trainable_layers=3, returned_layers=None,
                        extra_blocks=None) -> BackboneWithFPN:
    """A residual network of that name with a pyramid; layers but the last `trainable_layers` are frozen."""
    model = getattr(resnets, backbone_name)(weights=weights, norm_layer=norm_layer)
    return _resnet_fpn_extractor(model, trainable_layers, returned_layers, extra_blocks)


def _mobilenet_extractor(model, trainable_layers: int, fpn: bool, returned_layers=None, extra_blocks=None,
                         norm_layer=None):
    """Features of a MobileNet, at the ends of its stages where there is a pyramid."""
    features = model.features
    starts = stages_of(features)
    count = len(starts)
    if not 0 <= trainable_layers <= count:
        raise ValueError(f"Trainable layers should be in the range [0,{count}], got {trainable_layers} ")
    first = len(features) if trainable_layers == 0 else starts[count - trainable_layers]
    for block in features[:first]:
        for parameter in block.parameters():
            parameter.requires_grad_(False)
    if not fpn:
        made = nn.Sequential(features, nn.Conv2d(features[-1].out_channels, 256, 1))
        made.out_channels = 256
        return made
    returned = [count - 2, count - 1] if returned_layers is None else returned_layers
    if min(returned) < 0 or max(returned) >= count:
        raise ValueError(f"Each returned layer should be in the range [0,{count - 1}], got {returned} ")
    channels = [features[starts[k]].out_channels for k in returned]
    layers = {str(starts[k]): str(place) for place, k in enumerate(returned)}
    return BackboneWithFPN(features, layers, channels, 256, extra_blocks, norm_layer)


def mobilenet_backbone(*, backbone_name="mobilenet_v3_large", weights, fpn, norm_layer=FrozenBatchNorm2d,
                       trainable_layers=2, returned_layers=None, extra_blocks=None):
    """A MobileNet, with a pyramid or as it is."""
    if backbone_name != "mobilenet_v3_large":
        raise NotImplementedError(f"mobilenet_backbone: {backbone_name}")
    model = mobilenet_v3_large(weights=weights, norm_layer=norm_layer)
    return _mobilenet_extractor(model, trainable_layers, fpn, returned_layers, extra_blocks)


def trainable(is_trained: bool, wanted: int | None, most: int, usual: int) -> int:
    """How many layers learn: all where nothing was learnt before."""
    if not is_trained:
        if wanted is not None:
            warnings.warn("Changing trainable_backbone_layers has no effect if neither pretrained nor pretrained_backbone "
                          f"have been set to True, falling back to trainable_backbone_layers={most} so that all layers "
                          "are trainable", stacklevel=4)
        return most
    wanted = usual if wanted is None else wanted
    if not 0 <= wanted <= most:
        raise ValueError(f"Trainable backbone layers should be in the range [0,{most}], got {wanted} ")
    return wanted


def pyramid(build, extractor, weights, is_trained, wanted, most_usual, frozen_norm, **options):
    """A backbone for a detector: normalisation is frozen where something was learnt before."""
    weights = fetched(build, weights)
    learnt = is_trained or weights is not None
    layers = trainable(learnt, wanted, *most_usual)
    norm = FrozenBatchNorm2d if learnt and frozen_norm else nn.BatchNorm2d
    return extractor(build(weights=weights, norm_layer=norm), layers, **options)
