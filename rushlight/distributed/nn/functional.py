"""Collectives that gradients go through: each is the other way round in the backward pass.

All processes must go through the backward passes of the same calls in the same order. The loss is
the sum of the losses of all processes.
"""
from __future__ import annotations

from ... import ops
from ...autograd import Function
from ...tensor import Tensor
from .. import collectives
from ..groups import current
from ..reduce_op import ReduceOp

__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
           "reduce_scatter", "scatter"]


def _summed(parts, like, group):
    """Gradients for every process, exchanged and added up."""
    got = [ops.empty_like(like) for _ in parts]
    collectives.all_to_all(got, [p.contiguous() for p in parts], current(group))
    return sum(got[1:], got[0])


class _Broadcast(Function):
    @staticmethod
    def forward(ctx, src, group, tensor):
        ctx.src, ctx.group = src, group
        result = tensor.clone()
        collectives.broadcast(result, src, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        collectives.reduce(grad, ctx.src, ReduceOp.SUM, ctx.group)
        is_source = current(ctx.group).mesh.rank == ctx.src
        return None, None, grad if is_source else ops.zeros_like(grad)


class _Gather(Function):
    @staticmethod
    def forward(ctx, dst, group, tensor):
        ctx.dst, ctx.group = dst, group
        found = [ops.zeros_like(tensor) for _ in range(current(group).size())]
        is_here = current(group).mesh.rank == dst
        collectives.gather(tensor.contiguous(), found if is_here else None, dst, group)
        return tuple(found)

    @staticmethod
    def backward(ctx, *grads):
        grad = ops.empty_like(grads[0])
        is_here = current(ctx.group).mesh.rank == ctx.dst
        collectives.scatter(grad, [g.contiguous() for g in grads] if is_here else None, ctx.dst, ctx.group)
        return None, None, grad


class _Scatter(Function):
    @staticmethod
    def forward(ctx, src, group, *tensors):
        ctx.src, ctx.group = src, group
        result = ops.zeros_like(tensors[0])
        is_here = current(group).mesh.rank == src
        collectives.scatter(result, [t.contiguous() for t in tensors] if is_here else None, src, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        found = [ops.zeros_like(grad) for _ in range(current(ctx.group).size())]
        is_here = current(ctx.group).mesh.rank == ctx.src
        collectives.gather(grad.contiguous(), found if is_here else None, ctx.src, ctx.group)
        return None, None, *found


class _Reduce(Function):
    @staticmethod
    def forward(ctx, dst, op, group, tensor):
        ctx.dst, ctx.group = dst, group
        result = tensor.clone()
        collectives.reduce(result, dst, op, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        collectives.broadcast(grad, ctx.dst, ctx.group)
        return None, None, None, grad


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx, op, group, output, *inputs):
        ctx.group = group
        result = ops.empty_like(output)
        collectives.reduce_scatter(result, [t.contiguous() for t in inputs], op, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        found = [ops.empty_like(grad) for _ in range(current(ctx.group).size())]
        collectives.all_gather(found, grad.contiguous(), ctx.group)
        return None, None, None, *found


class _AllGather(Function):
    @staticmethod
    def forward(ctx, group, tensor):
        ctx.group = group
        found = [ops.empty_like(tensor) for _ in range(current(group).size())]
        collectives.all_gather(found, tensor.contiguous(), group)
        return tuple(found)

    @staticmethod
    def backward(ctx, *grads):
        mine = grads[current(ctx.group).rank()]
        return None, _summed(grads, mine, ctx.group)


class _AllReduce(Function):
    @staticmethod
    def forward(ctx, op, group, tensor):
        ctx.op, ctx.group = op, group
        result = tensor.clone()
        collectives.all_reduce(result, op, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grad)


class _AllToAll(Function):
    @staticmethod
    def forward(ctx, group, outputs, *inputs):
        ctx.group, ctx.inputs = group, inputs
        found = [ops.empty_like(t) for t in outputs]
        collectives.all_to_all(found, [t.contiguous() for t in inputs], group)
        return tuple(found)

    @staticmethod
    def backward(ctx, *grads):
        found = [ops.empty_like(t) for t in ctx.inputs]
        collectives.all_to_all(found, [g.contiguous() for g in grads], ctx.group)
        return None, None, *found


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx, group, output, output_sizes, input_sizes, tensor):
        ctx.group, ctx.sizes, ctx.shape = group, (output_sizes, input_sizes), tensor.shape
        result = ops.empty_like(output)
        collectives.all_to_all_single(result, tensor.contiguous(), output_sizes, input_sizes, group)
        return result

    @staticmethod
    def backward(ctx, grad):
        result = grad.new_empty(ctx.shape)
        output_sizes, input_sizes = ctx.sizes
        collectives.all_to_all_single(result, grad.contiguous(), input_sizes, output_sizes, ctx.group)
        return None, None, None, None, result


def broadcast(tensor: Tensor, src: int, group=None) -> Tensor:
    """The tensor of process `src`; its gradient is the sum of all processes' gradients."""
    return _Broadcast.apply(src, group, tensor)


def gather(tensor: Tensor, dst: int = 0, group=None) -> tuple[Tensor, ...]:
    """All processes' tensors at `dst`, zeros elsewhere."""
    return _Gather.apply(dst, group, tensor)


def scatter(tensors: list[Tensor], src: int = 0, group=None) -> Tensor:
    """At process i the i-th tensor of `src`; the others give tensors of the same size."""
    return _Scatter.apply(src, group, *tensors)


def reduce(tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group=None) -> Tensor:
    """The sum (or `op`) at `dst`; elsewhere what comes back is of no use."""
    return _Reduce.apply(dst, op, group, tensor)


def reduce_scatter(output: Tensor, input_list: list[Tensor], op: ReduceOp = ReduceOp.SUM, group=None) -> Tensor:
    """At process i the sum of all processes' i-th tensors; `output` says of what size."""
    return _ReduceScatter.apply(op, group, output, *input_list)


def all_gather(tensor: Tensor, group=None) -> tuple[Tensor, ...]:
    """All processes' tensors; a gradient is the sum of what all processes have for it."""
    return _AllGather.apply(group, tensor)


def all_to_all(output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group=None) -> tuple[Tensor, ...]:
    """From each process what it has for this one; the outputs say of which sizes."""
    return _AllToAll.apply(group, output_tensor_list, *input_tensor_list)


def all_to_all_single(output: Tensor, input: Tensor, output_split_sizes=None, input_split_sizes=None,
                      group=None) -> Tensor:
    """As all_to_all, of one tensor cut along its first dimension."""
    return _AllToAllSingle.apply(group, output, output_split_sizes, input_split_sizes, input)


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group=None) -> Tensor:
    """The sum (or `op`) of all processes' tensors; so is its gradient."""
    return _AllReduce.apply(op, group, tensor)
