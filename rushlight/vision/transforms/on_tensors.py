"""Transforms of tensor images (..., C, H, W): uint8 in 0 .. 255 or floats in 0 .. 1."""
from __future__ import annotations

import rushlight as torch
from rushlight.nn import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode

LUMA = (0.2989, 0.587, 0.114)      # ITU-R BT.601, rounded as torchvision does
FILTERS = ("nearest", "nearest-exact", "bilinear", "bicubic")


def check_image(image) -> None:
    if image.dim() < 2:
        raise TypeError("Tensor is not a torch image.")


def largest(image) -> float:
    """The value of white."""
    return max_value(image.dtype)


def max_value(dtype) -> float:
    if dtype.is_floating_point:
        return 1
    return 1 if dtype is torch.bool else torch.iinfo(dtype).max


def dimensions(image) -> tuple[int, int, int]:
    check_image(image)
    return (1 if image.dim() == 2 else image.shape[-3]), image.shape[-2], image.shape[-1]


def crop(image, top, left, height, width):
    _, rows, columns = dimensions(image)
    right, bottom = left + width, top + height
    if left < 0 or top < 0 or right > columns or bottom > rows:
        sides = [max(-left + min(0, right), 0), max(-top + min(0, bottom), 0),
                 max(right - max(columns, left), 0), max(bottom - max(rows, top), 0)]
        return pad(image[..., max(top, 0):bottom, max(left, 0):right], sides, 0, "constant")
    return image[..., top:bottom, left:right]


def hflip(image):
    check_image(image)
    return image.flip(-1)


def vflip(image):
    check_image(image)
    return image.flip(-2)


def in_batch(image, wanted=(torch.float32, torch.float64)):
    """(N, C, H, W) of a dtype that can be filtered, and the function that undoes it."""
    shape, dtype = image.shape, image.dtype
    flat = image.reshape(-1, *shape[-3:]) if image.dim() >= 3 else image[None, None]
    batch = flat if dtype in wanted else flat.to(torch.float32)

    def undo(result):
        result = result.reshape(*shape[:-2], *result.shape[-2:]) if len(shape) >= 3 else result[0, 0]
        if dtype in wanted:
            return result
        if not dtype.is_floating_point:
            result = result.round()
        return result.to(dtype)
    return batch, undo


def resize(image, size, mode, antialias=True):
    if mode.value not in FILTERS:
        raise ValueError("This interpolation mode is unsupported with Tensor input")
    smooth = mode.value in ("bilinear", "bicubic")
    batch, undo = in_batch(image)
    if smooth:
        options = {"align_corners": False, "antialias": True} if antialias else {"align_corners": False}
        made = F.interpolate(batch, list(size), mode=mode.value, **options)
    else:
        made = F.interpolate(batch, list(size), mode=mode.value)
    if mode is InterpolationMode.BICUBIC and image.dtype is torch.uint8:
        made = made.clamp(0, 255)
    return undo(made)


def pad(image, sides, fill, padding_mode):
    """Sides are (left, top, right, bottom)."""
    left, top, right, bottom = sides
    if padding_mode == "symmetric":
        return pad_symmetric(image, sides)
    mode = {"edge": "replicate"}.get(padding_mode, padding_mode)
    if mode == "constant":
        fill = fill if fill is not None else 0
        if isinstance(fill, (list, tuple)):
            if len(fill) > 1:
                return padded_with_colour(image, sides, fill)
            fill = fill[0]
        return F.pad(image, [left, right, top, bottom], mode="constant", value=float(fill))
    batch, undo = in_batch(image)
    return undo(F.pad(batch, [left, right, top, bottom], mode=mode))


def padded_with_colour(image, sides, fill):
    channels = [F.pad(image[..., c, :, :], [sides[0], sides[2], sides[1], sides[3]], value=float(fill[c]))
                for c in range(image.shape[-3])]
    return torch.stack(channels, -3)


def pad_symmetric(image, sides):
    left, top, right, bottom = sides
    if min(sides) < 0:
        image = image[..., max(-top, 0):image.shape[-2] - max(-bottom, 0),
                      max(-left, 0):image.shape[-1] - max(-right, 0)]
        left, top, right, bottom = (max(side, 0) for side in sides)
    rows, columns = image.shape[-2:]
    along_rows = mirrored(rows, top, bottom)
    along_columns = mirrored(columns, left, right)
    return image[..., along_rows[:, None], along_columns[None, :]]


