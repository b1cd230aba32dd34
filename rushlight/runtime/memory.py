"""Memory of tensors: aligned buffers, a caching allocator, and buffers over memory of others.

A buffer is 64-byte aligned with 64 readable bytes before and behind it. It goes back to its free
list when its last reference goes, without the collector; fresh pages are dear (a page fault costs
more than writing the page), so freed blocks are kept up to `limit` bytes.
"""
from __future__ import annotations

import os
import threading
from typing import NamedTuple

import numpy as np

from .limits import available_memory

ALIGNMENT = 64
SLACK = 64
PAGE = 4096
FINE = 1024             # size classes: multiples of 64 up to here, then eighths of powers of two
LARGE = 4 << 20         # from here on 32nds; a block may serve smaller wishes, and makes room for a larger one
SHARE_OF_MEMORY = 4     # one part in so many of the machine's memory may be cached
FREED_ONCE = 16 << 20


class Statistics(NamedTuple):
    """Bytes in use, the most there ever were, bytes kept; blocks taken from the system."""
    live: int
    peak: int
    cached: int
    fresh_blocks: int


class Allocator:
    """Free lists by size class over blocks that NumPy gets from the system.

    Counters change in statements without calls, so that a buffer which dies in the middle of
    one (the collector, another thread) cannot lose an update. Blocks are taken and put back by
    one call each, without the lock; lists stay where they are.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.lock = threading.RLock()       # a collection inside may free buffers
        self.free: dict[int, list] = {}
        self.live = self.peak = self.cached = self.fresh_blocks = 0

    def allocate(self, nbytes: int) -> Buffer:
        if nbytes <= FINE:
            capacity = (nbytes + 63) & -64 or 64
        else:
            shift = nbytes.bit_length() - (4 if nbytes < LARGE else 6)
            capacity = (nbytes + (1 << shift) - 1) >> shift << shift
        try:
            address, base = self.free[capacity].pop()
        except LookupError:
            return self.made(nbytes, capacity)
        self.cached -= capacity
        self.live += capacity
        if self.live > self.peak:
            self.peak = self.live
        return Buffer(address, nbytes, base, capacity)

    def made(self, nbytes: int, capacity: int) -> Buffer:
        """A buffer of a size of which no block is kept."""
        with self.lock:
            if capacity >= LARGE:
                capacity = self.fitting(capacity)
            try:
                address, base = self.free[capacity].pop()
                self.cached -= capacity
            except LookupError:
                address, base = self.fresh(nbytes, capacity)
            self.live += capacity
            if self.live > self.peak:
                self.peak = self.live
        return Buffer(address, nbytes, base, capacity)

    def release(self, address: int, capacity: int, base: object) -> None:
        self.live -= capacity
        if capacity > self.limit:
            return
        try:
            self.free[capacity].append((address, base))
        except KeyError:
            self.free.setdefault(capacity, []).append((address, base))
        self.cached += capacity
        if self.cached > self.limit:
            with self.lock:
                self.trim(self.limit // 2)

    def fitting(self, capacity: int) -> int:
        """The size of a kept block that serves for a large one: up to twice as much, or just this, to be made.

        What is made takes the place of a kept one of at least half its size. So blocks only grow, and a program
        whose arenas differ, as those of a first step and of the others do, ends with the largest alone.
        """
        kept = sorted(c for c, blocks in self.free.items() if blocks and capacity <= 2 * c and c <= 2 * capacity)
        larger = next((c for c in kept if c > capacity), None)
        if larger is None and kept:
            self.drop(kept[-1], 1)
        return larger or capacity

    def fresh(self, nbytes: int, capacity: int) -> tuple[int, object]:
        if nbytes < 0:
            raise RuntimeError(f"Trying to create tensor with negative size: {nbytes} bytes")
        try:
            block = self.from_system(capacity)
        except (MemoryError, ValueError, OverflowError):
            self.trim(0)
            block = self.last_try(nbytes, capacity)
        self.fresh_blocks += 1
        start = block.__array_interface__["data"][0] + SLACK
        return -(-start // ALIGNMENT) * ALIGNMENT, block

    def from_system(self, capacity: int) -> np.ndarray:
        return np.empty(capacity + 2 * SLACK + ALIGNMENT, np.uint8)

    def last_try(self, nbytes: int, capacity: int) -> np.ndarray:
        try:
            return self.from_system(capacity)
        except (MemoryError, ValueError, OverflowError):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate "
                               f"{nbytes} bytes. Error code 12 (Cannot allocate memory)") from None

    def trim(self, target: int) -> None:
        """Give the older half of every free list back, again until `target` bytes are left."""
        while self.cached > target:
            if not sum([self.drop(capacity, (len(blocks) + 1) // 2) for capacity, blocks in list(self.free.items())]):
                return          # what is left is being taken by another thread

    def drop(self, capacity: int, count: int) -> int:
        """Give the oldest blocks of a size back; how many there were of them."""
        blocks = self.free[capacity]
        gone, blocks[:count] = blocks[:count], ()
        self.cached -= len(gone) * capacity
        return len(gone)


def settle_system() -> None:
    """Let the C library keep freed memory: glibc keeps up to twice the largest block that was given back, at first
    128 KB. Programs whose arrays are all smaller would get pages anew for each batch.
    """
    np.empty(FREED_ONCE, np.uint8)


settle_system()
_allocator = Allocator(available_memory() // SHARE_OF_MEMORY)
allocate = _allocator.allocate


class Buffer:
    """`nbytes` bytes at `address`. `shared` says that the memory belongs to somebody else.

    Shared memory may lack alignment and slack; `has_slack` tells.
    """

    __slots__ = ("address", "nbytes", "base", "shared", "capacity", "__weakref__")

    def __init__(self, address: int, nbytes: int, base: object, capacity: int = 0):
        self.address, self.nbytes, self.base = address, nbytes, base
        self.capacity = capacity        # of the allocator's block; 0: not ours to give back
        self.shared = not capacity

    @classmethod
    def wrap(cls, source: np.ndarray | int, nbytes: int | None = None,
             keepalive: object = None) -> Buffer:
        """A buffer over an array's memory from its first element on, or over an address.

        `nbytes` defaults to the array's own; an address needs it. `keepalive` (default: the
        array) is referenced as long as the buffer lives.
        """
        if isinstance(source, np.ndarray):
            address = source.__array_interface__["data"][0]
            length = source.nbytes if nbytes is None else nbytes
            return cls(address, length, source if keepalive is None else keepalive)
        if nbytes is None:
            raise TypeError("Buffer.wrap: an address needs nbytes")
        return cls(source, nbytes, keepalive)

    @property
    def has_slack(self) -> bool:
        """Whether vector loads may overrun both ends by 64 bytes without leaving mapped pages."""
        if not self.shared:
            return True
        end = self.address + self.nbytes
        return (bool(self.nbytes) and (self.address - SLACK) // PAGE == self.address // PAGE
                and (end - 1) // PAGE == (end + SLACK - 1) // PAGE)

    def as_numpy(self, dtype, shape: tuple[int, ...], byte_strides: tuple[int, ...] | None = None,
                 offset: int = 0) -> np.ndarray:
        """An array on this memory, from byte `offset` on; it keeps the buffer alive."""
        flat = np.asarray(_Window(self))
        return np.ndarray(shape, dtype, flat, offset, byte_strides)

    def __del__(self, allocator=_allocator):    # bound here: globals go first at exit
        if self.capacity:
            allocator.release(self.address, self.capacity, self.base)

    def __repr__(self):
        kind = "shared" if self.shared else "own"
        return f"Buffer({self.nbytes} bytes at {self.address:#x}, {kind})"


class _Window:
    """What NumPy makes a view of, and what that view holds on to."""

    __slots__ = ("buffer", "__array_interface__")

    def __init__(self, buffer: Buffer):
        self.buffer = buffer
        self.__array_interface__ = {"version": 3, "shape": (buffer.nbytes,), "typestr": "|u1",
                                    "data": (buffer.address, False)}


def empty_cache() -> None:
    """Give all cached blocks back to the system."""
    with _allocator.lock:
        _allocator.trim(0)


def set_cache_limit(nbytes: int) -> None:
    """Keep at most `nbytes` bytes of freed memory for reuse."""
    with _allocator.lock:
        _allocator.limit = nbytes
        _allocator.trim(nbytes)


def statistics() -> Statistics:
    """Live, peak and cached bytes of the allocator."""
    of = _allocator
    return Statistics(of.live, of.peak, of.cached, of.fresh_blocks)


def reset_peak() -> None:
    """Count the peak from the bytes that are live now."""
    with _allocator.lock:
        _allocator.peak = _allocator.live


def _new_lock_in_child() -> None:
    _allocator.lock = threading.RLock()     # a thread that is not there may hold the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock_in_child)
