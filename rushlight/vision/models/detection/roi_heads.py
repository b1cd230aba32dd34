"""What is in the proposed boxes: Girshick, Fast R-CNN (2015); He et al., Mask R-CNN (2017)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision import ops
from rushlight.vision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher

LEAST_SIDE = 1e-2       # of a box that is given


def fastrcnn_loss(class_logits, box_regression, labels, regression_targets):
    """(classification loss, box loss) of sampled proposals; labels and targets are lists."""
    labels, wanted = torch.cat(labels), torch.cat(regression_targets)
    positive = torch.where(labels > 0)[0]
    boxes = box_regression.reshape(len(class_logits), -1, 4)[positive, labels[positive]]
    box_loss = F.smooth_l1_loss(boxes, wanted[positive], beta=1 / 9, reduction="sum") / labels.numel()
    return F.cross_entropy(class_logits, labels), box_loss


def maskrcnn_loss(mask_logits, proposals, gt_masks, gt_labels, mask_matched_idxs):
    """Binary cross entropy of the masks of the true classes."""
    side = mask_logits.shape[-1]
    labels = torch.cat([found[places] for found, places in zip(gt_labels, mask_matched_idxs)])
    wanted = torch.cat([project_masks_on_boxes(*parts, side) for parts in zip(gt_masks, proposals, mask_matched_idxs)])
    if wanted.numel() == 0:
        return mask_logits.sum() * 0
    return F.binary_cross_entropy_with_logits(mask_logits[torch.arange(len(labels)), labels], wanted)


def project_masks_on_boxes(gt_masks, boxes, matched_idxs, side: int):
    """(n, side, side): the part of each box's mask that lies in it."""
    rois = torch.cat([matched_idxs[:, None].to(boxes), boxes], dim=1)
    return ops.roi_align(gt_masks[:, None].to(rois), rois, (side, side), 1.0)[:, 0]


def maskrcnn_inference(x, labels):
    """For each image (n, 1, side, side): probabilities of the found classes' masks."""
    places = torch.cat(labels)
    masks = x.sigmoid()[torch.arange(len(x)), places][:, None]
    return masks.split([len(found) for found in labels], dim=0)


def paste_masks_in_image(masks, boxes, img_shape, padding: int = 1):
    """(n, 1, H, W): masks at their boxes in an empty image."""
    grown = (masks.shape[-1] + 2 * padding) / masks.shape[-1]
    masks = F.pad(masks, (padding,) * 4)
    boxes = expand_boxes(boxes, grown).to(torch.int64).tolist()
    made = [paste_mask_in_image(mask[0], box, *img_shape) for mask, box in zip(masks, boxes)]
    return torch.stack(made)[:, None] if made else masks.new_empty((0, 1, *img_shape))


def expand_boxes(boxes, scale: float):
    """Boxes as many times as large round their centres."""
    half_w, half_h = ((boxes[:, k + 2] - boxes[:, k]) * 0.5 * scale for k in (0, 1))
    x, y = ((boxes[:, k + 2] + boxes[:, k]) * 0.5 for k in (0, 1))
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=1)


def paste_mask_in_image(mask, box, height: int, width: int):
    x1, y1, x2, y2 = box
    mask = F.interpolate(mask[None, None], size=(max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)), mode="bilinear",
                         align_corners=False)[0][0]
    top, bottom, left, right = max(y1, 0), min(y2 + 1, height), max(x1, 0), min(x2 + 1, width)
    image = torch.zeros((height, width), dtype=mask.dtype)
    image[top:bottom, left:right] = mask[top - y1:bottom - y1, left - x1:right - x1]
    return image


