"""torch.library: operations of the user's, with kernels in Python, gradients and rules for vmap (`torch.ops.NS.NAME`)."""
from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable

from ._ops import OpOverload, OpOverloadPacket, namespace, namespaces
from .autograd.function import Function
from .autograd.grad_mode import no_grad
from .func.pytree import mapped
from .tensor import Tensor

__all__ = ["Library", "custom_op", "define", "fallthrough_kernel", "get_ctx", "get_kernel", "impl", "impl_abstract",
           "infer_schema", "register_autocast", "register_autograd", "register_fake", "register_kernel",
           "register_torch_dispatch", "register_vmap", "triton_op"]
CPU_KEYS = ("CPU", "cpu", "default", "CompositeExplicitAutograd", "")
TAPED_KEYS = ("Autograd", "AutogradCPU", "CompositeImplicitAutograd")


class CustomOpDef:
    """An operation: what computes it, and how it is differentiated and batched."""

    def __init__(self, qualname: str, signature: inspect.Signature, schema: str):
        self._qualname, self.signature, self._schema = qualname, signature, schema
        self._namespace, self._name = qualname.split("::")
        self.__name__ = self._name
        self.kernel = self.taped = self.backward = self.setup_context = self.batch = self.fake = self.function = None
        self._opoverload = OpOverloadPacket(self._namespace, self._name, self.run).default

    def __repr__(self):
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args, **kwargs):
        return self._opoverload(*args, **kwargs)

    def run(self, *args, **kwargs):
        """The result for arguments of the signature."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if self.taped is not None:
            return self.taped(*bound.args, **bound.kwargs)
        if self.kernel is None:
            raise NotImplementedError(f"Could not run '{self._qualname}' with arguments from the 'CPU' backend: there is no "
                                      "kernel for it")
        named = list(bound.kwargs)
        return self._function().apply(named, *bound.args, *bound.kwargs.values())

    def _function(self):
        """The Function that tapes calls."""
        if self.function is None:
            self.function = _function_of(self)
        return self.function

    def compute(self, named, given):
        """The kernel's result, outside of the tape."""
        with no_grad():
            given = mapped(lambda x: x.detach() if isinstance(x, Tensor) else x, list(given))
            cut = len(given) - len(named)
            return self.kernel(*given[:cut], **dict(zip(named, given[cut:])))

    # -- what it is told --------------------------------------------------------------------------------
    def register_kernel(self, device_types, fn: Callable | None = None, /):
        """Compute the operation by fn on these devices; also a decorator."""
        if fn is None:
            return lambda f: self.register_kernel(device_types, f)
        kinds = [device_types] if isinstance(device_types, str) else device_types
        if kinds is None or any(k in CPU_KEYS for k in kinds):
            self.kernel = fn
        return fn

    def register_fake(self, fn: Callable, /):
        """Keep fn(args), which makes an empty result; kernels here run when their results are looked at."""
        self.fake = fn
        return fn

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """Gradients: setup_context(ctx, inputs, output) keeps what backward(ctx, *grads) needs, a gradient for each input."""
        self.backward, self.setup_context, self.function = backward, setup_context, None

    def register_vmap(self, func: Callable | None = None):
        """Batches: func(info, in_dims, *args) -> (output, out_dims); also a decorator."""
        if func is None:
            return self.register_vmap
        self.batch, self.function = func, None
        return func

    def register_autocast(self, device_type: str, cast_inputs):
        """Refused."""
        raise NotImplementedError("torch.library.register_autocast")

    def register_torch_dispatch(self, torch_dispatch_class, fn: Callable | None = None, /):
        """Refused: a mode or subclass is asked by its own method."""
        raise NotImplementedError("torch.library.register_torch_dispatch")


def _function_of(op: CustomOpDef):
    """The Function of an operation: its first argument says which of the last ones are keywords."""
    def forward(named, *given):
        return op.compute(named, given)

    def setup_context(ctx, inputs, output):
        ctx.n = len(inputs)
        if op.setup_context is None:
            return
        named, given = inputs[0], inputs[1:]
        cut = len(given) - len(named)
        if "keyword_only_inputs" in inspect.signature(op.setup_context).parameters:
            op.setup_context(ctx, given[:cut], dict(zip(named, given[cut:])), output)
        else:
            op.setup_context(ctx, given[:cut], output)

    def backward(ctx, *grads):
        if op.backward is None:
            raise RuntimeError(f"Trying to backward through {op._qualname} but no autograd formula was registered. Please use "
                               "register_autograd to add one.")
        found = op.backward(ctx, *grads)
        found = found if isinstance(found, (tuple, list)) else (found,)
        return (None, *found, *[None] * (ctx.n - 1 - len(found)))

    def vmap(info, in_dims, named, *given):
        if op.batch is None:
            raise RuntimeError(f"There is no vmap rule for {op._qualname}: register_vmap adds one")
        cut = len(given) - len(named)
        return op.batch(info, in_dims[1:cut + 1], *given[:cut], **dict(zip(named, given[cut:])))
    parts = {f.__name__: staticmethod(f) for f in (forward, setup_context, backward, vmap)}
    return type(f"{op._name}", (Function,), parts)


