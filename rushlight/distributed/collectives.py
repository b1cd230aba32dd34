"""What the processes of a group do together with tensors.

All processes of the group call the same functions in the same order, with tensors of the same
sizes and dtypes. With `async_op` a function returns a `Work`, whose `wait` writes the result.
"""
from __future__ import annotations

import datetime

import numpy as np

from rushlight.autograd import no_grad
from rushlight.ops.create import from_numpy
from rushlight.tensor import Tensor

from . import exchanges
from .groups import OUTSIDE, ProcessGroup, current
from .reduce_op import ReduceOp
from .work import Receipt, Sent, Work


def value(tensor: Tensor) -> np.ndarray:
    """A packed copy of the elements."""
    return np.array(tensor.detach()._array(), order="C")


def write(tensor: Tensor, array: np.ndarray) -> None:
    with no_grad():
        tensor.detach().copy_(from_numpy(np.ascontiguousarray(array).reshape(tuple(tensor.shape))))


def write_bytes(tensors, messages) -> None:
    for tensor, data in zip(tensors, messages, strict=True):
        write(tensor, array_of(data, tensor))


def array_of(data, tensor) -> np.ndarray:
    """The bytes of a message as an array for a tensor; RuntimeError where they are not as many."""
    dtype = tensor.detach()._array().dtype
    if len(data) != tensor.numel() * dtype.itemsize:
        raise RuntimeError(f"a tensor of {tensor.numel() * dtype.itemsize} bytes was to be received, "
                           f"{len(data)} bytes were sent: sizes and dtypes must agree")
    return np.frombuffer(bytearray(data), dtype)


def check_tensor(x, name: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n"
                        f"             but got {type(x)} instead.")


def check_tensors(xs, name: str) -> None:
    if not isinstance(xs, list) or not all(isinstance(x, Tensor) for x in xs):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
                        f"             but got {type(xs)} with elements of type {list(map(type, xs))}.")


def check_same(tensors, reference, operation: str) -> None:
    """All tensors of a list must be like another."""
    for i, x in enumerate(tensors):
        if x.dtype != reference.dtype:
            raise ValueError("Invalid usage of tensors with different dtypes"
                             f"Found {x.dtype} and  {reference.dtype}")
        if x.shape != reference.shape:
            raise RuntimeError(f"ProcessGroupGloo::{operation}: invalid tensor size at index {i} "
                               f"(expected {tuple(reference.shape)}, got {tuple(x.shape)})")


def check_length(items, group, name: str, operation: str) -> None:
    if len(items) != group.size():
        raise RuntimeError(f"ProcessGroupGloo::{operation}: invalid {name} (expected length "
                           f"{group.size()}, got {len(items)})")


def rank_in(group: ProcessGroup, rank: int | None, group_rank: int | None, default: int = 0) -> int:
    """A rank within the group, from one in the world or in the group."""
    if rank is not None and group_rank is not None:
        raise ValueError("Can't specify both group_rank and a rank in the world")
    if group_rank is not None:
        return group_rank
    rank = group.ranks[default] if rank is None else rank
    if rank not in group.ranks:
        raise RuntimeError(f"invalid root rank: {rank} (the group's ranks are {group.ranks})")
    return group.ranks.index(rank)


def carry_out(group, job, finish, async_op, into=()):
    """job(line) here or in a thread, then finish(its result), which writes `into` tensors."""
    line = group.line()
    if async_op:
        return Work(lambda: job(line), finish, into)
    finish(job(line))
    return None


def collective(function):
    """Processes outside of the group do nothing."""
    import functools
    import inspect
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        found = current(bound.arguments.get("group"))
        if found is OUTSIDE:
            return None
        bound.arguments["group"] = found
        return function(*bound.args, **bound.kwargs)
    return call


@collective
def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None,
               async_op: bool = False):
    """The tensors of all processes become their sum (or what `op` says): the same bits everywhere.

    Each process sends and receives 2 (P - 1) / P of the tensor, round a ring.

    Raises:
        RuntimeError: another process is gone, late, or has a tensor of another size.
    """
    check_tensor(tensor, "tensor")
    array = value(tensor)
    combine = op.combine(array.dtype)
    return carry_out(group, lambda line: op.finish(exchanges.all_reduce(line, array, combine), line.size),
                     lambda result: write(tensor, result), async_op, [tensor])


@collective
def reduce(tensor: Tensor, dst: int | None = None, op: ReduceOp = ReduceOp.SUM,
           group: ProcessGroup | None = None, async_op: bool = False, group_dst: int | None = None):
    """As all_reduce; only the tensor of process `dst` is written."""
    check_tensor(tensor, "tensor")
    array, root = value(tensor), rank_in(group, dst, group_dst)
    combine = op.combine(array.dtype)

    def finish(result):
        if result is not None:
            write(tensor, op.finish(result, group.size()))
    return carry_out(group, lambda line: exchanges.reduce(line, root, array, combine), finish, async_op, [tensor])


