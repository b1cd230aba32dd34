"""Mixtures of a batch with itself, moved by one sample; labels become mixtures of classes."""
from __future__ import annotations

import math

import rushlight as torch
from rushlight.distributions import Beta
from rushlight.nn.functional import one_hot
from rushlight.utils._pytree import tree_flatten, tree_unflatten
from rushlight.vision.pillow import is_image
from rushlight.vision.transforms.randomly import below
from rushlight.vision.transforms.v2.samples import Transform, has_any, query_size
from rushlight.vision.tv_tensors import Mask, wrap


def second(inputs):
    """The labels where nobody says how to find them."""
    if isinstance(inputs, (tuple, list)) and len(inputs) > 1:
        return inputs[1]
    raise ValueError("Could not infer where the labels are in the sample. Try passing a callable as the "
                     "labels_getter parameter?")


class Mixture(Transform):
    """Base of MixUp and CutMix.

    Args:
        alpha: of the Beta distribution of the share that a sample keeps.
        num_classes: how many there are, where labels are numbers.
        labels_getter: finds the labels in a sample; by default they are its second part.

    Raises:
        ValueError: (in a call) samples without a batch of images and of labels.
    """

    def __init__(self, *, alpha=1.0, num_classes=None, labels_getter="default"):
        super().__init__()
        self.alpha, self.num_classes = float(alpha), num_classes
        self._shares = Beta(torch.tensor([self.alpha]), torch.tensor([self.alpha]))
        self._labels_of = second if labels_getter == "default" else labels_getter

    def forward(self, *inputs):
        inputs = inputs if len(inputs) > 1 else inputs[0]
        flat, spec = tree_flatten(inputs)
        if has_any(flat, is_image, Mask):
            raise ValueError(f"{type(self).__name__}() does not support PIL images, bounding boxes, keypoints "
                             "and masks.")
        labels = self._labels_of(inputs)
        self.check_labels(labels)
        chosen = [i for i in self.chosen(flat) if flat[i] is not labels]
        for i in chosen:
            self.check_batch(flat[i], len(labels))
        share, mixed = self.drawn([flat[i] for i in chosen])
        for i, x in enumerate(flat):
            if i in chosen:
                flat[i] = wrap(mixed(x), like=x)
            elif x is labels:
                flat[i] = self.classes(labels, share)
        return tree_unflatten(flat, spec)

    def drawn(self, images):
        """The share that labels keep, and what is done with images."""
        raise NotImplementedError(f"{type(self).__name__}.drawn")

    def share(self) -> float:
        return float(self._shares.sample(()))

    def check_labels(self, labels):
        if not isinstance(labels, torch.Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.dim() not in (1, 2):
            raise ValueError("labels should be index based with shape (batch_size,) or probability based with shape "
                             f"(batch_size, num_classes), but got a tensor of shape {labels.shape} instead.")
        if labels.dim() == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        if labels.dim() == 2 and self.num_classes not in (None, labels.shape[1]):
            raise ValueError("When passing 2D labels, the number of elements in last dimension must match num_classes: "
                             f"{labels.shape[1]} != {self.num_classes}. You can Leave num_classes to None.")

    def check_batch(self, x, size):
        if x.dim() < 4:
            raise ValueError(f"Expected a batched input with 4 dims, but got {x.dim()} dimensions instead.")
        if len(x) != size:
            raise ValueError("The batch size of the image or video does not match the batch size of the labels: "
                             f"{len(x)} != {size}.")

    def classes(self, labels, share):
        ones = one_hot(labels, num_classes=self.num_classes) if labels.dim() == 1 else labels
        return mixed(ones if ones.is_floating_point() else ones.float(), share)


def mixed(x, share):
    return x.roll(1, 0) * (1.0 - share) + x * share


class MixUp(Mixture):
    """Each sample mixed with the one before it: Zhang et al., mixup: Beyond Empirical Risk Minimization (2018)."""

    def drawn(self, images):
        share = self.share()
        return share, lambda x: mixed(x, share)


class CutMix(Mixture):
    """A rectangle of the sample before in each one: Yun et al., CutMix (2019)."""

    def drawn(self, images):
        share, (height, width) = self.share(), query_size(images)
        x, y = below(width), below(height)
        half = 0.5 * math.sqrt(1.0 - share)
        across, down = int(half * width), int(half * height)
        left, right = max(x - across, 0), min(x + across, width)
        top, bottom = max(y - down, 0), min(y + down, height)

        def cut(image):
            made = image.clone()
            made[..., top:bottom, left:right] = image.roll(1, 0)[..., top:bottom, left:right]
            return made
        return 1.0 - (right - left) * (bottom - top) / (width * height), cut