class RoIHeads(nn.Module):
    """Classes, boxes and masks of proposals, and in training what was wrong with them.

    Args:
        box_roi_pool, box_head, box_predictor: from levels and boxes to features, to (n, classes) and
            (n, 4 * classes). mask_...: alike, to (n, classes, side, side); None for no masks.
        score_thresh, nms_thresh, detections_per_img: which boxes are given.
    """

    def __init__(self, box_roi_pool, box_head, box_predictor, fg_iou_thresh, bg_iou_thresh, batch_size_per_image,
                 positive_fraction, bbox_reg_weights, score_thresh, nms_thresh, detections_per_img, mask_roi_pool=None,
                 mask_head=None, mask_predictor=None):
        super().__init__()
        self.box_similarity = ops.box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=False)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0) if bbox_reg_weights is None else bbox_reg_weights)
        self.box_roi_pool, self.box_head, self.box_predictor = box_roi_pool, box_head, box_predictor
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img
        self.mask_roi_pool, self.mask_head, self.mask_predictor = mask_roi_pool, mask_head, mask_predictor

    def has_mask(self) -> bool:
        return None not in (self.mask_roi_pool, self.mask_head, self.mask_predictor)

    def forward(self, features, proposals, image_shapes, targets=None):
        """(a list of dicts "boxes", "labels", "scores" and "masks", a dict of losses)."""
        labels = matched = wanted = None
        if self.training:
            check_targets(targets)
            proposals, matched, labels, wanted = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        class_logits, box_regression = self.box_predictor(pooled)
        if self.training:
            found = [{} for _ in proposals]
            classifier, box = fastrcnn_loss(class_logits, box_regression, labels, wanted)
            losses = {"loss_classifier": classifier, "loss_box_reg": box}
            kept = [torch.where(label > 0)[0] for label in labels]
            proposals = [boxes[places] for boxes, places in zip(proposals, kept)]
            matched = [numbers[places] for numbers, places in zip(matched, kept)]
        else:
            found, losses = self.postprocess_detections(class_logits, box_regression, proposals, image_shapes), {}
            proposals = [one["boxes"] for one in found]
        if self.has_mask():
            losses |= self.masks(features, proposals, image_shapes, targets, matched, found)
        return found, losses

    def masks(self, features, proposals, image_shapes, targets, matched, found) -> dict:
        """The loss in training; else puts masks into what was found."""
        logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, proposals, image_shapes)))
        if self.training:
            return {"loss_mask": maskrcnn_loss(logits, proposals, [t["masks"] for t in targets],
                                               [t["labels"] for t in targets], matched)}
        for one, masks in zip(found, maskrcnn_inference(logits, [one["labels"] for one in found])):
            one["masks"] = masks
        return {}

    def select_training_samples(self, proposals, targets):
        """For each image (sampled boxes, numbers of their true boxes, labels, differences)."""
        true_boxes = [target["boxes"].to(proposals[0].dtype) for target in targets]
        proposals = [torch.cat(both) for both in zip(proposals, true_boxes)]
        matched, labels = zip(*(self.assigned(boxes, here, target["labels"])
                                for boxes, here, target in zip(true_boxes, proposals, targets)))
        kept = [torch.where(a | b)[0] for a, b in zip(*self.fg_bg_sampler(labels))]
        proposals, matched, labels = ([x[places] for x, places in zip(xs, kept)] for xs in (proposals, matched, labels))
        paired = [(boxes if boxes.numel() else torch.zeros((1, 4), dtype=boxes.dtype))[numbers]
                  for boxes, numbers in zip(true_boxes, matched)]
        return proposals, matched, labels, self.box_coder.encode(paired, proposals)

    def assigned(self, true_boxes, proposals, true_labels):
        """(number of the true box of each proposal, its class: 0 for background, -1 for neither)."""
        if true_boxes.numel() == 0:
            return torch.zeros(len(proposals), dtype=torch.int64), torch.zeros(len(proposals), dtype=torch.int64)
        places = self.proposal_matcher(self.box_similarity(true_boxes, proposals))
        numbers = places.clamp(min=0)
        labels = true_labels[numbers].to(torch.int64)
        labels = labels.masked_fill(places == Matcher.BELOW_LOW_THRESHOLD, 0)
        return numbers, labels.masked_fill(places == Matcher.BETWEEN_THRESHOLDS, -1)

    def postprocess_detections(self, class_logits, box_regression, proposals, image_shapes):
        counts = [len(boxes) for boxes in proposals]
        boxes = self.box_coder.decode(box_regression, proposals).split(counts, 0)
        scores = F.softmax(class_logits, -1).split(counts, 0)
        return [self.best(*parts) for parts in zip(boxes, scores, image_shapes)]

    def best(self, boxes, scores, image_shape) -> dict:
        """Boxes of any class but background that are sure enough and do not overlap better ones of their class."""
        labels = torch.arange(scores.shape[1]).view(1, -1).expand_as(scores)[:, 1:].reshape(-1)
        boxes = ops.clip_boxes_to_image(boxes, image_shape)[:, 1:].reshape(-1, 4)
        scores = scores[:, 1:].reshape(-1)
        keep = torch.where(scores > self.score_thresh)[0]
        keep = keep[ops.remove_small_boxes(boxes[keep], LEAST_SIDE)]
        keep = keep[ops.batched_nms(boxes[keep], scores[keep], labels[keep], self.nms_thresh)[:self.detections_per_img]]
        return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}


def check_targets(targets) -> None:
    if targets is None:
        raise ValueError("targets should not be None")
    for target in targets:
        if not target["boxes"].is_floating_point():
            raise TypeError(f"target boxes must of float type, instead got {target['boxes'].dtype}")
        if target["labels"].dtype != torch.int64:
            raise TypeError(f"target labels must of int64 type, instead got {target['labels'].dtype}")
