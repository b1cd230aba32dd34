"""The state of optimisers of sharded models, by names and whole."""
from __future__ import annotations

from ...autograd import no_grad
from ...tensor import Tensor
from .. import collectives
from .fully_sharded_data_parallel import FullyShardedDataParallel


def _entries(model):
    """(names, numbers of the leaves, unit) of all units, with the optimiser's view of their leaves."""
    for wrapper in FullyShardedDataParallel.fsdp_modules(model):
        if wrapper._unit is not None:
            root = model if isinstance(model, FullyShardedDataParallel) else wrapper
            yield root._names(wrapper), wrapper._unit


def _numbers(optim):
    return {p: i for i, p in enumerate(p for g in optim.param_groups for p in g["params"])}


def _apart(model, optim):
    """(name, parameter) of those in no unit."""
    sharded = {id(leaf) for _, unit in _entries(model) for leaf in unit.leaves}
    return [(n.replace("_fsdp_wrapped_module.", ""), p) for n, p in model.named_parameters()
            if id(p) not in sharded and p in _numbers(optim)]


def _wholes(unit, tensors):
    """Whole tensors from each process' parts, which are as the leaves are."""
    with no_grad():
        segment = unit.cut.segment(tensors)
        vector = segment.new_empty(unit.cut.length * unit.cut.group.size())
        collectives.all_gather_into_tensor(vector, segment, unit.cut.group)
        return [x.clone() for x in unit.cut.fulls(vector)]


def gathered(model, optim, packed=None) -> dict:
    """{"state": {name: state}, "param_groups": options with names}"""
    packed, numbers = packed or optim.state_dict(), _numbers(optim)
    state, named = {}, {}
    for names, unit in _entries(model):
        parts = [packed["state"].get(numbers[leaf], {}) for leaf in unit.leaves if leaf in numbers]
        for i, leaf in enumerate(unit.leaves):
            named[numbers[leaf]] = [names[i]] if len(unit.leaves) == len(names) else names
        for key in parts[0] if parts else ():
            values = [part[key] for part in parts]
            spread = all(isinstance(v, Tensor) and v.shape == leaf.shape for v, leaf in zip(values, unit.leaves))
            wholes = _wholes(unit, values) if spread else [values[0]] * len(names)
            for name, whole in zip(names, wholes):
                state.setdefault(name, {})[key] = whole
    for name, p in _apart(model, optim):
        named[numbers[p]] = [name]
        state[name] = packed["state"].get(numbers[p], {})
    groups = [{**g, "params": [n for i in g["params"] for n in named[i]]} for g in packed["param_groups"]]
    return {"state": state, "param_groups": groups}


def scattered(model, optim, full: dict) -> dict:
    """This process' part of it, by numbers."""
    packed, numbers, state = optim.state_dict(), _numbers(optim), {}
    for names, unit in _entries(model):
        states = [full["state"].get(name, {}) for name in names]
        for key in states[0]:
            values = [s[key] for s in states]
            shapes = unit.places.shapes
            if all(isinstance(v, Tensor) and tuple(v.shape) == s for v, s in zip(values, shapes)):
                vector = unit.cut.vector(values).view(unit.cut.group.size(), -1)[unit.cut.group.rank()]
                parts = [x.clone() for x in unit.cut.locals(vector)]
            else:
                parts = [values[0]] * len(unit.leaves)
            for leaf, part in zip(unit.leaves, parts):
                state.setdefault(numbers[leaf], {})[key] = part
    for name, p in _apart(model, optim):
        state[numbers[p]] = full["state"].get(name, {})
    groups = [{**{k: v for k, v in theirs.items() if k != "params"}, "params": ours["params"]}
              for theirs, ours in zip(full["param_groups"], packed["param_groups"])]
    return {"state": state, "param_groups": groups}
