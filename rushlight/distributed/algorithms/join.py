"""Training loops of different lengths: who is through goes on taking part in the others' collectives."""
from __future__ import annotations

import warnings

import numpy as np

from .. import exchanges

__all__ = ["Join", "JoinHook", "Joinable"]

EXHAUSTED = ("Detected at least one rank that exhausted inputs. "
             "Throwing across all ranks.")


class JoinHook:
    """What a process does that is through."""

    def main_hook(self) -> None:
        """Once for each iteration of a process that is not through."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Once, when all are through."""


class Joinable:
    """Something whose iterations hold collectives; each begins with `Join.notify_join_context(self)`."""

    def join_hook(self, **kwargs) -> JoinHook:
        """What to do when this process is through; `kwargs` are those of `Join`."""
        raise NotImplementedError(f"{type(self).__name__}.join_hook")

    @property
    def join_device(self):
        raise NotImplementedError(f"{type(self).__name__}.join_device")

    @property
    def join_process_group(self):
        raise NotImplementedError(f"{type(self).__name__}.join_process_group")


class Join:
    """Context of a training loop that processes may leave at different iterations.

    Args:
        joinables: what takes part, of one process group, in the order of their collectives.
        throw_on_early_termination: raise in all processes as soon as one is through.
        **kwargs: for the joinables' `join_hook`.

    Raises:
        ValueError: no joinables, or such of different groups.
    """

    def __init__(self, joinables: list, enable: bool = True, throw_on_early_termination: bool = False, **kwargs):
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self.joinables, self.is_on, self.throws = list(joinables), enable, throw_on_early_termination
        self.hooks = [j.join_hook(**kwargs) for j in self.joinables] if enable else []
        groups = {id(j.join_process_group): j.join_process_group for j in self.joinables}
        if len(groups) > 1:
            raise ValueError("Using join context manager with multiple process groups")
        self.group = next(iter(groups.values()))
        for joinable in self.joinables:
            joinable.__dict__["_join"] = self if enable and joinable is self.joinables[0] else None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        try:
            if self.is_on and kind is None:
                self._shadow()
        finally:
            for joinable in self.joinables:
                joinable.__dict__["_join"] = None

    def _shadow(self):
        """Iterate with the others until all are through."""
        is_last, turns = True, 0
        while self._count(0):
            if self.throws:
                self._any_through(1)
                raise RuntimeError(EXHAUSTED)
            is_last, turns = False, turns + 1
            if turns == 1000:
                warnings.warn(f"Detected uneven input skew of greater than {turns} iterations: rank "
                              f"{self.group.rank()} waits for others", stacklevel=3)
            for hook in self.hooks:
                hook.main_hook()
        for hook in self.hooks:
            hook.post_hook(is_last)

    def _count(self, is_active) -> int:
        """How many processes are not through."""
        return int(exchanges.all_reduce(self.group.line(), np.array([is_active]), np.add)[0])

    def _any_through(self, is_through) -> bool:
        return bool(exchanges.all_reduce(self.group.line(), np.array([is_through]), np.maximum)[0])

    @staticmethod
    def notify_join_context(joinable) -> None:
        """Tell those that are through that an iteration begins; only the first joinable's call counts.

        Raises:
            RuntimeError: some are through, and `throw_on_early_termination` was set.
        """
        join = joinable.__dict__.get("_join")
        if join is None:
            return
        join._count(1)
        if join.throws and join._any_through(0):
            raise RuntimeError(EXHAUSTED)
