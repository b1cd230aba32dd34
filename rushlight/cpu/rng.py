"""The kernels of random numbers, compiled or, where there is to be no compiler, in NumPy."""
from __future__ import annotations

import ctypes
from functools import lru_cache
from importlib import import_module

import numpy as np

from ..runtime.run import run_alone

BLOCK = 624                     # words that mt19937 makes at a time
STATE_WORDS = 2 * BLOCK + 16    # the block, room for the next one, and slack for vectors
NORMAL_BLOCK = 16               # words that become as many normal deviates
NORMAL_GRAIN = 256              # such blocks that a thread makes at a time
STREAM_BLOCKS = 64              # blocks of words made in a turn while those of the turn before become deviates
STREAM_GRAIN = 104              # normal blocks that a thread makes at a time meanwhile
STREAM_UNITS = 1 + -(-(STREAM_BLOCKS * BLOCK // NORMAL_BLOCK + 1) // STREAM_GRAIN)


class Native:
    """Each kernel is compiled when it is first called."""

    def __init__(self):
        self.kernels = {}

    def blocks(self, state: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (a multiple of 624 words) and advance `state` (STATE_WORDS words)."""
        self.blocks_at(_address(state), _address(out), out.size // BLOCK)

    def blocks_at(self, state: int, out: int, count: int) -> None:
        """The same by addresses, for `count` blocks."""
        self.run("mersenne.block_generator", (state, out), count)

    def permute(self, words: np.ndarray, n: int) -> np.ndarray:
        """int64 [n]: a random order of 0 .. n - 1 from n - 1 words."""
        order = np.arange(n, dtype=np.int64)
        self.run("mersenne.permuter", (_address(order), _address(words)), n)
        return order

    def normals(self, words: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
        """float32 `out` from as many words, a multiple of 16."""
        self.normals_at(_address(words), mean, std, _address(out), words.size)

    def normals_at(self, words: int, mean: float, std: float, out: int, n: int) -> None:
        """The same by addresses, for `n` values."""
        args = (words, out, _float_bits(mean), _float_bits(std))
        self.run("box_muller.normal_blocks", args, n // NORMAL_BLOCK, NORMAL_GRAIN)

    def wide_normals(self, words: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
        """float64 `out` from twice as many words, a multiple of 16."""
        args = _address(words), _address(out), *np.array([mean, std], np.float64).view(np.int64).tolist()
        self.run("box_muller.wide_normal_blocks", args, out.size // NORMAL_BLOCK, NORMAL_GRAIN)

    def normal_stream_at(self, state: int, out: int, lead: int, blocks: int, mean: float, std: float) -> int:
        """Deviates from `lead` words that are at `out` and `blocks` new blocks behind them; how many were made."""
        kernels = [self.kernel(name) for name in ("turns", "pool", "box_muller.normal_stream")]
        turns = -(-blocks // STREAM_BLOCKS) + 1
        args = 0, out, _float_bits(mean), _float_bits(std), state, lead, blocks
        run_alone(kernels[0], (*kernels[1:], STREAM_UNITS, 1, turns, *args), 1, 1)
        return (lead + BLOCK * blocks) // NORMAL_BLOCK * NORMAL_BLOCK

    def run(self, name: str, args: tuple, units: int, grain: int = 0) -> None:
        """Units from 0 on, by one thread unless a grain is given."""
        run_alone(self.kernel(name), args, units, grain or max(units, 1))

    def kernel(self, name: str) -> int:
        """Its address."""
        found = self.kernels.get(name)
        if found is None:
            found = self.kernels[name] = _compiled(name)
        return found


class Numpy:
    """The meaning of the kernels."""

    def blocks(self, state: np.ndarray, out: np.ndarray) -> None:
        source = np.random.MT19937()
        source.state = {"bit_generator": "MT19937", "state": {"key": state[:BLOCK], "pos": BLOCK}}
        out[:] = source.random_raw(out.size)
        state[:BLOCK] = source.state["state"]["key"]

    def permute(self, words: np.ndarray, n: int) -> np.ndarray:
        order, drawn = list(range(n)), words.tolist()
        for i in range(n - 1):
            j = i + drawn[i] % (n - i)
            order[i], order[j] = order[j], order[i]
        return np.array(order, np.int64)

    def normals(self, words: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
        from .box_muller import numpy_normal_blocks
        out[:] = numpy_normal_blocks(words, mean, std)

    def wide_normals(self, words: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
        from .box_muller import numpy_wide_blocks
        out[:] = numpy_wide_blocks(words, mean, std)


def _compiled(name: str) -> int:
    from ..runtime import threads, turns
    from . import jit
    if name in ("turns", "pool"):
        return jit.address(turns.turns_code() if name == "turns" else threads.CELL)
    room, _, function = name.partition(".")
    code = getattr(import_module(f".{room}", __package__), function)()
    return jit.address(code)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@lru_cache(64)
def _float_bits(number: float) -> int:
    cell = ctypes.c_float(number)
    return ctypes.c_uint32.from_buffer(cell).value