# -- making operations -----------------------------------------------------------------------------------
def custom_op(name: str, fn: Callable | None = None, /, *, mutates_args, device_types=None, schema: str | None = None, tags=None):
    """Make an operation of a function of tensors and numbers; also a decorator.

    Args:
        name: "namespace::name", under which `torch.ops` has it.
        mutates_args: names of arguments that are written to, or "unknown".
        device_types: the devices that fn computes on; all of them by default.

    Raises:
        ValueError: the name has no namespace.
    """
    def decorate(fn):
        _check(name)
        op = _add(CustomOpDef(name, inspect.signature(fn), schema or infer_schema(fn, mutates_args=mutates_args)))
        op.register_kernel(device_types, fn)
        functools.update_wrapper(op, fn)
        return op
    return decorate if fn is None else decorate(fn)


triton_op = custom_op


def _check(qualname):
    if qualname.count("::") != 1:
        raise ValueError(f"torch.library: expected a name of the form namespace::name, got {qualname}")


def _add(op: CustomOpDef) -> CustomOpDef:
    vars(namespace(op._namespace))[op._name] = op._opoverload.overloadpacket
    registered[op._qualname] = op
    return op


registered: dict[str, CustomOpDef] = {}


def _found(op) -> CustomOpDef:
    """The operation that an object or name means."""
    if isinstance(op, CustomOpDef):
        return op
    name = op.overloadpacket._qualified_op_name if isinstance(op, OpOverload) else getattr(op, "_qualified_op_name", op)
    if name not in registered:
        raise RuntimeError(f"{name} does not exist: define it first")
    return registered[name]


TYPES = {"Tensor": "Tensor", "int": "SymInt", "float": "float", "bool": "bool", "str": "str", "None": "()"}


def infer_schema(prototype_function: Callable, /, *, mutates_args=(), op_name: str | None = None) -> str:
    """The signature of a function in the words of schemas, from its annotations.

    Raises:
        ValueError: an argument has no annotation, or one that schemas do not know.
    """
    signature, words, starred = inspect.signature(prototype_function, eval_str=True), [], False
    for i, (name, p) in enumerate(signature.parameters.items()):
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        if p.annotation is p.empty:
            raise ValueError(f"infer_schema(func): Parameter {name} must have a type annotation. Got func with signature "
                             f"{signature})")
        written = mutates_args == "unknown" or name in mutates_args
        mark = f"(a{i}!)" if written and _word(p.annotation).startswith("Tensor") else ""
        default = "" if p.default is p.empty else f'="{p.default}"' if isinstance(p.default, str) else f"={p.default}"
        words.append(_word(p.annotation).replace("Tensor", "Tensor" + mark, 1) + f" {name}{default}")
    back = signature.return_annotation
    if back is signature.empty:
        raise ValueError("infer_schema(func): no return type annotation was provided. Please add one.")
    return f"{op_name or ''}({', '.join(words)}) -> {_word(back)}"


def _word(annotation) -> str:
    import types
    import typing
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        rest = [a for a in inner if a is not type(None)]
        if len(rest) == 1:
            return _word(rest[0]) + "?"
        return "Scalar"
    if origin is tuple:
        return "(" + ", ".join(map(_word, inner)) + ")"
    if origin is not None and inner:
        return _word(inner[0]) + "[]"
    is_tensor = isinstance(annotation, type) and issubclass(annotation, Tensor)
    name = "Tensor" if is_tensor else getattr(annotation, "__name__", "None")
    if annotation is None or name == "NoneType":
        return "()"
    found = TYPES.get(name) or {"dtype": "ScalarType", "device": "Device"}.get(name)
    if found is None:
        raise ValueError(f"infer_schema(func): unsupported type {annotation}")
    return found


ARGUMENT = re.compile(r"^(?P<type>.*?)\s+(?P<name>\w+)\s*(=\s*(?P<default>.*))?$")


