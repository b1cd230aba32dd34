"""Faster R-CNN: Ren et al., Towards Real-Time Object Detection with Region Proposal Networks (2015)."""
from __future__ import annotations

from functools import partial

from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models._utils import USUAL
from rushlight.vision.models.detection import backbone_utils
from rushlight.vision.models.detection._utils import draw_convolutions, overwrite_eps
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator
from rushlight.vision.models.detection.generalized_rcnn import GeneralizedRCNN
from rushlight.vision.models.detection.roi_heads import RoIHeads
from rushlight.vision.models.detection.rpn import RegionProposalNetwork, RPNHead
from rushlight.vision.models.detection.transform import GeneralizedRCNNTransform
from rushlight.vision.models.mobilenetv3 import mobilenet_v3_large
from rushlight.vision.models.registry import builder, fill
from rushlight.vision.models.resnet import resnet50
from rushlight.vision.ops.misc import Conv2dNormActivation
from rushlight.vision.ops.poolers import MultiScaleRoIAlign
from rushlight.vision.transforms.presets import MEAN, STD

RATIOS = (0.5, 1.0, 2.0)


def _default_anchorgen() -> AnchorGenerator:
    return AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), (RATIOS,) * 5)


class TwoMLPHead(nn.Module):
    """Two linear layers over a region's features."""

    def __init__(self, in_channels: int, representation_size: int):
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x):
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(start_dim=1)))))


class FastRCNNConvFCHead(nn.Sequential):
    """Convolutions, then linear layers; input_size is (channels, rows, columns)."""

    def __init__(self, input_size, conv_layers, fc_layers, norm_layer=None):
        channels, rows, columns = input_size
        blocks = []
        for wide in conv_layers:
            blocks.append(Conv2dNormActivation(channels, wide, norm_layer=norm_layer))
            channels = wide
        blocks.append(nn.Flatten())
        size = channels * rows * columns
        for wide in fc_layers:
            blocks += [nn.Linear(size, wide), nn.ReLU(inplace=True)]
            size = wide
        super().__init__(*blocks)
        draw_convolutions(self)


class FastRCNNPredictor(nn.Module):
    """Scores of classes, and four differences for each class."""

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x):
        x = x.flatten(start_dim=1)
        return self.cls_score(x), self.bbox_pred(x)


class FasterRCNN(GeneralizedRCNN):
    """Boxes of classes 1 .. num_classes - 1 (0 is background) in images.

    Args:
        backbone: gives features, one tensor or a dict of levels, of `backbone.out_channels`.
        num_classes: background included; None where box_predictor is given.
        min_size, max_size, image_mean, image_std: see `GeneralizedRCNNTransform`.
        rpn_...: see `RegionProposalNetwork`. box_...: see `RoIHeads`.

    Raises:
        ValueError: the backbone does not say its channels; both or neither of num_classes and box_predictor.
    """

    def __init__(self, backbone, num_classes=None, min_size=800, max_size=1333, image_mean=None, image_std=None,
                 rpn_anchor_generator=None, rpn_head=None, rpn_pre_nms_top_n_train=2000, rpn_pre_nms_top_n_test=1000,
                 rpn_post_nms_top_n_train=2000, rpn_post_nms_top_n_test=1000, rpn_nms_thresh=0.7, rpn_fg_iou_thresh=0.7,
                 rpn_bg_iou_thresh=0.3, rpn_batch_size_per_image=256, rpn_positive_fraction=0.5, rpn_score_thresh=0.0,
                 box_roi_pool=None, box_head=None, box_predictor=None, box_score_thresh=0.05, box_nms_thresh=0.5,
                 box_detections_per_img=100, box_fg_iou_thresh=0.5, box_bg_iou_thresh=0.5, box_batch_size_per_image=512,
                 box_positive_fraction=0.25, bbox_reg_weights=None, **kwargs):
        if not hasattr(backbone, "out_channels"):
            raise ValueError("backbone should contain an attribute out_channels specifying the number of output channels "
                             "(assumed to be the same for all the levels)")
        check_kind(rpn_anchor_generator, AnchorGenerator, "rpn_anchor_generator")
        check_kind(box_roi_pool, MultiScaleRoIAlign, "box_roi_pool")
        if num_classes is not None and box_predictor is not None:
            raise ValueError("num_classes should be None when box_predictor is specified")
        if num_classes is None and box_predictor is None:
            raise ValueError("num_classes should not be None when box_predictor is not specified")
        channels = backbone.out_channels
        anchors = rpn_anchor_generator or _default_anchorgen()
        rpn = RegionProposalNetwork(
            anchors, rpn_head or RPNHead(channels, anchors.num_anchors_per_location()[0]), rpn_fg_iou_thresh,
            rpn_bg_iou_thresh, rpn_batch_size_per_image, rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test}, rpn_nms_thresh,
            score_thresh=rpn_score_thresh)
        pool = box_roi_pool or MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
        box_head = box_head or TwoMLPHead(channels * pool.output_size[0] ** 2, 1024)
        heads = RoIHeads(
            pool, box_head, box_predictor or FastRCNNPredictor(1024, num_classes), box_fg_iou_thresh, box_bg_iou_thresh,
            box_batch_size_per_image, box_positive_fraction, bbox_reg_weights, box_score_thresh, box_nms_thresh,
            box_detections_per_img)
        transform = GeneralizedRCNNTransform(min_size, max_size, list(MEAN) if image_mean is None else image_mean,
                                             list(STD) if image_std is None else image_std, **kwargs)
        super().__init__(backbone, rpn, heads, transform)


