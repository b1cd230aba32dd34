"""Augmentation policies for samples: the one image or video of a sample is changed, labels pass through.

Operations and strengths are those for single images; signs and probabilities are drawn as torchvision's second kind does.
"""
from __future__ import annotations

import rushlight as torch
from rushlight.utils._pytree import tree_flatten, tree_unflatten
from rushlight.vision import transforms as one
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.automatic import SIGNED, strengths
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.randomly import below
from rushlight.vision.transforms.v2.samples import Transform, seen_as
from rushlight.vision.tv_tensors import Mask, Video


class OfSamples:
    """Mixed into a policy of single images."""

    __repr__ = Transform.__repr__

    def __init__(self, *args, **options):
        if isinstance(options.get("interpolation"), str):
            options["interpolation"] = InterpolationMode(options["interpolation"])
        super().__init__(*args, **options)

    def forward(self, *inputs):
        flat, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        at = self.place(flat)
        flat[at] = seen_as(self.changed(flat[at]), flat[at])
        return tree_unflatten(flat, spec)

    def place(self, flat: list) -> int:
        """Where the image of a sample is; TypeError if there is none, are several, or something would have to move along."""
        for x in flat:
            if isinstance(x, Mask):
                raise TypeError(f"Inputs of type {type(x).__name__} are not supported by {type(self).__name__}()")
        found = self.chosen(flat)
        if not found:
            raise TypeError("Found no image in the sample.")
        if len(found) > 1:
            raise TypeError("Auto augment transformations are only properly defined for a single image or video, "
                            f"but found {len(found)}.")
        return found[0]

    def changed(self, img):
        """The image by the policy that this is mixed into."""
        return super().forward(img)

    def signed(self, name, strength):
        return -strength if name in SIGNED and torch.rand(()) <= 0.5 else strength

    def do(self, name, img, strength):
        is_float = isinstance(img, torch.Tensor) and img.dtype.is_floating_point
        return super().do(name, img, strength / 255 if name == "Solarize" and is_float else strength)

    def extra_repr(self) -> str:
        return ", ".join(part for part in Transform.extra_repr(self).split(", ") if part.partition("=")[0] in self.TOLD)


class AutoAugment(OfSamples, one.AutoAugment, Transform):
    """Two operations of a learned policy: Cubuk et al., AutoAugment (2018)."""

    TOLD = "interpolation", "policy"

    def changed(self, img):
        _, height, width = F.get_dimensions(img)
        choices = strengths(10, 0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30.0, 0.9)
        for name, p, level in self.policies[below(len(self.policies))]:
            if torch.rand(()) <= p:
                strength = float(choices[name][level]) if name in choices else 0.0
                img = self.do(name, img, self.signed(name, strength))
        return img


class RandAugment(OfSamples, one.RandAugment, Transform):
    """Operations of one strength, chosen alike: Cubuk et al., RandAugment (2019)."""

    TOLD = "interpolation", "num_ops", "magnitude", "num_magnitude_bins"


class TrivialAugmentWide(OfSamples, one.TrivialAugmentWide, Transform):
    """One operation of any strength: Müller & Hutter, TrivialAugment (2021)."""

    TOLD = "interpolation", "num_magnitude_bins"


class AugMix(OfSamples, one.AugMix, Transform):
    """A mixture of the image and of chains of operations: Hendrycks et al., AugMix (2019)."""

    TOLD = "interpolation", "severity", "mixture_width", "chain_depth", "alpha", "all_ops"

    def mixed(self, img):
        """All frames of a video are mixed alike."""
        pixels = img.as_subclass(torch.Tensor)
        return super().mixed(pixels.unsqueeze(0))[0] if isinstance(img, Video) else super().mixed(pixels)
