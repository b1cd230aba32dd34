"""torch.ops: operations by namespace and name. `torch.ops.aten.NAME` are the public functions, others come from torch.library."""
from __future__ import annotations

from importlib import import_module

from .ops.overriding import dispatch, here, overriding, users

ROOMS = ("", "nn.functional")
PREFIXES = {"linalg_": "linalg", "fft_": "fft", "special_": "special"}
OF_TENSORS = frozenset("add sub mul div eq ne lt le gt ge remainder fmod bitwise_and bitwise_or bitwise_xor".split())
OTHER_NAMES = {"_softmax": "softmax", "_log_softmax": "log_softmax", "_to_copy": "to", "convolution": "conv2d",
               "native_dropout": "dropout", "_unsafe_view": "view", "_sparse_addmm": "addmm"}


def _slice(x, dim=0, start=None, end=None, step=1):
    from .ops import shape
    d = dim % max(x.dim(), 1)
    return shape.slice_(x, d, *slice(start, end, step).indices(x.shape[d]))


UNNAMED = {             # what is written otherwise in programs
    "alias": lambda x: x.view(x.shape), "lift_fresh": lambda x: x, "slice": _slice,
    "index": lambda x, indices: x[tuple([slice(None) if i is None else i for i in indices])],
    "_pin_memory": lambda x, device=None: x.pin_memory(device)}


class OpOverload:
    """One signature of an operation."""

    def __init__(self, packet: OpOverloadPacket, overload: str):
        self.overloadpacket, self._overloadname = packet, overload
        self.namespace = packet.namespace
        self._name = packet._qualified_op_name + ("" if overload == "default" else "." + overload)
        self.__name__ = f"{packet.__name__}.{overload}"

    def name(self) -> str:
        return self._name

    def __call__(self, *args, **kwargs):
        return self.overloadpacket(*args, **kwargs)

    def __str__(self):
        return f"{self.overloadpacket}.{self._overloadname}"

    def __repr__(self):
        return f"<OpOverload(op='{self.overloadpacket}', overload='{self._overloadname}')>"

    def __hash__(self):
        return hash((self.overloadpacket, self._overloadname))

    def __eq__(self, other):
        return isinstance(other, OpOverload) and str(self) == str(other)


class OpOverloadPacket:
    """An operation with all its signatures; they are one function here."""

    def __init__(self, namespace: str, name: str, fn):
        self.namespace, self.__name__, self.op = namespace, name, fn
        self._qualified_op_name = f"{namespace}::{name}"

    def overloads(self) -> list[str]:
        return ["Tensor" if self.__name__ in OF_TENSORS else "default"]

    def __getattr__(self, overload):
        if overload.startswith("__"):
            raise AttributeError(overload)
        found = self.__dict__[overload] = OpOverload(self, overload)
        return found

    def __call__(self, *args, **kwargs):
        if users and here.functions:
            found = overriding((*args, *kwargs.values())) if here.subclasses else ()
            if found or here.modes:
                return dispatch(self, found, args, kwargs)
        return self.op(*args, **kwargs)

    def __str__(self):
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self):
        return f"<OpOverloadPacket(op='{self}')>"

    def __hash__(self):
        return hash(self._qualified_op_name)

    def __eq__(self, other):
        return isinstance(other, OpOverloadPacket) and other._qualified_op_name == self._qualified_op_name


class _OpNamespace:
    """The operations of a library."""

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name):
        fn = _of_aten(name) if self.name == "aten" and not name.startswith("__") else None
        if fn is None:
            raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'")
        found = self.__dict__[name] = OpOverloadPacket(self.name, name, fn)
        return found


def load_library(path) -> None:
    """Refused: kernels in shared libraries are PyTorch's."""
    raise NotImplementedError("torch.ops.load_library")


namespaces: dict[str, _OpNamespace] = {"aten": _OpNamespace("aten")}


def namespace(name: str) -> _OpNamespace:
    """The operations of a library, which is there from now on."""
    return namespaces.setdefault(name, _OpNamespace(name))


def _of_aten(name):
    """The public function behind an operation's name."""
    from .tensor import Tensor
    for prefix, room in PREFIXES.items():
        if name.startswith(prefix):
            return getattr(import_module(f"rushlight.{room}"), name[len(prefix):], None)
    if name in UNNAMED:
        return UNNAMED[name]
    if name.endswith("_backward"):
        return _refused(name)
    name = OTHER_NAMES.get(name, name)
    places = [import_module("rushlight" + ("." + room if room else "")) for room in ROOMS]
    return next((found for place in (*places, Tensor) if callable(found := getattr(place, name, None))), None)


def _refused(name):
    """Gradients have rules, not operations; PyTorch's names of theirs can be compared with."""
    def call(*args, **kwargs):
        raise NotImplementedError(f"torch.ops.aten.{name}")
    return call


def overload_of(func):
    """The operation that a public function is; the function itself if it is none."""
    if isinstance(func, OpOverload):
        return func
    from .overrides import resolve_name
    name = (resolve_name(func) or "").split(".")
    if len(name) < 2 or name[-1].startswith("__") or name[-1] in NO_OPERATIONS:
        return func
    prefix = f"{name[-2]}_" if f"{name[-2]}_" in PREFIXES else ""
    packet = getattr(namespaces["aten"], prefix + name[-1], None)
    return func if packet is None else getattr(packet, packet.overloads()[0])


NO_OPERATIONS = frozenset("""backward item tolist numpy dim size stride numel nelement ndimension storage_offset data_ptr
    is_contiguous is_floating_point is_complex requires_grad_ register_hook retain_grad element_size get_device""".split())
