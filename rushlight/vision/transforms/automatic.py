"""Augmentation policies: AutoAugment, RandAugment, TrivialAugment and AugMix.

Each names operations with a strength from a range; draws are torchvision's, in its order.
"""
from __future__ import annotations

import math
from enum import Enum

import rushlight as torch
from rushlight.distributions import Dirichlet
from rushlight.nn import Module
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.randomly import below

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


class AutoAugmentPolicy(Enum):
    """Datasets that policies were found for."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


# Cubuk et al., AutoAugment (2018), appendix: pairs of (operation, probability in tenths, strength).
POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 4 8 + Rotate 6 9; Solarize 6 5 + AutoContrast 6 -; Equalize 8 - + Equalize 6 -; Posterize
        6 7 + Posterize 6 6; Equalize 4 - + Solarize 2 4; Equalize 4 - + Rotate 8 8; Solarize 6 3 + Equalize
        6 -; Posterize 8 5 + Equalize 10 -; Rotate 2 3 + Solarize 6 8; Equalize 6 - + Posterize 4 6; Rotate
        8 8 + Color 4 0; Rotate 4 9 + Equalize 6 -; Equalize 0 - + Equalize 8 -; Invert 6 - + Equalize 10 -;
        Color 6 4 + Contrast 10 8; Rotate 8 8 + Color 10 2; Color 8 8 + Solarize 8 7; Sharpness 4 7 + Invert
        6 -; ShearX 6 5 + Equalize 10 -; Color 4 0 + Equalize 6 -; Equalize 4 - + Solarize 2 4; Solarize 6 5
        + AutoContrast 6 -; Invert 6 - + Equalize 10 -; Color 6 4 + Contrast 10 8; Equalize 8 - + Equalize 6
        -
    """,
    AutoAugmentPolicy.CIFAR10: """
        Invert 1 - + Contrast 2 6; Rotate 7 2 + TranslateX 3 9; Sharpness 8 1 + Sharpness 9 3; ShearY 5 8 +
        TranslateY 7 9; AutoContrast 5 - + Equalize 9 -; ShearY 2 7 + Posterize 3 7; Color 4 3 + Brightness
        6 7; Sharpness 3 9 + Brightness 7 9; Equalize 6 - + Equalize 5 -; Contrast 6 7 + Sharpness 6 5;
        Color 7 7 + TranslateX 5 8; Equalize 3 - + AutoContrast 4 -; TranslateY 4 3 + Sharpness 2 6;
        Brightness 9 6 + Color 2 8; Solarize 5 2 + Invert 0 -; Equalize 2 - + AutoContrast 6 -; Equalize 2 -
        + Equalize 6 -; Color 9 9 + Equalize 6 -; AutoContrast 8 - + Solarize 2 8; Brightness 1 3 + Color 7
        0; Solarize 4 5 + AutoContrast 9 -; TranslateY 9 9 + TranslateY 7 9; AutoContrast 9 - + Solarize 8
        3; Equalize 8 - + Invert 1 -; TranslateY 7 9 + AutoContrast 9 -
    """,
    AutoAugmentPolicy.SVHN: """
        ShearX 9 4 + Invert 2 -; ShearY 9 8 + Invert 7 -; Equalize 6 - + Solarize 6 6; Invert 9 - + Equalize
        6 -; Equalize 6 - + Rotate 9 3; ShearX 9 4 + AutoContrast 8 -; ShearY 9 8 + Invert 4 -; ShearY 9 5 +
        Solarize 2 6; Invert 9 - + AutoContrast 8 -; Equalize 6 - + Rotate 9 3; ShearX 9 4 + Solarize 3 3;
        ShearY 8 8 + Invert 7 -; Equalize 9 - + TranslateY 6 6; Invert 9 - + Equalize 6 -; Contrast 3 3 +
        Rotate 8 4; Invert 8 - + TranslateY 0 2; ShearY 7 6 + Solarize 4 8; Invert 6 - + Rotate 8 4; ShearY
        3 7 + TranslateX 9 3; ShearX 1 6 + Invert 6 -; Solarize 7 2 + TranslateY 6 7; ShearY 8 4 + Invert 8
        -; ShearX 7 9 + TranslateY 8 3; ShearY 8 5 + AutoContrast 7 -; ShearX 7 2 + Invert 1 -
    """,
}


