"""Lists of byte strings over a socket: how many, their lengths, their bytes."""
from __future__ import annotations

import socket
import struct
import time

from .errors import DistNetworkError

COUNT, LENGTH = struct.Struct("!I"), struct.Struct("!Q")
SMALL = 1 << 14     # bytes up to which a list is sent in one go
PAUSE = 0.05        # seconds between attempts to connect


def send_parts(link: socket.socket, parts) -> None:
    views = [memoryview(part) for part in parts]
    head = COUNT.pack(len(views)) + b"".join(LENGTH.pack(view.nbytes) for view in views)
    if sum(view.nbytes for view in views) < SMALL:
        link.sendall(b"".join([head, *views]))
        return
    link.sendall(head)
    for view in views:
        if view.nbytes:         # the other end may be gone once it has the last byte
            link.sendall(view)


def receive_parts(link: socket.socket) -> list[bytearray]:
    """The next list; raises EOFError where the other end is closed."""
    count, = COUNT.unpack(receive(link, COUNT.size))
    lengths = [n for n, in LENGTH.iter_unpack(receive(link, count * LENGTH.size))]
    return [receive(link, n) for n in lengths]


def receive(link: socket.socket, n: int) -> bytearray:
    data = bytearray(n)
    view, done = memoryview(data), 0
    while done < n:
        got = link.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return data


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """A connection to somebody who may not listen yet.

    Raises:
        DistNetworkError: nobody has answered in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            link = socket.create_connection((host, port), max(deadline - time.monotonic(), PAUSE))
        except OSError as error:
            if time.monotonic() + PAUSE > deadline:
                raise DistNetworkError(f"The client socket has timed out after {seconds:g} s while "
                                       f"trying to connect to ({host}, {port}): {error}") from error
            time.sleep(PAUSE)
            continue
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: for this machine only where `host` is one of its loopback names."""
    try:
        is_loopback = socket.gethostbyname(host).startswith("127.")
        return socket.create_server(("127.0.0.1" if is_loopback else "", port))
    except OSError as error:
        raise DistNetworkError(f"The server socket has failed to listen on ({host}, {port}): {error}") from error
