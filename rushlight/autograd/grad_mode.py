"""Whether operations are taped: no_grad, enable_grad, set_grad_enabled, inference_mode."""
from __future__ import annotations

import functools
import inspect
import sys
import threading

from ..storage import INFERENCE


class Mode(threading.local):
    enabled = True
    inference = False
    casting = None      # the dtype that autocast lowers to now (ops/casting.py)
    accumulates = True  # whether the backward pass that runs now fills leaves' .grad
    reached = None      # what the backward pass that runs now comes by (autograd/engine.py)
    by_jvp = False      # whether users' functions are pulled by their jvp (autograd/function.py)
    level = None        # of dual tensors (autograd/forward_ad.py)
    line = None         # that this thread's recording is attributed to (trace/record.py `override`)

    def allows(self, enabled):
        """What `enabled` is to be where this is asked for: None in inference mode, so that nobody takes what was
        remembered for what is now."""
        return None if self.inference else enabled


mode = Mode()


def is_grad_enabled() -> bool:
    return bool(mode.enabled)


def is_inference_mode_enabled() -> bool:
    return mode.inference


def _left():
    """Tell a block of dual tensors if the user ends taping: tangents are lost from here on."""
    if mode.level is not None:
        from ..trace.record import _is_internal
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        mode.level.left |= frame is None or not _is_internal(frame.f_code.co_filename)


inferring = 0           # threads that are in inference mode


def _enter(enabled, inference):
    """Tape or not, in inference mode or not."""
    if mode.inference is not inference:
        _mark(1 if inference else -1)
    mode.enabled, mode.inference = enabled, inference


def _mark(more):
    from .. import storage
    from ..trace import record
    global inferring
    with record.lock:
        inferring += more
        storage.marking = record.marking = _as_inference if inferring else None


def _as_inference(storage):
    if mode.inference:
        storage.version = INFERENCE


class _Switch:
    """A context manager that is also a decorator, for functions and generators."""

    def __call__(self, fn):
        if isinstance(fn, type):
            raise TypeError("decorating a class with a gradient mode is not supported; decorate its methods")

        if inspect.isgeneratorfunction(fn):
            return self._around_generator(fn)

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with self.__class__(*self._args()):
                return fn(*args, **kwargs)
        return wrapped

    def _around_generator(self, fn):
        """A generator whose body runs in the mode, its consumer between two steps not."""
        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            generator, step, sent = fn(*args, **kwargs), "send", None
            try:
                while True:
                    with self.__class__(*self._args()):
                        value = getattr(generator, step)(sent)
                    try:
                        step, sent = "send", (yield value)
                    except GeneratorExit:
                        with self.__class__(*self._args()):
                            generator.close()
                        raise
                    except BaseException as error:
                        step, sent = "throw", error
            except StopIteration as end:
                return end.value
        return wrapped

    def _args(self):
        return ()

    def __exit__(self, *exc):
        _enter(*self.before)


class no_grad(_Switch):
    """Operations inside are not taped: their results do not require gradients."""

    def __new__(cls, fn=None):
        self = super().__new__(cls)
        return self if fn is None else self(fn)

    def __enter__(self):
        self.before = (mode.enabled, mode.inference)
        mode.enabled = mode.allows(False)
        _left()


class enable_grad(no_grad):
    """Operations inside are taped, also within no_grad."""

    def __enter__(self):
        self.before = (mode.enabled, mode.inference)
        mode.enabled = mode.allows(True)


class set_grad_enabled(_Switch):
    """Tape or not by a flag; works at once as a function and as a context manager."""

    def __init__(self, mode_: bool):
        self.mode = bool(mode_)
        self.before = (mode.enabled, mode.inference)
        self.__enter__()

    def __call__(self, fn):
        mode.enabled = self.before[0]
        return super().__call__(fn)

    def _args(self):
        return (self.mode,)

    def __enter__(self):
        mode.enabled = mode.allows(self.mode)
        if not self.mode:
            _left()


class inference_mode(_Switch):
    """As no_grad; results can never be taped later either."""

    def __new__(cls, mode=True):
        self = super().__new__(cls)
        self.mode = True if callable(mode) else bool(mode)
        return self(mode) if callable(mode) else self

    def _args(self):
        return (self.mode,)

    def __enter__(self):
        self.before = (mode.enabled, mode.inference)
        if self.mode:
            _enter(None, True)
            _left()
        else:
            _enter(mode.enabled, False)
