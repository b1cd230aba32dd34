"""Boxes to start from, at each place of each level of features."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn


class AnchorGenerator(nn.Module):
    """Anchors of several sizes and shapes: Ren et al., Faster R-CNN (2015), section 3.1.1.

    Args:
        sizes: for each level, square roots of areas. aspect_ratios: for each level, heights over widths.
    """

    def __init__(self, sizes=((128, 256, 512),), aspect_ratios=((0.5, 1.0, 2.0),)):
        super().__init__()
        self.sizes = sizes if isinstance(sizes[0], (list, tuple)) else tuple((size,) for size in sizes)
        self.aspect_ratios = aspect_ratios if isinstance(aspect_ratios[0], (list, tuple)) \
            else (aspect_ratios,) * len(self.sizes)
        self.cell_anchors = [self.generate_anchors(*both) for both in zip(self.sizes, self.aspect_ratios)]

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device=None):
        """(sizes * ratios, 4): round the origin."""
        scales, ratios = torch.as_tensor(scales, dtype=dtype), torch.as_tensor(aspect_ratios, dtype=dtype)
        high = torch.sqrt(ratios)
        w, h = ((1 / high)[:, None] * scales[None, :]).view(-1), (high[:, None] * scales[None, :]).view(-1)
        return (torch.stack([-w, -h, w, h], dim=1) / 2).round()

    def num_anchors_per_location(self) -> list[int]:
        return [len(sizes) * len(ratios) for sizes, ratios in zip(self.sizes, self.aspect_ratios)]

    def grid_anchors(self, grid_sizes, strides):
        """For each level (places * anchors, 4)."""
        if not len(grid_sizes) == len(strides) == len(self.cell_anchors):
            raise AssertionError(
                "Anchors should be Tuple[Tuple[int]] because each feature map could potentially have different sizes "
                "and aspect ratios. There needs to be a match between the number of feature maps passed and the number "
                "of sizes / aspect ratios specified.")
        made = []
        for (rows, columns), (down, right), base in zip(grid_sizes, strides, self.cell_anchors):
            y, x = torch.meshgrid(torch.arange(rows) * down, torch.arange(columns) * right, indexing="ij")
            shifts = torch.stack([x, y, x, y], 2).view(-1, 1, 4)
            made.append((shifts + base.view(1, -1, 4)).reshape(-1, 4))
        return made

    def forward(self, image_list, feature_maps):
        """For each image (anchors of all levels, 4)."""
        height, width = image_list.tensors.shape[-2:]
        sizes = [features.shape[-2:] for features in feature_maps]
        anchors = torch.cat(self.grid_anchors(sizes, [(height // h, width // w) for h, w in sizes]))
        return [anchors for _ in image_list.image_sizes]