def mirrored(size, before, after):
    """Indices of a line that is mirrored, its last pixel included, at both ends."""
    places = list(range(size))
    return torch.tensor(places[:before][::-1] + places + (places[-after:][::-1] if after else []))


def rgb_to_grayscale(image, channels=1):
    count = dimensions(image)[0]
    if count == 1:
        return image.expand(*image.shape[:-3], channels, *image.shape[-2:]) if channels == 3 else image
    if count != 3:
        raise TypeError(f"Input image tensor permitted channel values are 1 or 3, but found {count}")
    red, green, blue = image.unbind(-3)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).to(image.dtype).unsqueeze(-3)
    return grey.expand(image.shape) if channels == 3 else grey


def blend(one, other, ratio):
    """ratio of the first image, the rest of the second, within the image's range."""
    mixed = ratio * one + (1.0 - ratio) * other
    return mixed.clamp(0, largest(one)).to(one.dtype)


def adjust_brightness(image, factor):
    return blend(image, torch.zeros_like(image), factor)


def adjust_contrast(image, factor):
    grey = rgb_to_grayscale(image) if dimensions(image)[0] == 3 else image
    grey = grey if image.dtype.is_floating_point else grey.to(torch.float32)
    return blend(image, grey.mean((-3, -2, -1), keepdim=True), factor)


def adjust_saturation(image, factor):
    if dimensions(image)[0] == 1:
        return image
    return blend(image, rgb_to_grayscale(image), factor)


def adjust_sharpness(image, factor):
    if image.shape[-1] <= 2 or image.shape[-2] <= 2:
        return image
    return blend(image, softened(image), factor)


def softened(image):
    """The mean of each inner pixel and its neighbours, the pixel counting five times."""
    batch, undo = in_batch(image)
    kernel = torch.ones(3, 3, dtype=batch.dtype)
    kernel[1, 1] = 5
    kernel = (kernel / kernel.sum()).expand(batch.shape[-3], 1, 3, 3)
    inner = F.conv2d(batch, kernel, groups=batch.shape[-3])
    result = batch.clone()
    result[..., 1:-1, 1:-1] = inner
    return undo(result)


def adjust_gamma(image, gamma, gain):
    floats = image if image.dtype.is_floating_point else convert_dtype(image, torch.float32)
    return convert_dtype((gain * floats ** gamma).clamp(0, 1), image.dtype)


def adjust_hue(image, factor):
    if dimensions(image)[0] == 1:
        return image
    floats = convert_dtype(image, torch.float32)
    hue, saturation, value = rgb_to_hsv(floats).unbind(-3)
    turned = hsv_to_rgb(torch.stack(((hue + factor) % 1.0, saturation, value), -3))
    return convert_dtype(turned, image.dtype)


def rgb_to_hsv(image):
    """Smith, Color Gamut Transform Pairs (1978); all three in 0 .. 1."""
    red, green, blue = image.unbind(-3)
    high, low = image.amax(-3), image.amin(-3)
    same = high == low
    span, ones = high - low, torch.ones_like(high)
    saturation = span / torch.where(same, ones, high)
    divisor = torch.where(same, ones, span)
    r, g, b = ((high - channel) / divisor for channel in (red, green, blue))
    hue = ((high == red) * (b - g) + ((high == green) & (high != red)) * (2.0 + r - b)
           + ((high != green) & (high != red)) * (4.0 + g - r))
    return torch.stack(((hue / 6.0 + 1.0) % 1.0, saturation, high), -3)


def hsv_to_rgb(image):
    hue, saturation, value = image.unbind(-3)
    sector = torch.floor(hue * 6.0)
    rest = hue * 6.0 - sector
    sector = sector.to(torch.int32) % 6
    p = (value * (1.0 - saturation)).clamp(0.0, 1.0)
    q = (value * (1.0 - saturation * rest)).clamp(0.0, 1.0)
    t = (value * (1.0 - saturation * (1.0 - rest))).clamp(0.0, 1.0)
    rows = ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q))
    return torch.stack([chosen(sector, row) for row in rows], -3)


def chosen(sector, values):
    result = values[0]
    for k in range(1, 6):
        result = torch.where(sector == k, values[k], result)
    return result


