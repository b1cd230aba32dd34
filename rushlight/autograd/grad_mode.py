"""Whether operations are taped: no_grad, enable_grad, set_grad_enabled, inference_mode."""
from __future__ import annotations

import functools
import inspect
import sys
import threading


class Mode(threading.local):
    enabled = True
    inference = False
    casting = None      # the dtype that autocast lowers to now (ops/casting.py)
    accumulates = True  # whether the backward pass that runs now fills leaves' .grad
    by_jvp = False      # whether users' functions are pulled by their jvp (autograd/function.py)
    level = None        # of dual tensors (autograd/forward_ad.py)
    line = None         # that this thread's recording is attributed to (trace/record.py `override`)


mode = Mode()


def is_grad_enabled() -> bool:
    return mode.enabled


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
        mode.enabled, mode.inference = self.before


class no_grad(_Switch):
    """Operations inside are not taped: their results do not require gradients."""

    def __new__(cls, fn=None):
        self = super().__new__(cls)
        return self if fn is None else self(fn)

    def __enter__(self):
        self.before = (mode.enabled, mode.inference)
        mode.enabled = False
        _left()


class enable_grad(no_grad):
    """Operations inside are taped, also within no_grad."""

    def __enter__(self):
        self.before = (mode.enabled, mode.inference)
        mode.enabled = not mode.inference


class set_grad_enabled(_Switch):
    """Tape or not by a flag; works at once as a function and as a context manager."""

    def __init__(self, mode_: bool):
        self.mode = bool(mode_)
        self.before = (mode.enabled, mode.inference)
        mode.enabled = self.mode
        if not self.mode:
            _left()

    def __call__(self, fn):
        mode.enabled = self.before[0]
        return super().__call__(fn)

    def _args(self):
        return (self.mode,)

    def __enter__(self):
        mode.enabled = self.mode
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
            mode.enabled, mode.inference = False, True
            _left()
