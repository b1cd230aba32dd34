"""The backward pass: gradients flow along the tape, newest function first.

A function runs once the gradients of all its outputs have arrived (counted beforehand); among
those that are ready the one recorded last goes first, as in PyTorch, so that sums of gradients
are added in the same order. All arithmetic is recorded like any other operation.
"""
from __future__ import annotations

import heapq

from ..errors import warn_once
from ..layout import is_dense
from ..ops.layouts import Unstrided
from ..tensor import Tensor, wrap
from ..trace import record
from ..trace.record import alias
from .anomaly_mode import state as anomaly, watched
from .grad_mode import mode
from .hooks import all_checked, checked
from .node import RELEASED, AccumulateGrad, accumulator, grad_fn_of, is_tracked
from .recall import fit, pull, sum_to        # noqa: F401

JOINS = {"CatBackward0", "StackBackward0"}


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None) -> None:
    """Gradients of `tensors` summed into the `.grad` of the leaves (or of `inputs` only)."""
    tensors = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    if inputs is not None:
        inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    if create_graph:
        warn_once("Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient; "
                  "autograd.grad does not.")
    seeds = make_seeds(tensors, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    retain, create_graph = _taped(retain, create_graph)
    wanted = None if inputs is None else {_place(x): None for x in inputs}
    got = run(seeds, retain, create_graph, wanted)
    if inputs is not None:
        for x in inputs:
            g = got[_place(x)]
            if g is not None:
                accumulate(x, g, create_graph)


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
         allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """Gradients of `outputs` with respect to `inputs`, as a tuple."""
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, create_graph, allow_unused, materialize_grads)
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    seeds = make_seeds(outputs, grad_outputs)
    if not all(map(is_tracked, inputs)):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    retain = create_graph if retain_graph is None else retain_graph
    got = run(seeds, *_taped(retain, create_graph), {_place(x): None for x in inputs})
    joined = [g.storage for y, g in seeds if y.grad_fn is not None and y.grad_fn.name() in JOINS]
    results = [_shown(got[_place(x)], x, joined) for x in inputs]
    return tuple(_check_used(g, x, i, allow_unused, materialize_grads)
                 for i, (g, x) in enumerate(zip(results, inputs)))


def _taped(retain, create_graph):
    """Gradients of dual tensors have tangents, which are taken from the tape."""
    return (retain, create_graph) if mode.level is None else (True, True)


def _shown(g, x, joined=()):
    """A gradient as callers get it: of a sparse tensor's values on its pattern; without gaps, so that it can be viewed.

    `joined`: seeds of outputs that were joined of parts. A part's gradient is that part of the seed, as in PyTorch.
    """
    if g is None or isinstance(g, Unstrided):
        return g
    if isinstance(x, Unstrided):
        return x.with_values(g)
    return g.contiguous() if _has_gaps(g.layout) and not any(g.storage is s for s in joined) else g


def _has_gaps(l) -> bool:
    return not (l.packed or is_dense(l) or any(s == 0 and n > 1 for n, s in zip(l.shape, l.strides)))


def _batched(outputs, inputs, grad_outputs, create_graph, allow_unused, materialize):
    """The same for a batch of gradients of the outputs, along their first axes."""
    from ..func import vmap
    used: list = []

    def one(*seeds):
        got = grad(outputs, inputs, seeds, True, create_graph, True, allow_unused, False, materialize)
        used[:] = [g is not None for g in got]
        return [g for g in got if g is not None]
    found = iter(vmap(one)(*((grad_outputs,) if isinstance(grad_outputs, Tensor) else grad_outputs)))
    return tuple(next(found) if on else None for on in used)


def _check_used(g, x, i, allow_unused, materialize):
    if g is None and materialize:
        return x.new_zeros(x.shape)
    if g is None and not allow_unused:
        raise RuntimeError(f"The differentiated Tensor at index {i} appears to not have been used in the graph. "
                           "Set allow_unused=True if this is the desired behavior.")
    return g


def _place(x):
    """Where the gradient of x (of a sparse tensor's values) arrives: (function, output number)."""
    if isinstance(x, Unstrided):
        x = x._data
    return (grad_fn_of(x) or accumulator(x), x._output_nr)


def make_seeds(tensors, grads):
    """[(tensor, its initial gradient)], with ones for scalars."""
    if grads is None or isinstance(grads, Tensor):
        grads = (grads,) * len(tensors) if grads is None else (grads,)
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    return [(x, _seed(x, g, i)) for i, (x, g) in enumerate(zip(tensors, grads))]


