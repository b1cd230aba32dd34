"""Transforms by chance. Draws are torchvision's, in its order, so that a seed gives its images."""
from __future__ import annotations

import math
import numbers
import random
from collections.abc import Sequence

import rushlight as torch
from rushlight.nn import Module
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode, as_mode

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST
TRIES = 10          # at finding a rectangle of the wanted area and shape that fits


def uniform(low, high) -> float:
    return torch.empty(1).uniform_(low, high).item()


def below(high, low=0) -> int:
    return torch.randint(low, high, size=(1,)).item()


def happens(p) -> bool:
    return bool(torch.rand(1) < p)


class Randomly(Module):
    """What is done to an image with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, img):
        return self.change(img) if happens(self.p) else img

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(Randomly):
    """Left and right exchanged with probability p."""
    change = staticmethod(F.hflip)


class RandomVerticalFlip(Randomly):
    """Top and bottom exchanged with probability p."""
    change = staticmethod(F.vflip)


class RandomInvert(Randomly):
    """Inverted with probability p."""
    change = staticmethod(F.invert)


class RandomAutocontrast(Randomly):
    """Contrast stretched with probability p."""
    change = staticmethod(F.autocontrast)


class RandomEqualize(Randomly):
    """Equalised with probability p."""
    change = staticmethod(F.equalize)


class RandomPosterize(Randomly):
    """Reduced to some bits with probability p."""

    def __init__(self, bits, p=0.5):
        super().__init__(p)
        self.bits = bits

    def change(self, img):
        return F.posterize(img, self.bits)

    def __repr__(self):
        return f"{type(self).__name__}(bits={self.bits},p={self.p})"


class RandomSolarize(Randomly):
    """Inverted from a threshold on, with probability p."""

    def __init__(self, threshold, p=0.5):
        super().__init__(p)
        self.threshold = threshold

    def change(self, img):
        return F.solarize(img, self.threshold)

    def __repr__(self):
        return f"{type(self).__name__}(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(Randomly):
    """Sharpened by a factor with probability p."""

    def __init__(self, sharpness_factor, p=0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img):
        return F.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self):
        return f"{type(self).__name__}(sharpness_factor={self.sharpness_factor},p={self.p})"


class RandomGrayscale(Randomly):
    """In grey, with as many channels, with probability p."""

    def __init__(self, p=0.1):
        super().__init__(p)

    def change(self, img):
        return F.rgb_to_grayscale(img, F.get_dimensions(img)[0])


# -- choices of transforms ------------------------------------------------------------------------------
class RandomTransforms:
    """Base of what chooses among transforms."""

    def __init__(self, transforms):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __repr__(self):
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class RandomApply(Module):
    """All transforms with probability p, or none."""

    def __init__(self, transforms, p=0.5):
        super().__init__()
        self.transforms, self.p = transforms, p

    def forward(self, img):
        if bool(self.p < torch.rand(1)):
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self):
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}(\n    p={self.p}{lines}\n)"


class RandomChoice(RandomTransforms):
    """One of the transforms, with weights p; drawn by Python's `random`."""

    def __init__(self, transforms, p=None):
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p = p

    def __call__(self, *args):
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self):
        return f"{super().__repr__()}(p={self.p})"


class RandomOrder(RandomTransforms):
    """All transforms in a random order, drawn by Python's `random`."""

    def __call__(self, img):
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


# -- parts ----------------------------------------------------------------------------------------------
def check_crop(height, width, rows, columns, size: str) -> None:
    """ValueError if a part does not fit into an image; `size` is how the message says the image's."""
    if rows < height or columns < width:
        raise ValueError(f"Required crop size {(height, width)} is larger than {size.format((rows, columns))}")


