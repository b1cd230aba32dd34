"""Checkpoints in a folder."""
from __future__ import annotations

import os

from ...serialization import load, save

METADATA = ".metadata"


class FileSystemWriter:
    """Writes files whole or not at all.

    Args:
        path: of the folder, which is made.
        overwrite: False refuses a folder that holds a checkpoint.
    """

    def __init__(self, path, single_file_per_rank: bool = True, sync_files: bool = True, thread_count: int = 1,
                 per_thread_copy_ahead: int = 10_000_000, cache_staged_state_dict: bool = False,
                 overwrite: bool = True, **_options):
        self.path, self.overwrite = path, overwrite

    def prepare(self) -> None:
        """Make the folder; a checkpoint that is there is none from now on."""
        os.makedirs(self.path, exist_ok=True)
        old = os.path.join(self.path, METADATA)
        if os.path.exists(old):
            if not self.overwrite:
                raise RuntimeError(f"Checkpoint already exists and self.overwrite=False: {self.path}")
            os.remove(old)

    def write(self, name: str, content) -> None:
        """One file of the folder."""
        save(content, os.path.join(self.path, name))


class FileSystemReader:
    """Reads a checkpoint of a folder; tensors are mapped, so that only what is needed is read."""

    def __init__(self, path, **_options):
        self.path, self.open = path, {}

    def read(self, name: str, **how):
        """One file of the folder."""
        if name not in self.open:
            self.open[name] = load(os.path.join(self.path, name), mmap=True, **how)
        return self.open[name]

    def read_metadata(self) -> dict:
        """{"tensors": name to shape, dtype and places, "objects": name to file}"""
        if not os.path.exists(os.path.join(self.path, METADATA)):
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{os.path.join(self.path, METADATA)}': "
                                    "there is no checkpoint, or it was not finished")
        return self.read(METADATA)
