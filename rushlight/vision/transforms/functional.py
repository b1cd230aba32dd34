"""Transforms as functions, of Pillow images and of tensors (..., C, H, W)."""
from __future__ import annotations

import math
import numbers

import numpy as np

import rushlight as torch
from rushlight.vision.pillow import is_image, pillow
from rushlight.vision.transforms import on_images, on_tensors
from rushlight.vision.transforms.interpolation import InterpolationMode, as_mode

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def room(image):
    """The module that works on this kind of image.

    Raises:
        TypeError: it is neither a Pillow image nor a tensor.
    """
    if isinstance(image, torch.Tensor):
        return on_tensors
    if is_image(image):
        return on_images
    raise TypeError(f"img should be PIL Image or Tensor. Got {type(image)}")


# -- what an image is ---------------------------------------------------------------------------------
def get_dimensions(img) -> list[int]:
    """[channels, height, width]."""
    if isinstance(img, np.ndarray):
        return [1 if img.ndim == 2 else img.shape[-1], *img.shape[:2]]
    return list(room(img).dimensions(img))


def get_image_size(img) -> list[int]:
    """[width, height]."""
    _, height, width = get_dimensions(img)
    return [width, height]


def get_image_num_channels(img) -> int:
    return get_dimensions(img)[0]


def to_tensor(pic) -> torch.Tensor:
    """A Pillow image or an array (H, W, C) as a tensor (C, H, W); bytes become floats in 0 .. 1.

    Raises:
        TypeError: something else. ValueError: an array without two or three dimensions.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        return as_floats(channels_first(pic if pic.ndim == 3 else pic[:, :, None]))
    if not is_image(pic):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    tensor = pil_to_tensor(pic)
    return 255 * tensor if pic.mode == "1" else as_floats(tensor)


def as_floats(tensor):
    return tensor.to(torch.get_default_dtype()).div(255) if tensor.dtype is torch.uint8 else tensor


def channels_first(array) -> torch.Tensor:
    return torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))


IMAGE_TYPES = {"I": np.int32, "I;16": np.int16, "I;16B": np.int16, "F": np.float32}


def pil_to_tensor(pic) -> torch.Tensor:
    """A Pillow image as a tensor (C, H, W) of its own dtype."""
    if not is_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, dtype=IMAGE_TYPES.get(pic.mode), copy=True)
    if pic.mode == "1":
        array = array.astype(np.uint8)
    return channels_first(array.reshape(pic.height, pic.width, len(pic.getbands())))


def to_pil_image(pic, mode=None):
    """A tensor (C, H, W) or (H, W), or an array (H, W, C), as a Pillow image.

    Raises:
        ValueError: a shape, or a mode for it, that no image has. TypeError: a dtype of that kind.
    """
    if isinstance(pic, torch.Tensor):
        if pic.dim() not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.dim()} dimensions.")
        pic = pic if pic.dim() == 3 else pic[None]
        if pic.shape[0] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {pic.shape[0]} channels.")
        if pic.is_floating_point() and mode != "F":
            pic = pic.mul(255).byte()
        array = pic.detach().cpu().numpy().transpose(1, 2, 0)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic if pic.ndim == 3 else pic[:, :, None]
        if array.shape[-1] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {array.shape[-1]} channels.")
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    return image_of(np.ascontiguousarray(array), mode)


MODES_OF = {1: ("L",), 2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}
SINGLE = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}


def image_of(array, mode):
    channels = array.shape[2]
    if channels == 1:
        array = array[:, :, 0]
        expected = SINGLE.get(str(array.dtype))
        if expected is None:
            raise TypeError(f"Input type {array.dtype} is not supported")
        if mode is not None and mode != expected:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {array.dtype}. "
                             f"Should be {expected}")
        return pillow().fromarray(array)
    if mode is not None and mode not in MODES_OF[channels]:
        raise ValueError(f"Only modes {list(MODES_OF[channels])} are supported for {channels}-channel inputs")
    if array.dtype != np.uint8:
        raise TypeError(f"Input type {array.dtype} is not supported")
    image = pillow().fromarray(array)
    return image.convert(mode) if mode is not None and mode != image.mode else image


def convert_image_dtype(image, dtype=torch.float32):
    """A tensor image with the values of another dtype's range."""
    if not isinstance(image, torch.Tensor):
        raise TypeError("Input img should be Tensor Image")
    return on_tensors.convert_dtype(image, dtype)


def normalize(tensor, mean, std, inplace=False):
    """(x - mean) / std by channel, of a float tensor (..., C, H, W)."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    return on_tensors.normalize(tensor, mean, std, inplace)


# -- size and place -----------------------------------------------------------------------------------
def resize(img, size, interpolation=BILINEAR, max_size=None, antialias=True):
    """The image in a size (height, width); one number is that of the shorter side."""
    mode = as_mode(interpolation)
    _, height, width = get_dimensions(img)
    target = resized(height, width, size, max_size)
    return img if target == (height, width) else room(img).resize(img, target, mode, antialias)


def resized(height, width, size, max_size):
    """(height, width) after a resize.

    Raises:
        ValueError: sizes that contradict each other.
    """
    size = [size] if isinstance(size, int) else size
    if size is not None and len(size) == 2:
        if max_size is not None:
            raise ValueError("max_size should only be passed if size specifies the length of the smaller "
                             "edge, i.e. size should be an int or a sequence of length 1 in torchscript mode.")
        return tuple(size)
    short, long = sorted((height, width))
    if size is None:
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = size[0], int(size[0] * long / short)
        if max_size is not None:
            if max_size <= size[0]:
                raise ValueError(f"max_size = {max_size} must be strictly greater than the requested size for "
                                 f"the smaller edge size = {size[0]}")
            if new_long > max_size:
                new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def pair_of(size, message="Please provide only two dimensions (h, w) for size."):
    """(height, width) of a number or a sequence."""
    if isinstance(size, numbers.Number):
        return int(size), int(size)
    if len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(message)
    return tuple(size)


def pad(img, padding, fill=0, padding_mode="constant"):
    """The image with borders; padding is one number, (x, y) or (left, top, right, bottom)."""
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if not isinstance(fill, (numbers.Number, tuple, list)) and fill is not None:
        raise TypeError("Got inappropriate fill arg")
    if padding_mode not in PADDING_MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    padding = [padding] if isinstance(padding, numbers.Number) else list(padding)
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} "
                         "element tuple")
    return room(img).pad(img, padding * (4 // len(padding)), fill, padding_mode)


def crop(img, top, left, height, width):
    """The part with this corner and size; what lies outside of the image is 0."""
    return room(img).crop(img, top, left, height, width)


def center_crop(img, output_size):
    """The middle of the image, padded with 0 where the image is smaller."""
    height, width = pair_of(output_size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        sides = [(width - columns) // 2 if width > columns else 0,
                 (height - rows) // 2 if height > rows else 0,
                 (width - columns + 1) // 2 if width > columns else 0,
                 (height - rows + 1) // 2 if height > rows else 0]
        img = pad(img, sides, fill=0)
        _, rows, columns = get_dimensions(img)
        if width == columns and height == rows:
            return img
    top, left = round((rows - height) / 2.0), round((columns - width) / 2.0)
    return crop(img, top, left, height, width)


def resized_crop(img, top, left, height, width, size, interpolation=BILINEAR, antialias=True):
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img):
    """Left and right exchanged."""
    return room(img).hflip(img)


def vflip(img):
    """Top and bottom exchanged."""
    return room(img).vflip(img)


def five_crop(img, size):
    """The four corners and the centre."""
    height, width = pair_of(size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(rows, columns)}")
    corners = [(0, 0), (0, columns - width), (rows - height, 0), (rows - height, columns - width)]
    return (*[crop(img, top, left, height, width) for top, left in corners],
            center_crop(img, [height, width]))


def ten_crop(img, size, vertical_flip=False):
    """`five_crop` of the image and of the flipped image."""
    first = five_crop(img, size)
    return first + five_crop(vflip(img) if vertical_flip else hflip(img), size)


# -- geometry -----------------------------------------------------------------------------------------
def inverse_affine(center, angle, translate, scale, shear):
    """The six numbers that take places of the result to those of the image.

    The map is T C R S H C^-1 (translation, centre, rotation, scale, shear), inverted.
    """
    turn, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    m = [x / scale for x in (d, -b, 0.0, -c, a, 0.0)]
    m[2] += m[0] * (-cx - tx) + m[1] * (-cy - ty) + cx
    m[5] += m[3] * (-cx - tx) + m[4] * (-cy - ty) + cy
    return m


def affine(img, angle, translate, scale, shear, interpolation=NEAREST, fill=None, center=None):
    """Rotated by degrees clockwise, moved by pixels, scaled, sheared by degrees, around the centre."""
    mode = as_mode(interpolation)
    if not isinstance(angle, numbers.Number):
        raise TypeError("Argument angle should be int or float")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    shear = [shear, 0.0] if isinstance(shear, numbers.Number) else list(shear)
    shear = [shear[0], shear[0]] if len(shear) == 1 else shear
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    _, height, width = get_dimensions(img)
    if isinstance(img, torch.Tensor):
        middle = [0.0, 0.0] if center is None else [c - s * 0.5 for c, s in zip(center, (width, height))]
        matrix = inverse_affine(middle, angle, [float(t) for t in translate], scale, shear)
        return on_tensors.affine(img, matrix, mode, fill)
    middle = [width * 0.5, height * 0.5] if center is None else center
    return room(img).affine(img, inverse_affine(middle, angle, translate, scale, shear), mode, fill)


def rotate(img, angle, interpolation=NEAREST, expand=False, center=None, fill=None):
    """Rotated by degrees counter-clockwise; `expand` makes the image large enough to hold it all."""
    mode = as_mode(interpolation)
    if not isinstance(angle, numbers.Number):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if not isinstance(img, torch.Tensor):
        return room(img).rotate(img, angle, mode, expand, center, fill)
    _, height, width = get_dimensions(img)
    middle = [0.0, 0.0] if center is None else [c - s * 0.5 for c, s in zip(center, (width, height))]
    matrix = inverse_affine(middle, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    return on_tensors.rotate(img, matrix, mode, expand, fill)


def perspective_coefficients(startpoints, endpoints):
    """The eight numbers of the map from the end points to the start points, by least squares."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    solution = np.linalg.lstsq(np.array(rows, float), np.array(wanted, float), rcond=None)[0]
    return solution.astype(np.float32).tolist()


