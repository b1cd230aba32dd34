"""Boxes as what is learnt of them: differences from proposals, matches with true ones, samples. (torchvision's name.)"""
from __future__ import annotations

import math

import rushlight as torch
from rushlight import nn
from rushlight.vision.ops.misc import FrozenBatchNorm2d

LARGEST = math.log(1000.0 / 16)     # of the logarithm of a change of size


class BoxCoder:
    """Boxes relative to others: shifts of the centre and logarithms of sizes, times weights (Girshick, 2013)."""

    def __init__(self, weights, bbox_xform_clip: float = LARGEST):
        self.weights, self.bbox_xform_clip = weights, bbox_xform_clip

    def encode(self, reference_boxes, proposals):
        """Lists of (n, 4) to a tuple of (n, 4)."""
        counts = [len(boxes) for boxes in reference_boxes]
        return self.encode_single(torch.cat(reference_boxes), torch.cat(proposals)).split(counts, 0)

    def encode_single(self, reference_boxes, proposals):
        weights = torch.as_tensor(self.weights, dtype=reference_boxes.dtype)
        x, y, w, h = centred(proposals)
        true_x, true_y, true_w, true_h = centred(reference_boxes)
        return torch.stack([weights[0] * (true_x - x) / w, weights[1] * (true_y - y) / h,
                            weights[2] * torch.log(true_w / w), weights[3] * torch.log(true_h / h)], 1)

    def decode(self, rel_codes, boxes):
        """(n, 4 * classes) and a list of boxes to (n, classes, 4)."""
        count = sum(len(b) for b in boxes)
        found = self.decode_single(rel_codes.reshape(count, -1) if count else rel_codes, torch.cat(boxes))
        return found.reshape(count, -1, 4) if count else found

    def decode_single(self, rel_codes, boxes):
        x, y, w, h = (part[:, None] for part in centred(boxes.to(rel_codes.dtype)))
        dx, dy, dw, dh = (rel_codes[:, k::4] / weight for k, weight in enumerate(self.weights))
        x, y = dx * w + x, dy * h + y
        half_w = 0.5 * torch.exp(torch.clamp(dw, max=self.bbox_xform_clip)) * w
        half_h = 0.5 * torch.exp(torch.clamp(dh, max=self.bbox_xform_clip)) * h
        return torch.stack((x - half_w, y - half_h, x + half_w, y + half_h), 2).flatten(1)


def centred(boxes):
    """Centres and sizes."""
    x1, y1, x2, y2 = boxes.unbind(1)
    w, h = x2 - x1, y2 - y1
    return x1 + 0.5 * w, y1 + 0.5 * h, w, h


class Matcher:
    """For each proposal the true box that it overlaps most, -1 if that is little, -2 if it is neither.

    allow_low_quality_matches: a proposal that is the best for some true box matches in any case.
    """

    BELOW_LOW_THRESHOLD, BETWEEN_THRESHOLDS = -1, -2

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False):
        if low_threshold > high_threshold:
            raise AssertionError("low_threshold should be <= high_threshold")
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix):
        """(true boxes, proposals) to (proposals,)."""
        if match_quality_matrix.numel() == 0:
            which = "proposal" if len(match_quality_matrix) else "ground-truth"
            raise ValueError(f"No {which} boxes available for one of the images during training")
        best, matches = match_quality_matrix.max(dim=0)
        found = matches.clone()
        found[best < self.low_threshold] = self.BELOW_LOW_THRESHOLD
        found[(best >= self.low_threshold) & (best < self.high_threshold)] = self.BETWEEN_THRESHOLDS
        if self.allow_low_quality_matches:
            highest = match_quality_matrix.max(dim=1).values
            kept = (match_quality_matrix == highest[:, None]).any(0)
            found[kept] = matches[kept]
        return found


class BalancedPositiveNegativeSampler:
    """Some of the positive (>= 1) and negative (0) labels of each image, by torch's random numbers."""

    def __init__(self, batch_size_per_image: int, positive_fraction: float):
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction

    def __call__(self, matched_idxs):
        """(positive, negative): a mask for each image."""
        masks = [self.sample(labels) for labels in matched_idxs]
        return [positive for positive, _ in masks], [negative for _, negative in masks]

    def sample(self, labels):
        positive, negative = torch.where(labels >= 1)[0], torch.where(labels == 0)[0]
        count = min(positive.numel(), int(self.batch_size_per_image * self.positive_fraction))
        rest = min(negative.numel(), self.batch_size_per_image - count)
        kept = positive[torch.randperm(positive.numel())[:count]], negative[torch.randperm(negative.numel())[:rest]]
        return tuple(torch.zeros_like(labels, dtype=torch.uint8).index_fill_(0, places, 1) for places in kept)


def draw_convolutions(head) -> None:
    """First weights of a head's convolutions, by the size of their results."""
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def overwrite_eps(model, eps: float) -> None:
    """Give all frozen normalisations this epsilon; the first published weights were made with none."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps
