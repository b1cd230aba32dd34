"""What memory is spent on: parameters stay as they are; activations, gradients and optimiser state come and go."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..autograd.graph import saved_tensors_hooks
from ..autograd.profiler_util import show_bytes
from ..ops.layouts import Unstrided
from ..runtime import memory
from ..tensor import Tensor
from ..trace.flush import synchronize

STATIC = ("parameters", "buffers")


class Kind(NamedTuple):
    """Different pieces of memory of one kind, and their bytes together."""
    tensors: int
    bytes: int


class MemoryReport(NamedTuple):
    """Bytes by kind; `str` of it is a table.

    `activations` is the most that the tape held for the backward pass at one time, without parameters and
    buffers. `peak` is by how much the allocator grew during the step at most, temporary memory of plans
    included; None without a step.
    """
    parameters: Kind
    buffers: Kind
    gradients: Kind
    optimizer_state: Kind
    activations: Kind
    peak: int | None

    @property
    def total(self) -> int:
        return sum(kind.bytes for kind in self[:-1])

    def __str__(self):
        rows = [("kind", "", "tensors", "memory")]
        rows += [(name.replace("_", " "), "static" if name in STATIC else "dynamic", str(kind.tensors), show_bytes(kind.bytes))
                 for name, kind in zip(self._fields, self[:-1])]
        rows.append(("together", "", "", show_bytes(self.total)))
        if self.peak is not None:
            rows.append(("peak of the step", "measured", "", show_bytes(self.peak)))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join("  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2]),
                                    row[3].rjust(widths[3]))) for row in rows)


def pieces(x: Tensor) -> list:
    """The storages of a tensor; a sparse one has several."""
    if isinstance(x, Unstrided):
        return [s for part in vars(x).values() if isinstance(part, Tensor) for s in pieces(part)]
    return [x.storage.base]


def storages(tensors: Iterable) -> dict:
    """What lies behind tensors, each once: id -> storage."""
    return {id(s): s for x in tensors for s in pieces(x)}


def size(storage) -> int:
    return storage.numel * storage.dtype.itemsize


def counted(tensors: Iterable) -> Kind:
    found = storages(tensors).values()
    return Kind(len(found), sum(map(size, found)))


def leaves(x) -> Iterable:
    """All tensors in nested dictionaries, lists and tuples."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, dict):
        yield from leaves(list(x.values()))
    elif isinstance(x, (list, tuple)):
        for part in x:
            yield from leaves(part)


class Ledger:
    """What the tape holds at the moment, and the most that it ever held."""

    def __init__(self, apart: dict):
        self.apart, self.holders = apart, {}
        self.bytes = 0
        self.most = Kind(0, 0)

    def add(self, storage) -> None:
        holders = self.holders.get(id(storage), 0)
        self.holders[id(storage)] = holders + 1
        if not holders:
            self.bytes += size(storage)
            self.most = max(self.most, Kind(len(self.holders), self.bytes), key=lambda kind: kind.bytes)

    def drop(self, storage) -> None:
        self.holders[id(storage)] -= 1
        if not self.holders[id(storage)]:
            del self.holders[id(storage)]
            self.bytes -= size(storage)


class Held:
    """A saved tensor; the ledger hears when the tape lets it go."""

    __slots__ = ("tensor", "ledger", "parts")

    def __init__(self, tensor: Tensor, ledger: Ledger):
        self.tensor, self.ledger = tensor, ledger
        self.parts = [s for s in pieces(tensor) if id(s) not in ledger.apart]
        for storage in self.parts:
            ledger.add(storage)

    def __del__(self):
        for storage in self.parts:
            self.ledger.drop(storage)


def run_counted(step: Callable, apart: dict) -> tuple[Kind, int]:
    """Run a step: (the most that the tape held, growth of the allocator at its peak)."""
    ledger = Ledger(apart)
    synchronize()
    memory.reset_peak()
    before = memory.statistics().live
    with saved_tensors_hooks(lambda x: Held(x, ledger), lambda held: held.tensor):
        step()
    synchronize()
    return ledger.most, memory.statistics().peak - before


def memory_report(model, optimizer=None, step: Callable | None = None) -> MemoryReport:
    """What a model and its training take, by kind.

    Args:
        model: its parameters, buffers and gradients are counted.
        optimizer: its state is counted.
        step: called once, without arguments, to do a step of training. What the tape saves in it are the
            activations; without it they count as 0. The step changes the model as it always does.

    Memory that several tensors share counts once. Gradients and state are those that are there after
    the step. The kinds of memory are those of Rajbhandari et al., ZeRO, 2020, section 3.
    """
    parameters, buffers = list(model.parameters()), list(model.buffers())
    activations, peak = Kind(0, 0), None
    if step is not None:
        activations, peak = run_counted(step, storages(parameters + buffers))
    gradients = [p.grad for p in parameters if p.grad is not None]
    state = leaves(dict(optimizer.state)) if optimizer is not None else ()
    return MemoryReport(counted(parameters), counted(buffers), counted(gradients), counted(state), activations, peak)
