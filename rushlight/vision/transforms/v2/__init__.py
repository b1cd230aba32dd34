"""Transforms of whole samples, with the names and random draws of torchvision.transforms.v2.

Images, videos and masks of a sample are changed alike, whatever containers they are in; labels pass through.
"""
from rushlight.vision.transforms import AutoAugmentPolicy as AutoAugmentPolicy, InterpolationMode as InterpolationMode
from rushlight.vision.transforms.v2 import functional as functional
from rushlight.vision.transforms.v2.batches import CutMix, MixUp
from rushlight.vision.transforms.v2.containers import Compose, RandomApply, RandomChoice, RandomOrder
from rushlight.vision.transforms.v2.conversions import (
    ConvertImageDtype, Identity, Lambda, PILToTensor, ToDtype, ToImage, ToPILImage, ToPureTensor, ToTensor,
)
from rushlight.vision.transforms.v2.images import (
    RGB, CenterCrop, ColorJitter, ElasticTransform, FiveCrop, GaussianBlur, GaussianNoise, Grayscale,
    LinearTransformation, Normalize, Pad, RandomAdjustSharpness, RandomAffine, RandomAutocontrast, RandomCrop,
    RandomEqualize, RandomErasing, RandomGrayscale, RandomHorizontalFlip, RandomInvert, RandomPerspective,
    RandomPosterize, RandomResizedCrop, RandomRotation, RandomSolarize, RandomVerticalFlip, Resize, TenCrop,
)
from rushlight.vision.transforms.v2.policies import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from rushlight.vision.transforms.v2.samples import Transform, has_all, has_any, query_chw, query_size

__all__ = [
    "AugMix", "AutoAugment", "AutoAugmentPolicy",
    "CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "CutMix", "ElasticTransform", "FiveCrop",
    "GaussianBlur", "GaussianNoise", "Grayscale", "Identity", "InterpolationMode", "Lambda",
    "LinearTransformation", "MixUp", "Normalize", "PILToTensor", "Pad", "RGB", "RandAugment", "RandomAdjustSharpness",
    "RandomAffine", "RandomApply", "RandomAutocontrast", "RandomChoice", "RandomCrop", "RandomEqualize",
    "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomOrder",
    "RandomPerspective", "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize",
    "RandomVerticalFlip", "Resize", "TenCrop", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor",
    "Transform", "TrivialAugmentWide", "functional", "has_all", "has_any", "query_chw", "query_size",
]
