"""Checkpoints of several processes: each writes what it has, and any number of them reads it again.

A checkpoint is a folder: `__RANK_0.distcp` holds tensors in the format of `torch.save`, `.metadata`,
which is written last, says of every name which rows lie where.
"""
from .filesystem import FileSystemReader, FileSystemWriter
from .saving import CheckpointException, Stateful, async_save, load, save

__all__ = ["CheckpointException", "FileSystemReader", "FileSystemWriter", "Stateful", "async_save", "load",
           "load_state_dict", "save", "save_state_dict"]


def save_state_dict(state_dict: dict, storage_writer, process_group=None, coordinator_rank: int = 0,
                    no_dist: bool = False, planner=None):
    """The old name of `save`."""
    return save(state_dict, storage_writer=storage_writer, process_group=process_group, no_dist=no_dist)


def load_state_dict(state_dict: dict, storage_reader, process_group=None, coordinator_rank: int = 0,
                    no_dist: bool = False, planner=None) -> None:
    """The old name of `load`."""
    load(state_dict, storage_reader=storage_reader, process_group=process_group, no_dist=no_dist)


def __getattr__(name):
    if name in ("state_dict", "format_utils", "stateful"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.distributed.checkpoint' has no attribute {name!r}")