def perspective(img, startpoints, endpoints, interpolation=BILINEAR, fill=None):
    """The four corners `startpoints`, [x, y] each, moved to `endpoints`."""
    coefficients = perspective_coefficients(startpoints, endpoints)
    return room(img).perspective(img, coefficients, as_mode(interpolation), fill)


def elastic_transform(img, displacement, interpolation=BILINEAR, fill=None):
    """Each pixel taken from a place moved by `displacement`, (1, H, W, 2) in half image sizes."""
    mode = as_mode(interpolation)
    if not isinstance(displacement, torch.Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    _, height, width = get_dimensions(img)
    if displacement.shape != (1, height, width, 2):
        raise ValueError(f"Argument displacement shape should be {(1, height, width, 2)}, but given "
                         f"{displacement.shape}")
    return through_tensor(img, lambda t: on_tensors.elastic(t, displacement, mode, fill))


def through_tensor(img, function):
    """A function of tensors on either kind of image."""
    if isinstance(img, torch.Tensor):
        return function(img)
    room(img)
    return to_pil_image(function(pil_to_tensor(img)), mode=img.mode)


# -- colour -------------------------------------------------------------------------------------------
def check_factor(name, value):
    if value < 0:
        raise ValueError(f"{name} ({value}) is not non-negative.")


def adjust_brightness(img, brightness_factor):
    """0 is black, 1 the image itself."""
    if isinstance(img, torch.Tensor):
        check_factor("brightness_factor", brightness_factor)
    return room(img).adjust_brightness(img, brightness_factor)


def adjust_contrast(img, contrast_factor):
    """0 is the mean grey, 1 the image itself."""
    if isinstance(img, torch.Tensor):
        check_factor("contrast_factor", contrast_factor)
    return room(img).adjust_contrast(img, contrast_factor)


def adjust_saturation(img, saturation_factor):
    """0 is without colour, 1 the image itself."""
    if isinstance(img, torch.Tensor):
        check_factor("saturation_factor", saturation_factor)
    return room(img).adjust_saturation(img, saturation_factor)


def adjust_hue(img, hue_factor):
    """Hues turned by a part of the circle in -0.5 .. 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return room(img).adjust_hue(img, hue_factor)


def adjust_gamma(img, gamma, gain=1):
    """gain * level ** gamma, levels in 0 .. 1."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return room(img).adjust_gamma(img, gamma, gain)


def adjust_sharpness(img, sharpness_factor):
    """0 is softened, 1 the image itself."""
    if isinstance(img, torch.Tensor):
        check_factor("sharpness_factor", sharpness_factor)
    return room(img).adjust_sharpness(img, sharpness_factor)


def to_grayscale(img, num_output_channels=1):
    """A Pillow image in grey, with one or three channels."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if not is_image(img):
        raise TypeError("Input should be PIL Image")
    return on_images.to_grayscale(img, num_output_channels)


def rgb_to_grayscale(img, num_output_channels=1):
    """The image in grey, with one or three channels."""
    if not isinstance(img, torch.Tensor):
        return to_grayscale(img, num_output_channels)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return on_tensors.rgb_to_grayscale(img, num_output_channels)


def erase(img, i, j, h, w, v, inplace=False):
    """The rectangle at (i, j) of size (h, w) overwritten by v; tensors only."""
    if not isinstance(img, torch.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    return on_tensors.erase(img, i, j, h, w, v, inplace)


def gaussian_blur(img, kernel_size, sigma=None):
    """Blurred by a Gaussian; kernel sizes are odd, deviations default to 0.15 size + 0.35."""
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        sigma = [size * 0.15 + 0.35 for size in sizes]
    sigma = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else list(sigma)
    sigma = sigma * 2 if len(sigma) == 1 else sigma
    if len(sigma) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigma)}")
    if any(deviation <= 0.0 for deviation in sigma):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    return through_tensor(img, lambda t: on_tensors.gaussian_blur(t, sizes, sigma))


def invert(img):
    return room(img).invert(img)


def posterize(img, bits):
    """Only the first `bits` bits of each byte."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return room(img).posterize(img, bits)


def solarize(img, threshold):
    """Values from the threshold on inverted."""
    return room(img).solarize(img, threshold)


def autocontrast(img):
    """The darkest value black, the lightest white, by channel."""
    return room(img).autocontrast(img)


def equalize(img):
    """Levels spread so that all are equally frequent, by channel."""
    return room(img).equalize(img)
