"""Losses for detection; box losses are of pairs, (N, 4) each."""
from __future__ import annotations

import math

import rushlight as torch
from rushlight.nn import functional as F


def reduced(loss, reduction: str):
    """Raises ValueError for a reduction that there is not."""
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"Invalid Value for arg 'reduction': '{reduction} \n Supported reduction modes: "
                     "'none', 'mean', 'sum'")


def sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2, reduction="none"):
    """Lin et al., Focal Loss for Dense Object Detection (2017), of logits and targets of one shape."""
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = torch.sigmoid(inputs)
    entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    loss = entropy * (1 - right) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return reduced(loss, reduction)


def paired(boxes1, boxes2):
    """Intersections, unions and the hulls' sides (N, 2) of pairs."""
    inner = torch.min(boxes1[:, 2:], boxes2[:, 2:]) - torch.max(boxes1[:, :2], boxes2[:, :2])
    inter = torch.where((inner > 0).all(1), inner.prod(1), torch.zeros_like(inner[:, 0]))
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes1, boxes2)]
    hull = torch.max(boxes1[:, 2:], boxes2[:, 2:]) - torch.min(boxes1[:, :2], boxes2[:, :2])
    return inter, areas[0] + areas[1] - inter, hull


def generalized_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """1 - generalised IoU."""
    inter, union, hull = paired(boxes1, boxes2)
    area = hull.prod(1)
    return reduced(1 - inter / (union + eps) + (area - union) / (area + eps), reduction)


def distance_loss(boxes1, boxes2, eps):
    inter, union, hull = paired(boxes1, boxes2)
    centres = [(b[:, :2] + b[:, 2:]) / 2 for b in (boxes1, boxes2)]
    apart = (centres[0] - centres[1]).pow(2).sum(1)
    iou = inter / (union + eps)
    return 1 - iou + apart / (hull.pow(2).sum(1) + eps), iou


def distance_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """1 - distance IoU."""
    return reduced(distance_loss(boxes1, boxes2, eps)[0], reduction)


def complete_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """1 - complete IoU."""
    loss, iou = distance_loss(boxes1, boxes2, eps)
    angles = [torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (boxes1, boxes2)]
    v = 4 / math.pi ** 2 * (angles[1] - angles[0]).pow(2)
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return reduced(loss + alpha * v, reduction)
