"""What an image goes through before a published model sees it."""
from __future__ import annotations

from rushlight import Tensor, float32, nn
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)       # of ImageNet's channels


def as_floats(image) -> Tensor:
    """A picture or tensor as numbers of 0 .. 1."""
    return F.convert_image_dtype(image if isinstance(image, Tensor) else F.pil_to_tensor(image), float32)


class Preset(nn.Module):
    """Prints its settings, one a line."""

    def __repr__(self):
        settings = {name: value for name, value in vars(self).items()
                    if not name.startswith("_") and name not in ("training", "antialias")}
        lines = "".join(f"\n    {name}={value}" for name, value in settings.items())
        return f"{type(self).__name__}({lines}\n)" if lines else f"{type(self).__name__}()"


class ObjectDetection(Preset):
    """Numbers of 0 .. 1."""

    def forward(self, img) -> Tensor:
        return as_floats(img)


class ImageClassification(Preset):
    """Resized, cropped in the middle, normalised: pictures, (C, H, W) or (B, C, H, W)."""

    def __init__(self, *, crop_size: int, resize_size: int = 256, mean=MEAN, std=STD,
                 interpolation=InterpolationMode.BILINEAR, antialias: bool | None = True):
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img) -> Tensor:
        img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        return F.normalize(as_floats(F.center_crop(img, self.crop_size)), mean=self.mean, std=self.std)


class SemanticSegmentation(Preset):
    """Resized (None: as large as they are) and normalised: pictures, (C, H, W) or (B, C, H, W)."""

    def __init__(self, *, resize_size: int | None, mean=MEAN, std=STD,
                 interpolation=InterpolationMode.BILINEAR, antialias: bool | None = True):
        super().__init__()
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img) -> Tensor:
        if self.resize_size is not None:
            img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        return F.normalize(as_floats(img), mean=self.mean, std=self.std)