def _seed(x, g, i):
    if not is_tracked(x):
        raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    if g is None:
        if x.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if x.dtype.is_complex:
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {x.dtype!r}")
        return x.new_ones(x.shape)
    if tuple(g.shape) != tuple(x.shape):
        raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has a shape of {x.shape}.")
    return g


def dependencies(roots) -> dict:
    """How many edges lead to each function that the roots reach."""
    counts = dict.fromkeys(roots, 0)
    stack = list(counts)
    while stack:
        for e in stack.pop().edges:
            if e is not None:
                fn = e[0]
                if fn in counts:
                    counts[fn] += 1
                else:
                    counts[fn] = 1
                    stack.append(fn)
    return counts


def needed(counts, wanted) -> set:
    """Functions from which one of the wanted places is reached."""
    keep = {fn for fn, _ in wanted}
    order, seen = [], set()
    for root in counts:                     # postorder without recursion
        stack = [(root, False)]
        while stack:
            fn, done = stack.pop()
            if done:
                order.append(fn)
            elif fn not in seen:
                seen.add(fn)
                stack.append((fn, True))
                stack.extend((e[0], False) for e in fn.edges if e is not None and e[0] not in seen)
    for fn in order:
        if any(e is not None and e[0] in keep for e in fn.edges):
            keep.add(fn)
    return keep


class Reached(tuple):
    """The functions that a backward pass reaches, by how many edges, and those that it needs if that is not all."""

    def runs(self, fn) -> bool:
        counts, keep = self
        return fn in counts if keep is None else fn in keep and fn in counts


def run(seeds, retain_graph, create_graph, wanted=None):
    """Push the seeds through the tape; returns `wanted` filled in (places to gradients)."""
    arrived: dict = {}
    record.end_of_periods(False)
    before, line, casting, accumulates, outer = mode.enabled, mode.line, mode.casting, mode.accumulates, mode.reached
    mode.accumulates = wanted is None
    mode.enabled, mode.casting = bool(create_graph), None       # rules compute in the dtypes of the forward pass
    try:
        for x, g in seeds:
            fn, nr = _place(x)
            add_gradient(arrived, fn, nr, g)
        counts = dependencies(list(arrived))
        keep = None if wanted is None else needed(counts, wanted)
        mode.reached = Reached((counts, keep))
        heap = [(-fn.seq, id(fn), fn) for fn in arrived if counts[fn] == 0]
        heapq.heapify(heap)
        plainly = wanted is None and not create_graph
        while heap:
            fn = heapq.heappop(heap)[2]
            grads = arrived.pop(fn, None) or [None] * fn.outputs
            if plainly and fn.token is not None and fn.hooks is fn.pre_hooks is None and not anomaly.enabled \
                    and grads[0] is not None:
                record.override = mode.line = fn.where
                outs = added(fn, grads[0], arrived) or pull(fn, grads[0])
                if not retain_graph and fn.saved:
                    fn.saved = RELEASED
                send(fn, outs, arrived, counts, heap)
            else:
                step(fn, grads, arrived, counts, heap, keep, wanted, retain_graph, create_graph)
    finally:
        mode.enabled, mode.line, mode.casting, mode.accumulates, mode.reached = before, line, casting, accumulates, outer
        record.set_line(line)
    record.end_of_periods(True)
    return wanted


def step(fn, grads, arrived, counts, heap, keep, wanted, retain_graph, create_graph):
    """Run one function and send its gradients on."""
    if fn.pre_hooks:
        grads = _pre_hooks(fn, tuple(grads))
    if wanted is not None:
        for nr, g in enumerate(grads):
            if (fn, nr) in wanted:
                wanted[fn, nr] = hooked(fn.variable, g) if type(fn) is AccumulateGrad and g is not None else g
    if type(fn) is AccumulateGrad:
        if wanted is None and grads[0] is not None and fn.variable._requires_grad:
            accumulate(fn.variable, grads[0], create_graph, fn)
        return
    outs = [None] * len(fn.edges)
    if keep is None or fn in keep and any(e is not None and e[0] in keep for e in fn.edges):
        record.override = mode.line = fn.where
        outs = watched(fn, pulled, grads, arrived) if anomaly.enabled else pulled(fn, grads, arrived)
        if not retain_graph:
            fn.release()
    send(fn, outs, arrived, counts, heap, wanted is None and not create_graph)


