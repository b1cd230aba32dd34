"""Key-value stores, through which processes find each other.

All kinds answer the same few requests, lists of byte strings: a `Table` in memory, reached
directly (`HashStore`), over a socket (`TCPStore`), or kept in a file (`FileStore`).
"""
from __future__ import annotations

import datetime
import os
import threading
import time

from .errors import DistNetworkError, DistStoreError
from .wire import connect, listen, receive_parts, send_parts

TIMEOUT = datetime.timedelta(seconds=300)
POLL = 0.01         # seconds between looks at a file that others write


class Late(Exception):
    """Not all keys that were waited for are there."""


class Table:
    """The keys and what is done with them."""

    def __init__(self, values=None):
        self.values = {} if values is None else values
        self.changed = threading.Condition()

    def handle(self, request: list[bytes]) -> list[bytes]:
        """Answer one request, after waiting for keys if it asks to; raises Late."""
        word, *arguments = map(bytes, request)
        with self.changed:
            answer = getattr(self, "do_" + word.decode())(*arguments)
            self.changed.notify_all()
        return answer

    def do_set(self, key, value):
        self.values[key] = value
        return []

    def do_append(self, key, value):
        self.values[key] = self.values.get(key, b"") + value
        return []

    def do_add(self, key, n):
        self.values[key] = str(int(self.values.get(key, b"0")) + int(n)).encode()
        return [self.values[key]]

    def do_compare_set(self, key, expected, desired):
        if self.values.get(key, b"") == expected and (key in self.values or not expected):
            self.values[key] = desired
        return [self.values.get(key, expected)]

    def do_wait(self, seconds, *keys):
        if not self.changed.wait_for(lambda: all(key in self.values for key in keys), float(seconds)):
            raise Late
        return [self.values[key] for key in keys]

    def do_check(self, *keys):
        return [b"1" if all(key in self.values for key in keys) else b"0"]

    def do_delete(self, key):
        return [b"1" if self.values.pop(key, None) is not None else b"0"]

    def do_count(self):
        return [str(len(self.values)).encode()]

    def do_keys(self):
        return list(self.values)


def as_bytes(value) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


class Store:
    """Keys are strings, values bytes (strings are encoded). `timeout` is how long is waited for a key."""

    def __init__(self, timeout: datetime.timedelta = TIMEOUT):
        self.timeout = timeout

    def ask(self, *request: bytes) -> list[bytes]:
        raise NotImplementedError(f"{type(self).__name__}.ask")

    def name(self, key: str) -> bytes:
        """The key in the table."""
        return as_bytes(key)

    def set_timeout(self, timeout: datetime.timedelta) -> None:
        self.timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Write a value."""
        self.ask(b"set", self.name(key), as_bytes(value))

    def get(self, key: str) -> bytes:
        """The value of a key, waited for if need be.

        Raises:
            DistStoreError: nobody has set it in time.
        """
        return self._wait([key], self.timeout)[0]

    def add(self, key: str, amount: int) -> int:
        """Add to the number of a key, 0 at first; the new number."""
        return int(self.ask(b"add", self.name(key), str(int(amount)).encode())[0])

    def append(self, key: str, value: str | bytes) -> None:
        """Write a value after the one that is there."""
        self.ask(b"append", self.name(key), as_bytes(value))

    def compare_set(self, key: str, expected_value: str | bytes, desired_value: str | bytes) -> bytes:
        """Write if the value is the expected one ("": or there is none); the value then."""
        return self.ask(b"compare_set", self.name(key), as_bytes(expected_value), as_bytes(desired_value))[0]

    def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
        """Wait until all keys are there.

        Raises:
            DistStoreError: they are not there in time.
        """
        self._wait(keys, self.timeout if timeout is None else timeout)

    def _wait(self, keys, timeout):
        try:
            return self.ask(b"wait", repr(timeout.total_seconds()).encode(), *map(self.name, keys))
        except Late:
            raise DistStoreError(f"wait timeout after {round(timeout.total_seconds() * 1000)}ms, "
                                 f"keys: {', '.join(keys)}") from None

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are there."""
        return self.ask(b"check", *map(self.name, keys)) == [b"1"]

    def delete_key(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return self.ask(b"delete", self.name(key)) == [b"1"]

    def num_keys(self) -> int:
        """How many keys there are."""
        return int(self.ask(b"count")[0])

    def list_keys(self) -> list[str]:
        """All keys."""
        return [key.decode() for key in self.ask(b"keys")]

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """The values of several keys, waited for as by `get`."""
        return self._wait(keys, self.timeout)

    def multi_set(self, keys: list[str], values: list) -> None:
        """Write several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def close(self) -> None:
        """Give back what the store holds of the system."""


class HashStore(Store):
    """A store for the threads of one process."""

    def __init__(self):
        super().__init__()
        self.table = Table()

    def ask(self, *request):
        return self.table.handle(request)


class PrefixStore(Store):
    """Another store, with `prefix/` before each key."""

    def __init__(self, prefix: str, store: Store):
        super().__init__(store.timeout)
        self.prefix, self.underlying_store = prefix, store

    def ask(self, *request):
        return self.underlying_store.ask(*request)

    def name(self, key):
        return self.underlying_store.name(f"{self.prefix}/{key}")

    def close(self):
        self.underlying_store.close()


class FileStore(Store):
    """A store in a file that all processes see; `world_size` of them leave, then the file is deleted."""

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self.path, self.world_size = str(file_name), world_size

    def ask(self, *request):
        seconds = float(request[1]) if request[0] == b"wait" else 0.0
        deadline = time.monotonic() + seconds
        now = [request[0], b"0", *request[2:]] if request[0] == b"wait" else request
        while True:
            try:
                return self.once(now)
            except Late:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL)

    def once(self, request):
        """One request while nobody else has the file."""
        import fcntl
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            parts = split(file.read())
            table = Table(dict(zip(parts[::2], parts[1::2])))
            before = dict(table.values)
            answer = table.handle(request)
            if table.values != before:
                file.seek(0)
                file.truncate()
                file.write(joined([part for item in table.values.items() for part in item]))
        return answer

    def close(self):
        if self.world_size > 0 and self.add("/left", 1) == self.world_size:
            os.unlink(self.path)


def joined(parts) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def split(data: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(data):
        n = int.from_bytes(data[at:at + 8], "big")
        parts.append(data[at + 8:at + 8 + n])
        at += 8 + n
    return parts


class Server:
    """A table that answers over sockets, a thread for each client."""

    def __init__(self, host: str, port: int):
        self.table, self.socket, self.links = Table(), listen(host, port), []
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True, name="store").start()

    def accept(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self.serve, args=(link,), daemon=True, name="store client").start()

    def serve(self, link):
        try:
            while True:
                send_parts(link, self.answer(receive_parts(link)))
        except (EOFError, OSError):
            link.close()

    def answer(self, request):
        try:
            return [b"ok", *self.table.handle(request)]
        except Late:
            return [b"late"]
        except Exception as error:
            return [b"error", str(error).encode()]

    def close(self):
        import socket
        for link in [self.socket, *self.links]:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue        # it was closed by the other end
            finally:
                link.close()


class TCPStore(Store):
    """A store that one process, the master, holds for all who connect to it.

    Port 0 of the master is any free one: `port` tells which.

    Raises:
        DistNetworkError: the master cannot listen, or does not answer in time.
    """

    def __init__(self, host_name: str, port: int, world_size: int | None = None,
                 is_master: bool = False, timeout: datetime.timedelta = TIMEOUT,
                 wait_for_workers: bool = True, multi_tenant: bool = False,
                 master_listen_fd: int | None = None, use_libuv: bool = True):
        super().__init__(timeout)
        self.host, self.lock = host_name, threading.Lock()
        self.server = Server(host_name, port) if is_master else None
        self.port = self.server.port if is_master else port
        self.link = connect(host_name, self.port, timeout.total_seconds())
        if world_size is not None and world_size > 0 and wait_for_workers:
            self.meet(world_size)

    is_master = property(lambda self: self.server is not None)

    def meet(self, world_size):
        """Wait until all processes are connected."""
        if self.add("/workers", 1) == world_size:
            self.set("/all_workers", b"")
        self.wait(["/all_workers"])

    def ask(self, *request):
        try:
            with self.lock:
                send_parts(self.link, request)
                status, *answer = map(bytes, receive_parts(self.link))
        except (EOFError, OSError) as error:
            raise DistNetworkError(f"the store at ({self.host}, {self.port}) is gone: the process that holds "
                                   "it, rank 0, has ended") from error
        if status == b"late":
            raise Late
        if status == b"error":
            raise DistStoreError(answer[0].decode())
        return answer

    def close(self):
        self.link.close()
        if self.server is not None:
            self.server.close()
