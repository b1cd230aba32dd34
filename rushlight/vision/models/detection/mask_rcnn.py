"""Mask R-CNN: He et al. (2017)."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn
from rushlight.vision.models._utils import USUAL
from rushlight.vision.models.detection._utils import draw_convolutions
from rushlight.vision.models.detection.faster_rcnn import FasterRCNN, check_kind, filled, second_version, usual_pyramid
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import Conv2dNormActivation
from rushlight.vision.ops.poolers import MultiScaleRoIAlign


class MaskRCNNHeads(nn.Sequential):
    """Convolutions of a region's features."""

    def __init__(self, in_channels: int, layers, dilation: int, norm_layer=None):
        blocks = []
        for wide in layers:
            blocks.append(Conv2dNormActivation(in_channels, wide, kernel_size=3, stride=1, padding=dilation,
                                               dilation=dilation, norm_layer=norm_layer))
            in_channels = wide
        super().__init__(*blocks)
        draw_convolutions(self)


class MaskRCNNPredictor(nn.Sequential):
    """Twice the size, then a mask for each class."""

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int):
        super().__init__(OrderedDict([
            ("conv5_mask", nn.ConvTranspose2d(in_channels, dim_reduced, 2, 2, 0)), ("relu", nn.ReLU(inplace=True)),
            ("mask_fcn_logits", nn.Conv2d(dim_reduced, num_classes, 1, 1, 0))]))
        for name, parameter in self.named_parameters():
            if "weight" in name:
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")


class MaskRCNN(FasterRCNN):
    """`FasterRCNN` with a mask for each box; targets have "masks" (n, H, W), results (n, 1, H, W) of 0 .. 1.

    Raises:
        ValueError: both num_classes and mask_predictor.
    """

    def __init__(self, backbone, num_classes=None, *args, mask_roi_pool=None, mask_head=None, mask_predictor=None,
                 **kwargs):
        check_kind(mask_roi_pool, MultiScaleRoIAlign, "mask_roi_pool")
        if num_classes is not None and mask_predictor is not None:
            raise ValueError("num_classes should be None when mask_predictor is specified")
        pool = mask_roi_pool or MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
        mask_head = mask_head or MaskRCNNHeads(backbone.out_channels, (256,) * 4, 1)
        mask_predictor = mask_predictor or MaskRCNNPredictor(256, 256, num_classes)
        super().__init__(backbone, num_classes, *args, **kwargs)
        self.roi_heads.mask_roi_pool, self.roi_heads.mask_head = pool, mask_head
        self.roi_heads.mask_predictor = mask_predictor


@builder(filled=filled)
def maskrcnn_resnet50_fpn(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None, is_trained=False,
                          **kwargs) -> MaskRCNN:
    """Mask R-CNN on ResNet-50 with a feature pyramid; 91 classes unless told otherwise."""
    body = usual_pyramid(weights_backbone, is_trained, trainable_backbone_layers, frozen_norm=True)
    return MaskRCNN(body, 91 if num_classes is None else num_classes, **kwargs)


@builder(filled=filled)
def maskrcnn_resnet50_fpn_v2(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None,
                             is_trained=False, **kwargs) -> MaskRCNN:
    """As `maskrcnn_resnet50_fpn`, with deeper heads and batch normalisation."""
    body = usual_pyramid(weights_backbone, is_trained, trainable_backbone_layers, frozen_norm=False,
                         norm_layer=nn.BatchNorm2d)
    heads = second_version(body.out_channels)
    mask_head = MaskRCNNHeads(body.out_channels, [256] * 4, 1, norm_layer=nn.BatchNorm2d)
    return MaskRCNN(body, 91 if num_classes is None else num_classes, **heads, mask_head=mask_head, **kwargs)
