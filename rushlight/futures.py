"""Results that come later: what `then` is told runs when they are there."""
from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A value that is set once, here or in another thread."""

    def __init__(self, *, devices=None):
        self._there, self._lock = threading.Event(), threading.Lock()
        self._value = self._error = None
        self._callbacks: list[Callable] = []
        self._produce: Callable | None = None       # called by whoever waits: the value comes from elsewhere

    @classmethod
    def of(cls, produce: Callable) -> Future:
        """One whose value is what `produce` returns; it is called when somebody waits."""
        future = cls()
        future._produce = produce
        return future

    def done(self) -> bool:
        """Whether there is a value or an error."""
        return self._there.is_set()

    def wait(self):
        """The value, as soon as it is there; what was raised in its place is raised here."""
        with self._lock:
            produce, self._produce = self._produce, None
        if produce is not None:
            self._take(produce)
        self._there.wait()
        return self.value()

    def value(self):
        """The value of a future that is done.

        Raises:
            RuntimeError: it is not done.
        """
        if not self.done():
            raise RuntimeError("completed(): the value of a Future was asked for that is not done")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result) -> None:
        """Set the value.

        Raises:
            RuntimeError: it is done already.
        """
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Fail with an exception."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def __class_getitem__(cls, kind):
        return cls

    def then(self, callback: Callable[[Future], object]) -> Future:
        """The future of `callback(self)`, which is called when this one is done."""
        after = Future()
        after._produce = self._settled
        self.add_done_callback(lambda future: after._take(lambda: _called(callback, future)))
        return after

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Call `callback(self)` as soon as this is done."""
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def _settled(self):
        """Make the value come; a callback then sets that of the future that asks."""
        with suppress(Exception):
            self.wait()
        return _ELSEWHERE

    def _take(self, produce):
        try:
            value = produce()
        except Exception as error:
            self._finish(None, error)
        else:
            if value is not _ELSEWHERE:
                self._finish(value, None)

    def _finish(self, value, error):
        with self._lock:
            if self.done():
                raise RuntimeError("Attempting to mark a completed Future as complete again: its value is there")
            self._value, self._error, self._produce = value, error, None
            self._there.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


_ELSEWHERE = object()       # the value was set by a callback


def _called(callback, future):
    try:
        return callback(future)
    except Exception as error:
        raise RuntimeError("Got the following error when running the callback: "
                           f"{type(error).__name__}: {error}") from error


def collect_all(futures: list[Future]) -> Future[list[Future]]:
    """The future of the list, done when all of them are."""
    futures, found = list(futures), Future()
    left, lock = [len(futures)], threading.Lock()

    def one_more(_):
        with lock:
            left[0] -= 1
            is_last = not left[0]
        if is_last:
            found.set_result(futures)
    found._produce = lambda: [future._settled() for future in futures] and _ELSEWHERE
    for future in futures:
        future.add_done_callback(one_more)
    if not futures:
        found.set_result([])
    return found


def wait_all(futures: list[Future]) -> list:
    """The values of all, once they are there; the first error is raised."""
    return [future.wait() for future in collect_all(futures).wait()]
