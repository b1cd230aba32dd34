"""What surrounds training: data loading, checkpointing, hooks, seeds, accounts of memory."""
from . import data as data
from .seeds import seed_everything as seed_everything


def __getattr__(name):
    """Other rooms are entered when they are asked for."""
    if name in ("checkpoint", "hooks", "tensorboard"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
