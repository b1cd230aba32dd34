"""Schedules of the noise multiplier and of the clipping bound."""
from __future__ import annotations

from collections.abc import Callable

__all__ = ["ExponentialGradClip", "ExponentialNoise", "LambdaGradClip", "LambdaNoise", "StepGradClip",
           "StepNoise"]


class _Scheduler:
    """Sets one attribute of a DPOptimizer in each step; the first one is its value now."""

    attribute = ""

    def __init__(self, optimizer, *, last_epoch: int = -1):
        if not hasattr(optimizer, self.attribute):
            raise ValueError(f"{type(self).__name__} requires your optimizer to have a .{self.attribute} "
                             "attr. Are you sure you are using a DPOptimizer?")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self.base = getattr(optimizer, self.attribute)
        self.step()

    def value(self) -> float:
        raise NotImplementedError(f"{type(self).__name__}.value")

    @property
    def now(self) -> float:
        return getattr(self.optimizer, self.attribute)

    def step(self) -> None:
        """Go to the next value."""
        self.last_epoch += 1
        setattr(self.optimizer, self.attribute, self.value())

    def state_dict(self) -> dict:
        """Everything but the optimiser and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict) -> None:
        """What `state_dict` gave."""
        self.__dict__.update(state_dict)


class _Exponential(_Scheduler):
    """Times gamma in each step."""

    def __init__(self, optimizer, *, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch=last_epoch)

    def value(self):
        return self.now if self.last_epoch == 0 else self.now * self.gamma


class _Step(_Exponential):
    """Times gamma in every `step_size`-th step."""

    def __init__(self, optimizer, *, step_size: int, gamma: float, last_epoch: int = -1):
        self.step_size = step_size
        super().__init__(optimizer, gamma=gamma, last_epoch=last_epoch)

    def value(self):
        turns = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self.now * self.gamma if turns else self.now


class _Lambda(_Scheduler):
    """The first value times a function of the step."""

    def __init__(self, optimizer, function: Callable[[int], float], last_epoch: int):
        self.function = function
        super().__init__(optimizer, last_epoch=last_epoch)

    def value(self):
        return self.base * self.function(self.last_epoch)


class ExponentialNoise(_Exponential):
    """noise_multiplier times `gamma` in each step."""

    attribute = "noise_multiplier"


class StepNoise(_Step):
    """noise_multiplier times `gamma` in every `step_size`-th step."""

    attribute = "noise_multiplier"


class LambdaNoise(_Lambda):
    """The first noise_multiplier times `noise_lambda(step)`."""

    attribute = "noise_multiplier"

    def __init__(self, optimizer, *, noise_lambda: Callable[[int], float], last_epoch: int = -1):
        super().__init__(optimizer, noise_lambda, last_epoch)


class ExponentialGradClip(_Exponential):
    """max_grad_norm times `gamma` in each step."""

    attribute = "max_grad_norm"


class StepGradClip(_Step):
    """max_grad_norm times `gamma` in every `step_size`-th step."""

    attribute = "max_grad_norm"


class LambdaGradClip(_Lambda):
    """The first max_grad_norm times `scheduler_function(step)`."""

    attribute = "max_grad_norm"

    def __init__(self, optimizer, *, scheduler_function: Callable[[int], float], last_epoch: int = -1):
        super().__init__(optimizer, scheduler_function, last_epoch)
