"""Segments: anonymous shared memory that lives exactly as long as somebody has it mapped.

A segment is a file without a name, known by its descriptor. Processes hand descriptors to each
other over a socket; nothing has to be removed, also when a process is killed.
"""
from __future__ import annotations

import ctypes
import mmap
import os
import tempfile

from ..runtime.memory import PAGE, SLACK, Buffer

FINE = 8        # capacities: so many steps between powers of two, as in the allocator


def anonymous_file(size: int) -> int:
    """The descriptor of a file of zeros that has no name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rushlight", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return descriptor


def map_shared(descriptor: int, size: int) -> int:
    """Map a file; Python's own mmap would keep a descriptor open for each."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot map {size} bytes of shared memory: {os.strerror(number)}")
    return address


def unmapper():
    """munmap, bound once: it is called while modules are being taken down."""
    unmap = ctypes.CDLL(None).munmap
    unmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return unmap


class Segment:
    """Mapped shared memory: `size` bytes, the payload from byte SLACK on."""

    __slots__ = ("name", "size", "address", "unmap")

    def __init__(self, name: int, size: int, descriptor: int):
        self.name, self.size = name, size
        self.unmap = unmapper()
        self.address = map_shared(descriptor, size)

    def __del__(self):
        if hasattr(self, "address"):
            self.unmap(self.address, self.size)


class Hold:
    """A reference to a segment's memory from this process; says when it goes."""

    __slots__ = ("segment", "when_dropped")

    def __init__(self, segment: Segment, when_dropped):
        self.segment, self.when_dropped = segment, when_dropped

    def __del__(self):
        self.when_dropped(self.segment)

    def buffer(self, nbytes: int) -> Buffer:
        """The payload's first bytes as memory of tensors, which nobody else writes to."""
        buffer = Buffer(self.segment.address + SLACK, nbytes, self)
        buffer.shared = False
        return buffer


def held(buffer: Buffer) -> Segment | None:
    """The segment that a buffer is the start of."""
    hold = buffer.base
    if isinstance(hold, Hold) and buffer.address == hold.segment.address + SLACK:
        return hold.segment
    return None


class Pool:
    """Segments that one process fills and another one reads: taken, given out, returned.

    A segment is taken again when nothing here shows it and all that it was sent for is returned.
    """

    def __init__(self):
        self.free: dict[int, list[Segment]] = {}
        self.users: dict[int, int] = {}         # name -> holds here and sendings that are out
        self.segments: dict[int, Segment] = {}
        self.fresh: dict[int, int] = {}         # name -> descriptor that was never sent
        self.made = 0

    def take(self, nbytes: int) -> Hold:
        size = segment_size(nbytes)
        same = self.free.get(size)
        segment = same.pop() if same else self.make(size)
        self.users[segment.name] = 1
        return Hold(segment, self.drop)

    def make(self, size: int) -> Segment:
        descriptor = anonymous_file(size)
        self.made += 1
        segment = self.segments[self.made] = Segment(self.made, size, descriptor)
        self.fresh[segment.name] = descriptor
        return segment

    def send(self, segment: Segment) -> int | None:
        """Count one more user; the descriptor, if the other side does not know the segment yet."""
        self.users[segment.name] += 1
        return self.fresh.pop(segment.name, None)

    def take_back(self, segment: Segment, descriptor: int | None) -> None:
        """Undo `send`."""
        if descriptor is not None:
            self.fresh[segment.name] = descriptor
        self.drop(segment)

    def close(self) -> None:
        """No more will be sent: descriptors that never were are not needed."""
        for descriptor in self.fresh.values():
            os.close(descriptor)
        self.fresh.clear()

    def returned(self, name: int) -> None:
        self.drop(self.segments[name])

    def drop(self, segment: Segment) -> None:
        self.users[segment.name] -= 1
        if not self.users[segment.name]:
            self.free.setdefault(segment.size, []).append(segment)


def segment_size(nbytes: int) -> int:
    """Whole pages, in few distinct sizes."""
    step = max(PAGE, 1 << max(nbytes.bit_length() - FINE.bit_length(), 0))
    return -(-(nbytes + 2 * SLACK) // step) * step
