"""Activation checkpointing: what a function saves for the backward pass is computed again there.

While the function runs, hooks on saved tensors keep a holder in place of each value. The first holder that the
backward pass reads makes the function run again, with the same random numbers and the same autocast;
the values that this second run saves fill the holders in order.

Since operations are recorded, the forward pass has to have run before it is recorded a second time: else
both would be compiled together and the values kept after all. `_settle` sees to that.
"""
from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

from ..amp import autocast
from ..autograd.engine import backward as run_backward
from ..autograd.function import Function
from ..autograd.grad_mode import enable_grad, mode
from ..autograd.graph import saved_tensors_hooks
from ..func.pytree import flatten
from ..nn.modules.container import Sequential
from ..ops.casting import state as casting
from ..random import Notebook
from ..tensor import Tensor
from ..trace.flush import flush
from ..trace.record import pending
from .selective import CheckpointPolicy, SelectiveCheckpointContext, create_selective_checkpoint_contexts

__all__ = ["checkpoint", "checkpoint_sequential", "CheckpointError", "CheckpointFunction",
           "check_backward_validity", "detach_variable", "get_device_states", "set_device_states",
           "noop_context_fn", "set_checkpoint_early_stop", "set_checkpoint_debug_enabled",
           "CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]

_UNSAID = ("torch.utils.checkpoint{}: the use_reentrant parameter should be passed explicitly. "
           "use_reentrant=False is recommended; without the parameter it is True. Refer to "
           "PyTorch's documentation for the differences between the two variants.")
_TIP = "Run the function with inputs and a state that are the same in both passes."


class CheckpointError(RuntimeError):
    """The second run of a function did not save what the first one did."""


class _Stop(Exception):
    """Everything that was saved is there again."""


class _Settings:
    early_stop: bool | None = None      # of set_checkpoint_early_stop
    debug: bool | None = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool):
    """Within the block: whether a second run ends as soon as all values are there (default: it does)."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None):
    """Accepted; errors name the positions of the tensors that differ in any case."""
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


def noop_context_fn():
    """Two context managers that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


# -- what both ways share ----------------------------------------------------------------------
class _Surroundings:
    """What a function sees besides its arguments, to be the same in its second run."""

    def __init__(self, preserve_rng_state: bool):
        self.numbers = Notebook() if preserve_rng_state else None
        self.cast = (casting.enabled["cpu"], casting.dtypes["cpu"], casting.uses_cache)

    def first(self):
        return self.numbers.open() if self.numbers else contextlib.nullcontext()

    @contextlib.contextmanager
    def again(self):
        enabled, dtype, cache = self.cast
        numbers = self.numbers.open(reading=True) if self.numbers else contextlib.nullcontext()
        with enable_grad(), autocast("cpu", dtype, enabled, cache), numbers:
            yield


def _marks(result) -> list:
    """Weak references to the nodes that are a function's results."""
    return [ref(x.storage.now()) for x in flatten(result)[0] if isinstance(x, Tensor)]


def _settle(marks) -> None:
    """Run what is pending if the results of the first run are."""
    if pending.capture is None and any(
            (node := mark()) is not None and node.buffer is None for mark in marks):
        flush()


# -- not reentrant -----------------------------------------------------------------------------
class _Holder:
    """Stands in the tape for a saved value."""

    __slots__ = ("frame", "value", "__weakref__")

    def __init__(self, frame):
        self.frame, self.value = frame, None


def _kind(x) -> dict:
    """What a value that is computed again must agree in."""
    return {"shape": x.shape, "dtype": x.dtype, "device": x.device}


class _Frame:
    """One call of a checkpointed function, and how to make it again."""

    def __init__(self, call, surroundings, context, early_stop, checks):
        self.call, self.surroundings, self.context = call, surroundings, context
        self.early_stop, self.checks = early_stop, checks
        self.holders, self.kinds, self.marks = [], [], []
        self.is_complete = False

    # the first run
    def pack(self, x):
        holder = _Holder(self)
        self.holders.append(ref(holder))
        self.kinds.append(_kind(x))
        return holder

    @staticmethod
    def unpack(holder):
        if holder.value is None:
            holder.frame.run_again()
        if holder.value is None:
            raise CheckpointError("torch.utils.checkpoint: a saved tensor was not computed again. "
                                  + _TIP)
        value, holder.value = holder.value, None    # read again, it is computed again
        return value

    # the second run
    def run_again(self):
        if self.is_complete:
            _settle(self.marks)
        self.count = 0
        with self.surroundings.again(), contextlib.suppress(_Stop):
            with saved_tensors_hooks(self.fill, lambda x: x), self.context:
                self.call()
        self.check()

    def fill(self, x):
        x = x.detach()
        at, self.count = self.count, self.count + 1
        if at >= len(self.holders):
            if self.is_complete:
                raise CheckpointError("torch.utils.checkpoint: trying to save more tensors during "
                                      f"recomputation than during the original forward pass. {_TIP}")
            return x
        holder = self.holders[at]()
        if holder is not None:
            holder.value = x
            self.check_kind(at, x)
        if self.early_stop and self.count == len(self.holders):
            raise _Stop
        return x

    def check_kind(self, at, x):
        if self.checks and _kind(x) != self.kinds[at]:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have "
                f"different metadata than during the forward pass.\ntensor at position {at}:\n"
                f"saved metadata: {self.kinds[at]}\nrecomputed metadata: {_kind(x)}\n{_TIP}")

    def check(self):
        if self.is_complete and self.count != len(self.holders):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.holders)}\n"
                f"Number of tensors saved during recomputation: {self.count}.\n{_TIP}")


