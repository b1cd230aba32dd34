"""Batching rules of users' Functions: their static `vmap`, called with whole batches."""
from __future__ import annotations

from typing import NamedTuple

from ..tensor import Tensor
from .pytree import flatten, spread, unflatten

BOTH = ("You tried to vmap over {}, but it has both generate_vmap_rule=True and an overridden vmap staticmethod. Please set "
        "generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid ambiguity. For more details, please "
        "see https://pytorch.org/docs/main/notes/extending.func.html")


class VmapInfo(NamedTuple):
    """What a rule is told about the vmap that it is called for."""

    batch_size: int
    randomness: str


def apply_rule(function, capture, args, kwargs):
    """The outputs of a Function for one entry of a batch, by its rule for all of them.

    If no argument has a batch here, the vmap around this one is asked.
    """
    if function.generate_vmap_rule:
        raise RuntimeError(BOTH.format(function.__name__))
    leaves, spec = flatten(args)
    with capture.outside():
        found = iter(capture.batched([x for x in leaves if isinstance(x, Tensor)]))
        values = [next(found) if isinstance(x, Tensor) else None for x in leaves]
        if all(v is None for v in values):
            return function._outputs(args, kwargs)
        dims = unflatten([None if v is None else 0 for v in values], spec)
        given = unflatten([x if v is None else v for x, v in zip(leaves, values)], spec)
        outs, out_spec, out_dims = _returned(
            function.vmap(VmapInfo(capture.size, capture.randomness), dims, *given, **kwargs))
        outs = [x if d is None else x.movedim(d, 0).detach() for x, d in zip(outs, out_dims)]
    return unflatten([x if d is None else capture.enter(x) for x, d in zip(outs, out_dims)], out_spec)


def _returned(result):
    """(outputs, their structure, for each where its batch is) of what a rule returned."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError("Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure "
                           f"compatible with the output. Got a {type(result)} instead")
    outs, spec = flatten(result[0])
    dims = spread(result[1], spec)
    if dims is None:
        raise RuntimeError("Expected the vmap staticmethod to return out_dims with pytree structure compatible with the "
                           f"output. Got out_dims={result[1]} for an output of structure {spec}")
    return outs, spec, dims
