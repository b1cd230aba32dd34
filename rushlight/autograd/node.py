"""The tape: one GradFn for each taped operation, linked to those of its inputs.

An edge is (function, output number, layout, dtype) of the input it leads to; the layout and dtype
are what the gradient is reduced and cast to. Saved values hold storages, not tensors, so that a
function that saved its own output makes no cycle: memory goes by reference counting alone.
"""
from __future__ import annotations

import functools
import itertools
import re
from collections import OrderedDict
from weakref import ref

from ..trace import record
from . import anomaly_mode
from .grad_mode import mode

count, _new = itertools.count().__next__, object.__new__
RELEASED = object()
OF_THE_ENGINE = frozenset(("CopySlices", "CopyBackwards", "NotImplemented"))     # whose names PyTorch gives in full
BACKWARD = re.compile(r"Backward\d*$")         # which operation it is, for messages


# Where inspecting programs find the result of an operation and its inputs.
SAVED_AS = {"_saved_result": 0, "_saved_self": 1, "_saved_input": 1, "_saved_other": 2, "_saved_mat2": 2,
            "_saved_vec": 2, "_saved_weight": 2}


class GradFn:
    """How gradients flow back through one operation; its class is named after it (MulBackward0)."""

    __slots__ = ("gradient", "params", "edges", "saved", "positions", "seq", "where", "token", "mask",
                 "pre_hooks", "hooks", "metadata_", "__weakref__")
    outputs = 1

    def __init__(self):
        self.seq = count()
        self.pre_hooks = self.hooks = self.token = None

    def name(self) -> str:
        kind = type(self).__name__
        return f"torch::autograd::{kind}" if kind in OF_THE_ENGINE else kind

    @property
    def next_functions(self):
        return tuple((None, 0) if e is None else (e[0], e[1]) for e in self.edges)

    @property
    def metadata(self) -> dict:
        if not hasattr(self, "metadata_"):
            self.metadata_ = {}
        return self.metadata_

    def __getattr__(self, name):
        """`_saved_result`, `_saved_self`, `_saved_other` ...: what is kept for the backward pass, as PyTorch names it."""
        place = SAVED_AS.get(name)
        if place is None or place not in getattr(self, "positions", ()):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.unpack()[place]

    def register_hook(self, fn):
        """fn(grad_inputs, grad_outputs) runs after this function; what it returns replaces grad_inputs."""
        return _register(self, "hooks", fn)

    def register_prehook(self, fn):
        """fn(grad_outputs) runs before this function; what it returns replaces grad_outputs."""
        return _register(self, "pre_hooks", fn)

    # `token` says what layouts and dtypes the operation met, together with `mask`, which of its inputs are
    # tracked: gradient rules are remembered by both (autograd/recall.py); None if it is not known.

    def pull(self, grads: tuple) -> list:
        """Gradients of the inputs from those of the outputs."""
        (g,) = grads
        if g is None:
            return [None] * len(self.edges)
        from .recall import pull
        return pull(self, g)

    def unpack(self) -> list:
        """y and the inputs as tensors; those that no rule reads stay None."""
        if self.saved is RELEASED:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they "
                "have already been freed). Saved intermediate values of the graph are freed when you call "
                ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
                "graph a second time or if you need to access saved tensors after calling backward.")
        values = [None] * (len(self.edges) + 1)
        for position, item in zip(self.positions, self.saved):
            values[position] = item.unpack(self) if type(item) in (Saved, Packed) else item
        return values

    def release(self):
        if self.saved:          # with nothing saved a second pass is no harm
            self.saved = RELEASED


class Parts(GradFn):
    """An operation that shows its one input as several parts: their gradients are joined again."""

    __slots__ = ("outputs", "shapes", "cuts")

    def pull(self, grads):
        if all(g is None for g in grads):
            return [None]
        from .recall import pull_parts
        return pull_parts(self, grads)

    def joined(self, grads):
        return join_parts(self.cuts.join, grads, self.shapes, self.edges[0][3])


def join_parts(join, grads, shapes, dtype):
    """One gradient of those of the parts, zeros for parts that have none."""
    from .. import ops
    return join([ops.zeros(s, dtype=dtype) if g is None else g for g, s in zip(grads, shapes)])


class Cuts:
    """How a tensor is shown in parts: where they lie, under which name, and how their gradients become one."""

    __slots__ = ("places", "shapes", "node_class", "join", "memo")

    def __init__(self, places, name, join):
        self.places, self.shapes = tuple(places), [l.shape for l, _ in places]      # (layout, offset change)
        self.node_class, self.join, self.memo = parts_class(name), join, {}


@functools.cache
def parts_class(name: str) -> type:
    return type(name, (Parts,), {"__slots__": ()})