@collective
def broadcast(tensor: Tensor, src: int | None = None, group: ProcessGroup | None = None,
              async_op: bool = False, group_src: int | None = None):
    """The tensor of process `src`, to all others."""
    check_tensor(tensor, "tensor")
    root, data = rank_in(group, src, group_src), exchanges.bytes_of(value(tensor))
    is_root = root == group.rank()
    return carry_out(group, lambda line: exchanges.broadcast(line, root, data),
                     lambda got: None if is_root else write(tensor, array_of(got, tensor)), async_op,
                     [tensor])


@collective
def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: ProcessGroup | None = None,
               async_op: bool = False):
    """tensor_list[i] becomes the tensor of process i."""
    check_tensors(tensor_list, "tensor_list")
    check_tensor(tensor, "tensor")
    check_length(tensor_list, group, "output tensor list at index 0", "allgather")
    check_same(tensor_list, tensor, "allgather")
    data = exchanges.bytes_of(value(tensor))
    return carry_out(group, lambda line: exchanges.exchange(line, [data] * line.size),
                     lambda got: write_bytes(tensor_list, got), async_op, [tensor_list])


@collective
def all_gather_into_tensor(output_tensor: Tensor, input_tensor: Tensor, group: ProcessGroup | None = None,
                           async_op: bool = False):
    """The tensors of all processes one after the other, (P * n, ...) or (P, n, ...)."""
    check_sizes(output_tensor, input_tensor, group, "all_gather_into_tensor")
    data = exchanges.bytes_of(value(input_tensor))
    return carry_out(group, lambda line: exchanges.exchange(line, [data] * line.size),
                     lambda got: write(output_tensor, array_of(b"".join(map(bytes, got)), output_tensor)), async_op,
                     [output_tensor])


def check_sizes(large, small, group, operation) -> None:
    check_tensor(large, "tensor")
    check_tensor(small, "tensor")
    if large.dtype != small.dtype:
        raise ValueError(f"Invalid usage of tensors with different dtypesFound {large.dtype} and  {small.dtype}")
    if large.numel() != small.numel() * group.size():
        raise RuntimeError(f"{operation}: {large.numel()} elements on the one side, {group.size()} times "
                           f"{small.numel()} on the other: the sizes must agree")


@collective
def gather(tensor: Tensor, gather_list: list[Tensor] | None = None, dst: int | None = None,
           group: ProcessGroup | None = None, async_op: bool = False, group_dst: int | None = None):
    """In process `dst`, gather_list[i] becomes the tensor of process i."""
    check_tensor(tensor, "tensor")
    root = rank_in(group, dst, group_dst)
    if root == group.rank():
        if not gather_list:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        check_length(gather_list, group, "output tensor list at index 0", "gather")
        check_same(gather_list, tensor, "gather")
    elif gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    data = exchanges.bytes_of(value(tensor))
    return carry_out(group, lambda line: exchanges.gather(line, root, data),
                     lambda got: got is not None and write_bytes(gather_list, got), async_op, [gather_list])


@collective
def scatter(tensor: Tensor, scatter_list: list[Tensor] | None = None, src: int | None = None,
            group: ProcessGroup | None = None, async_op: bool = False, group_src: int | None = None):
    """The tensor of process i becomes scatter_list[i] of process `src`."""
    check_tensor(tensor, "tensor")
    root, messages = rank_in(group, src, group_src), None
    if root == group.rank():
        if not scatter_list:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        check_length(scatter_list, group, "input tensor list at index 0", "scatter")
        check_same(scatter_list, tensor, "scatter")
        messages = [exchanges.bytes_of(value(x)) for x in scatter_list]
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    return carry_out(group, lambda line: exchanges.scatter(line, root, messages),
                     lambda got: write(tensor, array_of(got, tensor)), async_op,
                     [tensor])


@collective
def reduce_scatter(output: Tensor, input_list: list[Tensor], op: ReduceOp = ReduceOp.SUM,
                   group: ProcessGroup | None = None, async_op: bool = False):
    """The tensor of process i becomes the sum of all processes' input_list[i]."""
    check_tensor(output, "output")
    check_tensors(input_list, "input_list")
    check_length(input_list, group, "input tensor list", "reduce_scatter")
    parts = [value(x) for x in input_list]
    return scattered(output, parts, op, group, async_op)


def scattered(output, parts, op, group, async_op):
    combine = op.combine(parts[0].dtype)
    return carry_out(group, lambda line: op.finish(exchanges.reduce_ring(line, parts, combine), line.size),
                     lambda result: write(output, result), async_op, [output])


@collective
def reduce_scatter_tensor(output: Tensor, input: Tensor, op: ReduceOp = ReduceOp.SUM,
                          group: ProcessGroup | None = None, async_op: bool = False):
    """As reduce_scatter, of a tensor that holds the parts one after the other."""
    check_sizes(input, output, group, "reduce_scatter_tensor")
    return scattered(output, list(value(input).reshape(group.size(), -1)), op, group, async_op)