class RandomCrop(Module):
    """A part of the given size at a random place, after padding.

    Raises:
        ValueError: when called, the image is smaller than the part.
    """

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant"):
        super().__init__()
        self.size = F.pair_of(size)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img, output_size):
        """(top, left, height, width) of the part."""
        _, rows, columns = F.get_dimensions(img)
        height, width = output_size
        check_crop(height, width, rows, columns, "input image size {}")
        if columns == width and rows == height:
            return 0, 0, rows, columns
        return below(rows - height + 1), below(columns - width + 1), height, width

    def forward(self, img):
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, rows, columns = F.get_dimensions(img)
        if self.pad_if_needed and columns < self.size[1]:
            img = F.pad(img, [self.size[1] - columns, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and rows < self.size[0]:
            img = F.pad(img, [0, self.size[0] - rows], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self):
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(Module):
    """A part of random area and shape, resized: Szegedy et al., Going Deeper with Convolutions (2015)."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0), interpolation=BILINEAR,
                 antialias=True):
        super().__init__()
        self.size = F.pair_of(size)
        for name, value in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(value, Sequence):
                raise TypeError(f"{name} should be a sequence")
        self.scale, self.ratio = scale, ratio
        self.interpolation, self.antialias = as_mode(interpolation), antialias

    @staticmethod
    def get_params(img, scale, ratio):
        """(top, left, height, width) of the part."""
        _, rows, columns = F.get_dimensions(img)
        low, high = torch.log(torch.tensor(ratio)).tolist()
        for _ in range(TRIES):
            area = rows * columns * uniform(scale[0], scale[1])
            shape = torch.exp(torch.empty(1).uniform_(low, high)).item()
            width, height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < width <= columns and 0 < height <= rows:
                top = below(rows - height + 1)
                return top, below(columns - width + 1), height, width
        height, width = largest_middle(rows, columns, ratio)
        return (rows - height) // 2, (columns - width) // 2, height, width

    def forward(self, img):
        place = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *place, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self):
        return (f"{type(self).__name__}(size={self.size}, "
                f"scale={tuple(round(s, 4) for s in self.scale)}, "
                f"ratio={tuple(round(r, 4) for r in self.ratio)}, "
                f"interpolation={self.interpolation.value}, antialias={self.antialias})")


def largest_middle(rows, columns, ratio):
    """(height, width) of the largest part whose shape lies within the ratios."""
    shape = float(columns) / float(rows)
    if shape < min(ratio):
        return round(columns / min(ratio)), columns
    if shape > max(ratio):
        return rows, round(rows * max(ratio))
    return rows, columns


class RandomErasing(Module):
    """A rectangle overwritten with probability p: Zhong et al., Random Erasing Data Augmentation (2017).

    Args:
        scale, ratio: ranges of the rectangle's part of the image and of its shape.
        value: a number, a tuple of one for each channel, or "random".
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False):
        super().__init__()
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(img, scale, ratio, value=None):
        """(top, left, height, width, value) of the rectangle."""
        channels, rows, columns = img.shape[-3:]
        low, high = torch.log(torch.tensor(ratio)).tolist()
        for _ in range(TRIES):
            area = rows * columns * uniform(scale[0], scale[1])
            shape = torch.exp(torch.empty(1).uniform_(low, high)).item()
            height, width = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if not (height < rows and width < columns):
                continue
            filling = torch.empty([channels, height, width], dtype=torch.float32).normal_() \
                if value is None else torch.tensor(value)[:, None, None]
            top = below(rows - height + 1)
            return top, below(columns - width + 1), height, width, filling
        return 0, 0, rows, columns, img

    def forward(self, img):
        if not happens(self.p):
            return img
        value = [float(self.value)] if isinstance(self.value, (int, float)) \
            else None if isinstance(self.value, str) else list(self.value)
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError("If value is a sequence, it should have either a single value or "
                             f"{img.shape[-3]} (number of input channels)")
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self):
        return (f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
                f"value={self.value}, inplace={self.inplace})")


# -- colour -----------------------------------------------------------------------------------------------
class ColorJitter(Module):
    """Brightness, contrast, saturation and hue changed at random, in a random order."""

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        super().__init__()
        self.brightness = jitter(brightness, "brightness")
        self.contrast = jitter(contrast, "contrast")
        self.saturation = jitter(saturation, "saturation")
        self.hue = jitter(hue, "hue", center=0, bound=(-0.5, 0.5), clip_first_on_zero=False)

    @staticmethod
    def get_params(brightness, contrast, saturation, hue):
        """The order of the four changes, and their factors; None leaves one out."""
        order = torch.randperm(4)
        factors = [None if limits is None else float(uniform(limits[0], limits[1]))
                   for limits in (brightness, contrast, saturation, hue)]
        return order, *factors

    def forward(self, img):
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for k in order.tolist():
            if factors[k] is not None:
                img = changes[k](img, factors[k])
        return img

    def __repr__(self):
        return (f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, "
                f"saturation={self.saturation}, hue={self.hue})")


def jitter(value, name, center=1, bound=(0, float("inf")), clip_first_on_zero=True):
    """The range of a factor: given, or around the centre; None where it would change nothing."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        value = [center - float(value), center + float(value)]
        if clip_first_on_zero:
            value[0] = max(value[0], 0.0)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        value = [float(value[0]), float(value[1])]
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= value[0] <= value[1] <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {value}.")
    return None if value[0] == value[1] == center else tuple(value)


class GaussianBlur(Module):
    """Blurred with a random deviation."""

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        super().__init__()
        self.kernel_size = F.pair_of(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {sigma}")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min, sigma_max):
        return uniform(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, list(self.kernel_size), [sigma, sigma])

    def __repr__(self):
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


# -- geometry ---------------------------------------------------------------------------------------------
def angles(value, name="degrees"):
    """(lowest, highest) of a number or a sequence."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-value), float(value)]
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length 2.")
    if len(value) != 2 and not (name == "shear" and len(value) == 4):
        raise ValueError(f"{name} should be a sequence of length 2{' or 4' if name == 'shear' else ''}.")
    return [float(v) for v in value]


def fill_for(img, fill):
    """The fill of each channel of a tensor; a number as it is for a Pillow image."""
    if not isinstance(img, torch.Tensor):
        return fill
    channels = F.get_dimensions(img)[0]
    return [float(fill)] * channels if isinstance(fill, (int, float)) else [float(f) for f in fill]


def checked_fill(fill):
    fill = 0 if fill is None else fill
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


