"""Random numbers with PyTorch's CPU stream: generators, seeds, states.

A generator is mt19937 plus one cached normal deviate. A recorded random operation only reserves
its place in the stream with a `Ticket`; the words are drawn when the value is wanted, always in
the order of the reservations. Whoever looks at the state settles all reservations first, so that
he sees what a program that draws at once would have left behind.
"""
from __future__ import annotations

import contextlib
import ctypes
import math
import os
import struct
import weakref
from collections import deque
from functools import lru_cache

import numpy as np

from . import config
from .cpu import rng
from .cpu.rng import BLOCK, NORMAL_BLOCK
from .runtime.forking import drawing as lock

__all__ = ["Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state",
           "set_rng_state", "fork_rng", "thread_safe_generator"]

DEFAULT_SEED = 67280421310721
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
LIMIT = 4096            # reservations that may be open; beyond it the oldest half is settled
STREAMED = 2 * rng.STREAM_BLOCKS * BLOCK      # so many normal deviates are made while their words still come
NUMPY_PIECE = 512 * NORMAL_BLOCK            # by NumPy
DISCARD = BLOCK * 64    # words made at a time where nobody wants them
ALIGN = 64

# seed, words left in the block (+ 1), seeded, next word | the block, widened | an unused double,
# the cached normal, an unused double, whether it is there | a cached float (never used here), flag
HEAD, TAIL = struct.Struct("<QiiQ"), struct.Struct("<dddi4xf?3x")
NUMPY, NATIVE = rng.Numpy(), rng.Native()
observer = None         # while a step is recorded for replay: told of reservations and of other use
notebook = None         # of a function that will run again with the same numbers (`Notebook`)
STATE_BYTES = HEAD.size + 8 * BLOCK + TAIL.size


def source():
    """The kernels: native code, or NumPy where there is to be no compiler."""
    return NUMPY if config.backend.value == "reference" else NATIVE


def aligned(n: int, dtype=np.uint32) -> np.ndarray:
    """An uninitialised array as kernels want it: aligned, with readable bytes around it."""
    dtype = np.dtype(dtype)
    raw = np.empty(n * dtype.itemsize + 3 * ALIGN, np.uint8)
    start = ALIGN + -raw.ctypes.data % ALIGN
    return raw[start:start + n * dtype.itemsize].view(dtype)


