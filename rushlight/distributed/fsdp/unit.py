"""Parameters that are whole only while the module that uses them runs.

Each process keeps a part. The forward pass gathers the parts of all processes; what the tape saves
of the whole parameters is a note, and the backward pass gathers them again. Their gradients are
averaged and cut as the parameters are.
"""
from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext

from ... import ops
from ...autograd import Function, no_grad
from ...autograd.grad_mode import is_grad_enabled
from ...autograd.graph import saved_tensors_hooks
from ...nn.parameter import Parameter
from ...tensor import Tensor, wrap
from .. import collectives
from ..reduce_op import ReduceOp
from ..sharded import ShardedParameter, Sharding


class Places:
    """The parameters of a unit, each with the modules that know it, and under which names."""

    def __init__(self, named):
        self.owners, self.params, self.names = [], [], []
        number = {}
        for full_name, owner, name, p in named:
            if id(p) not in number:
                number[id(p)] = len(self.params)
                self.params.append(p)
                self.names.append(full_name)
                self.owners.append([])
            self.owners[number[id(p)]].append((owner, name))
        self.shapes = [tuple(p.shape) for p in self.params]
        self.sizes = [math.prod(s) for s in self.shapes]

    def __iter__(self):
        """(number, module, name)"""
        return ((i, owner, name) for i, owners in enumerate(self.owners) for owner, name in owners)


class FlatCut:
    """All parameters one after the other, cut in equal parts without regard to where they end."""

    def __init__(self, places, group, keeps_names: bool):
        self.places, self.group, self.keeps_names = places, group, keeps_names
        self.length = -(-sum(places.sizes) // group.size())

    def vector(self, fulls) -> Tensor:
        """(P length,) from whole tensors."""
        flat = ops.cat([x.reshape(-1) for x in fulls])
        return ops.cat([flat, flat.new_zeros(self.length * self.group.size() - flat.numel())])

    def fulls(self, vector) -> list[Tensor]:
        parts = vector[:sum(self.places.sizes)].split(self.places.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.places.shapes)]

    def sizes(self) -> list[int]:
        """How many numbers of each parameter are in this process' part."""
        if not self.keeps_names:
            return [self.length]
        begin, found, at = self.length * self.group.rank(), [], 0
        for size in self.places.sizes:
            low, high = max(at, begin), min(at + size, begin + self.length)
            found.append(max(high - low, 0))
            at += size
        return found

    def locals(self, segment) -> list[Tensor]:
        return list(segment[:sum(self.sizes())].split(self.sizes()))

    def segment(self, tensors) -> Tensor:
        flat = ops.cat([t.reshape(-1) for t in tensors])
        return ops.cat([flat, flat.new_zeros(self.length - flat.numel())])

    def leaf(self, number, local, wanted) -> Parameter:
        return Parameter(local.clone(), wanted)


class RowCut:
    """Each parameter cut by rows."""

    def __init__(self, places, group, mesh=None):
        self.places, self.group = places, group
        self.shardings = [Sharding(group, s or (1,), mesh) for s in places.shapes]
        self.widths = [s.each * math.prod(s.shape[1:]) for s in self.shardings]
        self.length = sum(self.widths)

    def vector(self, fulls) -> Tensor:
        size = self.group.size()
        columns = [self._padded(x, s).view(size, width)
                   for x, s, width in zip(fulls, self.shardings, self.widths)]
        return ops.cat(columns, 1).reshape(-1)

    def _padded(self, x, sharding):
        flat = x.reshape(-1)
        return ops.cat([flat, flat.new_zeros(sharding.each * self.group.size() * math.prod(sharding.shape[1:])
                                             - flat.numel())])

    def fulls(self, vector) -> list[Tensor]:
        columns = vector.view(self.group.size(), -1).split(self.widths, 1)
        return [c.reshape(-1)[:size].view(shape)
                for c, size, shape in zip(columns, self.places.sizes, self.places.shapes)]

    def _shape(self, sharding):
        begin, end = sharding.rows(self.group.rank())
        return (end - begin, *sharding.shape[1:])

    def locals(self, segment) -> list[Tensor]:
        shapes = [self._shape(s) for s in self.shardings]
        return [part[:math.prod(shape)].view(shape) for part, shape in zip(segment.split(self.widths), shapes)]

    def segment(self, tensors) -> Tensor:
        flats = [t.reshape(-1) for t in tensors]
        return ops.cat([ops.cat([f, f.new_zeros(w - f.numel())]) for f, w in zip(flats, self.widths)])

    def leaf(self, number, local, wanted) -> Parameter:
        return ShardedParameter(local.clone(), self.shardings[number], wanted)


