"""Saving and loading of nested state dictionaries by several processes."""
from __future__ import annotations

import pickle
import threading
from typing import Protocol, runtime_checkable

from ... import ops
from ...autograd import no_grad
from ...futures import Future
from ...tensor import Tensor
from .. import exchanges, groups
from .filesystem import METADATA, FileSystemReader, FileSystemWriter


@runtime_checkable
class Stateful(Protocol):
    """What has `state_dict()` and `load_state_dict(state_dict)`."""

    def state_dict(self) -> dict:
        """The state."""

    def load_state_dict(self, state_dict: dict) -> None:
        """Take the state over."""


class CheckpointException(BaseException):
    """What went wrong, by rank."""

    def __init__(self, message: str, failures: dict):
        super().__init__(f"{message} ranks:{failures.keys()}\n"
                         + "".join(f"{type(e).__name__} (RANK {rank}): {e}\n" for rank, e in failures.items()))
        self.failures = failures


# -- names -------------------------------------------------------------------------------------------------
def leaves_of(x, path=()):
    """(path, leaf) of nested dictionaries and lists."""
    if isinstance(x, dict) and x:
        for key, value in x.items():
            yield from leaves_of(value, (*path, key))
    elif isinstance(x, (list, tuple)) and any(isinstance(v, (dict, list, Tensor)) for v in x):
        for i, value in enumerate(x):
            yield from leaves_of(value, (*path, i))
    else:
        yield path, x


def name_of(path) -> str:
    return ".".join(map(str, path))


def put(root, path, value) -> None:
    for key in path[:-1]:
        root = root[key]
    root[path[-1]] = value


def plain(state_dict) -> dict:
    return {k: v.state_dict() if isinstance(v, Stateful) and not isinstance(v, Tensor) else v
            for k, v in state_dict.items()}


# -- processes ---------------------------------------------------------------------------------------------
class Company:
    """The processes of a checkpoint; one alone without a group."""

    def __init__(self, group, no_dist):
        self.group = groups.current(group) if groups.is_initialized() and not no_dist else None
        self.rank = 0 if self.group is None else self.group.rank()

    def line(self):
        """Mail that may be used later, in another thread."""
        return None if self.group is None else self.group.line()

    def gathered(self, x, line=None) -> list:
        """The objects of all."""
        if self.group is None:
            return [x]
        line, data = line or self.line(), pickle.dumps(x)
        return [pickle.loads(m) for m in exchanges.exchange(line, [data] * line.size)]

    def checked(self, message, job, line=None) -> list:
        """What `job` gives in all processes; CheckpointException in all, if it fails in one."""
        try:
            answer, error = job(), None
        except Exception as failure:
            answer, error = None, failure
        found = self.gathered((answer, error), line)
        failures = {rank: e for rank, (_, e) in enumerate(found) if e is not None}
        if failures:
            raise CheckpointException(message, failures)
        return [a for a, _ in found]


# -- saving ------------------------------------------------------------------------------------------------
def save(state_dict: dict, *, checkpoint_id=None, storage_writer: FileSystemWriter | None = None, planner=None,
         process_group=None, no_dist: bool = False, **_options) -> dict:
    """Write a state dictionary; all processes call this.

    Tensors that are spread over processes (of `fully_shard`, or FSDP's SHARDED_STATE_DICT) are written
    where they are; of all else that several processes have under one name, one is written.

    Args:
        state_dict: nested; values may be objects with `state_dict()`.
        checkpoint_id: the folder; or `storage_writer`.

    Raises:
        CheckpointException: what went wrong, in all processes.
    """
    return _planned(state_dict, checkpoint_id, storage_writer, process_group, no_dist)()


def async_save(state_dict: dict, *, checkpoint_id=None, storage_writer: FileSystemWriter | None = None,
               planner=None, process_group=None, no_dist: bool = False, **_options) -> Future:
    """As save, on a copy and in another thread; the result of the future is the table of contents."""
    finish = _planned(state_dict, checkpoint_id, storage_writer, process_group, no_dist, copies=True)
    future = Future()
    threading.Thread(target=lambda: future._take(finish), daemon=True, name="checkpoint").start()
    return future


