"""Optimizer: parameter groups, state, hooks; what every optimiser shares."""
from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from .. import dtypes, ops
from ..autograd.grad_mode import enable_grad, set_grad_enabled
from ..autograd.inplace import assign
from ..nn.modules.module import typename
from ..nn.modules.module_hooks import add_hook
from ..ops.layouts import Unstrided
from ..tensor import Tensor
from ..trace.flush import flush
from ..utils.hooks import RemovableHandle

__all__ = ["Optimizer", "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook",
           "required"]

required = object()     # the default of an option that every group must give
_global_pre_hooks: OrderedDict = OrderedDict()
_global_post_hooks: OrderedDict = OrderedDict()


def register_optimizer_step_pre_hook(hook) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimiser."""
    return add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimiser."""
    return add_hook(_global_post_hooks, hook)


def put(x: Tensor, value: Tensor) -> Tensor:
    """Make `value`, which nobody else has seen, the value of x."""
    return x.become(value) if isinstance(x, Unstrided) else assign(x, value)


SMALL_TABLE = 1 << 15       # elements that are copied in the time of a flush


def add_rows(g, *changes) -> None:
    """Add values to tensors where the sparse tensor g stores something: (tensor, values) pairs.

    Each runs by itself: a table is written to in place if nobody has still to read the old one, and
    if nothing that runs with it may fail. A small table is copied sooner than a flush is made.
    """
    for x, values in changes:
        if x.numel() > SMALL_TABLE:
            flush()
        put(x, x.add(g.with_values(values)))


def number(x) -> float:
    """A Python number of a number or a tensor of one element."""
    return x.item() if isinstance(x, Tensor) else x


def floats(*numbers) -> tuple:
    """Numbers as floats."""
    return tuple([float(x) if type(x) is int else x for x in numbers])


def tensors_of(state, *keys) -> list:
    """Entries of a parameter's state that are tensors."""
    return [dict.__getitem__(state, key) for key in keys]


def check_at_least_zero(**options) -> None:
    """ValueError for an option below 0, in PyTorch's words."""
    for name, value in options.items():
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= number(value):
            raise ValueError(f"Invalid {_SPOKEN.get(name, name + ' value')}: {value}")


_SPOKEN = {"lr": "learning rate", "eps": "epsilon value"}


