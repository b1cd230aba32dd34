"""Owners: modules that account for their parameters, and how what they compute is observed.

A layer with a rule runs with its parameters frozen, so that nothing is computed for them on the
tape; a gate behind its output reports the gradient there. Recurrent layers and attention run on
fresh leaves in the place of their parameters, and the products of these are looked up on the tape.
All other modules with parameters of their own are differentiated once more, batched by vmap.
"""
from __future__ import annotations

from math import prod
from weakref import ref

from ... import nn, ops
from ...autograd.grad_mode import no_grad
from ...autograd.node import RELEASED, AccumulateGrad, GradFn, Parts, edge_to, entry
from ...autograd.recall import recalled
from ...func import functional_call, vjp, vmap
from ...func.pytree import first, flatten, unflatten
from ...func.tape import moment
from ...nn.functional import linear_maps, recurrent
from ...nn.utils.rnn import PackedSequence
from ...prims.recurrent import Planes, back_planes, recurrence_grad
from ...tensor import Tensor, wrap
from ...trace import record
from .pieces import Given, Outer, Part, Scaled, Summed
from .rules import input_of, rule_of

TRACED = (nn.RNN, nn.LSTM, nn.GRU, nn.MultiheadAttention)


class Gate(GradFn):
    """The identity on the tape; tells what arrives on the way back."""

    __slots__ = ("report", "outputs")

    def pull(self, grads):
        if self.report is None:
            self.saved = RELEASED
            self.unpack()
        self.report(grads)
        return list(grads)

    def release(self):
        self.report = None      # and with it what went into the layer


def gated(values: list, report) -> list:
    """The tensors among `values` seen through one gate, which calls report(their gradients)."""
    at = [i for i, y in enumerate(values) if isinstance(y, Tensor) and y.is_floating_point()]
    fn, out = gate([values[i] for i in at], report), list(values)
    for nr, i in enumerate(at):
        out[i] = behind(fn, values[i], nr)
    return out


def gate(values: list, report) -> Gate:
    fn = entry(Gate, None, {}, tuple([edge_to(y) for y in values]), (), record.latest, None)
    fn.report, fn.outputs = report, len(values)
    return fn


def behind(fn: Gate, y: Tensor, nr: int = 0) -> Tensor:
    """y as output number `nr` of the gate."""
    seen = wrap(Tensor, y.storage, y.layout, y.offset)
    seen._requires_grad, seen._grad_fn, seen._output_nr = True, fn, nr
    return seen


def value_of(x: Tensor) -> Tensor:
    """x as it is now; later writes do not reach it."""
    return x.detach().clone()


class Owner:
    """A module, its trainable parameters by name, and where its batch axis is."""

    def __init__(self, name: str, module: nn.Module, parameters: dict, axis: int, hooks):
        self.name, self.module, self.parameters, self.axis = name, module, parameters, axis
        self.hooks = hooks

    def enter(self, args: tuple, kwargs: dict) -> None:
        """Before a forward pass."""
        self.check_batch(args)

    def leave(self) -> None:
        """After it, also if it failed."""

    def observed(self, args: tuple, kwargs: dict, result):
        """The result, whose gradient is going to be reported."""
        raise NotImplementedError(f"{type(self).__name__}.observed")

    def report(self, pieces: dict, generation: int) -> None:
        with no_grad():
            for name, piece in pieces.items():
                p = self.parameters.get(name)
                if p is not None:
                    self.hooks.add(p, piece, generation)

    def check_batch(self, args):
        n = self.hooks.batch.n
        found = first(Tensor, args)
        if n is None or found is None or found.dim() > self.axis and found.size(self.axis) == n:
            return
        raise ValueError(
            f"{self.where}: its input has the shape {tuple(found.shape)}, but the model was called "
            f"with a batch of {n}: axis {self.axis} is not the batch, so the gradients of the "
            "samples cannot be told apart. Keep the batch axis of what goes into layers with "
            "parameters (expand inputs that are common to all samples, such as positions, to the "
            "batch; do not join the batch axis with others)")

    @property
    def where(self) -> str:
        return f"{self.name or 'the model'} ({type(self.module).__name__})"


class Untaped(Owner):
    """A module whose forward pass leaves its parameters off the tape; their gradients are found otherwise."""

    def enter(self, args, kwargs):
        super().enter(args, kwargs)
        for p in self.parameters.values():
            p._requires_grad = False

    def leave(self):
        for p in self.parameters.values():
            p._requires_grad = True


class Layer(Untaped):
    """A layer with a rule."""

    def observed(self, args, kwargs, result):
        x = input_of(self.module, args[0] if args else next(iter(kwargs.values())), result)
        rule, generation = rule_of(self.module), self.hooks.batch.number

        def report(grads):
            if grads[0] is not None:
                self.report(rule(self.module, x, grads[0], self.axis), generation)
        return behind(gate([result], report), result)


