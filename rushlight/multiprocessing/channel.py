"""Channels: two processes exchange Python values; tensors and arrays go through shared memory."""
from __future__ import annotations

import os
import pickle
import select
import socket
import struct
from array import array
from collections import deque
from io import BytesIO
from weakref import WeakSet

import numpy as np

import rushlight
from rushlight.io.pickling import keeps_its_reduce
from rushlight.io.rebuild import reduce_tensor
from rushlight.io.storages import LoadedStorage, SavedStorage
from rushlight.ops.interop import rebuild_tensor

from .segments import Hold, Pool, Segment, held

HEADER = struct.Struct("<QQ")       # bytes of the message, descriptors with it
SMALL = 1 << 15                     # bytes up to which a storage travels inside of the message
DESCRIPTORS = 200                   # that one message can carry
CHUNK = 1 << 18                     # bytes read at a time
SHARES = hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")
NON_LEAF = ("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue).")


class Closed(EOFError):
    """The other end is gone."""


class Channel:
    """One end of a pair of sockets; a value that is sent arrives as an equal one.

    Whoever waits for room to send goes on receiving, so that two ends cannot wait for each other.
    """

    def __init__(self, end: socket.socket):
        self.socket = end
        end.setblocking(False)
        self.inbox: deque = deque()     # whole messages that nobody has asked for yet
        self.came, self.descriptors = bytearray(), array("i")      # and what follows them
        self.pool = Pool()              # segments that this end fills
        self.mapped: dict[int, Segment] = {}    # segments that the other end fills
        self.to_return: deque = deque()         # names of those that nothing here shows any more

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        """Also lets go of what came and was not asked for."""
        self.socket.close()
        for descriptor in (*self.descriptors, *(d for _, descriptors in self.inbox for d in descriptors)):
            os.close(descriptor)
        del self.descriptors[:]
        self.inbox.clear()
        self.mapped.clear()
        self.pool.close()

    def send(self, value) -> None:
        """Send a value; Closed if nobody is there."""
        packer = Packer(self.pool)
        body = packer.pack((self.take_returns(), value))
        packer.sent.clear()
        header = HEADER.pack(len(body), len(packer.descriptors))
        try:
            self.write(header, packer.descriptors)
            self.write(body)
        finally:
            for descriptor in packer.descriptors:
                os.close(descriptor)

    def take_returns(self) -> list[int]:
        names = []
        while self.to_return:
            names.append(self.to_return.popleft())
        return names

    def receive(self):
        """The next value, waiting for it; Closed if none will come."""
        self.wait_for_message()
        body, descriptors = self.inbox.popleft()
        returned, value = Unpacker(self, body, descriptors).load()
        for name in returned:
            self.pool.returned(name)
        return value

    # -- bytes --------------------------------------------------------------------------------------
    def write(self, data: bytes, descriptors=()) -> None:
        data = memoryview(data)
        while data:
            try:
                sent = send_some(self.socket, data, descriptors)
            except BlockingIOError:
                self.wait_for_room()
                continue
            except (BrokenPipeError, ConnectionResetError):
                raise Closed from None
            data, descriptors = data[sent:], ()

    def wait_for_room(self) -> None:
        readable, _, _ = select.select([self.socket], [self.socket], [])
        if readable:
            self.take_in()

    def wait_for_message(self) -> None:
        while not self.inbox:
            select.select([self.socket], [], [])
            self.take_in()

    def take_in(self) -> None:
        """Read what has come by now; whole messages go to the inbox."""
        try:
            data, descriptors = receive_some(self.socket)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        self.came += data
        self.descriptors += descriptors
        while self.has_whole_message():
            self.inbox.append(self.next_message())

    def has_whole_message(self) -> bool:
        return len(self.came) >= HEADER.size and \
            len(self.came) >= HEADER.size + HEADER.unpack_from(self.came)[0]

    def next_message(self) -> tuple[bytearray, list[int]]:
        length, count = HEADER.unpack_from(self.came)
        if len(self.descriptors) < count:
            raise OSError(f"{count} segments were sent, {len(self.descriptors)} came: too many open "
                          "files? `ulimit -n` raises the limit")
        body = self.came[HEADER.size:HEADER.size + length]
        del self.came[:HEADER.size + length]
        descriptors = self.descriptors[:count]
        del self.descriptors[:count]
        return body, descriptors


def pair() -> tuple[socket.socket, socket.socket]:
    """The sockets of two connected ends; the first one is not kept by processes forked from here."""
    ours, theirs = socket.socketpair()
    _kept.add(ours)
    return ours, theirs


def send_some(end, data, descriptors) -> int:
    return socket.send_fds(end, [data], descriptors) if descriptors else end.send(data)


def receive_some(end) -> tuple[bytes, array]:
    """Some bytes, at most CHUNK, and the descriptors that came with them."""
    descriptors = array("i")
    if not SHARES:
        return end.recv(CHUNK), descriptors
    room = socket.CMSG_SPACE(DESCRIPTORS * descriptors.itemsize)
    data, ancillary, _, _ = end.recvmsg(CHUNK, room)
    for _, _, came in ancillary:
        descriptors.frombytes(came[:len(came) - len(came) % descriptors.itemsize])
    return data, descriptors


