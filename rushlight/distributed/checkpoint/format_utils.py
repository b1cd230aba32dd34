"""Checkpoints of many files from one file, and the other way."""
from __future__ import annotations

from ...serialization import load as load_file, save as save_file
from .filesystem import FileSystemReader, FileSystemWriter
from .saving import joined, save

__all__ = ["dcp_to_torch_save", "torch_save_to_dcp"]


def dcp_to_torch_save(dcp_checkpoint_dir, torch_save_path) -> None:
    """One file with whole tensors, nested as they were saved."""
    reader = FileSystemReader(dcp_checkpoint_dir)
    table, root = reader.read_metadata(), {}
    for name, path in table["paths"].items():
        value = (joined(reader, name, table["tensors"][name]) if name in table["tensors"]
                 else reader.read(table["objects"][name])[name])
        at = root
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = value
    save_file(root, torch_save_path)


def torch_save_to_dcp(torch_save_path, dcp_checkpoint_dir) -> None:
    """The folder of a file of `torch.save`."""
    save(load_file(torch_save_path), storage_writer=FileSystemWriter(dcp_checkpoint_dir), no_dist=True)
