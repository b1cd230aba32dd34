"""An optimiser that averages models now and then."""
from __future__ import annotations

import warnings

from ...optim import Optimizer


class PostLocalSGDOptimizer(Optimizer):
    """Steps of a local optimiser, after each of which an averager may average the parameters.

    Args:
        optim: the optimiser of this process.
        averager: a `PeriodicModelAverager`; its number of steps is kept in the state dictionary.
    """

    def __init__(self, optim: Optimizer, averager):
        self.optim, self.averager = optim, averager

    state = property(lambda self: self.optim.state)
    param_groups = property(lambda self: self.optim.param_groups)
    defaults = property(lambda self: self.optim.defaults)

    def __repr__(self):
        return repr(self.optim)

    def state_dict(self) -> dict:
        """That of the local optimiser, and the averager's number of steps."""
        return {**self.optim.state_dict(), "step": self.averager.step}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over a state dictionary; without a number of steps the averager begins at 0."""
        if "step" not in state_dict:
            warnings.warn("Loaded state dict does not contain a step counter for an averager. Setting step counter "
                          "to 0.", stacklevel=2)
        self.optim.load_state_dict({k: v for k, v in state_dict.items() if k != "step"})
        self.averager.step = state_dict.get("step", 0)

    def step(self, closure=None):
        """A step of the local optimiser, and perhaps the mean over the processes."""
        loss = self.optim.step(closure) if closure is not None else self.optim.step()
        self.averager.average_parameters(params=self.param_groups)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.optim.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group: dict) -> None:
        """One group of parameters more."""
        self.optim.add_param_group(param_group)
