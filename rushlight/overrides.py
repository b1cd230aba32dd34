"""torch.overrides: classes that answer calls with their instances, and modes that answer all calls of a block."""
from __future__ import annotations

import functools
from collections import defaultdict

from .ops import overriding
from .ops.overridable import FACTORIES, METHODS_UNSEEN, UNSEEN, public
from .ops.overriding import arm, disarm, dispatch, here, overrides, switched
from .tensor import Tensor

__all__ = ["get_ignored_functions", "get_overridable_functions", "get_testing_overrides", "handle_torch_function",
           "has_torch_function", "resolve_name", "is_tensor_like", "is_tensor_method_or_property", "wrap_torch_function",
           "enable_reentrant_dispatch", "redispatch_function"]
NAMESPACES = ("", "nn.functional", "linalg", "fft", "special", "nn.init", "autograd")


def is_tensor_like(inp) -> bool:
    """Whether inp is a Tensor or has a `__torch_function__`."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args) -> bool:
    """Whether a mode, or the class of one of the arguments, would answer a call with them."""
    if not here.functions:
        return False
    return bool(here.modes) or here.subclasses and any(overrides(type(x)) for x in relevant_args)


def has_torch_function_unary(x) -> bool:
    """`has_torch_function` for one argument."""
    return has_torch_function((x,))


def has_torch_function_variadic(*args) -> bool:
    """`has_torch_function((a, b, ...))`, called with the arguments themselves."""
    return has_torch_function(args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """The answer of a mode, or of the first class that has one, to public_api(*args, **kwargs).

    Raises:
        TypeError: all of them return NotImplemented.
    """
    return dispatch(public_api, overriding.overriding(tuple(relevant_args)), args, kwargs)


def wrap_torch_function(dispatcher):
    """Let a function of your own be overridden: dispatcher(*args, **kwargs) gives the arguments that may do so."""
    def decorate(fn):
        @functools.wraps(fn)
        def call(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(call, relevant, *args, **kwargs)
            return fn(*args, **kwargs)
        return call
    return decorate


def enable_reentrant_dispatch():
    """Within the block classes and modes are asked again."""
    return switched(subclasses=True, functions=True)


def redispatch_function(func, types, args=(), kwargs=None):
    """The call without the classes of its arguments being asked."""
    return overriding.disabled(func, types, args, kwargs)


# -- what can be overridden ----------------------------------------------------------------------------
def _space(name: str):
    from importlib import import_module
    return import_module("rushlight" + ("." + name if name else ""))


@functools.cache
def get_overridable_functions() -> dict:
    """The functions that classes may answer, by the namespace where they stand."""
    found: dict = defaultdict(list)
    eligible = {fn for fn, _, scans in public() if scans}
    for name in NAMESPACES[:-2]:
        space = _space(name)
        found[space] = [f for n, f in vars(space).items() if not n.startswith("_") and _hashable(f) and f in eligible]
    found[Tensor] = [f for n, f in vars(Tensor).items() if _hashable(f) and n not in METHODS_UNSEEN and f in eligible]
    for part in vars(Tensor).values():
        if isinstance(part, property):
            found[part].append(part.__get__)
    return dict(found)


def _hashable(f) -> bool:
    return callable(f) and getattr(type(f), "__hash__", None) is not None


@functools.cache
def get_ignored_functions() -> set:
    """Public functions that never ask the classes of their arguments."""
    space = _space("")
    return ({getattr(space, n) for n in FACTORIES | UNSEEN if hasattr(space, n)}
            | {getattr(Tensor, n) for n in METHODS_UNSEEN if hasattr(Tensor, n)})


@functools.cache
def get_testing_overrides() -> dict:
    """For each function that can be overridden one of the same arguments that returns -1."""
    import inspect
    made = {}
    for functions in get_overridable_functions().values():
        for fn in functions:
            try:
                made[fn] = _like(fn, inspect.signature(fn))
            except (TypeError, ValueError):
                made[fn] = lambda *args, **kwargs: -1
    return made


def _like(fn, signature):
    def call(*args, **kwargs):
        signature.bind(*args, **kwargs)
        return -1
    call.__signature__, call.__name__ = signature, getattr(fn, "__name__", "call")
    return call


@functools.cache
def _names() -> dict:
    found = {}
    for name, part in vars(Tensor).items():
        if isinstance(part, property):
            found[part.__get__], found[part.__set__] = f"torch.Tensor.{name}.__get__", f"torch.Tensor.{name}.__set__"
        elif _hashable(part):
            found.setdefault(part, f"torch.Tensor.{name}")
    for space in reversed(NAMESPACES):
        prefix = f"torch.{space}." if space else "torch."
        public = [(n, f) for n, f in vars(_space(space)).items()
                  if not n.startswith("_") and _hashable(f) and not isinstance(f, type)]
        found.update((f, prefix + n) for n, f in public)
        found.update((f, prefix + n) for n, f in public if n == getattr(f, "__name__", ""))     # not an alias's name
    return found


def resolve_name(f) -> str | None:
    """The name by which a program calls a public function."""
    try:
        return _names().get(f) or (f"torch.ops.{f}" if type(f).__name__.startswith("OpOverload") else None)
    except TypeError:
        return None


def is_tensor_method_or_property(func) -> bool:
    """Whether func is a method of Tensor, or the getter or setter of one of its properties."""
    name = getattr(func, "__name__", "")
    return name in ("__get__", "__set__") or any(f is func for f in vars(Tensor).values())


# -- modes ----------------------------------------------------------------------------------------
class TorchFunctionMode:
    """A context manager whose `__torch_function__(self, func, types, args, kwargs)` answers all public calls in its block."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        arm(self)
        here.modes = (*here.modes, self)
        return self

    def __exit__(self, *error):
        here.modes = here.modes[:-1]
        disarm(self)

    @classmethod
    def push(cls, *args, **kwargs):
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that lets all calls pass."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class _Switch:
    """A context manager (and decorator) with other settings of who is asked."""

    settings: dict = {}

    def __enter__(self):
        self.block = switched(**self.settings)
        self.block.__enter__()

    def __exit__(self, *error):
        self.block.__exit__(*error)


class DisableTorchFunctionSubclass(_Switch):
    """Within the block no class of an argument is asked; modes are."""

    settings = {"subclasses": False}


class DisableTorchFunction(_Switch):
    """Within the block neither classes nor modes are asked."""

    settings = {"functions": False}
