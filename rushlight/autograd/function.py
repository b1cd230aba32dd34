"""Operations with a gradient of their own: compositions inside (`differentiable`), users' `Function`s."""
from __future__ import annotations

import functools
from contextlib import contextmanager
from weakref import ref

from ..prims.table import Gradient
from ..tensor import Tensor, wrap
from ..trace import record
from ..trace.record import pending
from .grad_mode import mode
from .node import RELEASED, SAVE_HOOKS, GradFn, Packed, Saved, Untracked, attach, edge_to, grad_fn_of, is_tracked, save


def differentiable(name: str, vjp: tuple):
    """Give a composition one gradient rule per tensor argument: rule(g, y, *tensors, **params).

    The body runs untaped; tensors are positional, parameters keyword. Where the rule itself is
    made of public operations, higher derivatives follow.
    """
    gradient = Gradient(name, vjp)

    def decorate(fn):
        @functools.wraps(fn)
        def op(*tensors, **params):
            if not (mode.enabled and any(is_tracked(x) for x in tensors if x is not None)):
                return fn(*tensors, **params)
            mode.enabled = False
            try:
                y = fn(*tensors, **params)
            finally:
                mode.enabled = True
            if any(y is x for x in tensors):
                y = wrap(Tensor, y.storage, y.layout, y.offset)
            return attach(y, gradient, [_or_nothing(x) for x in tensors], params)
        op.gradient = gradient
        return op
    return decorate


def _or_nothing(x):
    return x if isinstance(x, Tensor) else Untracked(x)


class FunctionCtx:
    """What `forward` leaves for `backward`."""

    def __init__(self):
        self.to_save, self.saved_for = (), None
        self.to_save_forward, self.in_jvp = None, False
        self.dirty, self.no_grad_outputs = (), ()
        self.needs_input_grad = ()
        self.materialize = True

    def save_for_backward(self, *tensors):
        """Keep tensors (or None) for `saved_tensors`."""
        self.to_save = tensors

    def save_for_forward(self, *tensors):
        """Keep tensors (or None) for `saved_tensors` in `jvp`."""
        self.to_save_forward = tensors

    def mark_dirty(self, *tensors):
        """Say which inputs `forward` changed in place."""
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors):
        self.no_grad_outputs = tensors

    def set_materialize_grads(self, value: bool):
        """False: gradients that are zero arrive in `backward` as None."""
        self.materialize = value

    @property
    def saved_tensors(self):
        fn = None if self.saved_for is None else self.saved_for()
        if fn is not None and fn.saved is RELEASED:
            fn.unpack()
        if self.in_jvp and self.to_save_forward is not None:
            items = self.to_save_forward
        else:
            items = self.to_save if self.saved_for is None else self._saved
        return tuple(x.unpack(fn) if type(x) in (Saved, Packed) else x for x in items)


