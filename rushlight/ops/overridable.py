"""Which functions are public: those that a class or a mode may answer (ops/overriding.py)."""
from __future__ import annotations

from importlib import import_module
from types import FunctionType

from .. import ops
from ..tensor import Tensor
from .overriding import DIRECT, catching, is_written

# Made of sizes and data: a mode sees them, the classes of their arguments are not asked.
FACTORIES = frozenset("""arange as_strided as_tensor asarray bartlett_window blackman_window broadcast_shapes empty
    empty_permuted empty_strided eye fill from_file from_numpy frombuffer full hamming_window hann_window kaiser_window
    linspace logspace normal ones rand rand_like randint randint_like randn randn_like randperm range scalar_tensor
    sparse_coo_tensor tensor tril_indices triu_indices vander zeros""".split())
UNSEEN = frozenset("is_tensor is_storage typename result_type can_cast promote_types record_stream from_dlpack".split())
METHODS_UNSEEN = frozenset("""__new__ __init__ __init_subclass__ __hash__ __dir__ __iter__ __copy__ __reversed__
    __array_wrap__ as_subclass new _array _only _real_number _make_subclass _make_wrapper_subclass
    __torch_function__ _is_view""".split())
OPERATORS = {"__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "div", "__matmul__": "matmul",
             "__pow__": "pow", "__mod__": "remainder", "__neg__": "neg", "__abs__": "abs", "__lt__": "lt", "__le__": "le",
             "__gt__": "gt", "__ge__": "ge", "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_",
             "__itruediv__": "div_"}
PROPERTIES = "T mT H mH real imag data grad".split()
ROOMS = ("nn.functional", "linalg", "fft", "special", "nn.init")


def is_caught(name: str, op) -> bool:
    """Whether a function of `torch` that fails is to ask the classes of its arguments: those that have no memo do not."""
    return type(op) is FunctionType and not is_written(op) and name not in FACTORIES | UNSEEN | DIRECT \
        and op.__code__.co_name not in ("unary", "binary", "op")


def caught(space: dict) -> None:
    """Let strangers answer where the public functions of a file fail; its last line."""
    for name, fn in list(space.items()):
        if not name.startswith("_") and is_caught(name, fn):
            space[name] = catching(fn)


def public():
    """(function, what a class is told instead, whether arguments are looked at) of all public functions."""
    from ..autograd import backward, grad
    from ..nn.functional.recurrent import layers
    seen: set = set()
    for entry in (*_properties(), *_methods(), *_functions(), *_rooms(), (grad, None, True), (backward, None, True),
                  (layers, None, True)):
        if entry[0] not in seen:
            seen.add(entry[0])
            yield entry


def _methods():
    for name, op in OPERATORS.items():
        fn = vars(Tensor)[name]
        yield fn, getattr(Tensor, op) if fn is not getattr(Tensor, op) else None, True
    for name, fn in vars(Tensor).items():
        if type(fn) is FunctionType and name not in METHODS_UNSEEN:
            yield fn, None, True


def _properties():
    for name in PROPERTIES:
        part = vars(Tensor)[name]
        yield part.fget, part.__get__, True


def _functions():
    import rushlight
    from .inplace import FUNCTIONS
    for name in (*ops.PUBLIC, *FUNCTIONS):
        fn = vars(rushlight).get(name)
        if type(fn) is FunctionType and name not in UNSEEN:
            yield fn, None, name not in FACTORIES


def _rooms():
    for room in ROOMS:
        module = import_module(f"rushlight.{room}")
        for name, fn in vars(module).items():
            if type(fn) is FunctionType and not name.startswith("_") and fn.__module__.startswith("rushlight.") \
                    and (name.endswith("_") or room != "nn.init"):
                yield fn, None, True
