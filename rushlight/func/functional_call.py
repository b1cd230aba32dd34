"""Modules as functions of their parameters."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from ..tensor import Tensor


def functional_call(module, parameter_and_buffer_dicts, args: Any = None, kwargs: dict | None = None, *,
                    tie_weights: bool = True, strict: bool = False):
    """Call a module with other tensors in the place of its parameters and buffers.

    Args:
        module: the module; it is as before after the call.
        parameter_and_buffer_dicts: {name: tensor}, or several such dictionaries without common names.
        args: positional arguments, a tuple; anything else is the only one.
        kwargs: keyword arguments.
        tie_weights: a tensor given for one name of a shared parameter counts for all of its names.
        strict: every parameter and buffer must be given, and nothing else.

    Raises:
        ValueError: not dictionaries, a name given twice, different values for a shared parameter.
        RuntimeError: names that are missing or unknown under `strict`.
    """
    given = _merged(parameter_and_buffer_dicts)
    given = _tied(module, given) if tie_weights else given
    if strict:
        _check_names(module, given)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, given):
        return module(*args, **(kwargs or {}))


def _merged(dicts) -> dict:
    if isinstance(dicts, dict):
        return dict(dicts)
    if not isinstance(dicts, (list, tuple)):
        raise ValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of "
                         f"dicts, but got {type(dicts)}")
    if not all(isinstance(d, dict) for d in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    names = [k for d in dicts for k in d]
    repeated = [k for k in dict.fromkeys(names) if names.count(k) > 1]
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional "
                         "call is ambiguous")
    return {k: v for d in dicts for k, v in d.items()}


def _named_tensors(module):
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _tied(module, given) -> dict:
    """With the other names of every shared tensor that is given."""
    names: dict[int, list] = {}
    for name, x in _named_tensors(module):
        names.setdefault(id(x), []).append(name)
    result = dict(given)
    for group in names.values():
        present = [n for n in group if n in given]
        if len({id(given[n]) for n in present}) > 1:
            raise ValueError(f"functional_call got multiple values for keys {sorted(group)}, which "
                             "are tied. Consider using tie_weights=False")
        if present:
            result.update(dict.fromkeys(group, given[present[0]]))
    return result


def _check_names(module, given):
    known = dict(_named_tensors(module))
    unexpected, missing = sorted(given.keys() - known), sorted(known.keys() - given)
    faults = [f"{kind} key(s): {', '.join(map(repr, names))}." for kind, names in
              (("Unexpected", unexpected), ("Missing", missing)) if names]
    if faults:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t" + "\n\t".join(faults))


MISSING = object()


@contextmanager
def _swapped(module, given):
    """The given tensors in the module's places; whatever stands there afterwards gives way to the old ones."""
    places = [(*_place(module, name), x) for name, x in given.items()]
    before = [(table, key, table.get(key, MISSING)) for table, key, _ in places]
    try:
        for table, key, x in places:
            if not isinstance(x, Tensor) and x is not None:
                raise TypeError(f"{x} is not an instance of torch.Tensor")
            table[key] = x
        yield
    finally:
        for table, key, x in before:
            if x is MISSING:
                table.pop(key, None)
            else:
                table[key] = x


def _place(module, name):
    """The dictionary and the key under which a module keeps a tensor; unknown names are plain attributes."""
    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path)
    return next((t for t in (owner._parameters, owner._buffers) if key in t), owner.__dict__), key


def stack_module_state(models) -> tuple[dict, dict]:
    """The parameters and the buffers of equal models, stacked: what vmap over an ensemble takes.

    Args:
        models: modules of one class, all in training or all in evaluation mode.

    Returns:
        ({name: [len(models), *shape]}, the same of buffers); stacked parameters are leaves.

    Raises:
        RuntimeError: no model, different classes or modes, parameters that differ in requires_grad.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same "
                           "training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    return (_stacked([dict(m.named_parameters()) for m in models]), _stacked([dict(m.named_buffers()) for m in models]))


def _stacked(states) -> dict:
    return {name: _stacked_leaf([s[name] for s in states], name) for name in states[0]}


def _stacked_leaf(tensors: list[Tensor], name: str) -> Tensor:
    from ..ops import stack
    flags = {x.requires_grad for x in tensors}
    if len(flags) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    y = stack(tensors).detach()
    return y.requires_grad_() if flags == {True} else y


def replace_all_batch_norm_modules_(root):
    """Make every batch normalisation in `root` forget its running statistics; returns `root`."""
    for m in root.modules():
        if hasattr(m, "running_mean") and hasattr(m, "track_running_stats"):
            m.running_mean = m.running_var = m.num_batches_tracked = None
            m.track_running_stats = False
    return root