@collective
def all_to_all(output_tensor_list: list[Tensor], input_tensor_list: list[Tensor],
               group: ProcessGroup | None = None, async_op: bool = False):
    """output_tensor_list[i] becomes what process i has in its list for this one."""
    check_tensors(output_tensor_list, "output_tensor_list")
    check_tensors(input_tensor_list, "input_tensor_list")
    check_length(output_tensor_list, group, "output tensor list", "alltoall")
    check_length(input_tensor_list, group, "input tensor list", "alltoall")
    messages = [exchanges.bytes_of(value(x)) for x in input_tensor_list]
    return carry_out(group, lambda line: exchanges.exchange(line, messages),
                     lambda got: write_bytes(output_tensor_list, got), async_op, [output_tensor_list])


@collective
def all_to_all_single(output: Tensor, input: Tensor, output_split_sizes: list[int] | None = None,
                      input_split_sizes: list[int] | None = None, group: ProcessGroup | None = None,
                      async_op: bool = False):
    """As all_to_all, of one tensor cut along its first dimension, equally or as the sizes say."""
    cut(value(output), output_split_sizes, group)
    messages = [exchanges.bytes_of(part) for part in cut(value(input), input_split_sizes, group)]
    return carry_out(group, lambda line: exchanges.exchange(line, messages),
                     lambda got: write(output, array_of(b"".join(map(bytes, got)), output)), async_op, [output])


def cut(array, sizes, group) -> list:
    if not sizes:
        if len(array) % group.size():
            raise RuntimeError("Tensor's dim 0 does not divide equally across group size")
        return np.split(array, group.size())
    check_length(sizes, group, "split sizes", "alltoall")
    if sum(sizes) != len(array):
        raise RuntimeError("Split sizes doesn't match total dim 0 size")
    return np.split(array, np.cumsum(sizes)[:-1])


@collective
def barrier(group: ProcessGroup | None = None, async_op: bool = False, device_ids=None):
    """Wait until all processes are here."""
    return carry_out(group, exchanges.barrier, lambda _: None, async_op)


@collective
def monitored_barrier(group: ProcessGroup | None = None, timeout: datetime.timedelta | None = None,
                      wait_all_ranks: bool = False) -> None:
    """As barrier, with a time of its own; the error names a rank that has not come."""
    line = group.line()
    line.seconds = line.seconds if timeout is None else timeout.total_seconds()
    exchanges.barrier(line)


# -- from one process to another ---------------------------------------------------------------------

def peer_in(group, rank, group_rank, what: str) -> int:
    peer = group.ranks[rank_in(group, rank, group_rank)]
    if peer == group.mesh.rank:
        raise ValueError(f"Invalid {what} rank: {what} rank should not be the same as the rank of the current process.")
    return peer


@collective
def isend(tensor: Tensor, dst: int | None = None, group: ProcessGroup | None = None, tag: int = 0,
          group_dst: int | None = None):
    """As send, at once; `wait` has nothing left to wait for."""
    check_tensor(tensor, "tensor")
    group.mesh.send(peer_in(group, dst, group_dst, "destination"), group.message_key(tag),
                    exchanges.bytes_of(value(tensor)))
    return Sent()


@collective
def irecv(tensor: Tensor, src: int | None = None, group: ProcessGroup | None = None, tag: int = 0,
          group_src: int | None = None):
    """Expect a tensor of process `src`, None for any; `wait` writes it."""
    check_tensor(tensor, "tensor")
    mesh, key = group.mesh, group.message_key(tag)
    peers = ([r for r in group.ranks if r != mesh.rank] if src is None and group_src is None
             else [peer_in(group, src, group_src, "source")])

    def receive(seconds):
        receipt.source, data = mesh.receive_any(peers, key, group.timeout.total_seconds() if seconds is None else seconds)
        write(tensor, array_of(data, tensor))
    receipt = Receipt(lambda: any(mesh.has(peer, key) for peer in peers), receive)
    return receipt


def send(tensor: Tensor, dst: int | None = None, group: ProcessGroup | None = None, tag: int = 0,
         group_dst: int | None = None) -> None:
    """Send a tensor to process `dst`, which calls recv with the same tag."""
    isend(tensor, dst, group, tag, group_dst)


def recv(tensor: Tensor, src: int | None = None, group: ProcessGroup | None = None, tag: int = 0,
         group_src: int | None = None) -> int:
    """Receive a tensor from process `src`, None for any; the rank of the sender."""
    receipt = irecv(tensor, src, group, tag, group_src)
    if receipt is None:
        return -1
    receipt.wait()
    return receipt.source


class P2POp:
    """One isend or irecv of a batch."""

    def __init__(self, op, tensor: Tensor, peer: int | None = None, group: ProcessGroup | None = None,
                 tag: int = 0, group_peer: int | None = None):
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                             "``torch.distributed.irecv``.")
        self.op, self.tensor, self.peer, self.group, self.tag, self.group_peer = op, tensor, peer, group, tag, group_peer


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list:
    """Carry out a list of isend and irecv; what to wait for."""
    return [p.op(p.tensor, p.peer, p.group, p.tag, p.group_peer) for p in p2p_op_list]
