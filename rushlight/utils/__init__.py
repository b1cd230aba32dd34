"""What surrounds training: data loading, checkpointing, hooks, seeds, accounts of memory."""
from . import data as data

ROOMS = frozenset("""_python_dispatch _pytree benchmark checkpoint collect_env deterministic dlpack flop_counter hooks model_zoo
    tensorboard weak""".split())


def __getattr__(name):
    """Other rooms are entered when they are asked for."""
    if name in ROOMS:
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    if name == "seed_everything":
        from .seeds import seed_everything
        return seed_everything
    if name == "memory_report":
        from .accounts import memory_report
        return memory_report
    if name == "swap_tensors":
        from .swapping import swap_tensors
        return swap_tensors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