def check_kind(value, kind, name: str) -> None:
    if not isinstance(value, (kind, type(None))):
        raise TypeError(f"{name} should be of type {kind.__name__} or None instead of {type(value)}")


def filled(function, options, state, chosen):
    """The published tensors have their own backbone; the first ones were made with an epsilon of none."""
    model = fill(partial(function, is_trained=True), {**options, "weights_backbone": None}, state, chosen)
    if chosen.name == "COCO_V1" and "resnet50_fpn" in function.__name__ and not function.__name__.endswith("_v2"):
        overwrite_eps(model, 0.0)
    return model


def usual_pyramid(weights_backbone, is_trained, wanted, **options):
    """ResNet-50 with its last three stages learning."""
    return backbone_utils.pyramid(resnet50, backbone_utils._resnet_fpn_extractor, weights_backbone, is_trained, wanted,
                                  (5, 3), **options)


def second_version(channels: int) -> dict:
    """Li et al., Benchmarking Detection Transfer Learning with Vision Transformers (2021): deeper heads."""
    anchors = _default_anchorgen()
    return {"rpn_anchor_generator": anchors,
            "rpn_head": RPNHead(channels, anchors.num_anchors_per_location()[0], conv_depth=2),
            "box_head": FastRCNNConvFCHead((channels, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d)}


@builder(filled=filled)
def fasterrcnn_resnet50_fpn(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None, is_trained=False,
                            **kwargs) -> FasterRCNN:
    """Faster R-CNN on ResNet-50 with a feature pyramid; 91 classes unless told otherwise."""
    body = usual_pyramid(weights_backbone, is_trained, trainable_backbone_layers, frozen_norm=True)
    return FasterRCNN(body, num_classes=91 if num_classes is None else num_classes, **kwargs)


@builder(filled=filled)
def fasterrcnn_resnet50_fpn_v2(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None,
                               is_trained=False, **kwargs) -> FasterRCNN:
    """As `fasterrcnn_resnet50_fpn`, with deeper heads and batch normalisation."""
    body = usual_pyramid(weights_backbone, is_trained, trainable_backbone_layers, frozen_norm=False,
                         norm_layer=nn.BatchNorm2d)
    return FasterRCNN(body, num_classes=91 if num_classes is None else num_classes,
                      **second_version(body.out_channels), **kwargs)


def on_mobilenet(num_classes, weights_backbone, trainable_backbone_layers, is_trained, **options) -> FasterRCNN:
    body = backbone_utils.pyramid(
        mobilenet_v3_large, partial(backbone_utils._mobilenet_extractor, fpn=True), weights_backbone, is_trained,
        trainable_backbone_layers, (6, 3), True)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, (RATIOS,) * 3)
    return FasterRCNN(body, 91 if num_classes is None else num_classes, rpn_anchor_generator=anchors, **options)


@builder(filled=filled)
def fasterrcnn_mobilenet_v3_large_fpn(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None,
                                      is_trained=False, **kwargs) -> FasterRCNN:
    """Faster R-CNN on MobileNetV3."""
    return on_mobilenet(num_classes, weights_backbone, trainable_backbone_layers, is_trained,
                        **{"rpn_score_thresh": 0.05, **kwargs})


@builder(filled=filled)
def fasterrcnn_mobilenet_v3_large_320_fpn(*, num_classes=None, weights_backbone=USUAL, trainable_backbone_layers=None,
                                          is_trained=False, **kwargs) -> FasterRCNN:
    """Faster R-CNN on MobileNetV3 for images of 320."""
    small = {"min_size": 320, "max_size": 640, "rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150,
             "rpn_score_thresh": 0.05}
    return on_mobilenet(num_classes, weights_backbone, trainable_backbone_layers, is_trained, **{**small, **kwargs})
