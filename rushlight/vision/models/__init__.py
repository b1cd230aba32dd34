"""The classic vision models under torchvision's names: the same parameters, in the same order."""
from rushlight.vision.models import detection as detection, segmentation as segmentation
from rushlight.vision.models.alexnet import AlexNet
from rushlight.vision.models.convnext import ConvNeXt
from rushlight.vision.models.densenet import DenseNet
from rushlight.vision.models.efficientnet import EfficientNet
from rushlight.vision.models.googlenet import GoogLeNet, GoogLeNetOutputs
from rushlight.vision.models.inception import Inception3, InceptionOutputs
from rushlight.vision.models.mnasnet import MNASNet
from rushlight.vision.models.mobilenetv2 import MobileNetV2
from rushlight.vision.models.mobilenetv3 import MobileNetV3
from rushlight.vision.models.registry import exported, get_model, get_model_builder, list_models
from rushlight.vision.models.regnet import RegNet
from rushlight.vision.models.resnet import ResNet
from rushlight.vision.models.shufflenetv2 import ShuffleNetV2
from rushlight.vision.models.squeezenet import SqueezeNet
from rushlight.vision.models.swin_transformer import SwinTransformer
from rushlight.vision.models.vgg import VGG
from rushlight.vision.models.vision_transformer import VisionTransformer
from rushlight.vision.models.weights import Weights, WeightsEnum, get_model_weights, get_weight

_builders = exported(__name__)
globals().update(_builders)

__all__ = [
    "AlexNet", "ConvNeXt", "DenseNet", "EfficientNet", "GoogLeNet", "GoogLeNetOutputs", "Inception3",
    "InceptionOutputs", "MNASNet", "MobileNetV2", "MobileNetV3", "RegNet", "ResNet", "ShuffleNetV2", "SqueezeNet",
    "SwinTransformer", "VGG", "VisionTransformer", "Weights", "WeightsEnum", "get_model", "get_model_builder",
    "detection", "get_model_weights", "get_weight", "list_models", "segmentation",
]
__all__ += list(_builders)