class Sampled(Layer):
    """A layer for which somebody has registered how its gradients are computed."""

    def __init__(self, *args, sampler):
        super().__init__(*args)
        self.sampler = sampler

    def observed(self, args, kwargs, result):
        xs = [value_of(x) if isinstance(x, Tensor) else x for x in args]
        generation, names = self.hooks.batch.number, {id(p): k for k, p in self.parameters.items()}

        def report(grads):
            if grads[0] is None:
                return
            front = [x.movedim(self.axis, 0) if self.axis and isinstance(x, Tensor) else x
                     for x in (*xs, grads[0])]
            found = self.sampler(self.module, front[:-1], front[-1])
            self.report({names[id(p)]: Given(g) for p, g in found.items() if id(p) in names},
                        generation)
        return behind(gate([result], report), result)


class Traced(Owner):
    """A recurrent layer or attention: several products, looked up on the tape."""

    def __init__(self, *args):
        super().__init__(*args)
        self.fallback = Batched(*args)
        self.homes = [(m, k, p) for m in self.module.modules()
                      for k, p in m._parameters.items() if p is not None]

    def enter(self, args, kwargs):
        x = args[0] if args else next(iter(kwargs.values()))
        if not isinstance(x, PackedSequence):
            if x.dim() != 3:
                raise ValueError(f"{self.where}: its input has {x.dim()} axes, none of which is a batch")
            super().enter(args, kwargs)
        self.start = moment()
        names = {id(p): name for name, p in self.parameters.items()}
        self.leaves = {}
        for module, key, p in self.homes:
            leaf = p.detach()
            module._parameters[key] = leaf
            if id(p) in names:
                leaf._requires_grad = True
                self.leaves[id(leaf)] = (leaf, names[id(p)])

    def leave(self):
        for module, key, p in self.homes:
            module._parameters[key] = p

    def observed(self, args, kwargs, result):
        leaves, generation = self.leaves, self.hooks.batch.number
        found = self.products(flatten(result)[0], leaves)
        for leaf, _ in leaves.values():
            leaf._requires_grad = False         # nothing is to be added up there
        if found is None:
            return self.fallback.observed(args, kwargs, result)
        x = args[0] if args else next(iter(kwargs.values()))
        order = x.unsorted_indices if isinstance(x, PackedSequence) else None
        for fn, uses in found:
            pieces_of = KNOWN[kind_of(fn)]
            fn.register_prehook(self.reporter(pieces_of, fn, uses, order, generation))
        return result

    def reporter(self, pieces_of, fn, uses, order, generation):
        fn = ref(fn)        # which holds the hook

        def report(grads):
            for use, piece in pieces_of(fn(), grads, uses, order):
                self.report({use.name: use.placed(piece)}, generation)
        return report

    def products(self, outputs, leaves) -> list | None:
        """(function on the tape, how it uses parameters); None if one is of an unknown kind."""
        found, seen = [], set()
        stack = [y.grad_fn for y in outputs if isinstance(y, Tensor)]
        while stack:
            fn = stack.pop()
            if fn is None or fn in seen or fn.seq < self.start or type(fn) is AccumulateGrad:
                continue
            seen.add(fn)
            uses = [_use(e, leaves) for e in fn.edges]
            if any(uses):
                if kind_of(fn) not in KNOWN:
                    return None
                found.append((fn, uses))
            stack += [e[0] for e, use in zip(fn.edges, uses) if e is not None and use is None]
        return found


class Use:
    """A parameter, or rows of it, as an operand."""

    def __init__(self, name: str, shape: tuple, start: int = 0, rows: int | None = None):
        self.name, self.shape, self.start = name, shape, start
        self.rows = shape[0] if rows is None else rows

    def placed(self, piece):
        whole = self.rows == self.shape[0]
        return piece if whole else Part(piece, self.start, self.rows, self.shape)


