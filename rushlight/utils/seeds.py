"""One seed for everything that draws random numbers."""
from __future__ import annotations

import os
import random

import numpy as np


def seed_everything(seed: int, env=None) -> int:
    """Seed Python, NumPy, this library on all devices, and what processes started later hash by.

    The cudnn switches are set as reproducible programs set them; here they change nothing.

    Args:
        seed: from 0 to 2**32 - 1, as far as NumPy's seeds go; ValueError for another.
        env: an environment to seed too: by `env.seed(seed)`, by `env.reset(seed=seed)` where that is
            how it is done (Gymnasium), and its `action_space` and `observation_space`.

    Returns the seed.
    """
    from .. import backends, random as streams
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed_everything: seed should be from 0 to 2**32 - 1, but found {seed}")
    random.seed(seed)
    np.random.seed(seed)
    streams.manual_seed(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
    backends.cudnn.deterministic, backends.cudnn.benchmark, backends.cudnn.enabled = True, False, False
    if env is not None:
        seed_environment(env, seed)
    return seed


def seed_environment(env, seed: int) -> None:
    """TypeError if it can be seeded in neither way."""
    if callable(getattr(env, "seed", None)):
        env.seed(seed)
    elif callable(getattr(env, "reset", None)):
        env.reset(seed=seed)
    else:
        raise TypeError(f"seed_everything: {type(env).__name__} has neither seed nor reset")
    for space in (getattr(env, "action_space", None), getattr(env, "observation_space", None)):
        if callable(getattr(space, "seed", None)):
            space.seed(seed)
