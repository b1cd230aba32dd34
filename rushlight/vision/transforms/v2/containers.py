"""Several transforms as one; what is chosen is drawn from torch's stream."""
from __future__ import annotations

from collections.abc import Sequence

import rushlight as torch
from rushlight.nn import ModuleList
from rushlight.vision.transforms.v2.samples import Transform


class Several(Transform):
    """Base: a sequence of transforms.

    Raises:
        TypeError: they are no sequence.
        ValueError: there are none.
    """

    def __init__(self, transforms):
        super().__init__()
        if not isinstance(transforms, (Sequence, ModuleList)):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not transforms:
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    def in_order(self, transforms, inputs):
        """All of them, one after the other."""
        for transform in transforms:
            made = transform(*inputs)
            inputs = made if len(inputs) > 1 else (made,)
        return made

    def extra_repr(self) -> str:
        return "\n".join(f"    {transform}" for transform in self.transforms)


class Compose(Several):
    """Several transforms, one after the other."""

    def forward(self, *inputs):
        return self.in_order(self.transforms, inputs)


class RandomApply(Several):
    """All transforms with probability p, or none."""

    def __init__(self, transforms, p=0.5):
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs):
        if torch.rand(1) >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        return self.in_order(self.transforms, inputs)


class RandomChoice(Several):
    """One of the transforms, with weights p."""

    def __init__(self, transforms, p=None):
        super().__init__(transforms)
        weights = [1] * len(transforms) if p is None else p
        if len(weights) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(p)} != {len(transforms)}")
        self.p = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs):
        return self.transforms[int(torch.multinomial(torch.tensor(self.p), 1))](*inputs)


class RandomOrder(Several):
    """All transforms in a random order."""

    def forward(self, *inputs):
        return self.in_order([self.transforms[i] for i in torch.randperm(len(self.transforms)).tolist()], inputs)
