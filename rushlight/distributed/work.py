"""Operations on their way."""
from __future__ import annotations

import datetime
import threading

from rushlight.futures import Future


class Work:
    """An operation that another thread carries out; `wait` writes its result into the tensors.

    The thread sees arrays only: tensors are written by whoever waits.
    """

    def __init__(self, job, finish, into=()):
        self.job, self.finish, self.into, self.value, self.error = job, finish, into, None, None
        self.lock, self.is_written = threading.Lock(), False
        self.thread = threading.Thread(target=self.run, daemon=True, name="collective")
        self.thread.start()

    def run(self):
        try:
            self.value = self.job()
        except BaseException as error:
            self.error = error

    def wait(self, timeout: datetime.timedelta | None = None) -> bool:
        """Wait for the end.

        Raises:
            RuntimeError: it has failed, or is not over in time.
        """
        self.thread.join(None if timeout is None else timeout.total_seconds())
        if self.thread.is_alive():
            raise RuntimeError(f"Operation timed out: not over after {timeout.total_seconds():g} s")
        if self.error is not None:
            raise self.error
        with self.lock:
            if not self.is_written:
                self.is_written = True
                self.finish(self.value)
        return True

    def is_completed(self) -> bool:
        """Whether it is over; the tensors are then written."""
        if self.thread.is_alive():
            return False
        if self.error is None:
            self.wait()
        return True

    def is_success(self) -> bool:
        """Whether it is over and has not failed."""
        return self.is_completed() and self.error is None

    def get_future(self) -> Future:
        """The future of the list of tensors that are written."""
        return Future.of(lambda: self.wait() and list(self.into))

    def result(self) -> list:
        """The tensors that were written."""
        self.wait()
        return list(self.into)

    def exception(self):
        """What it has failed with."""
        return self.error


class Receipt:
    """A message that is expected; `wait` writes it into the tensor."""

    def __init__(self, ready, receive):
        self.ready, self.receive, self.is_over = ready, receive, False

    def wait(self, timeout: datetime.timedelta | None = None) -> bool:
        """Wait for the message.

        Raises:
            RuntimeError: the sender is gone, or late.
        """
        if not self.is_over:
            self.receive(None if timeout is None else timeout.total_seconds())
            self.is_over = True
        return True

    def is_completed(self) -> bool:
        """Whether the message is there; the tensor is then written."""
        if not self.is_over and self.ready():
            self.wait()
        return self.is_over


class Sent:
    """A message that was handed over."""

    def wait(self, timeout: datetime.timedelta | None = None) -> bool:
        return True

    def is_completed(self) -> bool:
        return True
