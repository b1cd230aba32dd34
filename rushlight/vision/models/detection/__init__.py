"""Networks that find objects in images; their builders stand here under torchvision's names."""
from rushlight.vision.models.detection.faster_rcnn import FasterRCNN
from rushlight.vision.models.detection.mask_rcnn import MaskRCNN
from rushlight.vision.models.registry import exported

_builders = exported(__name__)
globals().update(_builders)

__all__ = ["FasterRCNN", "MaskRCNN"]
__all__ += list(_builders)
