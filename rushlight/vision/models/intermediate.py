"""Parts of models whose outputs on the way are wanted."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import nn


class IntermediateLayerGetter(nn.ModuleDict):
    """A model up to the last of some layers; gives their outputs under new names."""

    def __init__(self, model, return_layers: dict[str, str]):
        names = [name for name, _ in model.named_children()]
        if not set(return_layers) <= set(names):
            raise ValueError("return_layers are not present in model")
        last = max(names.index(name) for name in return_layers)
        super().__init__(OrderedDict(list(model.named_children())[:last + 1]))
        self.return_layers = dict(return_layers)

    def forward(self, x):
        outputs = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                outputs[self.return_layers[name]] = x
        return outputs