# -- values -----------------------------------------------------------------------------------------
class Arrived(LoadedStorage):
    """A storage that came: memory of a segment, seen as tensors' storage without a copy."""

    def __init__(self, dtype, buffer) -> None:
        super().__init__(dtype, buffer.as_numpy(np.uint8, (buffer.nbytes,)))
        self.buffer = buffer

    def core(self, dtype):
        from rushlight.trace.flush import storage_of
        if dtype not in self.made:
            self.made[dtype] = storage_of(self.buffer, dtype, self.buffer.nbytes // dtype.itemsize)
        return self.made[dtype]


def shows_a_part(tensor) -> bool:
    """Whether a tensor's storage is much larger than what the tensor shows: a row of a dataset."""
    return tensor.storage.numel > 2 * tensor.numel() and tensor.storage.share is None


class Packer(pickle.Pickler):
    """Pickles a value; large storages and arrays are put into segments that the pickle names."""

    def __init__(self, pool: Pool):
        self.stream, self.pool = BytesIO(), pool
        self.descriptors: list[int] = []
        self.sent: list[tuple[Segment, int | None]] = []
        self.places: dict[int, tuple] = {}      # id of a storage -> where it went
        self.kept: list = []                    # so that no id is given away twice
        super().__init__(self.stream, pickle.HIGHEST_PROTOCOL)

    def pack(self, value) -> bytes:
        """The pickle; if it cannot be made, no segment counts as sent."""
        try:
            self.dump(value)
        except BaseException:
            for segment, descriptor in self.sent:
                self.pool.take_back(segment, descriptor)
            raise
        return self.stream.getvalue()

    def reducer_override(self, value):
        if isinstance(value, rushlight.Tensor) and keeps_its_reduce(value):
            if value.requires_grad and not value.is_leaf:
                raise RuntimeError(NON_LEAF)
            if type(value) is rushlight.Tensor and shows_a_part(value):
                array = value.detach()._array().copy()
                return rebuild_tensor, (rushlight.Tensor, array, value.dtype.name, value.requires_grad)
            return reduce_tensor(value, storage_of=lambda saved: saved)
        return NotImplemented

    def persistent_id(self, item):
        if isinstance(item, SavedStorage):
            self.kept.append(item)
        if isinstance(item, SavedStorage) and self.goes_apart(item.array.nbytes):
            return "storage", item.type, self.place_of_storage(item)
        if type(item) is np.ndarray and not item.dtype.hasobject and self.goes_apart(item.nbytes):
            array = np.ascontiguousarray(item)
            return "array", item.dtype, item.shape, self.filled(array.view(np.uint8).reshape(-1))
        if isinstance(item, SavedStorage):
            return "bytes", item.type, id(item.key), item.array.tobytes()
        return None

    def goes_apart(self, nbytes: int) -> bool:
        return SHARES and nbytes > SMALL and len(self.descriptors) < DESCRIPTORS

    def place_of_storage(self, saved: SavedStorage) -> tuple:
        if id(saved.key) not in self.places:
            buffer = saved.key.node.buffer
            segment = held(buffer)
            own = segment is not None and self.pool.segments.get(segment.name) is segment
            self.places[id(saved.key)] = self.named(segment, buffer.nbytes) if own \
                else self.filled(saved.array)
        return self.places[id(saved.key)]

    def filled(self, data: np.ndarray) -> tuple:
        hold = self.pool.take(data.nbytes)
        hold.buffer(data.nbytes).as_numpy(np.uint8, data.shape)[...] = data
        return self.named(hold.segment, data.nbytes)

    def named(self, segment: Segment, nbytes: int) -> tuple:
        descriptor = self.pool.send(segment)
        self.sent.append((segment, descriptor))
        if descriptor is None:
            return segment.name, nbytes, segment.size, None
        self.descriptors.append(descriptor)
        return segment.name, nbytes, segment.size, len(self.descriptors) - 1


class Unpacker(pickle.Unpickler):
    """Makes the value again, over the segments that came with it."""

    def __init__(self, channel: Channel, body: bytearray, descriptors: list[int]):
        self.channel, self.descriptors = channel, descriptors
        self.storages: dict = {}
        super().__init__(BytesIO(body))

    def load(self):
        try:
            return super().load()
        finally:
            for descriptor in self.descriptors:
                os.close(descriptor)

    def persistent_load(self, item):
        kind, *about = item
        return getattr(self, kind)(*about)

    def storage(self, type_, place):
        if place[0] not in self.storages:
            self.storages[place[0]] = Arrived(type_.dtype, self.buffer(*place))
        return self.storages[place[0]]

    def bytes(self, type_, key, data):
        if key not in self.storages:
            self.storages[key] = LoadedStorage(type_.dtype, np.frombuffer(data, np.uint8))
        return self.storages[key]

    def array(self, dtype, shape, place):
        return self.buffer(*place).as_numpy(dtype, shape)

    def buffer(self, name, nbytes, size, place):
        mapped = self.channel.mapped
        if place is not None:
            mapped[name] = Segment(name, size, self.descriptors[place])
        to_return = self.channel.to_return
        return Hold(mapped[name], lambda segment: to_return.append(segment.name)).buffer(nbytes)


# A forked process must not keep the ends that belong to its parent: nobody would see them close.
_kept: WeakSet[socket.socket] = WeakSet()


def _close_in_child() -> None:
    for end in list(_kept):
        end.close()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