class Unit:
    """Some parameters that are gathered and cut together.

    Args:
        cut: a FlatCut or RowCut.
        replicas: the group of processes that have the same parts, None if there are none.
        reshards: give the whole parameters back after the forward pass.
        dtypes: (in which to compute, in which to average), None for the parameters' own.
    """

    def __init__(self, places: Places, cut, replicas=None, reshards: bool = True, dtypes=(None, None)):
        self.places, self.cut, self.replicas, self.reshards = places, cut, replicas, reshards
        self.compute_dtype, self.reduce_dtype = dtypes
        self.syncs, self.held, self.again = True, None, None
        kinds = {p.dtype for p in places.params}
        if len(kinds) > 1:
            raise ValueError(f"Must flatten tensors with uniform dtype but got {' and '.join(map(str, kinds))}")
        wanted = [p.requires_grad for p in places.params]
        if getattr(cut, "keeps_names", True) is False and len(set(wanted)) > 1:
            raise ValueError("Must flatten tensors with uniform requires_grad when use_orig_params=False: found "
                             f"parameters with and without gradients in {', '.join(places.names)}")
        with no_grad():
            vector = cut.vector([p.detach() for p in places.params])
            mine = vector.view(cut.group.size(), -1)[cut.group.rank()]
            self.leaves = [cut.leaf(i, local, wanted[i]) for i, local in enumerate(cut.locals(mine))]

    # -- whole parameters -------------------------------------------------------------------------------
    def gather(self) -> list[Tensor]:
        """The whole parameters, outside of the tape."""
        with no_grad():
            segment = self.cut.segment([leaf.detach().as_subclass(Tensor) for leaf in self.leaves])
            segment = segment if self.compute_dtype is None else segment.to(self.compute_dtype)
            vector = segment.new_empty(self.cut.length * self.cut.group.size())
            collectives.all_gather_into_tensor(vector, segment, self.cut.group)
            return self.cut.fulls(vector)

    def scatter(self, grads) -> list[Tensor | None]:
        """Gradients of the leaves: means over all processes; None while they are only added up."""
        vector = self.cut.vector(grads)
        self.again = None
        if self.held is not None:
            vector, self.held = vector + self.held, None
        if not self.syncs:
            self.held = vector
            return [None] * len(self.leaves)
        vector = vector if self.reduce_dtype is None else vector.to(self.reduce_dtype)
        segment = vector.new_empty(self.cut.length)
        collectives.reduce_scatter_tensor(segment, vector, ReduceOp.AVG, self.cut.group)
        if self.replicas is not None:
            collectives.all_reduce(segment, ReduceOp.AVG, self.replicas)
        return self.cut.locals(segment.to(self.leaves[0].dtype))

    def write(self, fulls) -> None:
        """Take this process' part of whole parameters."""
        with no_grad():
            vector = self.cut.vector(fulls).view(self.cut.group.size(), -1)
            for leaf, local in zip(self.leaves, self.cut.locals(vector[self.cut.group.rank()])):
                leaf.data.copy_(local)

    # -- while a module runs ----------------------------------------------------------------------------
    @contextmanager
    def whole(self):
        """Modules see whole parameters; what the tape saves of them is gathered again in the backward pass."""
        if is_grad_enabled() and any(leaf.requires_grad for leaf in self.leaves):
            fulls = list(_Gather.apply(self, *self.leaves))
        else:
            fulls = self.gather()
        with self._shown(fulls), self._noted(fulls) if self.reshards else nullcontext():
            yield

    @contextmanager
    def _shown(self, fulls):
        before = [(owner, name, owner._parameters.get(name)) for _, owner, name in self.places]
        for i, owner, name in self.places:
            owner._parameters[name] = fulls[i]
        try:
            yield
        finally:
            for owner, name, was in before:
                owner._parameters[name] = was
                if was is None:
                    del owner._parameters[name]

    @contextmanager
    def _noted(self, fulls):
        number = {id(x.storage): i for i, x in enumerate(fulls)}

        def pack(x):
            i = number.get(id(x.storage))
            return x if i is None else (i, x.layout, x.offset)

        def unpack(x):
            return x if isinstance(x, Tensor) else wrap(Tensor, self._gathered_again()[x[0]].storage, *x[1:])
        with saved_tensors_hooks(pack, unpack):
            try:
                yield
            finally:
                number.clear()

    def _gathered_again(self):
        if self.again is None:
            self.again = self.gather()
        return self.again

    @contextmanager
    def summoned(self, writeback: bool):
        """Modules have whole Parameters in place of their parts."""
        fulls = [Parameter(x.clone(), p.requires_grad) for x, p in zip(self.gather_exact(), self._likes())]
        with self._shown(fulls):
            yield
        if writeback:
            self.write([x.detach() for x in fulls])

    def gather_exact(self) -> list[Tensor]:
        """The whole parameters in their own dtype."""
        dtype, self.compute_dtype = self.compute_dtype, None
        try:
            return self.gather()
        finally:
            self.compute_dtype = dtype

    def _likes(self):
        return self.leaves if len(self.leaves) == len(self.places.params) else self.leaves * len(self.places.params)


class _Gather(Function):
    @staticmethod
    def forward(ctx, unit, *leaves):
        ctx.unit = unit
        return tuple(unit.gather())

    @staticmethod
    def backward(ctx, *grads):
        return None, *ctx.unit.scatter(grads)