class RandomRotation(Module):
    """Rotated by a random number of degrees, counter-clockwise."""

    def __init__(self, degrees, interpolation=NEAREST, expand=False, center=None, fill=0):
        super().__init__()
        self.degrees, self.center, self.expand = angles(degrees), center, expand
        self.interpolation, self.fill = as_mode(interpolation), checked_fill(fill)

    @staticmethod
    def get_params(degrees):
        return float(uniform(float(degrees[0]), float(degrees[1])))

    def forward(self, img):
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill_for(img, self.fill))

    def __repr__(self):
        parts = f"degrees={self.degrees}, interpolation={self.interpolation.value}, expand={self.expand}"
        parts += f", center={self.center}" if self.center is not None else ""
        parts += f", fill={self.fill}" if self.fill is not None else ""
        return f"{type(self).__name__}({parts})"


class RandomAffine(Module):
    """Rotated, moved, scaled and sheared at random; the centre stays.

    Args:
        degrees: range of the rotation. translate: largest parts of width and height to move by.
        scale: range of the factor. shear: range of degrees along x, or along x and y.
    """

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation=NEAREST, fill=0,
                 center=None):
        super().__init__()
        self.degrees = angles(degrees)
        if translate is not None and not all(0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else angles(shear, "shear")
        self.interpolation, self.fill = as_mode(interpolation), checked_fill(fill)
        self.center = center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """(angle, (x, y), scale, (shear x, shear y)); img_size is [width, height]."""
        angle, moved, scale, shear = float(uniform(float(degrees[0]), float(degrees[1]))), (0, 0), 1.0, (0.0, 0.0)
        if translate is not None:
            limits = [float(part * size) for part, size in zip(translate, img_size)]
            moved = tuple(round(uniform(-limit, limit)) for limit in limits)
        if scale_ranges is not None:
            scale = float(uniform(scale_ranges[0], scale_ranges[1]))
        if shears is not None:
            x = float(uniform(shears[0], shears[1]))
            shear = (x, float(uniform(shears[2], shears[3])) if len(shears) == 4 else 0.0)
        return angle, moved, scale, shear

    def forward(self, img):
        size = F.get_image_size(img)
        chosen = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return F.affine(img, *chosen, interpolation=self.interpolation, fill=fill_for(img, self.fill),
                        center=self.center)

    def __repr__(self):
        parts = f"degrees={self.degrees}"
        for name in ("translate", "scale", "shear"):
            value = getattr(self, name)
            parts += f", {name}={value}" if value is not None else ""
        parts += f", interpolation={self.interpolation.value}" if self.interpolation is not NEAREST else ""
        parts += f", fill={self.fill}" if self.fill != 0 else ""
        parts += f", center={self.center}" if self.center is not None else ""
        return f"{type(self).__name__}({parts})"


class RandomPerspective(Module):
    """The corners moved inwards at random, with probability p."""

    def __init__(self, distortion_scale=0.5, p=0.5, interpolation=BILINEAR, fill=0):
        super().__init__()
        self.p, self.distortion_scale = p, distortion_scale
        self.interpolation, self.fill = as_mode(interpolation), checked_fill(fill)

    @staticmethod
    def get_params(width, height, distortion_scale):
        """The corners before and after, from the top left on clockwise."""
        across, down = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        end = [[below(across + 1), below(down + 1)],
               [below(width, width - across - 1), below(down + 1)],
               [below(width, width - across - 1), below(height, height - down - 1)],
               [below(across + 1), below(height, height - down - 1)]]
        start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        return start, end

    def forward(self, img):
        if not happens(self.p):
            return img
        _, height, width = F.get_dimensions(img)
        start, end = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, start, end, self.interpolation, fill_for(img, self.fill))

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class ElasticTransform(Module):
    """Pixels moved along a smooth random field: Simard, Steinkraus & Platt (2003).

    Args:
        alpha: how far, along y and x. sigma: how smooth.
    """

    def __init__(self, alpha=50.0, sigma=5.0, interpolation=BILINEAR, fill=0):
        super().__init__()
        self.alpha, self.sigma = pair_of_floats(alpha, "alpha"), pair_of_floats(sigma, "sigma")
        self.interpolation = as_mode(interpolation)
        self.fill = [float(fill)] if isinstance(fill, (int, float)) else [float(f) for f in fill]

    @staticmethod
    def get_params(alpha, sigma, size):
        """The displacement, (1, H, W, 2)."""
        along = []
        for k in range(2):
            field = torch.rand([1, 1, *size]) * 2 - 1
            if sigma[k] > 0.0:
                width = int(8 * sigma[k] + 1)
                field = F.gaussian_blur(field, [width + 1 - width % 2] * 2, list(sigma))
            along.append(field * alpha[k] / size[1 - k])
        return torch.concat(along, 1).permute([0, 2, 3, 1])

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        displacement = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(img, displacement, self.interpolation, self.fill)

    def __repr__(self):
        return (f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, "
                f"interpolation={self.interpolation}, fill={self.fill})")


def pair_of_floats(value, name):
    if not isinstance(value, (float, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
    if isinstance(value, float):
        return [value, value]
    if len(value) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(value)}")
    return [float(v) for v in value] * (2 // len(value))
