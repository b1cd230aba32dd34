"""DenseNet: Huang et al., Densely Connected Convolutional Networks (2016)."""
from __future__ import annotations

import re
from collections import OrderedDict

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.utils.checkpoint import checkpoint
from rushlight.vision.models.registry import builder, fill


class _DenseLayer(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution over all that came before."""

    def __init__(self, num_input_features, growth_rate, bn_size, drop_rate, memory_efficient=False):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, 1, 1, bias=False)
        self.drop_rate, self.memory_efficient = float(drop_rate), memory_efficient

    def narrowed(self, *features):
        return self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))

    def forward(self, input):
        features = [input] if isinstance(input, torch.Tensor) else input
        if self.memory_efficient and any(x.requires_grad for x in features):
            narrow = checkpoint(self.narrowed, *features, use_reentrant=False)
        else:
            narrow = self.narrowed(*features)
        new = self.conv2(self.relu2(self.norm2(narrow)))
        return F.dropout(new, self.drop_rate, self.training) if self.drop_rate > 0 else new


class _DenseBlock(nn.ModuleDict):
    """Layers each of which sees the outputs of all before it."""

    def __init__(self, num_layers, num_input_features, bn_size, growth_rate, drop_rate, memory_efficient=False):
        super().__init__()
        for k in range(num_layers):
            self.add_module(f"denselayer{k + 1}", _DenseLayer(
                num_input_features + k * growth_rate, growth_rate, bn_size, drop_rate, memory_efficient))

    def forward(self, init_features):
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class _Transition(nn.Sequential):
    """Fewer channels and half the size."""

    def __init__(self, num_input_features, num_output_features):
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, 1, 1, bias=False)
        self.pool = nn.AvgPool2d(2, 2)


class DenseNet(nn.Module):
    """Dense blocks with transitions between them.

    Args:
        growth_rate: channels that each layer adds. block_config: layers of each block.
        bn_size: channels of the 1 x 1 convolutions, in growth rates. memory_efficient: compute them again
            in the backward pass.
    """

    def __init__(self, growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64, bn_size=4, drop_rate=0,
                 num_classes=1000, memory_efficient=False):
        super().__init__()
        channels = num_init_features
        self.features = nn.Sequential(OrderedDict([
            ("conv0", nn.Conv2d(3, channels, 7, 2, 3, bias=False)), ("norm0", nn.BatchNorm2d(channels)),
            ("relu0", nn.ReLU(inplace=True)), ("pool0", nn.MaxPool2d(3, 2, 1))]))
        for k, count in enumerate(block_config, 1):
            self.features.add_module(f"denseblock{k}", _DenseBlock(
                count, channels, bn_size, growth_rate, drop_rate, memory_efficient))
            channels += count * growth_rate
            if k != len(block_config):
                self.features.add_module(f"transition{k}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
            elif isinstance(module, nn.Linear):
                nn.init.constant_(module.bias, 0)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(F.relu(self.features(x), inplace=True), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def filled(function, options, state, chosen) -> DenseNet:
    """The published tensors have names of an older time: norm.1 for norm1."""
    renamed = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name): tensor
               for name, tensor in state.items()}
    return fill(function, options, renamed, chosen)


def make_builder(name: str, *shape):
    @builder(name=name, filled=filled,
             doc=f"A DenseNet of growth rate {shape[0]} with {shape[1]} layers in its blocks.")
    def build(**kwargs) -> DenseNet:
        return DenseNet(*shape, **kwargs)
    return build


densenet121 = make_builder("densenet121", 32, (6, 12, 24, 16), 64)
densenet161 = make_builder("densenet161", 48, (6, 12, 36, 24), 96)
densenet169 = make_builder("densenet169", 32, (6, 12, 32, 32), 64)
densenet201 = make_builder("densenet201", 32, (6, 12, 48, 32), 64)