def pulled(fn, grads, arrived):
    g = grads[0]
    outs = fn.pull(grads) if fn.token is None or g is None else added(fn, g, arrived) or pull(fn, g)
    return _post_hooks(fn, outs, tuple(grads)) if fn.hooks else outs


def added(fn, g, arrived):
    """The sum of the gradients so far, taken from where it is and with that of a part of it added; or None."""
    add = fn.gradient.add
    if add is None or fn.hooks or anomaly.enabled or mode.enabled or fn.edges[0] is None:
        return None
    target, nr, *_ = fn.edges[0]
    slots = arrived.get(target)
    total = slots and slots[nr]
    if total is None or (made := add(total, g, **fn.params)) is None:
        return None
    slots[nr] = None
    return [made]


def send(fn, outs, arrived, counts, heap, plainly=True):
    """Gradients to where fn's inputs came from; `plainly` to leaves at once."""
    for e, g in zip(fn.edges, outs):
        if e is None:
            continue
        target, nr, layout, dtype = e
        if g is not None:
            if g.layout is not layout or g.dtype is not dtype:
                g = fit(g, layout, dtype)
            slots = arrived.get(target)
            if slots is None:
                if plainly and counts[target] == 1 and type(target) is AccumulateGrad and not target.pre_hooks:
                    if target.variable._requires_grad:
                        accumulate(target.variable, g, False, target)
                    continue
                arrived[target] = slots = [None] * target.outputs
            slots[nr] = g if slots[nr] is None else slots[nr] + g
        counts[target] -= 1
        if not counts[target]:
            heapq.heappush(heap, (-target.seq, id(target), target))


def add_gradient(arrived, fn, nr, g):
    slots = arrived.get(fn)
    if slots is None:
        slots = arrived[fn] = [None] * fn.outputs
    slots[nr] = g if slots[nr] is None else slots[nr] + g


def _pre_hooks(fn, grads):
    for hook in list(fn.pre_hooks.values()):
        result = hook(grads)
        if result is not None:
            grads = all_checked(hook, result, grads)
    return grads


def _post_hooks(fn, outs, grads):
    for hook in list(fn.hooks.values()):
        result = hook(tuple(outs), grads)
        if result is not None:
            outs = list(all_checked(hook, result, outs))
    return outs


def accumulate(x, g, create_graph, fn=None):
    """x.grad += g, keeping the tensor that is there (so that views of it see the sum)."""
    if fn is not None and x._hooks:
        g = hooked(x, g)
    if x._grad is None:
        x._grad = _taped_own(g, x.layout) if create_graph else _own(g, x.layout)
    elif create_graph:
        x._grad = x._grad + g
    elif isinstance(x._grad, Unstrided) and not isinstance(g, Unstrided):
        x._grad = g + x._grad
    else:
        x._grad.add_(g)
    if x._accumulate_hooks:
        for hook in list(x._accumulate_hooks.values()):
            hook(x)
    if fn is not None and fn.hooks:
        _post_hooks(fn, (), (g,))


def hooked(x, g):
    """The gradient of a leaf after the functions that were hung on it."""
    if x._hooks:
        for hook in list(x._hooks.values()):
            result = hook(g)
            if result is not None:
                g = checked(hook, result, g)
    return g


def _taped_own(g, layout):
    """The same for a gradient that is differentiated in turn."""
    if isinstance(g, Unstrided):
        return g.clone()
    if g.layout is not layout and not layout.packed and is_dense(layout):
        order = sorted(range(layout.ndim), key=lambda d: (-layout.strides[d], d))
        return _packed_own(g.permute(order)).permute(sorted(range(layout.ndim), key=order.__getitem__))
    return g.clone() if g.layout is layout else _packed_own(g)


def _packed_own(g):
    return g.clone() if g.layout.packed else g.contiguous()


def _own(g, layout):
    """A tensor of its own with this value, lying in memory as its leaf does (if that has no gaps).

    Two leaves may have been given one and the same gradient.
    """
    if isinstance(g, Unstrided):
        return g.clone().detach()
    storage = g.storage
    if g.layout is layout and layout.packed and storage.numel == layout.numel and storage.share is None \
            and g._grad_fn is None:
        return wrap(Tensor, alias(storage), layout, 0)
    if g.layout is not layout and not layout.packed and is_dense(layout):
        from .inplace import copied
        return copied(g, layout)
    y = g.clone() if g.layout.packed or g.layout is layout else g.contiguous()
    return y.detach_() if y._grad_fn is not None else y
