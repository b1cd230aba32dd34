"""Ways to exchange gradients, for DistributedDataParallel.register_comm_hook."""
from __future__ import annotations

import enum

from . import debugging_hooks, default_hooks, powerSGD_hook

__all__ = ["DDPCommHookType", "register_ddp_comm_hook"]


class DDPCommHookType(enum.Enum):
    """Hooks by name; PowerSGD with rank 1 or 2."""

    ALLREDUCE = "allreduce_hook"
    FP16_COMPRESS = "fp16_compress_hook"
    BF16_COMPRESS = "bf16_compress_hook"
    POWER_SGD = "powerSGD_hook", 1
    POWER_SGD_RANK2 = "powerSGD_hook", 2
    BATCHED_POWER_SGD = "batched_powerSGD_hook", 1
    BATCHED_POWER_SGD_RANK2 = "batched_powerSGD_hook", 2
    NOOP = "noop_hook"


def register_ddp_comm_hook(comm_hook_type: DDPCommHookType, model, state=None) -> None:
    """Register a hook by name; `state` is the process group, None for the world."""
    if isinstance(comm_hook_type.value, tuple):
        name, rank = comm_hook_type.value
        state = powerSGD_hook.PowerSGDState(state, rank)
        model.register_comm_hook(state, getattr(powerSGD_hook, name))
        return
    home = debugging_hooks if comm_hook_type is DDPCommHookType.NOOP else default_hooks
    model.register_comm_hook(state, getattr(home, comm_hook_type.value))
