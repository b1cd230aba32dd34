"""Operations on boxes and regions, and layers that vision models are made of."""
from rushlight.vision.ops.boxes import (
    batched_nms, box_area, box_convert, box_iou, clip_boxes_to_image, complete_box_iou,
    distance_box_iou, generalized_box_iou, masks_to_boxes, nms, remove_small_boxes,
)
from rushlight.vision.ops.feature_pyramid_network import FeaturePyramidNetwork
from rushlight.vision.ops.losses import (
    complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss, sigmoid_focal_loss,
)
from rushlight.vision.ops.misc import (
    MLP, Conv2dNormActivation, Conv3dNormActivation, ConvNormActivation, FrozenBatchNorm2d, Permute,
    SqueezeExcitation,
)
from rushlight.vision.ops.poolers import MultiScaleRoIAlign
from rushlight.vision.ops.regions import RoIAlign, RoIPool, roi_align, roi_pool
from rushlight.vision.ops.stochastic_depth import StochasticDepth, stochastic_depth

__all__ = [
    "Conv2dNormActivation", "Conv3dNormActivation", "ConvNormActivation", "FeaturePyramidNetwork", "FrozenBatchNorm2d",
    "MLP", "MultiScaleRoIAlign", "Permute", "RoIAlign", "RoIPool", "SqueezeExcitation", "StochasticDepth",
    "batched_nms", "box_area", "box_convert", "box_iou", "clip_boxes_to_image", "complete_box_iou", "complete_box_iou_loss",
    "distance_box_iou", "distance_box_iou_loss", "generalized_box_iou", "generalized_box_iou_loss",
    "masks_to_boxes", "nms", "remove_small_boxes", "roi_align", "roi_pool", "sigmoid_focal_loss",
    "stochastic_depth",
]