def check_betas(betas) -> None:
    """ValueError unless both are in [0, 1)."""
    for i in (0, 1):
        beta = betas[i]
        if not 0.0 <= number(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class ParamState(dict):
    """The state of one parameter. Counters are Python numbers inside and 0-d float32 tensors to
    who looks.

    So a step that counts records nothing, and yet `state["step"]` is what PyTorch has there.
    """

    __slots__ = ("counters",)

    def __init__(self, counters: dict, **tensors):
        super().__init__(counters, **tensors)
        self.counters = frozenset(counters)

    def number(self, key: str) -> float:
        """A counter as a Python number."""
        value = dict.__getitem__(self, key)
        return value if not isinstance(value, Tensor) else value.item()

    def advance(self) -> float:
        """One step more; returns the count."""
        count = self.number("step") + 1
        dict.__setitem__(self, "step", count)
        return count

    def _shown(self, key, value):
        if key in self.counters and not isinstance(value, Tensor):
            return ops.tensor(float(value), dtype=dtypes.float32)
        return value

    def __getitem__(self, key):
        return self._shown(key, dict.__getitem__(self, key))

    def __iter__(self):     # its own, so that dict(state) asks __getitem__
        return dict.__iter__(self)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def items(self):
        return [(key, self[key]) for key in self]

    def values(self):
        return [self[key] for key in self]

    def copy(self):
        return dict(self.items())

    def __reduce__(self):
        return dict, (self.copy(),)

    def __repr__(self):
        return repr(self.copy())


def in_reals(x):
    """A complex tensor as the real ones that it consists of, in the same memory."""
    return ops.view_as_real(x) if isinstance(x, Tensor) and x.dtype.is_complex else x


class RealParts(ParamState):
    """A state whose complex tensors are seen as real ones; counters are the state's own."""

    __slots__ = ("whole",)

    def __init__(self, state):
        dict.__init__(self, {key: in_reals(value) for key, value in dict.items(state)})
        self.counters, self.whole = state.counters, state

    def advance(self) -> float:
        dict.__setitem__(self, "step", self.whole.advance())
        return dict.__getitem__(self, "step")

    def __setitem__(self, key, value):
        dict.__setitem__(self, key, value)
        self.whole[key] = value


class Optimizer:
    """Base class of optimisers.

    A subclass fills `defaults`, and either overrides `step`, as PyTorch programs do, or defines
    `_fresh(param, group)`, the first state of a parameter, and `_update(todo, group)`, one step
    over a list of (parameter, gradient, state).
    """

    counters: tuple = ("step",)     # state entries that are counters
    _skips_sparse, _refusal = True, None     # whether sparse gradients are refused, and how
    _is_linear = False              # steps that only add gradients up take complex numbers as they are

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._make_hook_tables()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            "Tensors or dicts, but got " + typename(params))
        self.state: defaultdict = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults.get("foreach"):
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def _make_hook_tables(self):
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self._optimizer_state_dict_pre_hooks = OrderedDict()
        self._optimizer_state_dict_post_hooks = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks = OrderedDict()
        self._optimizer_load_state_dict_post_hooks = OrderedDict()
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{self.__class__.__name__}.zero_grad"
        self._patch_step()

    def _patch_step(self):
        """Wrap the class's `step` in hooks and in the flush that ends a step, once."""
        step = self.__class__.step
        if not getattr(step, "hooked", None):
            self.__class__.step = _hooked(step)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hook_tables()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        text = self.__class__.__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group)
                            if key != "params")
        return text + ")"

    # -- groups -------------------------------------------------------------------------------
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: `{"params": [...], "lr": ...}`."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but "
                            "the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        self._put_params(param_group, [params] if isinstance(params, Tensor) else list(params))
        self._check_params(param_group["params"])
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required optimization "
                                 f"parameter {name}")
            param_group.setdefault(name, default)
        self._check_overlap(param_group["params"])
        self.param_groups.append(param_group)

    def _put_params(self, group, params):
        """Split (name, parameter) pairs into names and parameters."""
        named = [isinstance(p, tuple) for p in params]
        if any(named):
            if not all(named):
                raise ValueError("all optimizer params should be with/without names. Some param "
                                 "names are missing")
            group["param_names"], params = [name for name, _ in params], [p for _, p in params]
        others = self.param_groups
        if others and ("param_names" in group) != ("param_names" in others[0]):
            state = "with" if "param_names" in others[0] else "without"
            raise ValueError("all optimizer param groups should be with/without names. cannot add "
                             f"param group {'without' if state == 'with' else 'with'} names to the "
                             f"optimizer {state} names")
        group["params"] = params

    def _check_params(self, params):
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                                + typename(p))
            if not self.defaults.get("differentiable", None) and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")

    def _check_overlap(self, params):
        if len(params) != len(set(params)):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in "
                          "future, this will cause an error; see "
                          "github.com/pytorch/pytorch/issues/40967 for more information",
                          stacklevel=3)
        if not set(chain.from_iterable(g["params"] for g in self.param_groups)).isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")

    # -- stepping -----------------------------------------------------------------------------
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget (or set to zero) the gradient of every parameter."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    p._grad = None if set_to_none else ops.zeros_like(p._grad)

    def step(self, closure: Callable | None = None):
        """Change every parameter that has a gradient.

        Returns the closure's loss, if there is one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            for group in self.param_groups:
                todo = self._todo(group)
                if todo:
                    self._update(todo, group)
        return loss

    def _todo(self, group):
        """(parameter, gradient, state) of what has a gradient; states are made on first use."""
        states, todo = self.state, []
        maximize = group.get("maximize", False)
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            if grad.is_sparse and self._skips_sparse:
                raise RuntimeError(self._refusal or f"{type(self).__name__} does not support sparse gradients")
            state = states.get(p)
            if not state:
                state = self._fresh(p, group)
                if state is not None:
                    states[p] = state
            grad = -grad if maximize else grad
            if p.dtype.is_complex and not self._is_linear:
                p, grad, state = in_reals(p), in_reals(grad), RealParts(state)
            todo.append((p, grad, state))
        return todo

    def _fresh(self, param, group) -> dict | None:
        """The first state of a parameter; None if the step needs none."""
        return None

    def _update(self, todo, group) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not define step")

    # -- saving and loading -------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """{"state": state by parameter number, "param_groups": options with parameter numbers}."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = [self._packed(group, numbers) for group in self.param_groups]
        state = {numbers[id(p)] if isinstance(p, Tensor) else p: dict(s)
                 if isinstance(s, ParamState) else s for p, s in self.state.items()}
        packed = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, packed)
            packed = packed if changed is None else changed
        return packed

    @staticmethod
    def _packed(group, numbers):
        packed = {k: v for k, v in group.items() if k != "params"}
        for p in group["params"]:
            numbers.setdefault(id(p), len(numbers))
        packed["params"] = [numbers[id(p)] for p in group["params"]]
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; tensors are cast to the parameters' dtypes."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = deepcopy(state_dict["param_groups"])
        self._check_groups(saved)
        pairs = zip(chain.from_iterable(g["params"] for g in saved),
                    chain.from_iterable(g["params"] for g in self.param_groups))
        param_of = dict(pairs)
        state = defaultdict(dict)
        for k, v in state_dict["state"].items():
            state[param_of.get(k, k)] = self._loaded(param_of[k], v) if k in param_of else v
        for group, new in zip(self.param_groups, saved):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _check_groups(self, saved):
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(self.param_groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the "
                             "size of optimizer's group")

    def _loaded(self, param, state):
        """A parameter's state, cast to it; counters become Python numbers again."""
        if not isinstance(state, dict):
            return state
        cast = {k: _cast(param, v, k) for k, v in state.items()}
        fresh = (type(self)._fresh is not Optimizer._fresh and "step" in self.counters
                 and "step" in cast)
        if not fresh:
            return cast
        counters = {k: number(cast.pop(k)) for k in self.counters if k in cast}
        return ParamState(counters, **cast)

    # -- hooks --------------------------------------------------------------------------------
    def register_step_pre_hook(self, hook) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step.

        It may return new (args, kwargs).
        """
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before the state is collected."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after; it may return another dict."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another dict."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)


def _cast(param, value, key=None):
    """A loaded value on the parameter's device, of its dtype if that is floating point."""
    if isinstance(value, Tensor):
        if key == "step" or not param.is_floating_point():
            return value
        return value.to(dtype=param.dtype)
    if isinstance(value, dict):
        return {k: _cast(param, v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(param, v) for v in value)
    return value


def _hooked(step):
    """`step` between its hooks; afterwards the work is flushed.

    A step is where a program repeats itself.
    """
    @functools.wraps(step)
    def hooked(self, *args, **kwargs):
        if _global_pre_hooks or self._optimizer_step_pre_hooks:
            args, kwargs = _run_pre_hooks(self, step, args, kwargs)
        result = step(self, *args, **kwargs)
        if _global_post_hooks or self._optimizer_step_post_hooks:
            for hook in (*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()):
                hook(self, args, kwargs)
        _boundary()
        return result
    hooked.hooked = True
    return hooked


def _run_pre_hooks(self, step, args, kwargs):
    """The hooks see the optimiser among the arguments, as in PyTorch."""
    args = (self, *args)
    for hook in (*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
        changed = hook(self, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), "
                                   f"but got {changed}.")
            args, kwargs = changed
    return args[1:], kwargs


def _boundary():
    from ..trace.flush import boundary
    boundary()


def _use_grad_for_differentiable(step):
    """Run an own `step` taped only if the optimiser is differentiable.

    A decorator of PyTorch's own optimisers.
    """
    @functools.wraps(step)
    def wrapped(self, *args, **kwargs):
        with set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            return step(self, *args, **kwargs)
    return wrapped


