"""Tensors of which each process has some rows."""
from __future__ import annotations

import math

from .. import ops
from ..autograd import no_grad
from ..nn.parameter import Parameter
from ..tensor import Tensor, wrap
from . import collectives
from .reduce_op import ReduceOp


class Sharding:
    """How rows of a tensor are spread: as many as `ceil(n / P)` for each process, the last ones fewer or none."""

    def __init__(self, group, shape, mesh=None):
        self.group, self.shape, self.mesh = group, tuple(shape), mesh
        self.each = -(-self.shape[0] // group.size()) if self.shape else 1

    def rows(self, rank: int) -> tuple[int, int]:
        """Where the rows of a process begin and end."""
        n = self.shape[0]
        return min(rank * self.each, n), min((rank + 1) * self.each, n)

    def part(self, full: Tensor, rank: int | None = None) -> Tensor:
        begin, end = self.rows(self.group.rank() if rank is None else rank)
        return full[begin:end]

    def joined(self, local: Tensor) -> Tensor:
        """The whole tensor, from the parts of all processes."""
        begin, end = self.rows(self.group.rank())
        padded = ops.zeros(self.each, *self.shape[1:], dtype=local.dtype)
        padded[:end - begin] = local.detach().as_subclass(Tensor)
        whole = ops.empty(self.each * self.group.size(), *self.shape[1:], dtype=local.dtype)
        collectives.all_gather_into_tensor(whole, padded, self.group)
        return whole[:self.shape[0]]


class ShardedTensor(Tensor):
    """This process' rows of a tensor. Shape, arithmetic and `numel()` are those of the rows."""

    sharding: Sharding

    def to_local(self) -> Tensor:
        """The rows as a plain tensor on the same memory."""
        return wrap(Tensor, self.storage, self.layout, self.offset)

    def full_tensor(self) -> Tensor:
        """All rows; every process of the group must call this."""
        with no_grad():
            return self.sharding.joined(self)

    device_mesh = property(lambda self: self.sharding.mesh)

    def detach(self) -> Tensor:
        return sharded(self.to_local(), self.sharding)


class ShardedParameter(ShardedTensor, Parameter):
    """A parameter of which this process has some rows."""

    def __new__(cls, data: Tensor, sharding: Sharding, requires_grad: bool = True):
        made = wrap(cls, data.storage, data.layout, data.offset)
        made.sharding = sharding
        return made.requires_grad_(requires_grad)

    def __init__(self, data, sharding, requires_grad=True):
        """All is done in __new__."""


def sharded(local: Tensor, sharding: Sharding) -> ShardedTensor:
    """Rows of a tensor, marked as such."""
    made = wrap(ShardedTensor, local.storage, local.layout, local.offset)
    made.sharding = sharding
    return made


def total_norm(parameters, order: float) -> Tensor:
    """The norm of the gradients of parameters of which some are spread over one group."""
    found, kind = {True: ops.zeros(()), False: ops.zeros(())}, order == math.inf
    group = next(p.sharding.group for p in parameters if hasattr(p, "sharding"))
    with no_grad():
        for p in parameters:
            if p.grad is not None and p.grad.numel():
                grad = p.grad.as_subclass(Tensor).abs().float()
                spread = hasattr(p, "sharding")
                found[spread] = (ops.maximum(found[spread], grad.max()) if kind
                                 else found[spread] + (grad ** order).sum())
        collectives.all_reduce(found[True], ReduceOp.MAX if kind else ReduceOp.SUM, group)
        return ops.maximum(*found.values()) if kind else (found[True] + found[False]) ** (1 / order)