def parsed(policy: str) -> list[list[tuple[str, float, int | None]]]:
    pairs = [[word.split() for word in pair.split("+")] for pair in policy.split(";")]
    return [[(name, int(p) / 10, None if strength == "-" else int(strength)) for name, p, strength in pair]
            for pair in pairs]


# -- operations -----------------------------------------------------------------------------------------
def sheared(img, x, y, mode, fill):
    angles = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return F.affine(img, 0.0, [0, 0], 1.0, angles, mode, fill, center=[0, 0])


def moved(img, x, y, mode, fill):
    return F.affine(img, 0.0, [int(x), int(y)], 1.0, [0.0, 0.0], mode, fill)


OPERATIONS = {
    "Identity": lambda img, m, mode, fill: img,
    "ShearX": lambda img, m, mode, fill: sheared(img, m, 0.0, mode, fill),
    "ShearY": lambda img, m, mode, fill: sheared(img, 0.0, m, mode, fill),
    "TranslateX": lambda img, m, mode, fill: moved(img, m, 0, mode, fill),
    "TranslateY": lambda img, m, mode, fill: moved(img, 0, m, mode, fill),
    "Rotate": lambda img, m, mode, fill: F.rotate(img, m, mode, fill=fill),
    "Brightness": lambda img, m, mode, fill: F.adjust_brightness(img, 1.0 + m),
    "Color": lambda img, m, mode, fill: F.adjust_saturation(img, 1.0 + m),
    "Contrast": lambda img, m, mode, fill: F.adjust_contrast(img, 1.0 + m),
    "Sharpness": lambda img, m, mode, fill: F.adjust_sharpness(img, 1.0 + m),
    "Posterize": lambda img, m, mode, fill: F.posterize(img, int(m)),
    "Solarize": lambda img, m, mode, fill: F.solarize(img, m),
    "AutoContrast": lambda img, m, mode, fill: F.autocontrast(img),
    "Equalize": lambda img, m, mode, fill: F.equalize(img),
    "Invert": lambda img, m, mode, fill: F.invert(img),
}
GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
COLOUR = ("Brightness", "Color", "Contrast", "Sharpness")
SIGNED = {*GEOMETRY, *COLOUR}
REST = ("Posterize", "Solarize", "AutoContrast", "Equalize")


def strengths(bins, shear, across, down, turn, colour, bits=4, most_bits=8) -> dict:
    """The strengths that each operation chooses from: a list, or None where there is nothing to choose."""
    posterize = most_bits - (torch.arange(bins) / ((bins - 1) / bits)).round().int()
    ends = {"ShearX": shear, "ShearY": shear, "TranslateX": across, "TranslateY": down, "Rotate": turn,
            **dict.fromkeys(COLOUR, colour)}
    found = {name: torch.linspace(0.0, end, bins).tolist() for name, end in ends.items()}
    return {**found, "Posterize": posterize.tolist(), "Solarize": torch.linspace(255.0, 0.0, bins).tolist()}


class Augmentation(Module):
    """Base: how operations are done."""

    def __init__(self, interpolation, fill):
        super().__init__()
        self.interpolation, self.fill = interpolation, fill

    def fill_of(self, img):
        fill = self.fill
        if not isinstance(img, torch.Tensor) or fill is None:
            return fill
        channels = F.get_dimensions(img)[0]
        return [float(fill)] * channels if isinstance(fill, (int, float)) else [float(f) for f in fill]

    def do(self, name, img, strength):
        return OPERATIONS[name](img, strength, self.interpolation, self.fill_of(img))

    def signed(self, name, strength):
        """Half of the time the other way round, where there is another way."""
        return -strength if name in SIGNED and torch.randint(2, (1,)) else strength


class AutoAugment(Augmentation):
    """Two operations of a learned policy: Cubuk et al., AutoAugment (2018)."""

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation=NEAREST, fill=None):
        super().__init__(interpolation, fill)
        if policy not in POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy, self.policies = policy, parsed(POLICIES[policy])

    @staticmethod
    def get_params(transform_num):
        """(which pair, two numbers of 0 .. 1, two signs)."""
        return int(below(transform_num)), torch.rand((2,)), torch.randint(2, (2,))

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        chosen, chances, signs = self.get_params(len(self.policies))
        choices = strengths(10, 0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30.0, 0.9)
        for i, (name, p, level) in enumerate(self.policies[chosen]):
            if chances[i] <= p:
                strength = float(choices[name][level]) if level is not None else 0.0
                img = self.do(name, img, -strength if name in SIGNED and signs[i] == 0 else strength)
        return img

    def __repr__(self):
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


