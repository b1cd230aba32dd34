"""torch.cuda.random without a device: seeding is accepted, states are not there."""
from __future__ import annotations

from ..errors import absent
from . import NOT_COMPILED, manual_seed as manual_seed, manual_seed_all as manual_seed_all, seed_all as seed_all

__all__ = ["get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all",
           "set_rng_state", "set_rng_state_all"]
seed = seed_all
get_rng_state, initial_seed = map(absent("torch.cuda.random", AssertionError, NOT_COMPILED), ("get_rng_state", "initial_seed"))


def get_rng_state_all() -> list:
    """No device, no state."""
    return []


def set_rng_state(new_state, device="cuda") -> None:
    """Accepted: there is no device generator."""


def set_rng_state_all(new_states) -> None:
    """Accepted: there is no device generator."""