class CustomFn(GradFn):
    """The tape's entry of a user's Function."""

    __slots__ = ("ctx", "function", "outputs", "metas")

    def pull(self, grads):
        if self.saved is RELEASED:
            self.unpack()
        if self.ctx.materialize:
            grads = [_zeros(meta) if g is None and meta is not None else g for g, meta in zip(grads, self.metas)]
        function = self.function
        if mode.by_jvp and function.jvp is not Function.jvp:
            return self._transposed(grads)
        rule = function.vjp if function.vjp is not Function.vjp else function.backward
        result = rule(self.ctx, *grads)
        result = result if isinstance(result, tuple) else (result,)
        return self._match(result)

    def _transposed(self, grads):
        """The gradients that the user's `jvp` implies: it is linear, so its own gradients are J^T."""
        from ..func.tape import Stretch, moment, place
        create_graph, mode.enabled, start = mode.enabled, True, moment()
        try:
            leaves = [None if m is None else _zeros(m).requires_grad_(m[1].rank >= 2) for m in self.ctx.arg_metas]
            outs = self._tangents([t.clone() if t is not None and t.requires_grad else t for t in leaves])
        finally:
            mode.enabled = create_graph
        pairs = [(y, g) for y, g in zip(outs, grads) if isinstance(y, Tensor) and is_tracked(y) and g is not None]
        seeds: dict = {}
        for y, g in pairs:
            p = place(y)
            seeds[p] = g if p not in seeds else seeds[p] + g
        taken = [leaves[i] if e is not None else None for i, e in zip(self.ctx.tensor_positions, self.edges)]
        stretch = Stretch([y for y, _ in pairs], start)
        got = iter(stretch.pull(seeds, [place(t) for t in taken if t is not None], create_graph))
        return [None if t is None else next(got) for t in taken]

    def _tangents(self, given):
        self.ctx.in_jvp = True
        try:
            outs = self.function.jvp(self.ctx, *given)
        finally:
            self.ctx.in_jvp = False
        outs = tuple(outs) if isinstance(outs, (tuple, list)) else (outs,)
        if len(outs) != self.outputs:
            raise RuntimeError(f"{self.function.__name__}'s jvp must return as many values as its forward function "
                               f"(expected {self.outputs}, got {len(outs)})")
        return outs

    def _match(self, result):
        positions = self.ctx.tensor_positions
        n = self.ctx.arity
        if len(result) < n or any(r is not None for r in result[n:]):
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients "
                               f"(expected {n}, got {len(result)})")
        return [None if e is None else self._fitting(result[i], i) for i, e in zip(positions, self.edges)]

    def _fitting(self, g, i):
        shape = self.ctx.arg_metas[i][0]
        if isinstance(g, Tensor) and g.shape != shape and not _expands(shape, g.shape):
            raise RuntimeError(f"Function {self.name()} returned an invalid gradient at index {i} - got "
                               f"{list(g.shape)} but expected shape compatible with {list(shape)}")
        return g


def _zeros(meta):
    from .. import ops
    return ops.zeros(meta[0], dtype=meta[1])


def _expands(shape, larger) -> bool:
    return len(shape) <= len(larger) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(larger)))


class _FunctionMeta(type):
    def __init__(cls, name, bases, body):
        super().__init__(name, bases, body)
        cls._node_class = type(name + "Backward", (CustomFn,), {"__slots__": ()})


