"""Networks that give scores of classes for each pixel; their builders stand here under torchvision's names."""
from rushlight.vision.models.registry import exported
from rushlight.vision.models.segmentation.deeplabv3 import DeepLabV3
from rushlight.vision.models.segmentation.fcn import FCN
from rushlight.vision.models.segmentation.lraspp import LRASPP

_builders = exported(__name__)
globals().update(_builders)

__all__ = ["FCN", "LRASPP", "DeepLabV3"]
__all__ += list(_builders)