def _hooked(function, args, kwargs, preserve, context_fn, determinism_check, early_stop):
    """Call a function whose saved tensors are computed again in the backward pass."""
    if determinism_check not in ("default", "none"):
        raise ValueError("determinism_check should be one of ['default', 'none'], but got "
                         f"{determinism_check}")
    if not mode.enabled:
        return function(*args, **kwargs)
    first, second = context_fn()
    surroundings = _Surroundings(preserve)
    if _Settings.early_stop is not None:
        early_stop = _Settings.early_stop
    frame = _Frame(lambda: function(*args, **kwargs), surroundings, second, early_stop,
                   determinism_check == "default")
    with surroundings.first(), saved_tensors_hooks(frame.pack, frame.unpack), first:
        result = function(*args, **kwargs)
    frame.is_complete, frame.marks = True, _marks(result)
    return result


# -- reentrant ---------------------------------------------------------------------------------
class CheckpointFunction(Function):
    """A function that runs untaped, and again, with a backward pass of its own, in the backward pass."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        check_backward_validity(args)
        ctx.function, ctx.surroundings = run_function, _Surroundings(preserve_rng_state)
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.others = [None if isinstance(x, Tensor) else x for x in args]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        with ctx.surroundings.first():
            outputs = run_function(*args)
        ctx.marks = _marks(outputs)
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        if not mode.accumulates:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument.")
        _settle(ctx.marks)
        args = list(ctx.others)
        for i, x in zip(ctx.places, ctx.saved_tensors):
            args[i] = x
        args = detach_variable(tuple(args))
        with ctx.surroundings.again():
            outputs = ctx.function(*args)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(y, g) for y, g in zip(outputs, grads)
                 if isinstance(y, Tensor) and y.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not "
                               "necessary")
        run_backward(*zip(*pairs))
        return None, None, *[x.grad if isinstance(x, Tensor) else None for x in args]


def detach_variable(inputs: tuple) -> tuple:
    """The tensors of a tuple as leaves that require gradients where they did.

    Raises:
        RuntimeError: `inputs` is not a tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: "
                           f"{type(inputs).__name__}")
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
                 for x in inputs)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among `inputs` requires a gradient."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None",
                      stacklevel=2)


def get_device_states(*args) -> tuple[list[int], list[Tensor]]:
    """The numbers and random states of the devices of tensors, the CPU left out: none."""
    return [], []


def set_device_states(devices, states, *, device_type: str | None = None) -> None:
    """Set the random states of devices other than the CPU.

    Raises:
        AssertionError: there are some in the list, but rushlight has none.
    """
    if list(devices):
        raise AssertionError("Torch not compiled with CUDA enabled: rushlight computes on the CPU "
                             "only")


# -- the functions -----------------------------------------------------------------------------
def checkpoint(function: Callable, *args, use_reentrant: bool | None = None,
               context_fn: Callable = noop_context_fn, determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, **kwargs):
    """`function(*args, **kwargs)`, keeping only its arguments for the backward pass, where it runs again.

    Args:
        use_reentrant: True runs it untaped first and calls `backward` inside of the backward pass: only
            tensors that are arguments themselves get gradients, and `autograd.grad` is refused.
            False has none of these limits.
        preserve_rng_state: the second run gets the random numbers of the first (default True).
        context_fn: gives two context managers, for the first and for the second run.
        determinism_check: "default" compares shapes and dtypes of both runs, "none" does not.
        early_stop: end the second run when the last value that is needed is there.

    Raises:
        CheckpointError: in the backward pass, if the second run saves something else.
    """
    if use_reentrant is None:
        warnings.warn(_UNSAID.format(""), stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        return _hooked(function, args, kwargs, preserve, context_fn, determinism_check, early_stop)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug:
        raise ValueError("Passing `context_fn` or `debug` is only supported when "
                         "use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None,
                          **kwargs):
    """Functions one after another, in so many segments of which all but the last are checkpointed."""
    if use_reentrant is None:
        warnings.warn(_UNSAID.format(".checkpoint_sequential"), stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children() if isinstance(functions, Sequential) else functions)
    size = len(functions) // segments
    starts = range(0, size * (segments - 1), size)
    for start in starts:
        input = checkpoint(_one_after_another(functions[start:start + size]), input,
                           use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _one_after_another(functions[len(starts) * size:])(input)


def _one_after_another(functions):
    def run(x):
        for f in functions:
            x = f(x)
        return x
    return run
