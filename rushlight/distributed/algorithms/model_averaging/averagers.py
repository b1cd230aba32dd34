"""When models are averaged."""
from __future__ import annotations

import warnings
from abc import ABC, abstractmethod

from ...groups import current
from . import utils

__all__ = ["ModelAverager", "PeriodicModelAverager"]


class ModelAverager(ABC):
    """Counts steps and averages the models of a group."""

    def __init__(self, process_group=None):
        self.process_group, self.step = current(process_group), 0

    @abstractmethod
    def average_parameters(self, params) -> None:
        """Average, if it is time."""


class PeriodicModelAverager(ModelAverager):
    """Average every `period` steps, from step `warmup_steps` on.

    Raises:
        ValueError: a period below 1, or a negative number of steps before.
    """

    def __init__(self, period: int, warmup_steps: int = 0, process_group=None):
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        if period == 1:
            warnings.warn("When period is 1, no need to use model averaging because the communication cost is that "
                          "of averaging gradients: DistributedDataParallel does that", stacklevel=2)
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params) -> None:
        """Average parameters, or the parameters of groups, if it is time."""
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            utils.average_parameters_or_parameter_groups(params, self.process_group)
        self.step += 1