def attach_parts(outs, cuts, x, where):
    """Tape a tuple of views of x as the outputs of one function."""
    fn = entry(cuts.node_class, None, {}, (edge_to(x),), (), where, None)
    fn.cuts, fn.outputs, fn.shapes = cuts, len(outs), cuts.shapes
    for i, y in enumerate(outs):
        y._requires_grad, y._grad_fn, y._output_nr = True, fn, i


def _register(owner, slot, fn):
    from ..utils.hooks import RemovableHandle
    table = getattr(owner, slot)
    if table is None:
        table = OrderedDict()       # a handle refers to it weakly, which a dict does not allow
        setattr(owner, slot, table)
    handle = RemovableHandle(table)
    table[handle.id] = fn
    return handle


class Saved:
    """A value kept for the backward pass; knows whether it was overwritten since."""

    __slots__ = ("storage", "layout", "offset", "version", "fn", "nr", "requires_grad", "index", "leaf")

    def bare(self):
        """The value as a tensor without history."""
        from ..tensor import Tensor, wrap
        return wrap(Tensor, self.storage, self.layout, self.offset)

    def unpack(self, owner):
        if self.storage.version != self.version:
            raise self.overwritten(owner)
        if self.leaf is not None:
            return self.leaf
        x = self.bare()
        if self.requires_grad:
            x._requires_grad, x._grad_fn, x._output_nr = True, self.fn or owner, self.nr
        return x

    def overwritten(self, owner):
        fn = self.fn or (owner if self.requires_grad and self.leaf is None else None)
        origin = f", which is output {self.nr} of {BACKWARD.sub('', fn.name())}," if fn is not None else ""
        hint = ("the backtrace further above shows the operation that failed to compute its gradient. The variable in "
                "question was changed in there or anywhere later. Good luck!" if anomaly_mode.state.enabled else
                "enable anomaly detection to find the operation that failed to compute its gradient, "
                "with torch.autograd.set_detect_anomaly(True, check_nan=False).")
        return RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{_type_said(self.storage.dtype)} {list(self.layout.shape)}]{origin} is at version "
            f"{self.storage.version}; expected version {self.version} instead. Hint: {hint}")


def save(x, index: int, own: bool = False) -> Saved:
    """x as it is now, at position `index` of what an operation reads; `own` if it is its output."""
    item, storage = _new(Saved), x.storage
    if storage.version < 0:
        raise RuntimeError("Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode "
                           "in computation tracked by autograd. To work around this, you can make a clone to get a normal "
                           "tensor and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`.")
    item.storage, item.layout, item.offset, item.version = storage, x.layout, x.offset, storage.version
    item.index, item.nr = index, x._output_nr
    fn = x._grad_fn if x._view_of is None else grad_fn_of(x)
    item.requires_grad = tracked = x._requires_grad
    item.fn = None if own else fn
    item.leaf = x if fn is None and tracked else None
    return item


WATCHERS: list = []                 # of utils.selective: told of (result, kind of entry, inputs) before values are saved
SAVE_HOOKS: list[tuple] = []        # of autograd.graph.saved_tensors_hooks: (pack, unpack), innermost last


class Packed:
    """What a user's hook made of a saved value, and the value's place on the tape."""

    __slots__ = ("value", "unhook", "fn", "nr", "requires_grad")

    def __init__(self, saved: Saved):
        pack, self.unhook = SAVE_HOOKS[-1]
        self.fn = saved.fn if saved.leaf is None else accumulator(saved.leaf)
        self.nr, self.requires_grad = saved.nr, saved.requires_grad
        before, mode.enabled = mode.enabled, mode.allows(False)
        try:
            self.value = pack(saved.leaf if saved.leaf is not None else saved.bare())
        finally:
            mode.enabled = before

    def unpack(self, owner):
        x = self.unhook(self.value)
        if not (self.requires_grad and mode.enabled):
            return x
        from ..tensor import Tensor, wrap
        y = wrap(Tensor, x.storage, x.layout, x.offset)     # taped: gradients of gradients go on through it
        y._requires_grad, y._grad_fn, y._output_nr = True, self.fn or owner, self.nr
        return y


def type_name(dtype) -> str:
    """The legacy tensor type name of a dtype, as PyTorch's messages use it."""
    names = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
             "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
             "complex64": "ComplexFloat", "complex128": "ComplexDouble"}
    return f"torch.{names.get(dtype.name, dtype.name.capitalize())}Tensor"


def _type_said(dtype) -> str:
    """The type in a message: PyTorch has no legacy name for complex ones there."""
    return type_name(dtype).replace("torch.", "CPU").replace("Tensor", "Type") if dtype.is_complex else type_name(dtype)


