"""Region proposals: Ren et al., Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks (2015)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision import ops
from rushlight.vision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator as AnchorGenerator
from rushlight.vision.ops.misc import Conv2dNormActivation


class RPNHead(nn.Module):
    """Convolutions, then for each anchor a score and four differences.

    Returns:
        two lists: (N, num_anchors, H, W) and (N, 4 * num_anchors, H, W) for each level.
    """

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1):
        super().__init__()
        self.conv = nn.Sequential(*(Conv2dNormActivation(in_channels, in_channels, kernel_size=3, norm_layer=None)
                                    for _ in range(conv_depth)))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.constant_(module.bias, 0)

    def forward(self, x):
        features = [self.conv(level) for level in x]
        return [self.cls_logits(t) for t in features], [self.bbox_pred(t) for t in features]


def flattened(level, count: int):
    """(N, anchors * count, H, W) as (N, H * W * anchors, count)."""
    n, _, h, w = level.shape
    return level.view(n, -1, count, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, count)


class RegionProposalNetwork(nn.Module):
    """Boxes that may hold something, and in training what was wrong with them.

    Args:
        fg_iou_thresh, bg_iou_thresh: overlaps from which an anchor is an object's, up to which it is background.
        pre_nms_top_n, post_nms_top_n: boxes kept before (a level) and after suppression (an image), dicts with
            "training" and "testing".
    """

    def __init__(self, anchor_generator, head, fg_iou_thresh, bg_iou_thresh, batch_size_per_image, positive_fraction,
                 pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh=0.0):
        super().__init__()
        self.anchor_generator, self.head = anchor_generator, head
        self.box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.box_similarity = ops.box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=True)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self._pre_nms_top_n, self._post_nms_top_n = pre_nms_top_n, post_nms_top_n
        self.nms_thresh, self.score_thresh, self.min_size = nms_thresh, score_thresh, 1e-3

    def mode(self) -> str:
        return "training" if self.training else "testing"

    def forward(self, images, features, targets=None):
        """(a list of (n, 4), a dict of losses)."""
        features = list(features.values())
        scores, differences = self.head(features)
        anchors = self.anchor_generator(images, features)
        counts = [level[0].numel() for level in scores]
        scores = torch.cat([flattened(level, 1) for level in scores], 1).flatten(0, -2)
        differences = torch.cat([flattened(level, 4) for level in differences], 1).reshape(-1, 4)
        proposals = self.box_coder.decode(differences.detach(), anchors).view(len(anchors), -1, 4)
        boxes = self.filter_proposals(proposals, scores, images.image_sizes, counts)
        if not self.training:
            return boxes, {}
        if targets is None:
            raise ValueError("targets should not be None")
        labels, true_boxes = self.assign_targets_to_anchors(anchors, targets)
        wanted = self.box_coder.encode(true_boxes, anchors)
        objectness, box = self.compute_loss(scores, differences, labels, wanted)
        return boxes, {"loss_objectness": objectness, "loss_rpn_box_reg": box}

    def best_of_levels(self, scores, counts):
        """(N, n): the places of the highest scores of each level."""
        found, start = [], 0
        for level in scores.split(counts, 1):
            count = min(self._pre_nms_top_n[self.mode()], level.shape[1])
            found.append(level.topk(count, dim=1).indices + start)
            start += level.shape[1]
        return torch.cat(found, dim=1)

    @torch.no_grad()
    def filter_proposals(self, proposals, objectness, image_shapes, num_anchors_per_level):
        """The best boxes of each image that do not overlap better ones of their level."""
        scores = objectness.detach().reshape(len(proposals), -1)
        levels = torch.cat([torch.full((n,), k) for k, n in enumerate(num_anchors_per_level)])
        best = self.best_of_levels(scores, num_anchors_per_level)
        scores, levels = scores.gather(1, best).sigmoid(), levels[best]
        proposals = proposals.gather(1, best[..., None].expand(-1, -1, 4))
        return [self.suppressed(*parts) for parts in zip(proposals, scores, levels, image_shapes)]

    def suppressed(self, boxes, scores, levels, image_shape):
        boxes = ops.clip_boxes_to_image(boxes, image_shape)
        keep = ops.remove_small_boxes(boxes, self.min_size)
        keep = keep[scores[keep] >= self.score_thresh]
        boxes, scores, levels = boxes[keep], scores[keep], levels[keep]
        return boxes[ops.batched_nms(boxes, scores, levels, self.nms_thresh)[:self._post_nms_top_n[self.mode()]]]

    def assign_targets_to_anchors(self, anchors, targets):
        """For each image (labels 1, 0, or -1 for neither; the true box of each anchor)."""
        labels, matched = [], []
        for boxes, here in zip((target["boxes"] for target in targets), anchors):
            if boxes.numel() == 0:
                labels.append(torch.zeros(len(here)))
                matched.append(torch.zeros_like(here))
                continue
            places = self.proposal_matcher(self.box_similarity(boxes, here))
            matched.append(boxes[places.clamp(min=0)])
            label = (places >= 0).float()
            labels.append(label.masked_fill(places == Matcher.BETWEEN_THRESHOLDS, -1.0))
        return labels, matched

    def compute_loss(self, objectness, pred_bbox_deltas, labels, regression_targets):
        positive, negative = self.fg_bg_sampler(labels)
        positive, negative = torch.where(torch.cat(positive))[0], torch.where(torch.cat(negative))[0]
        sampled = torch.cat([positive, negative])
        wanted = torch.cat(regression_targets)
        box = F.smooth_l1_loss(pred_bbox_deltas[positive], wanted[positive], beta=1 / 9, reduction="sum")
        score = F.binary_cross_entropy_with_logits(objectness.flatten()[sampled], torch.cat(labels)[sampled])
        return score, box / sampled.numel()
