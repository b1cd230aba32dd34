"""State dictionaries of models and optimisers by names, whatever wraps the model."""
from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from ... import ops
from ...autograd import no_grad
from ...nn import Module
from ...nn.parallel import DistributedDataParallel
from ...tensor import Tensor
from .. import objects
from ..fsdp import FullyShardedDataParallel, StateDictType
from ..groups import get_rank, is_initialized
from ..sharded import sharded

__all__ = ["StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict",
           "set_model_state_dict", "set_optimizer_state_dict", "set_state_dict"]


@dataclass
class StateDictOptions:
    """full_state_dict: whole tensors; with cpu_offload, in the first process only. strict: of loading.

    broadcast_from_rank0: only the first process has what is to be loaded.
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def _inside(model: Module) -> Module:
    return model.module if isinstance(model, DistributedDataParallel) else model


def _names(model) -> dict:
    """Parameters to names without wrappers."""
    clean = lambda n: n.replace("_fsdp_wrapped_module.", "")
    return {p: clean(n) for n, p in _inside(model).named_parameters()}


def _is_flat(model) -> bool:
    return bool(FullyShardedDataParallel.fsdp_modules(model))


def _whole(found, options):
    """Whole tensors for all, or for the first process alone."""
    if not options.full_state_dict:
        return found
    found = _changed(found, lambda x: x.full_tensor() if hasattr(x, "sharding") else x)
    if options.cpu_offload and is_initialized() and get_rank():
        return {}
    return found


def _changed(x, change):
    if isinstance(x, dict):
        return {k: _changed(v, change) for k, v in x.items()}
    return change(x) if isinstance(x, Tensor) else x


def get_model_state_dict(model: Module, *, submodules=None, options: StateDictOptions | None = None) -> dict:
    """Names to tensors; spread ones are rows, unless `full_state_dict`."""
    options, inner = options or StateDictOptions(), _inside(model)
    kind = StateDictType.FULL_STATE_DICT if options.full_state_dict else StateDictType.SHARDED_STATE_DICT
    if _is_flat(inner):
        with FullyShardedDataParallel.state_dict_type(inner, kind):
            found = inner.state_dict()
    else:
        found = inner.state_dict()
    if options.ignore_frozen_params:
        frozen = {n for p, n in _names(model).items() if not p.requires_grad}
        found = {k: v for k, v in found.items() if k not in frozen}
    return _whole(dict(found), options)


def _received(found, options):
    """What the first process has, in all."""
    if not options.broadcast_from_rank0 or not is_initialized():
        return found
    box = [found]
    objects.broadcast_object_list(box, 0)
    return box[0]


def set_model_state_dict(model: Module, model_state_dict: dict, *, options: StateDictOptions | None = None):
    """Load names to tensors, whole or rows; (missing keys, unexpected keys)."""
    options, inner = options or StateDictOptions(), _inside(model)
    found = _received(model_state_dict, options)
    if not _is_flat(inner):
        spread = {n: p for p, n in _names(model).items() if hasattr(p, "sharding")}
        for n, p in inner.named_parameters(remove_duplicate=False):
            spread.update({n: p} if hasattr(p, "sharding") else {})
        found = {k: spread[k].sharding.part(x) if k in spread and not hasattr(x, "sharding") else x
                 for k, x in found.items()}
    return inner.load_state_dict(found, strict=options.strict)


@contextmanager
def _still(optim):
    """Steps that change no parameter."""
    rates = [g["lr"] for g in optim.param_groups]
    grads = [(p, p.grad) for g in optim.param_groups for p in g["params"]]
    for g in optim.param_groups:
        g["lr"] = 0.0
    for p, _ in grads:
        p.grad = ops.zeros(p.shape, dtype=p.dtype) if p.requires_grad else None
    try:
        yield
    finally:
        for g, rate in zip(optim.param_groups, rates):
            g["lr"] = rate
        for p, grad in grads:
            p.grad = grad


def get_optimizer_state_dict(model: Module, optimizers, *, submodules=None,
                             options: StateDictOptions | None = None) -> dict:
    """{"state": {name: state}, "param_groups": options with names}; a fresh optimiser gets its first state."""
    options = options or StateDictOptions()
    found = {"state": {}, "param_groups": []}
    for optim in optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]:
        if not optim.state:
            with _still(optim):
                optim.step()
        more = FullyShardedDataParallel.optim_state_dict(model, optim) if _is_flat(model) else _by_names(model, optim)
        found["state"].update(more["state"])
        found["param_groups"] += more["param_groups"]
    return _whole(found, options)


def _by_names(model, optim):
    names, params = _names(model), [p for g in optim.param_groups for p in g["params"]]
    packed = optim.state_dict()
    state = {names[p]: {k: _as(p, v) for k, v in packed["state"].get(i, {}).items()} for i, p in enumerate(params)
             if i in packed["state"]}
    groups = [{**g, "params": [names[params[i]] for i in g["params"]]} for g in packed["param_groups"]]
    return {"state": state, "param_groups": groups}


def _as(p, value):
    """State that is spread as the parameter is."""
    if hasattr(p, "sharding") and isinstance(value, Tensor) and value.shape == p.shape and p.dim():
        return sharded(value.detach(), p.sharding)
    return value


def set_optimizer_state_dict(model: Module, optimizers, optim_state_dict: dict, *,
                             options: StateDictOptions | None = None) -> None:
    """Load what `get_optimizer_state_dict` gave, whole or rows."""
    full = _received(optim_state_dict, options or StateDictOptions())
    at = 0
    for optim in optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]:
        part = {**full, "param_groups": full["param_groups"][at:at + len(optim.param_groups)]}
        at += len(optim.param_groups)
        load = FullyShardedDataParallel.optim_state_dict_to_load if _is_flat(model) else _by_numbers
        with no_grad():
            optim.load_state_dict(load(model, optim, part))


def _by_numbers(model, optim, full):
    names, state = _names(model), {}
    for i, p in enumerate(p for g in optim.param_groups for p in g["params"]):
        if names[p] in full["state"]:
            state[i] = {k: _part(p, v) for k, v in full["state"][names[p]].items()}
    packed = optim.state_dict()["param_groups"]
    groups = [{**{k: v for k, v in theirs.items() if k != "params"}, "params": ours["params"]}
              for theirs, ours in zip(full["param_groups"], packed)]
    return {"state": state, "param_groups": groups}


def _part(p, value):
    if hasattr(value, "sharding"):
        return value.to_local()
    if hasattr(p, "sharding") and isinstance(value, Tensor) and tuple(value.shape) == p.sharding.shape and value.dim():
        return p.sharding.part(value).clone()
    return value


def get_state_dict(model: Module, optimizers, *, submodules=None,
                   options: StateDictOptions | None = None) -> tuple[dict, dict]:
    """(of the model, of its optimisers)"""
    return (get_model_state_dict(model, options=options),
            get_optimizer_state_dict(model, optimizers, options=options))


def set_state_dict(model: Module, optimizers, *, model_state_dict: dict, optim_state_dict: dict,
                   options: StateDictOptions | None = None):
    """Load both; (missing keys, unexpected keys) of the model."""
    found = set_model_state_dict(model, model_state_dict, options=options)
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return found
