"""Gradients of low rank: T. Vogels, S. P. Karimireddy, M. Jaggi, PowerSGD, NeurIPS 2019.

A matrix M (n, m) of gradients is exchanged as P = M Q (n, r), whose columns are then made
orthonormal, and M^T P (m, r); what is lost is added to the next step's gradients.
"""
from __future__ import annotations

import math

import numpy as np

from .... import linalg, ops, random
from ....futures import Future
from ... import collectives
from ...groups import current
from .default_hooks import mean_later

__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]


class PowerSGDState:
    """What the hook keeps between steps.

    Args:
        process_group: None for the world.
        matrix_approximation_rank: r.
        start_powerSGD_iter: how many steps exchange whole gradients before.
        min_compression_rate: matrices that would not become smaller by this factor stay whole.
        use_error_feedback: add what was lost to the gradients of the next step.
        warm_start: begin with the last step's Q, not with random numbers.
        orthogonalization_epsilon: added to norms that may be 0.
        random_seed: of Q, the same in all processes.

    Raises:
        ValueError: feedback or a warm start with less than two steps before.
    """

    def __init__(self, process_group, matrix_approximation_rank: int = 1, start_powerSGD_iter: int = 1_000,
                 min_compression_rate: float = 2, use_error_feedback: bool = True, warm_start: bool = True,
                 orthogonalization_epsilon: float = 0, random_seed: int = 0,
                 compression_stats_logging_frequency: int = 10_000, batch_tensors_with_same_shape: bool = False):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError("Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, "
                             "because PowerSGD can only be applied after the first two iterations in DDP.")
        self.process_group, self.matrix_approximation_rank = process_group, matrix_approximation_rank
        self.start_powerSGD_iter, self.min_compression_rate = start_powerSGD_iter, min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.orthogonalization_epsilon, self.rng = orthogonalization_epsilon, np.random.RandomState(random_seed)
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape
        self.iter, self.error_dict, self.q_memory_dict = 0, {}, {}
        self.total_numel_before_compression = self.total_numel_after_compression = 0

    def maybe_increase_iter(self, bucket) -> None:
        """The last bucket ends a step."""
        self.iter += bucket.is_last()

    def compression_stats(self) -> tuple[float, int, int]:
        """(rate, numbers before, numbers after) of all steps."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return before / after if after else 0, before, after


def _orthonormal(matrices, epsilon):
    """(B, n, r) with columns of length 1 at right angles: Gram and Schmidt up to r = 2, else QR."""
    if matrices.size(2) > 2:
        return linalg.qr(matrices)[0]
    first, rest = matrices[..., :1], matrices[..., 1:]
    first = first / (first.norm(dim=1, keepdim=True) + epsilon)
    if not rest.size(2):
        return first
    return ops.cat([first, _orthonormal(rest - (first * rest).sum(1, keepdim=True) * first, epsilon)], 2)


def _start(state, index, sizes, like):
    """Q for each matrix: the last step's, or random ones that are the same in all processes."""
    if state.warm_start and index in state.q_memory_dict:
        return state.q_memory_dict[index]
    with random.fork_rng(devices=[]):
        random.manual_seed(state.rng.randint(1_000_000_000))
        return [ops.randn(*size, dtype=like.dtype) for size in sizes]


def _summed(tensors, group):
    """The sums over the processes, in one message."""
    if not tensors:
        return []
    flat = ops.cat([t.reshape(-1) for t in tensors])
    collectives.all_reduce(flat, group=group)
    return [part.reshape(t.shape) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors)]


def _exchanged(state, index, matrices, group):
    """What the group makes of matrices (1, n, m): mean gradients of rank r."""
    ranks = [min(*m.shape[1:], state.matrix_approximation_rank) for m in matrices]
    starts = _start(state, index, [(1, m.size(2), r) for m, r in zip(matrices, ranks)], matrices[0])
    epsilon = state.orthogonalization_epsilon
    left = _summed([m @ _orthonormal(q, epsilon) for m, q in zip(matrices, starts)], group)
    left = [_orthonormal(p, epsilon) for p in left]
    right = [q / group.size() for q in _summed([m.mT @ p for m, p in zip(matrices, left)], group)]
    state.q_memory_dict[index] = right
    return [p @ q.mT for p, q in zip(left, right)]


def _with_error(state, bucket):
    """The buffer with what was lost in the step before."""
    buffer, lost = bucket.buffer(), state.error_dict.get(bucket.index())
    return buffer if lost is None else buffer.add_(lost)


def _finished(state, bucket, before) -> Future:
    if state.use_error_feedback:
        state.error_dict[bucket.index()] = before - bucket.buffer()
    state.maybe_increase_iter(bucket)
    future = Future()
    future.set_result(bucket.buffer())
    return future


def powerSGD_hook(state: PowerSGDState, bucket) -> Future:
    """Means of gradients, those of large matrices of rank r."""
    group = current(state.process_group)
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return mean_later(group, bucket.buffer())
    before = _with_error(state, bucket).clone()
    large, rest = [], []
    for grad in bucket.gradients():
        matrix = grad.view(grad.size(0), -1)
        rank = min(*matrix.shape, state.matrix_approximation_rank)
        small = sum(matrix.shape) * rank
        pays = small * state.min_compression_rate < matrix.numel()
        state.total_numel_before_compression += matrix.numel()
        state.total_numel_after_compression += small if pays else matrix.numel()
        (large if pays else rest).append(matrix)
    for whole, mean in zip(rest, _summed(rest, group)):
        whole.copy_(mean / group.size())
    if large:
        found = _exchanged(state, bucket.index(), [m.unsqueeze(0) for m in large], group)
        for matrix, mean in zip(large, found):
            matrix.copy_(mean.squeeze(0))
    return _finished(state, bucket, before)


def batched_powerSGD_hook(state: PowerSGDState, bucket) -> Future:
    """The same with all gradients of a bucket as one square matrix: quicker, coarser."""
    group = current(state.process_group)
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return mean_later(group, bucket.buffer())
    buffer = _with_error(state, bucket)
    before, side = buffer.clone(), math.ceil(math.sqrt(buffer.numel()))
    matrix = ops.cat([buffer, buffer.new_zeros(side * side - buffer.numel())]).view(1, side, side)
    found = _exchanged(state, bucket.index(), [matrix], group)[0]
    buffer.copy_(found.reshape(-1)[:buffer.numel()])
    return _finished(state, bucket, before)
