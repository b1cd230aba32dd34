"""What surrounds training: data loading, checkpointing, hooks, seeds, accounts of memory."""
from . import data as data


def __getattr__(name):
    """Other rooms are entered when they are asked for."""
    if name in ("checkpoint", "hooks", "tensorboard"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    if name == "seed_everything":
        from .seeds import seed_everything
        return seed_everything
    if name == "memory_report":
        from .accounts import memory_report
        return memory_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
