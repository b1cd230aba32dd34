"""Regions pooled from the level of a pyramid that suits their size."""
from __future__ import annotations

import math

import rushlight as torch
from rushlight import nn
from rushlight.vision.ops.boxes import box_area
from rushlight.vision.ops.regions import as_rois, pair_of, roi_align


class MultiScaleRoIAlign(nn.Module):
    """`roi_align` on several levels of features: section 4.2 of Lin et al. (2016).

    Args:
        featmap_names: of the levels to use. output_size: (rows, columns).
        canonical_scale, canonical_level: the side of a box, in the image, that belongs to that level.
    """

    def __init__(self, featmap_names: list[str], output_size, sampling_ratio: int, *, canonical_scale: int = 224,
                 canonical_level: int = 4):
        super().__init__()
        self.featmap_names, self.sampling_ratio = featmap_names, sampling_ratio
        self.output_size = pair_of(output_size)
        self.scales = self.levels = None
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(self, x, boxes, image_shapes):
        """(K, C, rows, columns): x a dict of levels, boxes a list of (n, 4), image_shapes of (H, W)."""
        maps = [x[name] for name in x if name in self.featmap_names]
        if self.scales is None:
            self.measure(maps, image_shapes)
        rois = as_rois(boxes)
        if len(maps) == 1:
            return roi_align(maps[0], rois, self.output_size, self.scales[0], self.sampling_ratio)
        levels = self.levels_of(rois[:, 1:])
        result = torch.zeros((len(rois), maps[0].shape[1], *self.output_size), dtype=maps[0].dtype)
        for level, (features, scale) in enumerate(zip(maps, self.scales)):
            here = torch.where(levels == level)[0]
            pooled = roi_align(features, rois[here], self.output_size, scale, self.sampling_ratio)
            result = result.index_put((here,), pooled.to(result.dtype))
        return result

    def measure(self, maps, image_shapes) -> None:
        """How much smaller than the images the levels are, as powers of two."""
        if not image_shapes:
            raise ValueError("images list should not be empty")
        sides = [max(sizes) for sizes in zip(*image_shapes)]
        powers = []
        for features in maps:
            found = {round(math.log2(side / whole)) for side, whole in zip(features.shape[-2:], sides)}
            if len(found) != 1:
                raise ValueError(f"a level of size {tuple(features.shape[-2:])} is not smaller alike in both "
                                 f"directions than images of {tuple(sides)}")
            powers.append(found.pop())
        self.scales = [2.0 ** power for power in powers]
        self.levels = (-powers[0], -powers[-1])

    def levels_of(self, boxes):
        """Equation 1: the level whose features have the detail that a box of this size needs."""
        side = torch.sqrt(box_area(boxes))
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_scale) + 1e-6)
        return torch.clamp(level, *self.levels).to(torch.int64) - self.levels[0]

    def __repr__(self):
        return (f"{type(self).__name__}(featmap_names={self.featmap_names}, output_size={self.output_size}, "
                f"sampling_ratio={self.sampling_ratio})")