def _signature(schema: str) -> inspect.Signature:
    """Names and defaults of a schema's arguments."""
    inside = schema[schema.index("(") + 1:schema.rindex("->")].rstrip().removesuffix(")")
    kind, parameters = inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for word in re.split(r",\s*(?![^\[\(]*[\]\)])", inside):
        if word.strip() == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif word.strip():
            found = ARGUMENT.match(word.strip())
            given = found["default"]
            parameters.append(inspect.Parameter(found["name"], kind, default=inspect.Parameter.empty if given is None
                                                else _default(given)))
    return inspect.Signature(parameters)


def _default(text):
    import ast
    try:
        return ast.literal_eval(text)
    except ValueError:
        return text


def define(qualname: str, schema: str, *, lib=None, tags=()) -> None:
    """An operation by its schema, "(Tensor x, int n=1) -> Tensor"; `impl` says what computes it."""
    _check(qualname)
    _add(CustomOpDef(qualname, _signature(schema), schema))


def impl(qualname, types, func: Callable | None = None, *, lib=None):
    """What computes an operation on devices ("cpu", "default") or as a composition ("CompositeImplicitAutograd")."""
    if func is None:
        return lambda f: impl(qualname, types, f, lib=lib)
    op = _found(qualname)
    for kind in [types] if isinstance(types, str) else types:
        if kind in TAPED_KEYS:
            op.taped = func
        elif kind in CPU_KEYS:
            op.kernel = func
    return func


def register_kernel(op, device_types, func: Callable | None = None, /, *, lib=None):
    """What computes an operation on these devices; also a decorator."""
    return _found(op).register_kernel(device_types, *(() if func is None else (func,)))


def register_fake(op, func: Callable | None = None, /, *, lib=None, _stacklevel=1, allow_override=False):
    """Keep what makes an empty result of an operation; also a decorator."""
    if func is None:
        return lambda f: register_fake(op, f)
    return _found(op).register_fake(func)


impl_abstract = register_fake


def register_autograd(op, backward: Callable, /, *, setup_context: Callable | None = None, lib=None) -> None:
    """The gradients of an operation; see `CustomOpDef.register_autograd`."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_vmap(op, func: Callable | None = None, /, *, lib=None):
    """How an operation is batched; also a decorator."""
    return _found(op).register_vmap(*(() if func is None else (func,)))


def register_autocast(op, device_type: str, cast_inputs, /, *, lib=None):
    """Refused."""
    _found(op).register_autocast(device_type, cast_inputs)


def register_torch_dispatch(op, torch_dispatch_class, func=None, /, *, lib=None):
    """Refused."""
    _found(op).register_torch_dispatch(torch_dispatch_class, func)


def opcheck(op, args, kwargs=None, **options):
    """Refused."""
    raise NotImplementedError("torch.library.opcheck")


def get_ctx():
    """The context of a fake kernel that runs; none ever does.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("get_ctx() can only be called inside of a fake kernel, and kernels here run on real tensors")


def get_kernel(op, dispatch_key):
    """What computes an operation."""
    return _found(op).kernel


def fallthrough_kernel(*args, **kwargs):
    """Marks an operation that a key does nothing for; it is not called.

    Raises:
        NotImplementedError: somebody calls it.
    """
    raise NotImplementedError("fallthrough_kernel() should never be called.")


class Library:
    """Operations of one namespace, which go when the library is left as a context.

    Args:
        ns: the namespace.
        kind: "DEF" for new ones, "FRAGMENT" for more of a namespace, "IMPL" for kernels alone.
        dispatch_key: the key of `impl` where it gives none.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported library kind: {kind}")
        if ns in ("prim",) and kind != "IMPL":
            raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
        self.ns, self.kind, self.dispatch_key, self.names = ns, kind, dispatch_key, []
        namespace(ns)

    def __repr__(self):
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema: str, alias_analysis: str = "", *, tags=()) -> str:
        """An operation by its schema, "name(Tensor x) -> Tensor"; its name is returned."""
        name = schema.split("(", 1)[0].strip()
        define(f"{self.ns}::{name}", schema)
        self.names.append(f"{self.ns}::{name}")
        return name

    def impl(self, op_name, fn: Callable, dispatch_key: str = "", *, with_keyset=False, allow_override=False) -> None:
        """What computes an operation.

        Raises:
            TypeError: fn is no function.
        """
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        name = op_name.name() if hasattr(op_name, "name") else op_name
        key = dispatch_key or self.dispatch_key or "CompositeImplicitAutograd"
        if fn is not fallthrough_kernel:
            impl(name if "::" in name else f"{self.ns}::{name}", key, fn)

    def _destroy(self) -> None:
        for name in self.names:
            registered.pop(name, None)
            vars(namespaces[self.ns]).pop(name.split("::")[1], None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._destroy()


_scoped_library = Library
