"""Means of gradients within small groups, once models are averaged instead."""
from __future__ import annotations

from ....futures import Future
from ... import groups
from .default_hooks import mean_later

__all__ = ["PostLocalSGDState", "post_localSGD_hook"]


class PostLocalSGDState:
    """After `start_localSGD_iter` steps gradients are averaged in `subgroup` only, or not at all."""

    def __init__(self, process_group, subgroup, start_localSGD_iter: int, post_local_gradient_allreduce: bool = True):
        self.process_group, self.subgroup, self.start_localSGD_iter = process_group, subgroup, start_localSGD_iter
        self.post_local_gradient_allreduce, self.iter = post_local_gradient_allreduce, 0

    def maybe_increase_iter(self, bucket) -> None:
        """The last bucket ends a step."""
        self.iter += bucket.is_last()


def post_localSGD_hook(state: PostLocalSGDState, bucket) -> Future:
    """The mean over all processes in the first steps, over those of a subgroup later.

    T. Lin, S. Stich, K. K. Patel, M. Jaggi, Don't Use Large Mini-batches, Use Local SGD, ICLR 2020.
    """
    is_local = state.iter >= state.start_localSGD_iter
    state.maybe_increase_iter(bucket)
    if is_local and not state.post_local_gradient_allreduce:
        future = Future()
        future.set_result(bucket.buffer())
        return future
    if is_local and state.subgroup is None:
        state.subgroup, _ = groups.new_subgroups()
    return mean_later(state.subgroup if is_local else groups.current(state.process_group), bucket.buffer())
