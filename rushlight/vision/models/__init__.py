"""The classic vision models under torchvision's names: the same parameters, in the same order."""
from rushlight.vision.models import segmentation as segmentation
from rushlight.vision.models._weights import get_model, get_model_builder, list_models
from rushlight.vision.models.alexnet import AlexNet, alexnet
from rushlight.vision.models.convnext import (
    ConvNeXt, convnext_base, convnext_large, convnext_small, convnext_tiny,
)
from rushlight.vision.models.densenet import (
    DenseNet, densenet121, densenet161, densenet169, densenet201,
)
from rushlight.vision.models.googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from rushlight.vision.models.mobilenetv2 import MobileNetV2, mobilenet_v2
from rushlight.vision.models.resnet import (
    ResNet, resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d, resnext101_32x8d,
    resnext101_64x4d, wide_resnet50_2, wide_resnet101_2,
)
from rushlight.vision.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from rushlight.vision.models.vgg import (
    VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn,
)
from rushlight.vision.models.vision_transformer import (
    VisionTransformer, vit_b_16, vit_b_32, vit_h_14, vit_l_16, vit_l_32,
)

__all__ = [
    "AlexNet", "ConvNeXt", "DenseNet", "GoogLeNet", "GoogLeNetOutputs", "MobileNetV2", "ResNet",
    "SqueezeNet", "VGG", "VisionTransformer", "alexnet", "convnext_base", "convnext_large",
    "convnext_small", "convnext_tiny", "densenet121", "densenet161", "densenet169", "densenet201",
    "get_model", "get_model_builder", "googlenet", "list_models", "mobilenet_v2", "resnet101",
    "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d", "resnext101_64x4d",
    "resnext50_32x4d", "segmentation", "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn", "vgg13",
    "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16",
    "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
]
