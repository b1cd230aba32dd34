"""Images as grids and files, and what is drawn on them."""
from __future__ import annotations

import math

import rushlight as torch
from rushlight.vision.pillow import pillow
from rushlight.vision.transforms import functional as F

__all__ = ["draw_bounding_boxes", "draw_segmentation_masks", "make_grid", "save_image"]


def make_grid(tensor, nrow=8, padding=2, normalize=False, value_range=None, scale_each=False, pad_value=0.0):
    """Images (N, C, H, W), or a list of (C, H, W), as one image (C, H', W').

    Args:
        nrow: images in a row. padding: pixels between them, of value pad_value.
        normalize: shift to 0 .. 1, from value_range or from the smallest and largest value,
            of all images or (scale_each) of each.

    Raises:
        TypeError: something else than tensors.
    """
    images = as_batch(tensor)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        images = torch.stack([scaled(image, value_range) for image in images]) if scale_each \
            else scaled(images, value_range)
    if len(images) == 1:
        return images.squeeze(0)
    columns = min(nrow, len(images))
    rows = math.ceil(len(images) / columns)
    channels, height, width = images.shape[1:]
    height, width = height + padding, width + padding
    grid = images.new_full((channels, height * rows + padding, width * columns + padding), pad_value)
    for k, image in enumerate(images):
        top, left = k // columns * height + padding, k % columns * width + padding
        grid[:, top:top + height - padding, left:left + width - padding] = image
    return grid


def as_batch(tensor):
    """(N, 3 or more channels, H, W) of what `make_grid` takes."""
    if isinstance(tensor, list):
        for image in tensor:
            if not isinstance(image, torch.Tensor):
                raise TypeError(f"tensor or list of tensors expected, got a list containing {type(image)}")
        tensor = torch.stack(tensor)
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    tensor = tensor[None] if tensor.dim() == 2 else tensor
    tensor = tensor[None] if tensor.dim() == 3 else tensor
    return tensor.repeat(1, 3, 1, 1) if tensor.dim() == 4 and tensor.shape[1] == 1 else tensor


def scaled(image, value_range):
    low, high = value_range if value_range is not None else (float(image.min()), float(image.max()))
    return image.clamp(low, high).sub(low).div(max(high - low, 1e-5))


@torch.no_grad()
def save_image(tensor, fp, format=None, **kwargs):
    """Write images as one file, a grid if there are several; values are in 0 .. 1.

    Args:
        fp: a path or a file. format: Pillow's name of one, needed for files. kwargs: of `make_grid`.
    """
    grid = make_grid(tensor, **kwargs)
    pixels = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to("cpu", torch.uint8).numpy()
    pillow().fromarray(pixels).save(fp, format=format)


# -- drawing ----------------------------------------------------------------------------------------------
def palette(count: int) -> list[tuple[int, int, int]]:
    """Distinct colours."""
    base = (2 ** 25 - 1, 2 ** 15 - 1, 2 ** 21 - 1)
    return [tuple(i * part % 255 for part in base) for i in range(count)]


def colours_of(colors, count: int) -> list:
    """A colour for each of `count` objects.

    Raises:
        ValueError: there are fewer.
    """
    if colors is None:
        colors = palette(count)
    elif not isinstance(colors, list):
        colors = [colors] * count
    elif len(colors) < count:
        raise ValueError(f"Number of colors must be equal or larger than the number of objects, but got "
                         f"{len(colors)} < {count}.")
    return [pillow("ImageColor").getrgb(c) if isinstance(c, str) else tuple(c) for c in colors]


def check_rgb(image) -> None:
    if not isinstance(image, torch.Tensor):
        raise TypeError(f"The image must be a tensor, got {type(image)}")
    if not (image.dtype is torch.uint8 or image.is_floating_point()):
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    if image.dim() != 3:
        raise ValueError("Pass individual images, not batches")
    if image.shape[0] not in (1, 3):
        raise ValueError("Only grayscale and RGB images are supported")


@torch.no_grad()
def draw_bounding_boxes(image, boxes, labels=None, colors=None, fill=False, width=1, font=None,
                        font_size=None, label_colors=None, label_background_colors=None, fill_labels=False):
    """The image (3, H, W) with rectangles (N, 4): x and y of the top left, then of the bottom right.

    Raises:
        ValueError: a box whose right or bottom lies before its left or top; labels of another number.
    """
    check_rgb(image)
    if boxes.numel() == 0:
        return image
    if (boxes[:, 0] > boxes[:, 2]).any() or (boxes[:, 1] > boxes[:, 3]).any():
        raise ValueError("Boxes need to be in (xmin, ymin, xmax, ymax) format. Use torchvision.ops.box_convert "
                         "to convert them")
    if labels is not None and len(labels) != len(boxes):
        raise ValueError(f"The number of boxes ({len(boxes)}) and labels ({len(labels)}) mismatch. "
                         "Please specify labels for each box.")
    colours = colours_of(colors, len(boxes))
    behind = colours if label_background_colors is None else colours_of(label_background_colors, len(boxes))
    text_colours = colours_of(label_colors, len(boxes)) if label_colors is not None else colours
    picture = F.to_pil_image(image.expand(3, -1, -1))
    draw = pillow("ImageDraw").Draw(picture, "RGBA" if fill else None)
    fonts = pillow("ImageFont")
    face = fonts.load_default() if font is None else fonts.truetype(font, font_size or 10)
    for k, box in enumerate(boxes.to(torch.int64).tolist()):
        draw.rectangle(box, width=width, outline=colours[k], fill=(*colours[k], 100) if fill else None)
        if labels is not None and labels[k] is not None:
            place = (box[0] + width + 1, box[1] + width + 1)
            if fill_labels or label_background_colors is not None:
                draw.rectangle(draw.textbbox(place, labels[k], font=face), fill=behind[k])
            draw.text(place, labels[k], fill=text_colours[k], font=face)
    result = F.pil_to_tensor(picture)
    return F.convert_image_dtype(result, image.dtype) if image.is_floating_point() else result


@torch.no_grad()
def draw_segmentation_masks(image, masks, alpha=0.8, colors=None):
    """The image (3, H, W) with boolean masks (N, H, W) or (H, W) laid over it in colours.

    Args:
        alpha: how much of the colour is seen, 0 .. 1.

    Raises:
        TypeError and ValueError: an image or masks of another kind or size.
    """
    check_rgb(image)
    masks = masks[None] if masks.dim() == 2 else masks
    if masks.dim() != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype is not torch.bool:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    coloured = image.expand(3, -1, -1).clone()
    for mask, colour in zip(masks, colours_of(colors, len(masks))):
        shade = torch.tensor(colour, dtype=torch.uint8)
        shade = F.convert_image_dtype(shade, image.dtype) if image.is_floating_point() else shade
        coloured[:, mask] = shade[:, None].expand(3, int(mask.sum()))
    mixed = image * (1 - alpha) + coloured * alpha
    return mixed if image.is_floating_point() else mixed.to(torch.uint8)
