"""Means of parameters over a group."""
from __future__ import annotations

from collections.abc import Iterable

from .... import ops
from ....autograd import no_grad
from ....tensor import Tensor
from ... import collectives
from ...groups import OUTSIDE, current


def average_parameters(params: Iterable[Tensor], process_group=None) -> None:
    """Parameters become their means over the processes."""
    group, params = current(process_group), list(params)
    if group is OUTSIDE or not params:
        return
    with no_grad():
        flat = ops.cat([p.detach().reshape(-1) for p in params]) / group.size()
        collectives.all_reduce(flat, group=group)
        for p, part in zip(params, flat.split([p.numel() for p in params])):
            p.copy_(part.view(p.shape))


def get_params_to_average(params) -> list[Tensor]:
    """Of parameters or parameter groups, those with gradients."""
    found = []
    for item in params:
        if not isinstance(item, (Tensor, dict)):
            raise NotImplementedError(f"Parameter input of type {type(item)} is not supported")
        found += item["params"] if isinstance(item, dict) else [item]
    return [p for p in found if p.grad is not None]


def average_parameters_or_parameter_groups(params, process_group) -> None:
    """The means of those that have gradients."""
    average_parameters(get_params_to_average(params), process_group)
