"""Norms of samples over all parameters, and sums of clipped gradients."""
from __future__ import annotations

from ... import ops
from ...autograd.recall import recalled
from ...tensor import Tensor
from ...trace import record
from .pieces import sum_of
from .uses import Generation, uses_of

CLEAR = ("Gradients haven't been cleared since the last optimizer step. In order to obtain privacy "
         "guarantees you must call optimizer.zero_grad() on each step")
SMALL = 1e-6        # what Opacus adds to a norm before it divides by it


@recalled("norms")
def clip_factors(norms: Tensor, bound) -> Tensor:
    """min(1, bound / norm) for each sample, a little less where it clips."""
    return (bound / (norms + SMALL)).clamp(max=1.0)


class one_line:
    """Attribute what is recorded inside to the user's line, which is looked up once."""

    def __enter__(self):
        self.before = record.set_line(record.override or record.user_line())

    def __exit__(self, *_):
        record.set_line(self.before)


class Batches:
    """What parameters were used for, by generation: {number: {parameter's index: generation}}."""

    def __init__(self, parameters: list):
        self.parameters, self.found = parameters, {}
        for i, p in enumerate(parameters):
            uses = uses_of(p)
            if uses is None:
                raise ValueError("Per sample gradient not found. Are you using GradSampleModule?")
            if uses.is_spent:
                raise ValueError(CLEAR)
            for generation in uses.generations:
                self.found.setdefault(generation.number, {})[i] = generation
        if not self.found and parameters:
            raise ValueError("Per sample gradient is not initialized. Not updated in backward pass?")

    def spend(self) -> None:
        """After their sums: forget them."""
        for p in self.parameters:
            uses_of(p).spend()

    def each(self) -> list[dict[int, Generation]]:
        return list(self.found.values())

    def norms(self) -> Tensor:
        """Norms (n) of all samples over all parameters."""
        found = [norms_of(batch) for batch in self.each()]
        return found[0] if len(found) == 1 else ops.cat(found)

    def put_clipped_sums(self, bound) -> Tensor:
        """p.grad = sum_i clip_i g_i; returns the norms (n) of all samples."""
        sums: dict[int, list] = {}
        norms = []
        for batch in self.each():
            found, c = _clipped([g.squares() for g in batch.values()], scale_of(batch), bound)
            norms.append(found)
            for i, g in sums_by(batch, c).items():
                sums.setdefault(i, []).append(g)
        for i, p in enumerate(self.parameters):
            p.grad = sum_of(sums[i]) if i in sums else p.new_zeros(p.shape)
        return norms[0] if len(norms) == 1 else ops.cat(norms)


def norms_of(batch: dict[int, Generation]) -> Tensor:
    """Norms (n) over the parameters of a batch."""
    return _norm([g.squares() for g in batch.values()], scale_of(batch))


@recalled("squares*")
def _norm(squares, scale):
    total = sum_of([x if x.dtype.itemsize >= 4 else x.float() for x in squares]).sqrt()
    return total if scale == 1 else total * scale


@recalled("squares*")
def _clipped(squares, scale, bound):
    """Norms (n), and what clips the gradients that have these norms times the scale."""
    norms = _norm(squares, scale)
    c = clip_factors(norms, bound)
    return norms, c if scale == 1 else c * scale


def scale_of(batch) -> float:
    """By how much the gradients of a batch were too small, because its loss was a mean."""
    return next(iter(batch.values())).scale


def weighted_sums(batch: dict[int, Generation], c: Tensor) -> dict[int, Tensor]:
    """sum_i c_i g_i for each parameter that was used."""
    scale = scale_of(batch)
    return sums_by(batch, c if scale == 1 else c * scale)


def sums_by(batch, c) -> dict[int, Tensor]:
    """The same of the gradients as the loss gave them."""
    kinds = [g.squares().dtype for g in batch.values()]
    of = {kind: c.to(kind) for kind in kinds}
    return {i: g.weighted(of[kind]) for (i, g), kind in zip(batch.items(), kinds)}