class Stream:
    """mt19937: the words, in order. `position` words of the current block are used up."""

    __slots__ = ("state", "block", "position", "is_fresh", "state_address", "block_address", "space",
                 "space_address")

    def __init__(self, seed: int):
        self.state = aligned(rng.STATE_WORDS)
        self.block, self.space = np.empty(BLOCK, np.uint32), None
        self.state_address, self.block_address = (
            a.__array_interface__["data"][0] for a in (self.state, self.block))
        self.restart(seed)

    def restart(self, seed: int) -> None:
        self.load(first_block(seed & MASK32), BLOCK, is_fresh=True)

    def load(self, key: np.ndarray, position: int, is_fresh: bool) -> None:
        self.state[:BLOCK] = key
        self.position, self.is_fresh = position, is_fresh
        self.block[:] = temper(self.state[:BLOCK])

    def fill(self, out: np.ndarray) -> None:
        """The next `out.size` words."""
        taken = self._take(out)
        whole = (out.size - taken) // BLOCK * BLOCK
        if whole:
            source().blocks(self.state, out[taken:taken + whole])
            self.position, self.is_fresh = BLOCK, False
        rest = out[taken + whole:]
        if rest.size:
            source().blocks(self.state, self.block)
            self.position, self.is_fresh = 0, False
            self._take(rest)

    def _take(self, out: np.ndarray) -> int:
        """Words that the current block still holds, at most as many as `out` takes."""
        n = min(out.size, BLOCK - self.position)
        out[:n] = self.block[self.position:self.position + n]
        self.position += n
        return n

    def fill_at(self, address: int, n: int) -> None:
        """The next `n` words, to memory; compiled kernels only."""
        taken = self._take_at(address, n)
        whole = (n - taken) // BLOCK
        if whole:
            NATIVE.blocks_at(self.state_address, address + 4 * taken, whole)
            self.position, self.is_fresh = BLOCK, False
        rest = n - taken - whole * BLOCK
        if rest:
            NATIVE.blocks_at(self.state_address, self.block_address, 1)
            self.position, self.is_fresh = 0, False
            self._take_at(address + 4 * (n - rest), rest)

    def normals_at(self, address: int, n: int, mean: float, std: float) -> tuple[int, int]:
        """Almost `n` normal deviates to memory: how many words are there, and how many of them are deviates."""
        lead = self._take_at(address, n)
        blocks = (n - lead) // BLOCK
        self.position, self.is_fresh = BLOCK, False
        return lead + BLOCK * blocks, NATIVE.normal_stream_at(self.state_address, address, lead, blocks, mean, std)

    def _take_at(self, address: int, n: int) -> int:
        n = min(n, BLOCK - self.position)
        if n:
            ctypes.memmove(address, self.block_address + 4 * self.position, 4 * n)
            self.position += n
        return n

    def few(self, n: int) -> list[int]:
        """The next `n` words as Python's numbers."""
        at = self.position
        if at + n <= BLOCK:
            self.position = at + n
            return self.block[at:at + n].tolist()
        self.fill(words := np.empty(n, np.uint32))
        return words.tolist()

    def room(self, n: int) -> int:
        """The address of memory for `n` words, the same until the next call."""
        if self.space is None or self.space.size < n:
            self.space = aligned(n)
            self.space_address = self.space.__array_interface__["data"][0]
        return self.space_address

    def snapshot(self) -> tuple:
        """What `load` takes to come back to this place."""
        return ctypes.string_at(self.state_address, 4 * BLOCK), self.position, self.is_fresh

    def skip(self, n: int) -> None:
        unwanted = np.empty(min(n, DISCARD), np.uint32)
        for done in range(0, n, DISCARD):
            self.fill(unwanted[:min(DISCARD, n - done)])


@lru_cache(8)
def first_block(seed: int) -> np.ndarray:
    """The state of a fresh mt19937, uint32 [624], to be copied; nothing of it is handed out as it is."""
    words = [seed]
    for k in range(1, BLOCK):
        seed = (1812433253 * (seed ^ seed >> 30) + k) & MASK32
        words.append(seed)
    return np.array(words, np.uint32)


def temper(y: np.ndarray) -> np.ndarray:
    y = y ^ y >> np.uint32(11)
    y = y ^ y << np.uint32(7) & np.uint32(0x9D2C5680)
    y = y ^ y << np.uint32(15) & np.uint32(0xEFC60000)
    return y ^ y >> np.uint32(18)


class Ticket:
    """A reserved stretch of a generator's stream, drawn at most once; dropped, it is skipped."""

    __slots__ = ("generator", "draws", "count", "value", "start", "__weakref__")

    def __init__(self, generator: Generator, draws: Draws, count: int):
        self.generator, self.draws, self.count, self.value = generator, draws, count, None
        self.start = None       # where the stream stood, if the values went to memory of others

    def draw(self) -> np.ndarray:
        """The values; kept until the ticket is gone, so that a run that failed can be repeated."""
        return self.generator.draw(self)

    def draw_into(self, address: int) -> None:
        """The values, written to memory; later calls give the same ones."""
        self.generator.draw_into(self, address)


