"""Parameters that are functions of others: `register_parametrization` and what goes with it.

A parametrised tensor is a property of a class made for its module: reading it calls the module's list of
parametrisations on the original tensors, writing it calls their inverses.
"""
from __future__ import annotations

import contextlib
import copyreg
from collections.abc import Sequence
from copy import deepcopy

from ...autograd.grad_mode import no_grad
from ...tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = ["cached", "ParametrizationList", "register_parametrization", "is_parametrized",
           "remove_parametrizations", "type_before_parametrizations",
           "transfer_parametrizations_and_params"]


class _Cache:
    depth = 0
    found: dict = {}        # (id of a module, name) -> tensor


@contextlib.contextmanager
def cached():
    """Within the block each parametrised tensor is computed once, when it is first read."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.found = {}


def _register(module, name, x):
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


def _put(target, x):
    """Let `target` be `x`, staying the same object."""
    if x is not target:
        target.data = x.detach()


def _is_sequence(x) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, first to last, and the originals that they work on.

    `original` holds the one original, or `original0`, `original1`, ... those that the last `right_inverse`
    gave as a sequence.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new = original
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):
                        new = module.right_inverse(new)
        self._keep(original, new)
        if not unsafe:
            _check_made(self(), shape, dtype)

    def _keep(self, original, new):
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not _is_sequence(new):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                             f"tuple...). Got {type(new).__name__}")
        self.ntensors = 1 if self.is_tensor else len(new)
        if not self.is_tensor:
            return self._keep_several(original, new)
        if original.dtype is not new.dtype:
            raise ValueError("When `right_inverse` outputs one tensor, it may not change the dtype."
                             f"\noriginal.dtype: {original.dtype}\n"
                             f"right_inverse(original).dtype: {new.dtype}")
        _put(original, new)
        _register(self, "original", original)

    def _keep_several(self, original, new):
        for i, x in enumerate(new):
            if not isinstance(x, Tensor):
                raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors "
                                 f"(list, tuple...). Got element {i} of the sequence with type "
                                 f"{type(x).__name__}.")
            if isinstance(original, Parameter):
                x = Parameter(x, original.requires_grad)
            x.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", x)

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrised tensor becomes `value`.

        Raises:
            RuntimeError: a parametrisation has no `right_inverse`.
            ValueError: one gave something that does not fit the originals.
        """
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not "
                                       "implement right_inverse.")
                value = module.right_inverse(value)
            self._put_one(value) if self.is_tensor else self._put_several(value)

    def _put_one(self, value):
        if not isinstance(value, Tensor):
            raise ValueError("`right_inverse` should return a tensor. Got "
                             f"{type(value).__name__}")
        if value.dtype is not self.original.dtype:
            raise ValueError(f"The tensor returned by `right_inverse` has dtype {value.dtype} "
                             f"while `original` has dtype {self.original.dtype}")
        _put(self.original, value)

    def _put_several(self, values):
        if not _is_sequence(values):
            raise ValueError("'right_inverse' must return a sequence of tensors. Got "
                             f"{type(values).__name__}.")
        if len(values) != self.ntensors:
            raise ValueError("'right_inverse' must return a sequence of tensors of length "
                             f"{self.ntensors}. Got a sequence of length {len(values)}.")
        for i, x in enumerate(values):
            target = getattr(self, f"original{i}")
            if x.dtype is not target.dtype:
                raise ValueError(f"Tensor {i} returned by `right_inverse` has dtype {x.dtype} "
                                 f"while `original{i}` has dtype {target.dtype}")
            _put(target, x)

    def forward(self) -> Tensor:
        if self.is_tensor:
            x = self[0](self.original)
        else:
            x = self[0](*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for k in range(1, len(self)):
            x = self[k](x)
        return x


def _check_made(x, shape, dtype):
    if not isinstance(x, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(x).__name__}.")
    for what, before, after in (("dtype", dtype, x.dtype), ("shape", shape, x.shape)):
        if before != after:
            raise ValueError(f"Registering a parametrization may not change the {what} of the "
                             "tensor, unless `unsafe` flag is enabled.\n"
                             f"unparametrized {what}: {before}\nparametrized {what}: {after}")


# -- the class of a parametrised module ----------------------------------------------------------
def _refuse_pickling(self):
    raise RuntimeError("Serialization of parametrized modules is only supported through "
                       "state_dict().")


def _copied(self, memo):
    """A deep copy, of the same made class."""
    if id(self) in memo:
        return memo[id(self)]
    other = memo[id(self)] = self.__new__(type(self))
    other.__dict__ = deepcopy(self.__dict__, memo)
    for name in copyreg._slotnames(type(self)):
        if hasattr(self, name):
            setattr(other, name, deepcopy(getattr(self, name), memo))
    return other


def _make_class(module):
    base = type(module)
    space = {"__getstate__": _refuse_pickling}
    if not hasattr(base, "__deepcopy__"):
        space["__deepcopy__"] = _copied
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), space)


