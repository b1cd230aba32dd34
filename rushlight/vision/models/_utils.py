"""Models as parts of others: their layers' outputs, their published weights. (The module's name is torchvision's.)"""
from __future__ import annotations

import warnings
from collections import OrderedDict
from urllib.error import URLError

from rushlight import nn
from rushlight.vision.models.weights import get_model_weights

USUAL = "IMAGENET1K_V1 if it can be had"     # the default of weights_backbone


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


def fetched(build, weights):
    """What a backbone's builder is to be given: None for the usual weights where they cannot be had."""
    if weights is not USUAL:
        return weights
    usual = get_model_weights(build).IMAGENET1K_V1
    try:
        usual.get_state_dict(check_hash=True)
    except URLError as error:
        warnings.warn(f"the published weights of {build.__name__} cannot be fetched ({error.reason}), so the backbone "
                      "starts from random numbers. Pass weights_backbone=None if that is meant", stacklevel=4)
        return None
    return usual