class Function(FunctionCtx, metaclass=_FunctionMeta):
    """Base of user-defined differentiable functions: static `forward` and `backward`, called by `apply`."""

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx, *grads):
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    generate_vmap_rule = False      # without a `vmap`, vmap records what forward and backward do in any case

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """Tangents of the outputs from those of the inputs: zeros where there is none, None for what is no tensor."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with "
                                  "forward mode AD.")

    @staticmethod
    def vmap(info, in_dims, *args):
        """(outputs, out_dims) for inputs that have the batch at `in_dims`; `info` says its size and randomness."""
        raise NotImplementedError("To use autograd.Function with vmap, you must either override the vmap staticmethod or "
                                  "set generate_vmap_rule=True.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what backward needs, if `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def vjp(ctx, *grads):
        """`backward` under its other name."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward untaped and record one entry that knows backward."""
        ctx = FunctionCtx()
        tensors = [x for x in args if isinstance(x, Tensor)]
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and is_tracked(x) for x in args)
        taped = mode.enabled and any(ctx.needs_input_grad)
        outs = cls._forward(ctx, args, kwargs)
        if not taped:
            return outs
        for x in ctx.dirty:
            if grad_fn_of(x) is None and x.requires_grad:
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            x.storage.version += 1          # PyTorch counts being marked as a write, too
        return cls._record(ctx, args, tensors, outs)

    def __call__(self, *args, **kwargs):
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. Please use new-style "
                           "autograd function with static forward method: "
                           f"{type(self).__name__}.apply(...) instead of {type(self).__name__}()(...)")

    @classmethod
    def _forward(cls, ctx, args, kwargs):
        before, mode.enabled = mode.enabled, mode.allows(False)
        try:
            if cls.setup_context is not Function.setup_context:
                outs = cls._outputs(args, kwargs)
                cls.setup_context(ctx, args, outs)
                return outs
            if cls.vmap is not Function.vmap and pending.capture is not None:
                raise RuntimeError(NO_SETUP)
            return cls.forward(ctx, *args, **kwargs)
        finally:
            mode.enabled = before

    @classmethod
    def _outputs(cls, args, kwargs):
        """What `forward` returns, or inside of vmap what the user's rule does."""
        if pending.capture is None or cls.vmap is Function.vmap:
            return cls.forward(*args, **kwargs)
        from ..func.rules import apply_rule
        return apply_rule(cls, pending.capture, args, kwargs)

    @classmethod
    def _record(cls, ctx, args, tensors, outs):
        several = isinstance(outs, (tuple, list))
        results = list(outs) if several else [outs]
        fn = cls._node_class()
        fn.function, fn.ctx, fn.edges = cls, ctx, tuple(edge_to(x) for x in tensors)
        fn.params, fn.positions, fn.gradient, fn.saved = {}, (), NO_RULES, ()
        fn.where = record.override or record.user_line()
        ctx.tensor_positions = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.arity = len(args)
        ctx.arg_metas = [(x.shape, x.dtype) if isinstance(x, Tensor) else None for x in args]
        fn.outputs = len(results)
        fn.metas = [(r.shape, r.dtype) if isinstance(r, Tensor) else None for r in results]
        results = [_link(r, fn, i, ctx, tensors) for i, r in enumerate(results)]
        ctx._saved = tuple(_save(x, results) for x in ctx.to_save)
        ctx.saved_for = ref(fn)         # which holds ctx
        if ctx.to_save_forward is not None:
            ctx.to_save_forward = tuple(_save(x, results) for x in ctx.to_save_forward)
        return type(outs)(results) if several else results[0]


NO_SETUP = ("In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override "
            "the setup_context staticmethod. For more details, please see "
            "https://pytorch.org/docs/main/notes/extending.func.html")


@contextmanager
def by_jvp():
    """Inside, functions that have a `jvp` of their own are pulled by its transpose."""
    before, mode.by_jvp = mode.by_jvp, True
    try:
        yield
    finally:
        mode.by_jvp = before


NO_RULES = Gradient("CustomFunctionBackward", ())


def _link(r, fn, i, ctx, tensors):
    """Tape output i; an input returned unchanged is shown by a new tensor, a dirty one is rewritten."""
    if not isinstance(r, Tensor) or r.dtype.rank < 2 or any(r is x for x in ctx.no_grad_outputs):
        return r
    if any(r is x for x in tensors) and not any(r is x for x in ctx.dirty):
        r = r.detach()
    r._requires_grad, r._grad_fn, r._output_nr = True, fn, i
    return r


def _save(x, results):
    if x is None or not isinstance(x, Tensor):
        return x
    saved = save(x, 1, own=any(x is r for r in results))
    return Packed(saved) if SAVE_HOOKS else saved


def once_differentiable(fn):
    """Mark a backward whose own operations are not to be differentiated."""
    @functools.wraps(fn)
    def wrapped(ctx, *grads):
        taped = mode.enabled and any(isinstance(g, Tensor) and is_tracked(g) for g in grads)
        before, mode.enabled = mode.enabled, mode.allows(False)
        try:
            outs = fn(ctx, *grads)
        finally:
            mode.enabled = before
        if not taped:
            return outs
        single = not isinstance(outs, tuple)
        made = tuple(_stop(o) for o in ((outs,) if single else outs))
        return made[0] if single else made
    return wrapped


def _stop(x):
    if not isinstance(x, Tensor):
        return x
    y = wrap(Tensor, x.storage, x.layout, x.offset)
    return attach(y, Gradient("Error", (_raise_once,)), (x.detach().requires_grad_(),), {})


def _raise_once(g, _y, _x):
    raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