def convert_dtype(image, dtype):
    """The image with values of another dtype's range."""
    if image.dtype is dtype:
        return image
    if image.dtype.is_floating_point:
        return floats_to(image, dtype)
    white = float(max_value(image.dtype))
    if dtype.is_floating_point:
        return image.to(dtype) / white
    target = float(max_value(dtype))
    if white > target:
        return torch.div(image, int((white + 1) // (target + 1)), rounding_mode="floor").to(dtype)
    return image.to(dtype) * int((target + 1) // (white + 1))


def floats_to(image, dtype):
    if dtype.is_floating_point:
        return image.to(dtype)
    if (image.dtype is torch.float32 and dtype in (torch.int32, torch.int64)) or (
            image.dtype is torch.float64 and dtype is torch.int64):
        raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
    return (image * (max_value(dtype) + 1.0 - 1e-3)).to(dtype)


def normalize(image, mean, std, inplace):
    if not image.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.dim() < 3:
        raise ValueError("Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = "
                         f"{image.size()}")
    image = image if inplace else image.clone()
    mean, std = (torch.as_tensor(values, dtype=image.dtype) for values in (mean, std))
    if (std == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {image.dtype}, leading to division by zero.")
    mean, std = (v.view(-1, 1, 1) if v.dim() == 1 else v for v in (mean, std))
    return image.sub_(mean).div_(std)


def erase(image, top, left, height, width, value, inplace):
    image = image if inplace else image.clone()
    image[..., top:top + height, left:left + width] = value
    return image


def gaussian_blur(image, kernel_size, sigma):
    """Kernel sizes and deviations are (along x, along y)."""
    batch, undo = in_batch(image)
    along_x, along_y = (gaussian(size, deviation, batch.dtype)
                        for size, deviation in zip(kernel_size, sigma))
    kernel = torch.mm(along_y[:, None], along_x[None, :]).expand(batch.shape[-3], 1, -1, -1)
    x, y = kernel_size[0] // 2, kernel_size[1] // 2
    padded = F.pad(batch, [x, x, y, y], mode="reflect")
    return undo(F.conv2d(padded, kernel, groups=batch.shape[-3]))


def gaussian(size, deviation, dtype):
    half = (size - 1) * 0.5
    x = torch.linspace(-half, half, steps=size, dtype=dtype)
    density = torch.exp(-0.5 * (x / deviation).pow(2))
    return density / density.sum()


# -- geometry ---------------------------------------------------------------------------------------
def sample(image, grid, mode, fill):
    """The image at the places of a grid; outside of it the fill."""
    batch, undo = in_batch(image)
    grid = grid.to(batch.dtype)
    if fill is not None:
        mask = torch.ones((batch.shape[0], 1, *batch.shape[-2:]), dtype=batch.dtype)
        batch = torch.cat((batch, mask), 1)
    made = F.grid_sample(batch, grid.expand(batch.shape[0], *grid.shape[1:]), mode=mode,
                         padding_mode="zeros", align_corners=False)
    if fill is not None:
        mask, made = made[:, -1:].expand_as(made[:, :-1]), made[:, :-1]
        colour = torch.tensor(fill, dtype=made.dtype).view(1, -1, 1, 1).expand_as(made)
        if mode == "nearest":
            made = torch.where(mask < 0.5, colour, made)
        else:
            made = made * mask + (1.0 - mask) * colour
    return undo(made)


def fill_of(fill):
    if fill is None or isinstance(fill, (list, tuple)):
        return fill
    return [float(fill)]


def affine(image, matrix, mode, fill, size=None):
    """Matrix: from the places of the result to those of the image, from their centres."""
    rows, columns = image.shape[-2:]
    out_columns, out_rows = size or (columns, rows)
    theta = torch.tensor(matrix, dtype=torch.float32).reshape(1, 2, 3)
    x = torch.linspace(-out_columns * 0.5 + 0.5, out_columns * 0.5 + 0.5 - 1, steps=out_columns)
    y = torch.linspace(-out_rows * 0.5 + 0.5, out_rows * 0.5 + 0.5 - 1, steps=out_rows)
    base = torch.stack((x.expand(out_rows, -1), y[:, None].expand(-1, out_columns),
                        torch.ones(out_rows, out_columns)), -1)
    scaled = theta.transpose(1, 2) / torch.tensor([0.5 * columns, 0.5 * rows])
    grid = base.view(1, -1, 3).bmm(scaled).view(1, out_rows, out_columns, 2)
    return sample(image, grid, checked(mode), fill_of(fill))


def rotated_size(matrix, columns, rows):
    """(width, height) of the box around the rotated image."""
    corners = torch.tensor([[-0.5 * columns, -0.5 * rows, 1.0], [-0.5 * columns, 0.5 * rows, 1.0],
                            [0.5 * columns, 0.5 * rows, 1.0], [0.5 * columns, -0.5 * rows, 1.0]])
    turned = torch.matmul(corners, torch.tensor(matrix, dtype=torch.float32).reshape(2, 3).T)
    low = turned.min(dim=0)[0] + torch.tensor((columns * 0.5, rows * 0.5))
    high = turned.max(dim=0)[0] + torch.tensor((columns * 0.5, rows * 0.5))
    small = 1e-4
    size = torch.ceil((high / small).trunc() * small) - torch.floor((low / small).trunc() * small)
    return int(size[0]), int(size[1])


def rotate(image, matrix, mode, expand, fill):
    size = rotated_size(matrix, image.shape[-1], image.shape[-2]) if expand else None
    return affine(image, matrix, mode, fill, size)


def perspective(image, coefficients, mode, fill):
    rows, columns = image.shape[-2:]
    c = coefficients
    above = torch.tensor([[[c[0], c[1], c[2]], [c[3], c[4], c[5]]]])
    below = torch.tensor([[[c[6], c[7], 1.0], [c[6], c[7], 1.0]]])
    x = torch.linspace(0.5, columns + 0.5 - 1.0, steps=columns)
    y = torch.linspace(0.5, rows + 0.5 - 1.0, steps=rows)
    base = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns),
                        torch.ones(rows, columns)), -1).view(1, -1, 3)
    scaled = above.transpose(1, 2) / torch.tensor([0.5 * columns, 0.5 * rows])
    grid = base.bmm(scaled) / base.bmm(below.transpose(1, 2)) - 1.0
    return sample(image, grid.view(1, rows, columns, 2), checked(mode), fill_of(fill))


def elastic(image, displacement, mode, fill):
    rows, columns = image.shape[-2:]
    places = [torch.linspace((-size + 1) / size, (size - 1) / size, size) for size in (rows, columns)]
    y, x = torch.meshgrid(*places, indexing="ij")
    grid = torch.stack([x, y], -1)[None] + displacement
    return sample(image, grid, checked(mode), fill_of(fill))


def checked(mode) -> str:
    if mode.value not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode.value}' is unsupported with Tensor input")
    return mode.value