class RandAugment(Augmentation):
    """Operations of one strength, chosen alike: Cubuk et al., RandAugment (2019)."""

    NAMES = ("Identity", *GEOMETRY, *COLOUR, *REST)

    def __init__(self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation=NEAREST, fill=None):
        super().__init__(interpolation, fill)
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def forward(self, img):
        _, height, width = F.get_dimensions(img)
        choices = strengths(self.num_magnitude_bins, 0.3, 150.0 / 331.0 * width,
                            150.0 / 331.0 * height, 30.0, 0.9)
        for _ in range(self.num_ops):
            name = self.NAMES[below(len(self.NAMES))]
            strength = float(choices[name][self.magnitude]) if name in choices else 0.0
            img = self.do(name, img, self.signed(name, strength))
        return img

    def __repr__(self):
        return (f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, "
                f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, "
                f"fill={self.fill})")


class TrivialAugmentWide(Augmentation):
    """One operation of any strength: Müller & Hutter, TrivialAugment (2021)."""

    NAMES = RandAugment.NAMES

    def __init__(self, num_magnitude_bins=31, interpolation=NEAREST, fill=None):
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img):
        choices = strengths(self.num_magnitude_bins, 0.99, 32.0, 32.0, 135.0, 0.99, bits=6)
        name = self.NAMES[below(len(self.NAMES))]
        strength = float(choices[name][below(len(choices[name]))]) if name in choices else 0.0
        return self.do(name, img, self.signed(name, strength))

    def __repr__(self):
        return (f"{type(self).__name__}(num_magnitude_bins={self.num_magnitude_bins}, "
                f"interpolation={self.interpolation}, fill={self.fill})")


class AugMix(Augmentation):
    """A mixture of the image and of chains of operations: Hendrycks et al., AugMix (2019)."""

    STRONGEST = 10

    def __init__(self, severity=3, mixture_width=3, chain_depth=-1, alpha=1.0, all_ops=True,
                 interpolation=BILINEAR, fill=None):
        super().__init__(interpolation, fill)
        if not 1 <= severity <= self.STRONGEST:
            raise ValueError(f"The severity must be between [1, {self.STRONGEST}]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth = severity, mixture_width, chain_depth
        self.alpha, self.all_ops = alpha, all_ops
        self.names = (*GEOMETRY, *REST, *(COLOUR if all_ops else ()))

    def forward(self, orig_img):
        if isinstance(orig_img, torch.Tensor):
            return self.mixed(orig_img)
        return F.to_pil_image(self.mixed(F.pil_to_tensor(orig_img)))

    def mixed(self, img):
        _, height, width = F.get_dimensions(img)
        choices = strengths(self.STRONGEST, 0.3, width / 3.0, height / 3.0, 30.0, 0.9, most_bits=4)
        batch = img.view([1] * max(4 - img.dim(), 0) + list(img.shape))
        ones = [batch.shape[0]] + [1] * (batch.dim() - 1)
        shares = self.dirichlet(2, batch.shape[0])
        weights = self.dirichlet(self.mixture_width, batch.shape[0]) * shares[:, 1].reshape(-1, 1)
        mix = shares[:, 0].reshape(ones) * batch
        for i in range(self.mixture_width):
            mix.add_(weights[:, i].reshape(ones) * self.chain(batch, choices))
        return mix.view(img.shape).to(img.dtype)

    def dirichlet(self, count, rows):
        return Dirichlet(torch.tensor([self.alpha] * count).expand(rows, -1)).sample()

    def chain(self, img, choices):
        depth = self.chain_depth if self.chain_depth > 0 else int(below(4, 1))
        for _ in range(depth):
            name = self.names[below(len(self.names))]
            strength = float(choices[name][below(self.severity)]) if name in choices else 0.0
            img = self.do(name, img, self.signed(name, strength))
        return img

    def __repr__(self):
        return (f"{type(self).__name__}(severity={self.severity}, mixture_width={self.mixture_width}, "
                f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
                f"interpolation={self.interpolation}, fill={self.fill})")
