"""MNASNet: Tan et al., Platform-Aware Neural Architecture Search for Mobile (2018), the B1 models."""
from __future__ import annotations

from rushlight import nn
from rushlight.vision.models.mobilenetv2 import _make_divisible
from rushlight.vision.models.registry import builder

MOMENTUM = 1 - 0.9997
# Channels, kernel, stride, expansion, blocks of each stage.
STAGES = [(24, 3, 2, 3, 3), (40, 5, 2, 3, 3), (80, 5, 2, 6, 3), (96, 3, 1, 6, 2), (192, 5, 2, 6, 4), (320, 3, 1, 6, 1)]
STEM = (32, 16)


def normal(channels):
    return nn.BatchNorm2d(channels, momentum=MOMENTUM)


class _InvertedResidual(nn.Module):
    """Channels widened, filtered one by one and narrowed, beside a shortcut where sizes stay."""

    def __init__(self, in_ch, out_ch, kernel_size, stride, expansion_factor, bn_momentum=0.1):
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        if kernel_size not in (3, 5):
            raise ValueError(f"kernel_size should be 3 or 5 instead of {kernel_size}")
        wide = in_ch * expansion_factor
        self.apply_residual = in_ch == out_ch and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(in_ch, wide, 1, bias=False), normal(wide), nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, kernel_size, padding=kernel_size // 2, stride=stride, groups=wide, bias=False),
            normal(wide), nn.ReLU(inplace=True), nn.Conv2d(wide, out_ch, 1, bias=False), normal(out_ch))

    def forward(self, input):
        return self.layers(input) + input if self.apply_residual else self.layers(input)


class MNASNet(nn.Module):
    """A separable stem, six stages of blocks, a convolution and a linear layer.

    Args:
        alpha: factor of all channels but the last, which become multiples of eight.
    """

    _version = 2

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2):
        super().__init__()
        if alpha <= 0.0:
            raise ValueError(f"alpha should be greater than 0.0 instead of {alpha}")
        self.alpha, self.num_classes = alpha, num_classes
        first, second = (_make_divisible(n * alpha, 8) for n in STEM)
        layers = [nn.Conv2d(3, first, 3, padding=1, stride=2, bias=False), normal(first), nn.ReLU(inplace=True),
                  nn.Conv2d(first, first, 3, padding=1, stride=1, groups=first, bias=False), normal(first),
                  nn.ReLU(inplace=True), nn.Conv2d(first, second, 1, bias=False), normal(second)]
        before = second
        for channels, kernel, stride, expansion, count in STAGES:
            out = _make_divisible(channels * alpha, 8)
            layers.append(nn.Sequential(*(
                _InvertedResidual(out if k else before, out, kernel, 1 if k else stride, expansion)
                for k in range(count))))
            before = out
        layers += [nn.Conv2d(before, 1280, 1, bias=False), normal(1280), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(1280, num_classes))
        for module in self.modules():
            initialise(module)

    def forward(self, x):
        return self.classifier(self.layers(x).mean([2, 3]))


def initialise(module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.kaiming_uniform_(module.weight, mode="fan_out", nonlinearity="sigmoid")
        nn.init.zeros_(module.bias)


def make_builder(name: str, alpha: float):
    @builder(name=name, doc=f"MNASNet with {alpha} times the channels.")
    def build(**kwargs) -> MNASNet:
        return MNASNet(alpha, **kwargs)
    return build


mnasnet0_5 = make_builder("mnasnet0_5", 0.5)
mnasnet0_75 = make_builder("mnasnet0_75", 0.75)
mnasnet1_0 = make_builder("mnasnet1_0", 1.0)
mnasnet1_3 = make_builder("mnasnet1_3", 1.3)
