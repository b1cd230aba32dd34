"""Boxes: (N, 4) as x and y of the top left corner, then of the bottom right, unless said otherwise."""
from __future__ import annotations

import math

import numpy as np

import rushlight as torch

FORMATS = ("xyxy", "xywh", "cxcywh")


def box_area(boxes):
    """Areas (N,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_convert(boxes, in_fmt, out_fmt):
    """Boxes (..., 4) in another of the formats "xyxy", "xywh" (corner and size), "cxcywh" (centre and size).

    Raises:
        ValueError: there is no such format.
    """
    if in_fmt not in FORMATS or out_fmt not in FORMATS:
        raise ValueError(f"Unsupported Bounding Box Conversions for given formats {in_fmt} and {out_fmt}")
    if in_fmt == out_fmt:
        return boxes.clone()
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return torch.stack((a, b, c, d), -1)


def raised(boxes):
    """Small integers in a dtype that holds their products."""
    if boxes.is_floating_point():
        return boxes.float() if boxes.dtype is torch.float16 else boxes
    return boxes.int() if boxes.dtype in (torch.bool, torch.int8, torch.int16, torch.uint8) else boxes


def overlaps(boxes1, boxes2):
    """Intersections and unions, (N, M) each."""
    boxes1, boxes2 = raised(boxes1), raised(boxes2)
    low = torch.max(boxes1[:, None, :2], boxes2[:, :2])
    high = torch.min(boxes1[:, None, 2:], boxes2[:, 2:])
    sides = (high - low).clamp(min=0)
    inter = sides[:, :, 0] * sides[:, :, 1]
    return inter, box_area(boxes1)[:, None] + box_area(boxes2) - inter


def box_iou(boxes1, boxes2):
    """Intersection over union of each pair, (N, M): the Jaccard index."""
    inter, union = overlaps(boxes1, boxes2)
    return inter / union


def hull_sides(boxes1, boxes2):
    """Sides of the smallest boxes around each pair, (N, M, 2)."""
    low = torch.min(boxes1[:, None, :2], boxes2[:, :2])
    high = torch.max(boxes1[:, None, 2:], boxes2[:, 2:])
    return (high - low).clamp(min=0)


def generalized_box_iou(boxes1, boxes2):
    """Rezatofighi et al., Generalized Intersection over Union (2019): (N, M) in -1 .. 1."""
    inter, union = overlaps(boxes1, boxes2)
    hull = hull_sides(raised(boxes1), raised(boxes2)).prod(-1)
    return inter / union - (hull - union) / hull


def distance_box_iou(boxes1, boxes2, eps=1e-7):
    """Zheng et al., Distance-IoU Loss (2020), section 3.1: (N, M)."""
    boxes1, boxes2 = raised(boxes1), raised(boxes2)
    diagonal = hull_sides(boxes1, boxes2).pow(2).sum(-1) + eps
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (boxes1, boxes2)]
    apart = (centres[0][:, None] - centres[1][None]).pow(2).sum(-1)
    return box_iou(boxes1, boxes2) - apart / diagonal


def complete_box_iou(boxes1, boxes2, eps=1e-7):
    """Zheng et al., Distance-IoU Loss (2020), section 3.2: (N, M)."""
    boxes1, boxes2 = raised(boxes1), raised(boxes2)
    angles = [torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (boxes1, boxes2)]
    v = 4 / math.pi ** 2 * (angles[0][:, None] - angles[1][None]).pow(2)
    with torch.no_grad():
        alpha = v / (1 - box_iou(boxes1, boxes2) + v + eps)
    return distance_box_iou(boxes1, boxes2, eps) - alpha * v


def nms(boxes, scores, iou_threshold: float):
    """Indices of the boxes that are kept, by falling score: none overlaps a better one by more.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"boxes should be a 2D tensor with 4 columns, got {tuple(boxes.shape)}")
    if scores.shape != boxes.shape[:1]:
        raise RuntimeError("boxes and scores should have same number of elements in dimension 0, got "
                           f"{boxes.shape[0]} and {tuple(scores.shape)}")
    corners = boxes.detach().numpy()
    order = np.argsort(-scores.detach().numpy(), kind="stable")
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low, high = np.maximum(corners[best, :2], corners[rest, :2]), np.minimum(corners[best, 2:], corners[rest, 2:])
        inter = np.maximum(high - low, 0).prod(1)
        with np.errstate(all="ignore"):
            order = rest[~(inter / (areas[best] + areas[rest] - inter) > iou_threshold)]
    return torch.tensor(kept, dtype=torch.int64)


def batched_nms(boxes, scores, idxs, iou_threshold: float):
    """`nms` within each category `idxs` (N,)."""
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.int64)
    keep = torch.zeros_like(scores, dtype=torch.bool)
    for category in torch.unique(idxs):
        mine = torch.where(idxs == category)[0]
        keep[mine[nms(boxes[mine], scores[mine], iou_threshold)]] = True
    kept = torch.where(keep)[0]
    return kept[scores[kept].sort(descending=True, stable=True)[1]]


def remove_small_boxes(boxes, min_size: float):
    """Indices of the boxes whose sides are at least so long."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return torch.where((sides >= min_size).all(1))[0]


def clip_boxes_to_image(boxes, size):
    """Boxes (..., 4) cut at the borders of an image (height, width)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack((x, y), -1).reshape(boxes.shape)


def masks_to_boxes(masks):
    """The boxes (N, 4) around what is not 0 in masks (N, H, W)."""
    boxes = torch.zeros((masks.shape[0], 4), dtype=torch.float)
    for k, mask in enumerate(masks):
        y, x = torch.where(mask != 0)
        boxes[k] = torch.stack((x.min(), y.min(), x.max(), y.max())).float()
    return boxes
