"""What all accountants share: a history of steps."""
from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy


class IAccountant:
    """Counts steps of DP-SGD and says what they cost.

    `history` lists (noise multiplier, sample rate, number of steps).
    """

    def __init__(self):
        self.history: list[tuple[float, float, int]] = []

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """One more step."""
        last = self.history[-1] if self.history else None
        if last is not None and last[:2] == (noise_multiplier, sample_rate):
            self.history[-1] = (noise_multiplier, sample_rate, last[2] + 1)
        else:
            self.history.append((noise_multiplier, sample_rate, 1))

    def get_epsilon(self, delta: float, **kwargs) -> float:
        """epsilon spent so far at `delta`, never less than the true one."""
        raise NotImplementedError(f"{type(self).__name__}.get_epsilon")

    def __len__(self) -> int:
        """How many runs of equal steps there were."""
        return len(self.history)

    @classmethod
    def mechanism(cls) -> str:
        """The accountant's name."""
        raise NotImplementedError(f"{cls.__name__}.mechanism")

    def get_optimizer_hook_fn(self, sample_rate: float):
        """A function for DPOptimizer.attach_step_hook that counts its steps."""
        def count(optimizer):
            self.step(noise_multiplier=optimizer.noise_multiplier,
                      sample_rate=min(1.0, sample_rate * optimizer.accumulated_iterations))
        return count

    def state_dict(self, destination: dict | None = None) -> dict:
        """The history and the accountant's name."""
        found = OrderedDict() if destination is None else destination
        found["history"], found["mechanism"] = deepcopy(self.history), self.mechanism()
        return found

    def load_state_dict(self, state_dict: dict) -> None:
        """What `state_dict` gave; ValueError if it is empty, incomplete or of another accountant."""
        if not state_dict:
            raise ValueError("state dict is either None or empty and hence cannot be loaded into Privacy "
                             "Accountant.")
        for key in ("history", "mechanism"):
            if key not in state_dict:
                raise ValueError(f"state_dict does not have the key `{key}`. Cannot be loaded into Privacy "
                                 "Accountant.")
        if state_dict["mechanism"] != self.mechanism():
            raise ValueError(f"state_dict of {state_dict['mechanism']} cannot be loaded into Privacy "
                             f"Accountant with mechanism {self.mechanism()}")
        self.history = list(state_dict["history"])


def without_noise(history) -> bool:
    """Whether a step had no noise at all, so that nothing is private."""
    return any(s == 0 and q > 0 for s, q, _ in history)
