"""FCN: Long, Shelhamer & Darrell, Fully Convolutional Networks for Semantic Segmentation (2014)."""
from __future__ import annotations

from rushlight.vision.models.segmentation.heads import FCNHead, SimpleSegmentationModel, make_builder

__all__ = ["FCN", "FCNHead", "fcn_resnet50", "fcn_resnet101"]


class FCN(SimpleSegmentationModel):
    """A fully convolutional network."""


fcn_resnet50 = make_builder(FCN, "fcn", FCNHead, "resnet50")
fcn_resnet101 = make_builder(FCN, "fcn", FCNHead, "resnet101")