def _planned(state_dict, folder, writer, group, no_dist, copies=False):
    """Decide who writes what; the function that does it."""
    writer, company = writer or FileSystemWriter(folder), Company(group, no_dist)
    mine = {name_of(path): (path, x) for path, x in leaves_of(plain(state_dict))}
    company.checked("save", lambda: writer.prepare() if company.rank == 0 else None)
    everybody = company.gathered({name: _summary(x) for name, (_, x) in mine.items()})
    owner = {name: rank for rank in reversed(range(len(everybody))) for name in everybody[rank]}
    content = {name: x.to_local() if hasattr(x, "sharding") else x for name, (_, x) in mine.items()
               if owner[name] == company.rank or hasattr(x, "sharding")}
    with no_grad():
        content = {k: _kept(x, copies) for k, x in content.items()}
    table, first, last = _table(everybody, owner, {n: p for n, (p, _) in mine.items()}), company.line(), company.line()

    def finish():
        company.checked("save", lambda: writer.write(_file(company.rank), content), first)
        company.checked("save", lambda: writer.write(METADATA, table) if company.rank == 0 else None, last)
        return table
    return finish


def _kept(x, copies):
    if not isinstance(x, Tensor):
        return x
    x = x.detach().as_subclass(Tensor)
    return x.clone() if copies or x.untyped_storage().nbytes() != x.nbytes else x


def _file(rank) -> str:
    return f"__{rank}_0.distcp"


def _summary(x):
    """What the others must know: None of an object, (shape, dtype, rows) of a tensor."""
    if not isinstance(x, Tensor):
        return None
    spread = getattr(x, "sharding", None)
    if spread is None:
        return tuple(x.shape), str(x.dtype), None
    return spread.shape, str(x.dtype), spread.rows(spread.group.rank())


def _table(everybody, owner, paths):
    """The table of contents."""
    tensors, objects = {}, {}
    for rank, summaries in enumerate(everybody):
        for name, summary in summaries.items():
            if summary is None:
                objects[name] = _file(owner[name])
            elif summary[2] is not None or owner[name] == rank:
                entry = tensors.setdefault(name, {"shape": list(summary[0]), "dtype": summary[1], "places": []})
                entry["places"].append([_file(rank), *(summary[2] or (0, -1))])
    return {"tensors": tensors, "objects": objects, "paths": {n: list(p) for n, p in paths.items()}}


# -- loading -----------------------------------------------------------------------------------------------
def load(state_dict: dict, *, checkpoint_id=None, storage_reader: FileSystemReader | None = None, planner=None,
         process_group=None, no_dist: bool = False) -> None:
    """Read a checkpoint into the tensors of a state dictionary; what is no tensor is replaced.

    The number of processes, and how tensors are spread, may be others than when it was written.

    Raises:
        CheckpointException: a name that is not there, another shape, or a damaged file, in all processes.
    """
    reader, company = storage_reader or FileSystemReader(checkpoint_id), Company(process_group, no_dist)
    target = plain(state_dict)

    def read():
        table = reader.read_metadata()
        with no_grad():
            for path, x in list(leaves_of(target)):
                put(target, path, _read(reader, table, name_of(path), x))
    company.checked("load", read)
    for key, value in state_dict.items():
        if isinstance(value, Stateful) and not isinstance(value, Tensor):
            value.load_state_dict(target[key])
        else:
            state_dict[key] = target[key]


def _read(reader, table, name, x):
    if name in table["objects"]:
        return reader.read(table["objects"][name])[name]
    if name not in table["tensors"]:
        raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
    entry = table["tensors"][name]
    spread = getattr(x, "sharding", None)
    shape = list(spread.shape) if spread else list(x.shape) if isinstance(x, Tensor) else entry["shape"]
    if shape != entry["shape"]:
        raise ValueError(f"Size mismatch between saved {entry['shape']} and current: {shape} for {name}")
    rows = spread.rows(spread.group.rank()) if spread else None
    found = joined(reader, name, entry, rows)
    if not isinstance(x, Tensor):
        return found
    x.detach().as_subclass(Tensor).copy_(found)
    return x


def joined(reader, name, entry, rows=None) -> Tensor:
    """A tensor, or some of its rows, from where it lies."""
    places = [(file, begin, end) for file, begin, end in entry["places"] if begin != end]
    if len(places) == 1 and rows is None or not entry["shape"]:
        return reader.read(places[0][0])[name]
    low, high = rows or (0, entry["shape"][0])
    parts = []
    for file, begin, end in sorted(places, key=lambda place: place[1]):
        end = entry["shape"][0] if end < 0 else end
        a, b = max(low, begin), min(high, end)
        if a < b:
            parts.append(reader.read(file)[name][a - begin:b - begin])
    if not parts:
        return ops.zeros(0, *entry["shape"][1:])
    return ops.cat(parts)