# -- levels -----------------------------------------------------------------------------------------
def invert(image):
    return largest(image) - image


def posterize(image, bits):
    if image.dtype is not torch.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    return image & -int(2 ** (8 - bits))


def solarize(image, threshold):
    if threshold > largest(image):
        raise TypeError("Threshold should be less than bound of img.")
    return torch.where(image >= threshold, invert(image), image)


def autocontrast(image):
    white = largest(image)
    dtype = image.dtype if image.dtype.is_floating_point else torch.float32
    low = image.amin((-2, -1), keepdim=True).to(dtype)
    high = image.amax((-2, -1), keepdim=True).to(dtype)
    flat = high == low
    low = torch.where(flat, torch.zeros_like(low), low)
    scale = torch.where(flat, torch.ones_like(high), white / torch.where(flat, torch.ones_like(high), high - low))
    return ((image - low) * scale).clamp(0, white).to(image.dtype)


def equalize(image):
    if image.dtype is not torch.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    flat = image.reshape(-1, *image.shape[-2:])
    return torch.stack([equalize_channel(channel) for channel in flat]).view(image.shape)


def equalize_channel(channel):
    counts = torch.bincount(channel.reshape(-1).to(torch.int64), minlength=256)
    step = int(counts[counts != 0][:-1].sum()) // 255
    if step == 0:
        return channel
    table = torch.div(counts.cumsum(0) + step // 2, step, rounding_mode="floor")
    table = F.pad(table, [1, 0])[:-1].clamp(0, 255)
    return table[channel.to(torch.int64)].to(torch.uint8)
