"""How much noise a budget asks for."""
from __future__ import annotations

import math

from .registry import create_accountant

MAX_SIGMA = 1e6
WHOLE = 1e-9        # epochs / sample_rate may miss a whole number by rounding


def get_noise_multiplier(*, target_epsilon: float, target_delta: float, sample_rate: float,
                         epochs: int | None = None, steps: int | None = None, accountant: str = "rdp",
                         epsilon_tolerance: float = 0.01, **kwargs) -> float:
    """The noise with which training spends at most (target_epsilon, target_delta), by bisection.

    Args:
        target_epsilon, target_delta: the budget.
        sample_rate: the probability of a sample to be in a batch.
        epochs, steps: how long, one of the two.
        accountant: by which account.
        epsilon_tolerance: how much of epsilon may be left unspent.

    Raises:
        ValueError: both or none of epochs and steps; a budget that no noise keeps.
    """
    if (steps is None) == (epochs is None):
        raise ValueError("get_noise_multiplier takes as input EITHER a number of steps or a number of epochs")
    steps = math.ceil(epochs / sample_rate - WHOLE * (1 + epochs / sample_rate)) if steps is None else steps
    account = create_accountant(mechanism=accountant)

    def epsilon(sigma):
        account.history = [(sigma, sample_rate, steps)]
        return account.get_epsilon(delta=target_delta, **kwargs)
    low, high, reached = 0.0, 10.0, math.inf
    while reached > target_epsilon:
        high *= 2
        reached = epsilon(high)
        if high > MAX_SIGMA:
            raise ValueError("The privacy budget is too low.")
    while target_epsilon - reached > epsilon_tolerance:
        middle = (low + high) / 2
        found = epsilon(middle)
        if found < target_epsilon:
            high, reached = middle, found
        else:
            low = middle
    return high
