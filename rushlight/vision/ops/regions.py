"""Regions of interest: parts of feature maps, given by boxes, in one size.

Boxes are a list of (n, 4) for each image, or (K, 5) with the image's number first.
"""
from __future__ import annotations

import rushlight as torch
from rushlight import nn


def as_rois(boxes):
    """(K, 5): the number of the image, and its box.

    Raises:
        ValueError: boxes of another shape.
    """
    if isinstance(boxes, (list, tuple)):
        if any(b.dim() != 2 or b.shape[1] != 4 for b in boxes):
            raise ValueError("The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]")
        return torch.cat([torch.cat((torch.full_like(b[:, :1], k), b), 1) for k, b in enumerate(boxes)])
    if boxes.dim() != 2 or boxes.shape[1] != 5:
        raise ValueError("The boxes tensor shape is not correct as Tensor[K, 5]")
    return boxes


def pair_of(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def roi_pool(input, boxes, output_size, spatial_scale=1.0):
    """The largest value in each cell of a grid over each box: Girshick, Fast R-CNN (2015).

    Args:
        input: (N, C, H, W). output_size: (rows, columns). spatial_scale: from box places to input places.

    Returns:
        (K, C, rows, columns)
    """
    rois, (rows, columns) = as_rois(boxes), pair_of(output_size)
    places = torch.floor(rois[:, 1:].detach() * spatial_scale + 0.5).long().tolist()    # halves go up
    images = rois[:, 0].long().tolist()
    made = [pooled(input[n], box, rows, columns) for n, box in zip(images, places)]
    return torch.stack(made) if made else input.new_zeros((0, input.shape[1], rows, columns))


def pooled(image, box, rows, columns):
    x1, y1, x2, y2 = box
    spans_y = cells(y1, max(y2 - y1 + 1, 1), rows, image.shape[1])
    spans_x = cells(x1, max(x2 - x1 + 1, 1), columns, image.shape[2])
    empty = image.new_zeros(image.shape[0])
    return torch.stack([torch.stack([
        image[:, top:bottom, left:right].amax((1, 2)) if bottom > top and right > left else empty
        for left, right in spans_x], 1) for top, bottom in spans_y], 1)


def cells(start, length, count, limit):
    """Where each of `count` cells of a stretch begins and ends, within 0 .. limit."""
    spans = [(start + k * length // count, start - (-(k + 1) * length // count)) for k in range(count)]
    return [(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in spans]


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """The mean of bilinear samples in each cell of a grid over each box: He et al., Mask R-CNN (2017).

    Args:
        input: (N, C, H, W). output_size: (rows, columns). spatial_scale: from box places to input places.
        sampling_ratio: samples along each side of a cell; as many as there are pixels if not positive.
        aligned: pixels' centres are at halves.

    Returns:
        (K, C, rows, columns)
    """
    rois, (rows, columns) = as_rois(boxes), pair_of(output_size)
    shift = 0.5 if aligned else 0.0
    made = []
    for k, n in enumerate(rois[:, 0].long().tolist()):
        x1, y1, x2, y2 = (rois[k, 1:] * spatial_scale - shift).unbind()
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = width.clamp(min=1.0), height.clamp(min=1.0)
        made.append(aligned_region(input[n], (y1, height, rows), (x1, width, columns), sampling_ratio))
    return torch.stack(made) if made else input.new_zeros((0, input.shape[1], rows, columns))


def aligned_region(image, along_y, along_x, ratio):
    y, per_y = samples(*along_y, ratio)
    x, per_x = samples(*along_x, ratio)
    weights_y, weights_x = (bilinear(places, size).to(image.dtype)
                            for places, size in ((y, image.shape[1]), (x, image.shape[2])))
    rows, columns = along_y[2], along_x[2]
    mean_y = weights_y.view(rows, per_y, -1).mean(1)
    mean_x = weights_x.view(columns, per_x, -1).mean(1)
    return torch.einsum("ph,chw,qw->cpq", mean_y, image, mean_x)


def samples(start, length, count, ratio):
    """Places of the samples along one axis, and how many a cell has."""
    cell = length / count
    each = ratio if ratio > 0 else max(int(torch.ceil(cell)), 1)
    steps = (torch.arange(count * each, dtype=start.dtype) + 0.5) / each
    return start + steps * cell, each


def bilinear(places, size):
    """(places, size): how much each pixel of an axis counts at each place; none beyond the borders."""
    inside = (places >= -1.0) & (places <= size)
    at = places.clamp(0, size - 1)
    low = at.detach().floor().clamp(max=size - 1)
    part = (at - low)[:, None]
    pixels = torch.arange(size, dtype=places.dtype)[None]
    high = (low + 1).clamp(max=size - 1)
    weights = (pixels == low[:, None]) * (1 - part) + (pixels == high[:, None]) * part
    return weights * inside[:, None]


class RoIPool(nn.Module):
    """`roi_pool` as a layer."""

    def __init__(self, output_size, spatial_scale: float):
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input, rois):
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def __repr__(self):
        return f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale})"


class RoIAlign(nn.Module):
    """`roi_align` as a layer."""

    def __init__(self, output_size, spatial_scale: float, sampling_ratio: int, aligned: bool = False):
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input, rois):
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def __repr__(self):
        return (f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
                f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned})")
