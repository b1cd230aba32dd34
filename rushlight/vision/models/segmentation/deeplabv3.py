"""DeepLabV3: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation (2017)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.segmentation.heads import SimpleSegmentationModel, make_builder

__all__ = ["ASPP", "DeepLabHead", "DeepLabV3", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50",
           "deeplabv3_resnet101"]


class DeepLabV3(SimpleSegmentationModel):
    """Features seen at several scales by dilated convolutions."""


class ASPPConv(nn.Sequential):
    """A dilated 3 x 3 convolution."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int):
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
                         nn.BatchNorm2d(out_channels), nn.ReLU())


class ASPPPooling(nn.Sequential):
    """The mean over the image, everywhere."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, out_channels, 1, bias=False),
                         nn.BatchNorm2d(out_channels), nn.ReLU())

    def forward(self, x):
        return F.interpolate(super().forward(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1 x 1, dilated 3 x 3 convolutions and the mean, side by side."""

    def __init__(self, in_channels: int, atrous_rates, out_channels: int = 256):
        super().__init__()
        point = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels),
                              nn.ReLU())
        dilated = [ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates]
        self.convs = nn.ModuleList([point, *dilated, ASPPPooling(in_channels, out_channels)])
        self.project = nn.Sequential(nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False),
                                     nn.BatchNorm2d(out_channels), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        return self.project(torch.cat([conv(x) for conv in self.convs], dim=1))


class DeepLabHead(nn.Sequential):
    """From features to scores of classes at each place."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates=(12, 24, 36)):
        super().__init__(ASPP(in_channels, atrous_rates), nn.Conv2d(256, 256, 3, padding=1, bias=False),
                         nn.BatchNorm2d(256), nn.ReLU(), nn.Conv2d(256, num_classes, 1))


deeplabv3_resnet50 = make_builder(DeepLabV3, "deeplabv3", DeepLabHead, "resnet50")
deeplabv3_resnet101 = make_builder(DeepLabV3, "deeplabv3", DeepLabHead, "resnet101")
deeplabv3_mobilenet_v3_large = make_builder(DeepLabV3, "deeplabv3", DeepLabHead, "mobilenet_v3_large")
