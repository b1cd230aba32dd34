"""Connections between all processes of a group, and the mail that they carry.

A thread for each connection puts what arrives in boxes, so that nobody who sends has to wait for
somebody who receives, whatever the order of their calls.
"""
from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import defaultdict, deque

from .errors import DistBackendError, DistNetworkError
from .store import Store, TCPStore
from .wire import connect, listen, receive_parts, send_parts


class Mesh:
    """One process' connections to the others: `send` and `receive` byte strings by rank and key."""

    def __init__(self, store: Store, rank: int, size: int, seconds: float):
        self.rank, self.size, self.seconds = rank, size, seconds
        self.links, self.locks, self.gone = {}, defaultdict(threading.Lock), {}
        self.boxes, self.arrived = defaultdict(deque), threading.Condition()
        if size > 1:
            self.meet(store)

    def meet(self, store):
        """Connect to all smaller ranks, and wait for all larger ones."""
        if self.rank == 0:
            store.set("token", secrets.token_hex(16))
        token, host = store.get("token"), own_address(store)
        with listen(host, 0) as door:
            store.set(f"address/{self.rank}", f"{host} {door.getsockname()[1]}")
            for peer in range(self.rank):
                self.call(peer, *store.get(f"address/{peer}").decode().split(), token)
            self.welcome(door, token)
        for peer, link in self.links.items():
            threading.Thread(target=self.read, args=(peer, link), daemon=True, name=f"from rank {peer}").start()

    def call(self, peer, host, port, token):
        self.links[peer] = connect(host, int(port), self.seconds)
        send_parts(self.links[peer], [token, str(self.rank).encode()])

    def welcome(self, door, token):
        deadline = time.monotonic() + self.seconds
        while len(self.links) < self.size - 1:
            door.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                link, _ = door.accept()
            except TimeoutError:
                missing = [r for r in range(self.size) if r != self.rank and r not in self.links]
                raise DistNetworkError(f"rank {self.rank} has waited {self.seconds:g} s for ranks {missing}, "
                                       "which have not joined the group") from None
            link.settimeout(self.seconds)
            said, peer = receive_parts(link)
            if said != token:
                link.close()
                continue
            link.settimeout(None)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.links[int(peer)] = link

    def read(self, peer, link):
        """Put what arrives in boxes until the other end is closed."""
        try:
            while True:
                key, data = receive_parts(link)
                with self.arrived:
                    self.boxes[peer, bytes(key)].append(data)
                    self.arrived.notify_all()
        except (EOFError, OSError) as error:
            with self.arrived:
                self.gone[peer] = str(error)
                self.arrived.notify_all()
            link.close()

    def send(self, peer: int, key: bytes, data) -> None:
        try:
            with self.locks[peer]:
                send_parts(self.links[peer], [key, data])
        except OSError as error:
            raise self.lost(peer) from error

    def receive(self, peer: int, key: bytes, seconds: float | None = None) -> bytearray:
        """The next message of a peer with that key.

        Raises:
            DistBackendError: the peer is gone, or has sent nothing in time.
        """
        return self.receive_any([peer], key, seconds)[1]

    def receive_any(self, peers, key, seconds=None):
        """(peer, message): the first that is there of any of the peers."""
        seconds = self.seconds if seconds is None else seconds
        with self.arrived:
            self.arrived.wait_for(lambda: self.found(peers, key) is not None or self.all_gone(peers), seconds)
            peer = self.found(peers, key)
            if peer is None:
                raise self.lost(peers[0]) if self.all_gone(peers) else late(self.rank, peers, seconds)
            box = self.boxes[peer, key]
            data = box.popleft()
            if not box:
                del self.boxes[peer, key]
        return peer, data

    def found(self, peers, key):
        return next((peer for peer in peers if (peer, key) in self.boxes), None)

    def has(self, peer, key) -> bool:
        with self.arrived:
            return self.found([peer], key) is not None

    def all_gone(self, peers) -> bool:
        return all(peer in self.gone for peer in peers)

    def lost(self, peer):
        return DistBackendError(f"Connection closed by peer: rank {peer} has left the group or has died "
                                f"(seen by rank {self.rank})")

    def close(self) -> None:
        """Send no more; what is on its way still arrives, and each thread ends when its peer closes too."""
        for link in self.links.values():
            try:
                link.shutdown(socket.SHUT_WR)
            except OSError:
                continue        # the other end was faster


def late(rank, peers, seconds):
    whom = f"rank {peers[0]}" if len(peers) == 1 else f"any of ranks {list(peers)}"
    return DistBackendError(f"Timed out waiting {round(seconds * 1000)}ms for recv operation to complete: "
                            f"rank {rank} has got nothing from {whom}")


def own_address(store) -> str:
    """The address under which the others reach this process: the one from which it reaches the store."""
    while not isinstance(store, TCPStore):
        if not hasattr(store, "underlying_store"):
            return "127.0.0.1"
        store = store.underlying_store
    return store.link.getsockname()[0]