class Notebook:
    """The numbers that a function was given, in order, to be given again when it runs a second time.

    Nothing of it looks at a generator's state: reservations are noted, not drawn.
    """

    def __init__(self):
        self.pages, self.at = [], None      # (generator, count, kind, what was given); `at`: the next one read

    @contextlib.contextmanager
    def open(self, reading: bool = False):
        """Within the block draws are noted, or what was noted is given."""
        global notebook
        before, notebook, self.at = notebook, self, 0 if reading else None
        self.outer = before
        try:
            yield self
        finally:
            notebook = before

    def reserve(self, generator, count, draws):
        return self._given(generator, count, draws, "_reserve")

    def take(self, generator, count, draws):
        return self._given(generator, count, draws, "_take")

    def _given(self, generator, count, draws, how):
        if self.at is not None and self.at < len(self.pages):
            page, self.at = self.pages[self.at], self.at + 1
            if page[:4] == (generator, count, type(draws), how):
                return page[4]
        value = self._from_outside(generator, count, draws, how)
        if self.at is None:
            self.pages.append((generator, count, type(draws), how, value))
        return value

    def _from_outside(self, generator, count, draws, how):
        """New numbers, which the notebook round this one is told of as well."""
        if self.outer is None:
            return getattr(generator, how)(count, draws)
        return self.outer._given(generator, count, draws, how)


# -- what can be reserved ------------------------------------------------------------------------

class Draws:
    """`count` numbers made of `needs(count)` words by `make`."""

    dtype = np.dtype(np.uint32)
    are_words = False       # whether they are the words as they come

    def needs(self, count: int) -> int:
        return count

    def make(self, words: np.ndarray, count: int) -> np.ndarray:
        return words

    def repeated(self, size: int, count: int) -> Draws:
        """The kind of which size * count numbers make a batch of `size` draws of `count`."""
        return self

    def draw(self, generator: Generator, count: int) -> np.ndarray:
        return self.make(generator._next(self.needs(count)), count)

    def draw_into(self, generator: Generator, count: int, address: int) -> None:
        """The same, written to memory: words as they come, what is made of them by a copy."""
        if self.are_words:
            generator._stream.fill_at(address, self.needs(count))
        else:
            _copy(self.draw(generator, count), address)

    def skip(self, generator: Generator, count: int) -> None:
        generator._stream.skip(self.needs(count))


class Words(Draws):
    """uint32 words."""

    are_words = True


class WordPairs(Draws):
    """int64 over two words each: the first one, which counts as the high one, in the low bits."""

    dtype = np.dtype(np.int64)
    are_words = True

    def needs(self, count):
        return 2 * count

    def make(self, words, count):
        return words.view("<i8")


