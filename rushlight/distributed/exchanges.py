"""How groups exchange arrays: pure functions of a `Line` and NumPy arrays.

The ring (reduce-scatter, then all-gather) moves 2 (P - 1) / P of the array through each of P
processes, whatever P is. Each part is summed once, in one order, and its bytes are then handed
round, so that all processes end with the same bits.
"""
from __future__ import annotations

import numpy as np

from .errors import DistBackendError


class Line:
    """What one operation of one group sees of the mesh: ranks within the group, mail under its own key."""

    def __init__(self, mesh, ranks: list[int], key: bytes, seconds: float):
        self.mesh, self.ranks, self.key, self.seconds = mesh, ranks, key, seconds
        self.rank, self.size = ranks.index(mesh.rank), len(ranks)

    def send(self, peer: int, data) -> None:
        self.mesh.send(self.ranks[peer], self.key, data)

    def receive(self, peer: int) -> bytearray:
        return self.mesh.receive(self.ranks[peer], self.key, self.seconds)

    def send_array(self, peer: int, array) -> None:
        self.send(peer, np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def receive_array(self, peer: int, like) -> np.ndarray:
        """An array of the shape and dtype of `like`.

        Raises:
            DistBackendError: the peer has sent another number of bytes.
        """
        data = self.receive(peer)
        if len(data) != like.nbytes:
            raise DistBackendError(f"rank {self.ranks[self.rank]} expected {like.nbytes} bytes from rank "
                                   f"{self.ranks[peer]}, got {len(data)}: tensors must have the same size and "
                                   "dtype in all processes, and calls the same order")
        return np.frombuffer(data, like.dtype).reshape(like.shape)

    def others(self):
        """All other ranks, the next first, so that not all send to the same one at once."""
        return [(self.rank + i) % self.size for i in range(1, self.size)]


def barrier(line: Line) -> None:
    exchange(line, [b""] * line.size)


def exchange(line: Line, messages) -> list:
    """Send the i-th message to rank i; what the ranks have sent here."""
    for peer in line.others():
        line.send(peer, messages[peer])
    return [messages[peer] if peer == line.rank else line.receive(peer) for peer in range(line.size)]


def broadcast(line: Line, root: int, data):
    """Bytes of the root down a binary tree, of depth log2 P."""
    place = (line.rank - root) % line.size
    if place:
        data = line.receive(((place - 1) // 2 + root) % line.size)
    for child in (2 * place + 1, 2 * place + 2):
        if child < line.size:
            line.send((child + root) % line.size, data)
    return data


def gather(line: Line, root: int, data) -> list | None:
    """Bytes of all ranks, at the root."""
    if line.rank != root:
        line.send(root, data)
        return None
    return [data if peer == root else line.receive(peer) for peer in range(line.size)]


def scatter(line: Line, root: int, messages):
    """The i-th message of the root, at rank i."""
    if line.rank != root:
        return line.receive(root)
    for peer in line.others():
        line.send(peer, messages[peer])
    return messages[root]


def reduce_ring(line: Line, parts: list, combine) -> np.ndarray:
    """The reduced part of this rank, after P - 1 steps round the ring.

    Part i starts at rank i + 1 and is added to by rank i + 2, ... and last by rank i.
    """
    left, right = (line.rank - 1) % line.size, (line.rank + 1) % line.size
    held = parts[left]
    for step in range(1, line.size):
        line.send_array(right, held)
        own = parts[(line.rank - 1 - step) % line.size]
        held = combine(line.receive_array(left, own), own)
    return held


def gather_ring(line: Line, part: np.ndarray, like: list) -> list:
    """The parts of all ranks, after P - 1 steps round the ring; `like[i]` has the shape of part i."""
    left, right = (line.rank - 1) % line.size, (line.rank + 1) % line.size
    parts = list(like)
    parts[line.rank] = part
    for step in range(line.size - 1):
        line.send_array(right, parts[(line.rank - step) % line.size])
        source = (left - step) % line.size
        parts[source] = line.receive_array(left, like[source])
    return parts


def all_reduce(line: Line, array: np.ndarray, combine) -> np.ndarray:
    """The reduced array, the same bits in all processes."""
    parts = np.array_split(array.reshape(-1), line.size)
    return np.concatenate(gather_ring(line, reduce_ring(line, parts, combine), parts)).reshape(array.shape)


def reduce(line: Line, root: int, array: np.ndarray, combine) -> np.ndarray | None:
    """The reduced array at the root: the same bits as all_reduce gives."""
    parts = np.array_split(array.reshape(-1), line.size)
    found = gather(line, root, bytes_of(reduce_ring(line, parts, combine)))
    if found is None:
        return None
    return np.concatenate([np.frombuffer(data, array.dtype) for data in found]).reshape(array.shape)


def bytes_of(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
