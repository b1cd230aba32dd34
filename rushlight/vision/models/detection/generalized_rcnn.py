"""Detection in two steps: proposals from features, then what they are."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import Tensor, nn


class GeneralizedRCNN(nn.Module):
    """A transform, a backbone, proposals and heads.

    Shape:
        a list of images (C, H, W) of 0 .. 1 and, in training, of dicts "boxes" (n, 4), "labels" (n,) and what the heads
        want; to a dict of losses in training, else to a list of dicts.

    Raises:
        AssertionError: training without targets, boxes of another shape or without an inside.
    """

    def __init__(self, backbone, rpn, roi_heads, transform):
        super().__init__()
        self.transform, self.backbone, self.rpn, self.roi_heads = transform, backbone, rpn, roi_heads

    def forward(self, images, targets=None):
        if self.training:
            check_boxes(targets)
        sizes = [tuple(image.shape[-2:]) for image in images]
        images, targets = self.transform(images, targets)
        if targets is not None:
            check_insides(targets)
        features = self.backbone(images.tensors)
        if isinstance(features, Tensor):
            features = OrderedDict([("0", features)])
        proposals, proposal_losses = self.rpn(images, features, targets)
        found, losses = self.roi_heads(features, proposals, images.image_sizes, targets)
        return losses | proposal_losses if self.training else self.transform.postprocess(found, images.image_sizes, sizes)


def check_boxes(targets) -> None:
    if targets is None:
        raise AssertionError("targets should not be none when in training mode")
    for target in targets:
        boxes = target["boxes"]
        if not isinstance(boxes, Tensor):
            raise AssertionError(f"Expected target boxes to be of type Tensor, got {type(boxes)}.")
        if boxes.dim() != 2 or boxes.shape[-1] != 4:
            raise AssertionError(f"Expected target boxes to be a tensor of shape [N, 4], got {boxes.shape}.")


def check_insides(targets) -> None:
    for k, target in enumerate(targets):
        boxes = target["boxes"]
        empty = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)
        if empty.any():
            raise AssertionError("All bounding boxes should have positive height and width. Found invalid box "
                                 f"{boxes[empty][0].tolist()} for target at index {k}.")
