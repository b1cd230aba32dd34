"""DistributedDataParallel where some processes have fewer batches than others."""
from __future__ import annotations

import numpy as np

from ...autograd.grad_mode import is_grad_enabled
from ...distributed import exchanges
from ...distributed.algorithms.join import Join, JoinHook

BACKWARD, BUFFERS = 2, 1        # what follows a forward pass


class Shadow(JoinHook):
    """Plays the part of a process in the forward and backward passes of those that still have batches.

    At each forward pass all processes exchange what will follow, and the largest rank that still has
    batches, whose buffers the others take over.
    """

    def __init__(self, ddp, divide_by_initial_world_size: bool):
        self.ddp, self.by_initial = ddp, divide_by_initial_world_size
        self.ddp.joining = self

    def tell_of_forward(self) -> int:
        """In the forward pass of a process that has batches: whose buffers to take over."""
        Join.notify_join_context(self.ddp)
        syncs = self.ddp.require_backward_grad_sync
        follows = syncs * (BACKWARD * is_grad_enabled() + BUFFERS * self.ddp.broadcast_buffers)
        return self._agree(follows, self.ddp.process_group.rank(), 1)[1]

    def _agree(self, follows, rank, is_active):
        line = self.ddp.process_group.line()
        mine = np.array([follows, rank], np.int64)
        top = exchanges.all_reduce(line, mine, np.maximum)
        active = exchanges.all_reduce(self.ddp.process_group.line(), np.array([is_active]), np.add)
        size = self.ddp.process_group.size()
        self.ddp.reducer.divisor = size if self.by_initial else int(active[0])
        return int(top[0]), int(top[1])

    def main_hook(self) -> None:
        """The same collectives as one iteration of the others."""
        reducer = self.ddp.reducer
        reducer.is_through = True
        follows, root = self._agree(0, -1, 0)
        buffers = self.ddp.shared_buffers()
        if follows & BUFFERS and buffers:
            self.ddp.take_over(buffers, root)
        if follows & BACKWARD:
            reducer.shadow()

    def post_hook(self, is_last_joiner: bool) -> None:
        """All take over the parameters of one that was through last."""
        ddp = self.ddp
        ddp.reducer.is_through, ddp.reducer.divisor, ddp.joining = False, ddp.process_group.size(), None
        mine = np.array([ddp.process_group.rank() if is_last_joiner else -1])
        root = int(exchanges.all_reduce(ddp.process_group.line(), mine, np.maximum)[0])
        ddp.take_over([p for _, p in ddp.module.named_parameters()] + ddp.shared_buffers(), root)