class PairedNormals(Draws):
    """Standard normal deviates, float64, in pairs; an odd one stays cached for whoever comes next.

    PyTorch fills this way what is small (< 16) or not contiguous.
    """

    dtype = np.dtype(np.float64)

    def repeated(self, size, count):
        return WidenedNormals() if count < NORMAL_BLOCK <= size * count else self

    def draw(self, generator, count):
        out, first = aligned(count, np.float64), int(count > 0 and generator._normal is not None)
        if count <= FEW:
            out[:] = self.few(generator, count)
            return out
        if first:
            out[0] = generator._normal
        made = normal_pairs(generator._next(4 * ((count - first + 1) // 2)))
        out[first:] = made[:count - first]
        generator._normal = float(made[-1]) if len(made) > count - first else None
        return out

    def few(self, generator, count) -> list[float]:
        """The same by Python's numbers."""
        values = [] if generator._normal is None or not count else [generator._normal]
        words = iter(generator._stream.few(4 * ((count - len(values) + 1) // 2)))
        for high, low, second, last in zip(words, words, words, words):
            values += _pair(_double(high, low), _double(second, last))
        if count:
            generator._normal = values.pop() if len(values) > count else None
        return values

    def draw_into(self, generator, count, address):
        if count > FEW:
            return super().draw_into(generator, count, address)
        ctypes.memmove(address, struct.pack(f"{count}d", *self.few(generator, count)), 8 * count)

    skip = draw


class BlockNormals(Draws):
    """Normal deviates by blocks of 16, float32, 16 at least; a ragged end redoes the last 16 with new words."""

    dtype = np.dtype(np.float32)
    words = 1               # of which a value is made

    def __init__(self, mean: float = 0.0, std: float = 1.0):
        self.mean, self.std = mean, std

    def needs(self, count):
        return count + (NORMAL_BLOCK if count % NORMAL_BLOCK else 0)

    def make(self, words, count):
        whole, out = count // NORMAL_BLOCK * NORMAL_BLOCK, aligned(count, self.dtype)
        self.fill(words[:self.words * whole], out[:whole])
        if whole < count:
            self.fill(words[-self.words * NORMAL_BLOCK:], out[-NORMAL_BLOCK:])
        return out

    def fill(self, words, out):
        source().normals(words, self.mean, self.std, out)

    def draw_into(self, generator, count, address):
        """Deviates in the place of their words; compiled kernels only."""
        stream, whole = generator._stream, count // NORMAL_BLOCK * NORMAL_BLOCK
        self._fill_at(stream, address, whole)
        if whole < count:
            at = stream.room(NORMAL_BLOCK)
            stream.fill_at(at, count - whole)       # words that count, but for nothing
            stream.fill_at(at, NORMAL_BLOCK)
            NATIVE.normals_at(at, self.mean, self.std, address + 4 * (count - NORMAL_BLOCK), NORMAL_BLOCK)

    def _fill_at(self, stream, address, n):
        there, done = 0, 0
        if n >= STREAMED:
            there, done = stream.normals_at(address, n, self.mean, self.std)
        stream.fill_at(address + 4 * there, n - there)
        NATIVE.normals_at(address + 4 * done, self.mean, self.std, address + 4 * done, n - done)


class WidenedNormals(BlockNormals):
    """The same, seen as float64: many draws of few numbers each are filled by blocks."""

    dtype = np.dtype(np.float64)
    draw_into = Draws.draw_into

    def make(self, words, count):
        out = aligned(count, self.dtype)
        out[:] = BlockNormals(self.mean, self.std).make(words, count)
        return out


class HalfNormals(BlockNormals):
    """The same for the 16-bit types: no words are spent on the values that are redone."""

    draw_into = Draws.draw_into

    def needs(self, count):
        return -(-count // NORMAL_BLOCK) * NORMAL_BLOCK


class DoubleNormals(BlockNormals):
    """The same in float64, two words to a number."""

    dtype = np.dtype(np.float64)
    words = 2
    draw_into = Draws.draw_into

    def needs(self, count):
        return 2 * super().needs(count)

    def fill(self, words, out):
        source().wide_normals(words, self.mean, self.std, out)


class Permutation(Draws):
    """A random order of 0 .. count - 1, int64."""

    dtype = np.dtype(np.int64)

    def needs(self, count):
        return max(count - 1, 0)

    def repeated(self, size, count):
        return Permutations(size)

    def make(self, words, count):
        return source().permute(words, count)


class Permutations(Permutation):
    """Several random orders, one after another."""

    def __init__(self, size: int):
        self.size = size

    def needs(self, count):
        return self.size * super().needs(count // max(self.size, 1))

    def make(self, words, count):
        out, n = aligned(count, self.dtype), count // max(self.size, 1)
        for row, part in zip(out.reshape(self.size, n), words.reshape(self.size, max(n - 1, 0))):
            row[:] = source().permute(np.ascontiguousarray(part), n)
        return out


class WideIntegers(Draws):
    """int64 from low .. low + span - 1, two words to a number; span may be 2**64."""

    dtype = np.dtype(np.int64)

    def __init__(self, low: int, span: int):
        self.low, self.span = low, span

    def needs(self, count):
        return 2 * count

    def make(self, words, count):
        drawn = pairs(words)
        if self.span <= MASK64:
            drawn %= np.uint64(self.span)
        out = aligned(count, self.dtype)
        out[:] = (drawn + np.uint64(self.low & MASK64)).view(np.int64)
        return out


WORDS, WORD_PAIRS = Words(), WordPairs()
PAIRED_NORMALS, PERMUTATION = PairedNormals(), Permutation()


class Generator:
    """A source of random numbers with its own seed and state.

    Args:
        device: only 'cpu'.
    """

    def __init__(self, device="cpu"):
        self._device = _check_device(device)
        self._open: deque[tuple] = deque()     # (weak ticket, draws, count), oldest first
        self._seed = DEFAULT_SEED
        self._stream = Stream(DEFAULT_SEED)
        self._normal: float | None = None

    # -- drawing -------------------------------------------------------------------------------

    def reserve(self, count: int, draws: Draws = WORDS) -> Ticket:
        """The next `count` numbers of a kind, words by default, to be drawn later."""
        if notebook is not None:
            return notebook.reserve(self, count, draws)
        return self._reserve(count, draws)

    def _reserve(self, count, draws):
        ticket = Ticket(self, draws, count)
        if observer is not None:
            observer(ticket)
        with lock:
            self._open.append((weakref.ref(ticket), draws, count))
            if len(self._open) > LIMIT:
                self._settle(LIMIT // 2)
        return ticket

    def widen(self, ticket: Ticket, size: int) -> Ticket:
        """A reservation of `size` times as much in the place of `ticket`, which is given up."""
        draws = ticket.draws.repeated(size, ticket.count)
        wide = Ticket(self, draws, ticket.count * size)
        with lock:
            for i in reversed(range(len(self._open))):
                if self._open[i][0]() is ticket:
                    self._open[i] = (weakref.ref(wide), draws, wide.count)
                    return wide
        return self.reserve(wide.count, draws)

    def draw(self, ticket: Ticket) -> np.ndarray:
        """What `ticket` reserved; earlier reservations are settled on the way."""
        with lock:
            if ticket.value is None and ticket.start is not None:
                ticket.value = ticket.draws.draw(self._at(*ticket.start), ticket.count)
            while ticket.value is None:
                self._settle(1)
            return ticket.value

    def draw_into(self, ticket: Ticket, address: int) -> None:
        """The same to memory, without an array between: only the start is kept for repetitions."""
        with lock:
            while ticket.value is None and ticket.start is None and self._open[0][0]() is not ticket:
                self._settle(1)
            if ticket.value is not None or ticket.start is not None:
                return _copy(self.draw(ticket), address)
            ticket.start = (*self._stream.snapshot(), self._normal)
            self._open.popleft()
            ticket.draws.draw_into(self, ticket.count, address)

    def _at(self, key: bytes, position: int, is_fresh: bool, normal: float | None) -> Generator:
        """A generator that stands where this one stood."""
        other = Generator(self._device)
        other._stream.load(np.frombuffer(key, np.uint32), position, is_fresh)
        other._normal = normal
        return other

    def take(self, count: int, draws: Draws = WORDS) -> np.ndarray:
        """The next `count` numbers of a kind at once."""
        if notebook is not None:
            return notebook.take(self, count, draws)
        return self._take(count, draws)

    def _take(self, count, draws):
        with lock:
            self._settle()
            return draws.draw(self, count)

    def _settle(self, count: int | None = None) -> None:
        """Draw the oldest `count` reservations (all by default); what nobody holds is skipped."""
        if count is None and observer is not None:
            observer(None)
        for _ in range(len(self._open) if count is None else count):
            reference, draws, size = self._open[0]
            ticket = reference()
            if ticket is None:
                draws.skip(self, size)
            else:
                ticket.value = draws.draw(self, size)
            self._open.popleft()

    def _next(self, n: int) -> np.ndarray:
        out = aligned(n)
        self._stream.fill(out)
        return out

    # -- seeds ---------------------------------------------------------------------------------

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, from -2**63 to 2**64 - 1; returns the generator."""
        if not _is_integer(seed):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(1 << 63) <= seed <= MASK64:
            raise ValueError(f"Overflow when unpacking long long: {seed} is not a 64-bit seed")
        with lock:
            self._settle_living()
            self._seed, self._normal = int(seed) & MASK64, None
            self._stream.restart(self._seed)
        return self

    def _settle_living(self) -> None:
        """Before the stream is replaced: behind the last ticket held nothing need be skipped."""
        while self._open and self._open[-1][0]() is None:
            self._open.pop()
        self._settle()

    def seed(self) -> int:
        """Start a stream that nobody can foresee; returns its seed."""
        chosen = int.from_bytes(os.urandom(8), "little") >> 11      # 53 bits survive a double
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed that the present stream was started with."""
        return self._seed

    # -- states --------------------------------------------------------------------------------

    def state_bytes(self) -> bytes:
        """The whole state in PyTorch's layout, 5056 bytes."""
        with lock:
            self._settle()
            stream = self._stream
            used = 0 if stream.is_fresh else stream.position
            left = 1 if stream.is_fresh else BLOCK + 1 - used
            normal = self._normal
            return b"".join((HEAD.pack(self._seed, left, 1, used),
                             stream.state[:BLOCK].astype("<u8").tobytes(),
                             TAIL.pack(0.0, normal or 0.0, 0.0, normal is not None, 0.0, False)))

    def load_bytes(self, state: bytes) -> None:
        """Continue from `state_bytes()`, whoever wrote it."""
        if len(state) != STATE_BYTES:
            raise RuntimeError(f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found "
                               f"the input RNG state size to be {len(state)}")
        seed, left, seeded, used = HEAD.unpack_from(state)
        is_fresh = (left, used) == (1, 0)
        if not (seeded and (is_fresh or 0 < used <= BLOCK and left == BLOCK + 1 - used)):
            raise RuntimeError("Invalid mt19937 state")
        key = np.frombuffer(state, "<u8", BLOCK, HEAD.size)
        _, normal, _, has_normal, _, _ = TAIL.unpack_from(state, HEAD.size + 8 * BLOCK)
        with lock:
            self._settle_living()
            self._seed, self._normal = seed, normal if has_normal else None
            self._stream.load(key, BLOCK if is_fresh else used, is_fresh)

    def get_state(self):
        """The state as a uint8 tensor [5056]."""
        from .ops.create import tensor
        return tensor(np.frombuffer(self.state_bytes(), np.uint8), device="cpu")

    def set_state(self, new_state) -> None:
        """Continue from a state that `get_state` gave."""
        from . import dtypes
        from .tensor import Tensor
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        if new_state.dtype is not dtypes.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        self.load_bytes(new_state.numpy().tobytes())

    graphsafe_get_state, graphsafe_set_state = get_state, set_state

    def clone_state(self) -> Generator:
        """A new generator that goes on as this one would."""
        other = Generator(self._device)
        other.load_bytes(self.state_bytes())
        return other

    def get_offset(self) -> int:
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, _offset: int) -> None:
        raise RuntimeError("CPU Generator does not use offset")

    @property
    def device(self):
        from .tensor import device
        return device(self._device)

    def __reduce__(self):
        return _restored, (self._device, self.state_bytes())

    def __deepcopy__(self, _memo):
        return self.clone_state()


def _copy(array: np.ndarray, address: int) -> None:
    ctypes.memmove(address, array.__array_interface__["data"][0], array.nbytes)


def _restored(device: str, state: bytes) -> Generator:
    made = Generator(device)
    made.load_bytes(state)
    return made


def _check_device(device) -> str:
    name = str(device)
    if name.partition(":")[0] != "cpu":
        raise RuntimeError("Generator: rushlight has generators for the device 'cpu' only, "
                           f"but found {name!r}")
    return "cpu"


def _is_integer(value) -> bool:
    return isinstance(value, (int, np.integer))


# -- words to numbers ----------------------------------------------------------------------------

def pairs(words: np.ndarray) -> np.ndarray:
    """uint64 from two words each, the high one first."""
    return words[0::2].astype(np.uint64) << np.uint64(32) | words[1::2]


def doubles(words: np.ndarray) -> np.ndarray:
    """float64 in [0, 1): the low 53 bits of two words."""
    return (pairs(words) & np.uint64((1 << 53) - 1)) * 2.0**-53


def fused(a, b: float, c: float):
    """a * b + c rounded once, a float64 array or tensor: two numbers carry product and sum."""
    product = a * b
    a_high, b_high = (x * SPLIT - (x * SPLIT - x) for x in (a, b))
    a_low, b_low = a - a_high, b - b_high
    lost = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    total = product + c
    carried = total - product
    return total + (((product - (total - carried)) + (c - carried)) + lost)


SPLIT = 2.0**27 + 1
FEW = 64    # pairs up to which the C library's functions are called one by one: PyTorch's very bits


def normal_pairs(words: np.ndarray) -> np.ndarray:
    """float64 [len(words) / 2]: standard normal deviates, two from every four words."""
    u = doubles(words).reshape(-1, 2)
    if len(u) <= FEW:
        return np.array([part for angle, u2 in u.tolist() for part in _pair(angle, u2)], np.float64)
    out = np.empty_like(u)
    for piece in pieces(len(u)):
        radius, angle = np.sqrt(-2 * np.log1p(-u[piece, 1])), 2 * np.pi * u[piece, 0]
        out[piece, 0], out[piece, 1] = radius * np.cos(angle), radius * np.sin(angle)
    return out.ravel()


def pieces(count: int) -> list[slice]:
    """Of so many numbers, NUMPY_PIECE at a time: what NumPy makes in between stays in cache."""
    return [slice(at, at + NUMPY_PIECE) for at in range(0, count, NUMPY_PIECE)]


def _double(high: int, low: int) -> float:
    """One of `doubles`."""
    return ((high << 32 | low) & (1 << 53) - 1) * 2.0**-53


def _pair(u1: float, u2: float) -> tuple[float, float]:
    radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
    return radius * math.cos(angle), radius * math.sin(angle)


def poisson(rate: float, generator: Generator) -> int:
    """One Poisson deviate: by products for small rates, by transformed rejection for large."""
    if rate == 0:
        return 0
    uniform = lambda: float(doubles(generator.take(2))[0])
    return _poisson_large(rate, uniform) if rate >= 10 else _poisson_small(rate, uniform)


def _poisson_small(rate: float, uniform) -> int:
    count, product, limit = 0, uniform(), math.exp(-rate)
    while product > limit:
        count += 1
        product *= uniform()
    return count


def _poisson_large(rate: float, uniform) -> int:
    """W. Hoermann, The transformed rejection method for ... Poisson random variables, 1993."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    log_alpha, v_r = math.log(1.1239 + 1.1328 / (b - 3.4)), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or us < 0.013 and v > us:
            continue
        accepted = math.log(v) + log_alpha - math.log(a / (us * us) + b)
        if accepted <= -rate + k * math.log(rate) - math.lgamma(k + 1):
            return k


# -- the generator that everybody uses ----------------------------------------------------------

default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it. Seeds from -2**63 to 2**64 - 1."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator's present stream."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state, a uint8 tensor [5056]."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Continue the default generator from `new_state`."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True, _caller: str = "fork_rng",
             _devices_kw: str = "devices", device_type: str | None = None):
    """Whatever is drawn or seeded inside leaves the default generator's state as it was outside.

    Args:
        devices: other devices whose generators to keep; rushlight has none, so it must be empty.
        enabled: False makes the context do nothing.
    """
    if not enabled or device_type == "meta":
        yield
        return
    if devices and any(str(d).partition(":")[0] != "cpu" for d in devices):
        raise RuntimeError(f"{_caller}: {_devices_kw} names {list(devices)}, but rushlight has "
                           "only the CPU")
    state = default_generator.state_bytes()
    try:
        yield
    finally:
        default_generator.load_bytes(state)


def thread_safe_generator() -> Generator | None:
    """The generator of the data loader's worker thread that asks; None elsewhere."""
    from .utils.data import get_worker_info
    rng = getattr(get_worker_info(), "rng", None)
    return getattr(rng, "torch_generator", None)
