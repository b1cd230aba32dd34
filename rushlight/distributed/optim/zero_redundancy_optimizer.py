"""An optimiser whose state is spread over the processes.

S. Rajbhandari, J. Rasley, O. Ruwase, Y. He, ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models, 2020: stage 1.
"""
from __future__ import annotations

import numpy as np

from ...autograd import no_grad
from ...optim import Optimizer
from .. import collectives, exchanges, objects
from ..algorithms.join import Join, Joinable, JoinHook
from ..groups import current

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Each process steps its share of the parameters, with the state of that share, and sends them to all.

    Args:
        params: parameters or groups, the same in all processes.
        optimizer_class: of the optimiser for each share.
        process_group: None for the world.
        parameters_as_bucket_view: accepted.
        **defaults: for the optimiser.

    Raises:
        NotImplementedError: `overlap_with_ddp`.
    """

    def __init__(self, params, optimizer_class: type, process_group=None, parameters_as_bucket_view: bool = False,
                 overlap_with_ddp: bool = False, **defaults):
        if overlap_with_ddp:
            raise NotImplementedError("ZeroRedundancyOptimizer: overlap_with_ddp")
        self.optim = None
        super().__init__(params, defaults)
        self.process_group, self.optimizer_class = current(process_group), optimizer_class
        self.rank, self.world_size = self.process_group.rank(), self.process_group.size()
        self.loads, self.owner, self.gathered = [0] * self.world_size, {}, None
        self.optim = optimizer_class([self._share(g) for g in self.param_groups], **defaults)
        self._adopt()

    def _share(self, group) -> dict:
        """The part of a group that this process steps: each parameter goes to whoever has least so far."""
        for p in sorted(group["params"], key=lambda p: -p.numel()):
            owner = self.loads.index(min(self.loads))
            self.owner[p] = owner
            self.loads[owner] += p.numel()
        return {**group, "params": [p for p in group["params"] if self.owner[p] == self.rank]}

    def _adopt(self):
        """The share's state and options are this optimiser's."""
        self.state, self.defaults = self.optim.state, self.optim.defaults
        self._copy_options(self.optim.param_groups, self.param_groups)

    @staticmethod
    def _copy_options(source, target):
        for a, b in zip(source, target):
            b.update({k: v for k, v in a.items() if k != "params"})

    def add_param_group(self, param_group: dict) -> None:
        """One group of parameters more."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self.optim.add_param_group(self._share(self.param_groups[-1]))

    def step(self, closure=None, **kwargs):
        """One step of every share; afterwards all processes have all parameters."""
        Join.notify_join_context(self)
        self._copy_options(self.param_groups, self.optim.param_groups)
        loss = self.optim.step(**kwargs) if closure is None else self.optim.step(closure=closure, **kwargs)
        self._copy_options(self.optim.param_groups, self.param_groups)
        for owner in range(self.world_size):
            self._send([p for g in self.param_groups for p in g["params"] if self.owner[p] == owner], owner)
        return loss

    def _send(self, params, owner):
        if not params:
            return
        parts = [exchanges.bytes_of(collectives.value(p)) for p in params]
        data = exchanges.broadcast(self.process_group.line(), owner, np.concatenate(parts))
        if owner != self.rank:
            ends = np.cumsum([part.size for part in parts]).tolist()
            with no_grad():
                collectives.write_bytes(params, [data[e - part.size:e] for e, part in zip(ends, parts)])

    # -- saving and loading -----------------------------------------------------------------------------
    def _numbers(self) -> dict:
        """The number of each parameter in a state dictionary."""
        return {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}

    def _mine(self) -> list:
        """The parameters of this share in the order of its own state dictionary."""
        return [p for g in self.optim.param_groups for p in g["params"]]

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Gather the state of all shares in process `to`, which may then call `state_dict`."""
        numbers, mine = self._numbers(), self._mine()
        state = {numbers[mine[i]]: s for i, s in self.optim.state_dict()["state"].items()}
        found = [None] * self.world_size if self.rank == to else None
        objects.gather_object(state, found, group_dst=to, group=self.process_group)
        self.gathered = None if found is None else {k: v for share in found for k, v in share.items()}

    def state_dict(self) -> dict:
        """What one optimiser for all parameters would give.

        Raises:
            RuntimeError: `consolidate_state_dict` was not called for this process.
        """
        if self.gathered is None:
            raise RuntimeError("Optimizer state has not been consolidated on this rank. Please call "
                               f"`consolidate_state_dict(to={self.rank})` on all ranks beforehand if you meant to "
                               "save the global state.")
        numbers = self._numbers()
        groups = [{**g, "params": [numbers[p] for p in g["params"]]} for g in self.param_groups]
        return {"state": {k: self.gathered[k] for k in sorted(self.gathered)}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take this process' share of the state of all parameters."""
        self._check_groups(state_dict["param_groups"])
        numbers, packed = self._numbers(), self.optim.state_dict()["param_groups"]
        self._copy_options(state_dict["param_groups"], packed)
        state = {i: state_dict["state"][numbers[p]] for i, p in enumerate(self._mine())
                 if numbers[p] in state_dict["state"]}
        self.optim.load_state_dict({"state": state, "param_groups": packed})
        self._adopt()

    # -- processes with fewer batches -------------------------------------------------------------------
    def join_hook(self, **kwargs) -> JoinHook:
        """Steps this process' share for the others when its batches are over.

        The gradients must come from elsewhere: from DistributedDataParallel with
        `gradient_as_bucket_view`, which stands before this in the list.
        """
        return _Steps(self)

    @property
    def join_device(self):
        return self.param_groups[0]["params"][0].device

    @property
    def join_process_group(self):
        return self.process_group


class _Steps(JoinHook):
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def main_hook(self) -> None:
        self.optimizer.step()
