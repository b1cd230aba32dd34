"""Images of different sizes as one batch, and what was found in it as places in the images."""
from __future__ import annotations

import math

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


class ImageList:
    """A batch (N, C, H, W), and the sizes (h, w) of the images in it."""

    def __init__(self, tensors, image_sizes):
        self.tensors, self.image_sizes = tensors, image_sizes

    def to(self, device):
        return ImageList(self.tensors.to(device), self.image_sizes)


class GeneralizedRCNNTransform(nn.Module):
    """Normalises images, resizes them and pads them to one size; takes results back.

    Args:
        min_size: the shorter side, a number or several to draw from in training. max_size: of the longer side.
        size_divisible: of what the batch's sides are multiples. fixed_size: (width, height) in place of those.
    """

    def __init__(self, min_size, max_size, image_mean, image_std, size_divisible=32, fixed_size=None, **kwargs):
        super().__init__()
        self.min_size = min_size if isinstance(min_size, (list, tuple)) else (min_size,)
        self.max_size, self.image_mean, self.image_std = max_size, image_mean, image_std
        self.size_divisible, self.fixed_size = size_divisible, fixed_size
        self._skip_resize = kwargs.pop("_skip_resize", False)

    def forward(self, images, targets=None):
        """(an `ImageList`, targets of the resized images)."""
        targets = [None] * len(images) if targets is None else [dict(target) for target in targets]
        pairs = []
        for image, target in zip(images, targets):
            if image.dim() != 3:
                raise ValueError(f"images is expected to be a list of 3d tensors of shape [C, H, W], got {image.shape}")
            pairs.append(self.resize(self.normalize(image), target))
        images, targets = map(list, zip(*pairs))
        sizes = [tuple(image.shape[-2:]) for image in images]
        return ImageList(self.batch_images(images, self.size_divisible), sizes), None if targets[0] is None else targets

    def normalize(self, image):
        if not image.is_floating_point():
            raise TypeError("Expected input images to be of floating type (in range [0, 1]), "
                            f"but found type {image.dtype} instead")
        mean, std = (torch.as_tensor(v, dtype=image.dtype)[:, None, None] for v in (self.image_mean, self.image_std))
        return (image - mean) / std

    def choice(self, sizes) -> int:
        """One of them, by torch's random numbers."""
        return sizes[int(torch.empty(1).uniform_(0.0, float(len(sizes))).item())]

    def resize(self, image, target=None):
        before = image.shape[-2:]
        if self.training and self._skip_resize:
            return image, target
        image = self.resized(image, self.choice(self.min_size) if self.training else self.min_size[-1])
        if target is None:
            return image, target
        after = image.shape[-2:]
        target["boxes"] = resize_boxes(target["boxes"], before, after)
        if "masks" in target:
            masks = F.interpolate(target["masks"][:, None].float(), size=after)
            target["masks"] = masks[:, 0].byte()
        if "keypoints" in target:
            target["keypoints"] = resize_keypoints(target["keypoints"], before, after)
        return image, target

    def resized(self, image, size):
        if self.fixed_size is not None:
            options = {"size": [self.fixed_size[1], self.fixed_size[0]]}
        else:
            short, long = min(image.shape[-2:]), max(image.shape[-2:])
            options = {"scale_factor": min(size / short, self.max_size / long), "recompute_scale_factor": True}
        return F.interpolate(image[None], mode="bilinear", align_corners=False, **options)[0]

    def batch_images(self, images, size_divisible=32):
        height, width = (math.ceil(max(image.shape[k] for image in images) / size_divisible) * size_divisible
                         for k in (1, 2))
        return torch.stack([F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images])

    def postprocess(self, result, image_shapes, original_image_sizes):
        """Boxes, masks and keypoints as places in the original images."""
        if self.training:
            return result
        from rushlight.vision.models.detection.roi_heads import paste_masks_in_image
        for found, before, after in zip(result, image_shapes, original_image_sizes):
            found["boxes"] = resize_boxes(found["boxes"], before, after)
            if "masks" in found:
                found["masks"] = paste_masks_in_image(found["masks"], found["boxes"], after)
            if "keypoints" in found:
                found["keypoints"] = resize_keypoints(found["keypoints"], before, after)
        return result

    def __repr__(self):
        return (f"{type(self).__name__}(\n    Normalize(mean={self.image_mean}, std={self.image_std})"
                f"\n    Resize(min_size={self.min_size}, max_size={self.max_size}, mode='bilinear')\n)")


def ratios(original_size, new_size):
    """(down, right), rounded as float32."""
    return (torch.tensor(float(new)) / torch.tensor(float(old)) for new, old in zip(new_size, original_size))


def resize_boxes(boxes, original_size, new_size):
    down, right = ratios(original_size, new_size)
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack((x1 * right, y1 * down, x2 * right, y2 * down), dim=1)


def resize_keypoints(keypoints, original_size, new_size):
    """(..., 3): x, y and whether it is seen."""
    down, right = ratios(original_size, new_size)
    return torch.stack((keypoints[..., 0] * right, keypoints[..., 1] * down, keypoints[..., 2]), dim=-1)
