"""Python's multiprocessing, with tensors that go to other processes through shared memory.

A tensor that is sent (through a Queue or Pipe, or as an argument of a spawned process) is moved
into shared memory first: both processes then see, and may write, the same elements. Memory that
is shared is read and written at the call, never later.
"""
import multiprocessing
from multiprocessing import *

from rushlight.multiprocessing import reductions
from rushlight.multiprocessing.spawn import (
    ENV_VAR_PARALLEL_START, ProcessContext, ProcessExitedException, ProcessRaisedException,
    SpawnContext, spawn, start_processes,
)

STRATEGIES = {"file_descriptor", "file_system"}

__all__ = [
    "ENV_VAR_PARALLEL_START", "ProcessContext", "ProcessExitedException",
    "ProcessRaisedException", "SpawnContext", "get_all_sharing_strategies", "get_sharing_strategy",
    "set_sharing_strategy", "spawn", "start_processes",
]


def get_all_sharing_strategies() -> set[str]:
    """The ways to share memory: by descriptors of files that have no name."""
    return set(STRATEGIES)


def get_sharing_strategy() -> str:
    """"file_descriptor": nothing is left behind when a process is killed."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted for PyTorch's names; memory is always shared by descriptors.

    Raises:
        ValueError: there is no such strategy.
    """
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(f"set_sharing_strategy: expected one of {sorted(get_all_sharing_strategies())}, "
                         f"found {new_strategy!r}")


reductions.init_reductions()
