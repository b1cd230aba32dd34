"""The state of autocast and what it does to the arguments of a listed operation.

An operation of a list is called again with its arguments cast and with autocast off inside, so that
what it is made of computes in the dtypes that it was given.
"""
from __future__ import annotations

import contextlib
import functools
import threading
from weakref import ref

from .. import dtypes
from ..autograd.grad_mode import mode
from ..tensor import Tensor
from ..trace.record import pending
from .cast_lists import APART, FULL, LOWER, WIDEST, policy_of

DEVICES = ("cpu", "cuda", "xla", "ipu", "hpu", "xpu", "mps", "mtia", "maia", "privateuseone")
active: list = []           # not empty while a thread may cast; one look keeps the others quick
_FLOATS = {dtypes.float16, dtypes.bfloat16, dtypes.float32}


class State(threading.local):
    """What a thread has set, by kind of device. `mode.casting` is what follows for the CPU."""

    def __init__(self):
        self.enabled = dict.fromkeys(DEVICES, False)
        self.dtypes = dict.fromkeys(DEVICES, dtypes.bfloat16) | {"cuda": dtypes.float16, "mps": dtypes.float16}
        self.uses_cache, self.nesting, self.cache, self.is_active = True, 0, {}, False


state = State()


def settle() -> None:
    """Let operations of this thread know whether they cast, and to what."""
    now = state.enabled["cpu"]
    mode.casting = state.dtypes["cpu"] if now else None
    if now and not state.is_active:
        active.append(None)
    elif not now and state.is_active:
        active.pop()
    state.is_active = now


def settings() -> tuple:
    """Everything that an operation may read, for guards of replays."""
    return (mode.casting, tuple(state.enabled.values()), tuple(state.dtypes.values()), state.uses_cache,
            state.nesting > 0)


@contextlib.contextmanager
def own_cache():
    """Within the block weights that were cast before are cast anew."""
    before, state.cache = state.cache, {}
    try:
        yield
    finally:
        state.cache = before


def lowered(x, dtype):
    """A floating point tensor in autocast's dtype; a leaf is cast once within the outermost autocast."""
    if x.dtype is dtype:
        return x
    if x.dtype is not dtypes.float32 or not x._requires_grad or x._grad_fn is not None or x._view_of is not None \
            or not state.uses_cache or pending.capture is not None:
        return x.to(dtype)
    key = (id(x), mode.enabled)         # what was cast without a tape does not serve with one
    known = state.cache.get(key)
    if known is None or known[0]() is not x or known[1].dtype is not dtype:
        known = state.cache[key] = (ref(x), x.to(dtype))
    return known[1]


def cast(value, to):
    """A value with `to` applied to the floating point tensors in it that autocast touches."""
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([cast(v, to) for v in value])
    if type(value) in (list, tuple):
        return type(value)([cast(v, to) for v in value])
    return to(value) if getattr(value, "dtype", None) in _FLOATS and isinstance(value, Tensor) else value


def _caster(policy, dtype, args):
    if policy == LOWER:
        return lambda x: lowered(x, dtype)
    if policy == WIDEST:
        found = [x.dtype for x in args if getattr(x, "dtype", None) in _FLOATS]
        dtype = functools.reduce(dtypes.promote_types, found, dtype)
    if policy in (FULL, WIDEST):
        to = dtypes.float32 if policy == FULL else dtype
        return lambda x: x if x.dtype is to else x.to(to)
    return lambda x: x


def under(fn, policy, args, kwargs):
    """A listed operation within autocast."""
    refuse_tracing()
    if policy != APART and kwargs.get("out") is not None:
        policy = APART              # PyTorch lists no form that writes to a tensor
    to = _caster(policy, mode.casting, (*args, *kwargs.values()))
    args, kwargs = [cast(x, to) for x in args], {k: cast(x, to) for k, x in kwargs.items()}
    with suspended():
        return fn(*args, **kwargs)


@contextlib.contextmanager
def suspended():
    """Operations inside compute in the dtypes they are given."""
    before, mode.casting = mode.casting, None
    try:
        yield
    finally:
        mode.casting = before


def refuse_tracing():
    """What casts is not replayed from a trace: weights that were cast before are no arguments of a call."""
    from ..autograd.recall import Refused, Tracing
    if type(pending.capture) is Tracing:
        raise Refused


def aware(fn, policy: str):
    """A public function that looks whether autocast is on."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        if active and mode.casting is not None:
            return under(fn, policy, args, kwargs)
        return fn(*args, **kwargs)
    call.is_cast = True
    return call


def listed(space: dict) -> None:
    """Make the listed functions of a file aware of autocast; its last line."""
    for name, fn in list(space.items()):
        if callable(fn) and getattr(fn, "__module__", None) == space["__name__"] and not name.startswith("_") \
                and not hasattr(fn, "is_cast") and not isinstance(fn, type):
            policy = policy_of(fn)
            if policy:
                space[name] = aware(fn, policy)