class Untracked:
    """A Python number among the inputs of a taped operation; saved as it is."""

    __slots__ = ("value",)
    _requires_grad = False
    _view_of = None

    def __init__(self, value):
        self.value = value


class AccumulateGrad:
    """The end of the tape at a leaf: adds what arrives to its `.grad`."""

    __slots__ = ("variable", "pre_hooks", "hooks", "__weakref__")
    edges = ()
    outputs = 1
    seq = float("inf")          # runs as soon as it can
    where = token = None

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    next_functions = ()
    register_hook = GradFn.register_hook
    register_prehook = GradFn.register_prehook

    def release(self):
        """Nothing is saved at a leaf."""


def accumulator(x) -> AccumulateGrad:
    """The one AccumulateGrad of a leaf."""
    found = x._accumulator
    if found is None or (found := found()) is None:
        found = _new(AccumulateGrad)
        found.variable, found.pre_hooks, found.hooks = x, None, None
        x._accumulator = ref(found)
    return found


def grad_fn_of(x):
    """The function that x came from; that of a view is made anew after its base was written to."""
    base = x._view_of
    if base is not None and x._view_version != x.storage.version and base._requires_grad:
        refresh_view(x, base)
    return x._grad_fn


def refresh_view(x, base):
    """After a write through another alias a view's history is: the base's, seen through the view."""
    from .inplace import as_view_of
    x._is_one_of_many = is_one_of_many(x)
    x._view_version = x.storage.version
    x._grad_fn, x._output_nr, x._requires_grad = as_view_of(base, x), 0, True


def is_one_of_many(x) -> bool:
    """Whether a view was made together with others by one function (split, unbind), or is a view of such a one."""
    if x._is_one_of_many:
        return True
    fn, end = x._grad_fn, x._view_of._grad_fn
    while fn is not None and fn is not end and not isinstance(fn, AccumulateGrad):
        if isinstance(fn, Parts):
            return True
        fn = fn.edges[0][0] if fn.edges and fn.edges[0] is not None else None
    return False


def is_tracked(x) -> bool:
    return x._requires_grad or (x._view_of is not None and x._view_of._requires_grad)


def edge_to(x):
    """The edge of a tracked input, or None."""
    if x._view_of is not None:
        if not is_tracked(x):
            return None
        fn = grad_fn_of(x)
    elif x._requires_grad:
        fn = x._grad_fn
    else:
        return None
    return (accumulator(x) if fn is None else fn, x._output_nr, x.layout, x.dtype)


def entry(cls, gradient, params, edges, positions, where, token):
    """A tape entry that saves nothing yet."""
    fn = _new(cls)
    fn.gradient, fn.params, fn.edges, fn.positions = gradient, params, edges, positions
    fn.seq, fn.where, fn.token, fn.mask = count(), where, token, 0
    fn.pre_hooks, fn.hooks, fn.saved = None, None, ()
    return fn


def attach(out, gradient, inputs, params, where=None, token=None):
    """Tape an operation: `out` came from the tensors `inputs` by an operation with this gradient.

    `where` is the user's line; by default that of the node recorded last.
    """
    edges, mask = [], 1
    for x in inputs:
        mask += mask
        if x._requires_grad and x._view_of is None:
            fn = x._grad_fn
            edges.append((accumulator(x) if fn is None else fn, x._output_nr, x.layout, x.dtype))
            mask += 1
        else:
            edges.append(edge := edge_to(x))
            mask += edge is not None
    fn = _new(gradient.node_class)
    fn.gradient, fn.params, fn.edges = gradient, params, edges
    fn.seq, fn.pre_hooks, fn.hooks, fn.token, fn.mask = count(), None, None, token, mask
    fn.where = where or record.latest
    positions = gradient.plans.get(mask)
    if positions is None:
        positions = gradient.saves(mask)
    fn.positions = positions
    out._requires_grad, out._grad_fn = True, fn
    fn.saved = ()
    if WATCHERS:
        WATCHERS[-1](out, gradient.node_class, inputs)
    if positions:
        saved = []
        for p in positions:
            x = inputs[p - 1] if p else out
            saved.append(x.value if type(x) is Untracked else save(x, p, not p))
        fn.saved = [Packed(item) if type(item) is Saved else item for item in saved] if SAVE_HOOKS else saved
    return out


@functools.cache
def class_named(name: str) -> type:
    """A class of GradFn by name."""
    return type(name, (GradFn,), {"__slots__": ()})


def named(y, name: str):
    """A composition shows as one operation: the function of its fresh result y gets its name."""
    if y._grad_fn is not None:
        y._grad_fn.__class__ = class_named(name)
    return y


def taping(*xs) -> bool:
    """Whether an operation on these tensors is to be taped."""
    return mode.enabled and any(is_tracked(x) for x in xs)
