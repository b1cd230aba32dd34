"""Saving a module's state into a dictionary and loading it back."""
from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from ...autograd.grad_mode import no_grad
from ...errors import warn
from ...tensor import Tensor
from ...utils.hooks import RemovableHandle
from ..parameter import Parameter, is_lazy
from .module_hooks import add_hook

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class Stateful:
    """The part of Module that is `state_dict` and `load_state_dict`."""

    _version: int = 1

    # -- saving -------------------------------------------------------------------------------

    def state_dict(self, *args, destination=None, prefix: str = "",
                   keep_vars: bool = False) -> dict:
        """Names to parameters and persistent buffers of this module and all below it.

        The tensors are detached but share memory with the module, unless `keep_vars`. The result
        has an attribute `_metadata` with the version of each module.
        """
        if args:
            warn("Positional args are being deprecated, use kwargs instead.", FutureWarning)
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.",
                                  keep_vars=keep_vars)
        return self._run_state_dict_hooks(destination, prefix, local)

    def _run_state_dict_hooks(self, destination, prefix, local):
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local)
            if getattr(hook, "_from_public_api", False):
                if result is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif result is not None:
                destination = result
        return destination

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, tensor in self._local_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _local_state(self):
        """(name, tensor) of what this very module saves."""
        transient = self._non_persistent_buffers_set
        yield from ((k, v) for k, v in self._parameters.items() if v is not None)
        yield from ((k, v) for k, v in self._buffers.items()
                    if v is not None and k not in transient)

    def get_extra_state(self):
        """What to save beside parameters and buffers.

        A subclass that has it also defines `set_extra_state`.
        """
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be "
                           "called. Please file an issue naming the module class.")

    def set_extra_state(self, state) -> None:
        """Take back what `get_extra_state` returned."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be "
                           "called. Please file an issue naming the module class.")

    # -- loading ------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False):
        """Copy (or, with `assign`, put) the values of `state_dict` into this module and all
        below it.

        Returns (missing_keys, unexpected_keys). Raises RuntimeError listing sizes that differ and,
        if `strict`, keys that are missing or unexpected.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata
        missing, unexpected, errors = [], [], []
        self._load_below(state, metadata, "", assign, missing, unexpected, errors)
        if strict:
            errors = _key_errors(missing, unexpected) + errors
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {self.__class__.__name__}:\n\t"
                               + "\n\t".join(errors))
        return _IncompatibleKeys(missing, unexpected)

    def _load_below(self, state, metadata, prefix, assign, missing, unexpected, errors):
        local = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local["assign_to_params_buffers"] = True
        self._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
        for name, child in self._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                part = {k: v for k, v in state.items() if k.startswith(below)}
                child._load_below(part, metadata, below, assign, missing, unexpected, errors)
        keys = _IncompatibleKeys(missing, unexpected)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, keys) is not None:
                raise AssertionError("Hooks registered with ``register_load_state_dict_post_hook`` "
                                     "are not expected to return new values, if incompatible_keys "
                                     "need to be modified, it should be done inplace.")

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):
        """Load the tensors of this very module; subclasses override it to take in older formats."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                 error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        local = dict(self._local_state())
        for name, own in local.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, key, own, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix + EXTRA_STATE, strict, missing_keys,
                               unexpected_keys)
        if strict:
            unexpected_keys += self._unexpected(state_dict, prefix, local)

    def _load_one(self, name, key, own, given, assign, errors):
        if not isinstance(given, Tensor):
            errors.append(f'While copying the parameter named "{key}", expected torch.Tensor or '
                          'Tensor-like object from ' f"checkpoint but received {type(given)}")
            return
        lazy = is_lazy(own)
        if not lazy and len(own.shape) == 0 and len(given.shape) == 1:
            given = given[0]    # PyTorch 0.3 saved numbers as tensors of one element
        if not lazy and given.shape != own.shape:
            errors.append(f"size mismatch for {key}: copying a param with shape {given.shape} from "
                          f"checkpoint, the shape in current model is {own.shape}.")
            return
        try:
            with no_grad():
                self._put(name, own, given) if assign else own.copy_(given)
        except Exception as error:
            errors.append(f'While copying the parameter named "{key}", whose dimensions in the '
                          f'model are {own.size()} '
                          f"and whose dimensions in the checkpoint are {given.size()}, an "
                          f"exception occurred : {error.args}.")

    def _put(self, name, own, given):
        if isinstance(own, Parameter):
            if not isinstance(given, Parameter):
                given = Parameter(given, requires_grad=own.requires_grad)
            else:
                given.requires_grad_(own.requires_grad)
        setattr(self, name, given)

    def _load_extra_state(self, state_dict, key, strict, missing, unexpected):
        if type(self).set_extra_state is not Stateful.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing.append(key)
        elif strict and key in state_dict:
            unexpected.append(key)

    def _unexpected(self, state_dict, prefix, local):
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                head, *rest = key[len(prefix):].split(".", 1)
                if head not in (self._modules if rest else local):
                    yield key

    # -- hooks --------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the state is collected."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after the state is collected."""
        hook._from_public_api = True
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("Cannot register the same function as the state dict post hook that "
                               "was previously registered via register_state_dict_post_hook")
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, metadata, strict, missing, ...) before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False) -> RemovableHandle:
        return add_hook(self._load_state_dict_pre_hooks,
                        _WithModule(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the keys in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)


class _WithModule:
    """A load hook that also gets its module; deep copies follow the module."""

    def __init__(self, hook, module):
        self.hook, self.module = hook, module

    def __call__(self, *args):
        return self.hook(self.module, *args)


def _key_errors(missing, unexpected):
    def line(what, keys):
        listed = ", ".join(f'"{k}"' for k in keys)
        return [f"{what} key(s) in state_dict: {listed}. "] if keys else []
    return line("Missing", missing) + line("Unexpected", unexpected)