def _use(edge, leaves) -> Use | None:
    """What of a parameter stands behind this input of a function."""
    if edge is None:
        return None
    fn, nr = edge[:2]
    if isinstance(fn, Parts) and fn.edges[0] is not None:
        layout, offset = fn.cuts.places[nr]
        use = _use(fn.edges[0], leaves)
        if use is None or layout.shape[1:] != use.shape[1:]:
            return None
        return Use(use.name, use.shape, offset // prod(use.shape[1:]), layout.shape[0])
    if type(fn) is AccumulateGrad and id(fn.variable) in leaves:
        leaf, name = leaves[id(fn.variable)]
        return Use(name, tuple(leaf.shape))
    return None


def kind_of(fn):
    return type(fn) if type(fn) is recurrent.Recurrent._node_class else getattr(fn, "gradient", None)


def _of_linear(fn, grads, uses, _order):
    """x w^T + b inside attention, whose batch is axis 1."""
    if grads[0] is None:
        return
    out = Scaled(grads[0], 1)
    _, weight, *bias = uses
    if weight is not None:
        yield weight, Outer(fn.unpack()[1].detach(), out)
    for use in bias:
        if use is not None:
            yield use, Summed(out)


def _of_recurrent(fn, grads, uses, order):
    """A direction of a recurrent layer: products with the gradient at its gates (T, B, G H)."""
    if all(g is None for g in grads):
        return
    y, *operands = (None if t is None else t.detach() for t in fn.ctx.saved_tensors)
    x = operands[0]
    gates, states, before = gates_of(*fn.ctx.options, y, x, operands[2], *(*grads, None)[:2])
    if order is not None:
        x, gates, states, before = (t.index_select(1, order) for t in (x, gates, states, before))
    gates, states = Scaled(gates, 1), Scaled(states, 1)
    made = {1: lambda: Outer(x, gates), 2: lambda: Outer(before, states),
            3: lambda: Summed(gates), 4: lambda: Summed(states)}
    tensors = [i for i, t in enumerate(operands) if t is not None]      # the others have no edge
    for i, use in zip(tensors, uses):
        if use is not None:
            yield use, made[i]()


@recalled("y x w gh? gc?")
def gates_of(kind, reverse, every, y, x, w, gh, gc):
    """Gradients at a layer's gates, as inputs and as states see them (T, B, G H); states before each step."""
    steps, batch, hidden = *x.shape[:2], w.size(1)
    gh = ops.zeros(steps, batch, hidden, dtype=y.dtype) if gh is None else gh
    cells = "" if gc is None else "all" if every else "last"
    out = recurrence_grad(gh, y, w, *(() if gc is None else (gc,)), mode=kind, reverse=reverse, cells=cells)
    q, carry, _ = back_planes(kind, steps)
    at = Planes(kind, steps, reverse, True)
    gates, before = out[:q].view(steps, batch, -1), y[at.before:at.before + steps]
    if kind != "gru":
        return gates, gates, before
    return gates, ops.cat([gates[..., :2 * hidden], out[q:carry]], -1), before


KNOWN = {linear_maps._affine.gradient: _of_linear, linear_maps._linear.gradient: _of_linear,
         recurrent.Recurrent._node_class: _of_recurrent}


class Batched(Untaped):
    """Any module: its gradient for one sample, batched by vmap; everything below it included."""

    def observed(self, args, kwargs, result):
        given, given_spec = flatten((args, kwargs))
        if any(isinstance(x, PackedSequence) for x in (*args, *kwargs.values())):
            raise NotImplementedError(f"{self.where}: per-sample gradients by vmap of a PackedSequence")
        dims = self.input_axes(given, kwargs)
        given = [value_of(x) if isinstance(x, Tensor) else x for x in given]
        values, spec = flatten(result)
        generation = self.hooks.batch.number
        sizes = [(tuple(y.shape), y.dtype) for y in values
                 if isinstance(y, Tensor) and y.is_floating_point()]

        def report(grads):
            grads = [ops.zeros(*shape, dtype=dtype) if g is None else g
                     for g, (shape, dtype) in zip(grads, sizes)]
            self.report(self.pieces(given, dims, given_spec, grads), generation)
        return unflatten(gated(values, report), spec)

    def input_axes(self, given, kwargs) -> list:
        """Where the batch is in each input; None for what is common to all samples."""
        axis = self.axis
        n = next(x.size(axis) for x in given if isinstance(x, Tensor))
        mask = kwargs.get("key_padding_mask")
        mixing = isinstance(self.module, nn.MultiheadAttention)
        states = isinstance(self.module, nn.RNNBase)

        def place(i, x):
            d = 0 if x is mask else 1 if states and i else None if mixing and x.dim() < 3 else axis
            return d if d is not None and x.dim() > d and x.size(d) == n else None
        return [place(i, x) if isinstance(x, Tensor) else None for i, x in enumerate(given)]

    def output_axes(self, count) -> list:
        other = {nn.MultiheadAttention: 0}.get(type(self.module), self.axis)
        other = 1 if isinstance(self.module, nn.RNNBase) else other
        return [self.axis, *[other] * (count - 1)]

    def pieces(self, given, dims, spec, grads) -> dict:
        axes = self.output_axes(len(grads))
        n = grads[0].size(self.axis)
        values = {k: p.detach() for k, p in self.parameters.items()}
        if n == 0:
            return {k: Given(v.new_zeros(0, *v.shape)) for k, v in values.items()}

        def one(sample, *gs):
            leaves = [x if d is None else x.unsqueeze(d) for x, d in zip(sample, dims)]
            args, kwargs = unflatten(leaves, spec)

            def outputs(values):
                found = flatten(functional_call(self.module, values, args, kwargs))[0]
                return [y for y in found if isinstance(y, Tensor) and y.is_floating_point()]
            _, pull = vjp(outputs, values)
            return pull([g.unsqueeze(d) for g, d in zip(gs, axes)])[0]
        with self.hooks.paused():
            try:
                found = vmap(one, in_dims=(dims, *axes))(given, *grads)
            except RuntimeError as error:
                raise RuntimeError(self.explained(error)) from error
        return {k: Given(g.detach()) for k, g in found.items()}

    def explained(self, error) -> str:
        return (f"{self.where}: the gradients of its samples are computed by vmap, because it has "
                f"parameters of its own and no rule, and that failed: {error}\n"
                "Ways out: put parameters into layers that have a rule (Linear, convolutions, "
                "Embedding, norms, recurrent layers, MultiheadAttention) and dropout into a module "
                "of its own; write branches on values with torch.where; or register how its "
                "gradients are computed with register_grad_sampler")