def _make_property(module, name):
    def get(self):
        made = self.parametrizations[name]
        if not _Cache.depth:
            return made()
        key = id(self), name
        if key not in _Cache.found:
            _Cache.found[key] = made()
        return _Cache.found[key]

    def put(self, value):
        self.parametrizations[name].right_inverse(value)
    setattr(type(module), name, property(get, put))


# -- registering ---------------------------------------------------------------------------------
def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *,
                             unsafe: bool = False) -> Module:
    """Let a parameter or buffer of a module be computed by `parametrization` from now on.

    Args:
        module: gets a class of its own, and `parametrizations`, a ModuleDict of ParametrizationLists.
        tensor_name: which tensor; if it is parametrised already, the new one is applied last.
        parametrization: a module from tensor to tensor. Its `right_inverse`, if it has one, gives
            the first original, a tensor or several, and makes assignments possible.
        unsafe: do not check that dtype and shape stay the same.

    Returns:
        the module.

    Raises:
        ValueError: there is no such tensor, or dtype or shape change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_another(getattr(module, tensor_name), parametrization)
        found = module.parametrizations[tensor_name]
        found.append(parametrization)
        found.unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized "
                         f"element with name '{tensor_name}'")
    made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _make_class(module)
        module.parametrizations = ModuleDict()
    _make_property(module, tensor_name)
    module.parametrizations[tensor_name] = made
    return module


def _check_another(y, parametrization):
    """A further parametrisation keeps dtype and shape, and so does its inverse."""
    x = parametrization(y)
    _check_made(x, y.shape, y.dtype)
    if not hasattr(parametrization, "right_inverse"):
        return
    with contextlib.suppress(NotImplementedError):
        z = parametrization.right_inverse(x)
        if not isinstance(z, Tensor):
            raise ValueError("parametrization.right_inverse must return a tensor. Got: "
                             f"{type(z).__name__}")
        for what in ("dtype", "shape"):
            if getattr(z, what) != getattr(y, what):
                raise ValueError(f"The tensor returned by parametrization.right_inverse must have "
                                 f"the same {what} as module.{what}: {getattr(z, what)} instead of "
                                 f"{getattr(y, what)}")


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module, or one of its tensors, is parametrised."""
    found = module.__dict__["_modules"].get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str,
                            leave_parametrized: bool = True) -> Module:
    """Let a tensor be an ordinary one again: with its present value, or (False) its original.

    Raises:
        ValueError: it is not parametrised, or has several originals and is to become one of them.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    if made.is_tensor:
        original = made.original
        if leave_parametrized:
            with no_grad():
                _put(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
                         "parametrized in terms of a sequence of tensors.")
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module without the one that was made for its parametrisations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module,
                                         tensor_name: str | None = None) -> Module:
    """Give another module the same parametrisations and the present originals of the first one."""
    names = from_module.parametrizations if tensor_name is None else [tensor_name]
    for name in list(names):
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(source()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        target = to_module.parametrizations[name]
        pairs = ("original",) if source.is_tensor else [f"original{i}"
                                                        for i in range(source.ntensors)]
        for each in pairs:
            setattr(target, each, getattr(source, each))
    return to_module
