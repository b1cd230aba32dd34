"""CRC-32C (RFC 3720): two bytes at a time, and long data in rows side by side.

The register after a message is linear in the register before and in the message. So rows are
run from zero, all at once, and joined: what stands in the register moves on by a row of zeros.
"""
from __future__ import annotations

import struct
from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78     # reflected
ROW = 256                   # bytes
LONG = 16 * ROW


def crc32c(data: bytes) -> int:
    whole = len(data) // ROW * ROW if len(data) >= LONG else 0
    state = 0xFFFFFFFF
    if whole:
        state = rows(state, np.frombuffer(data, "<u2", whole // 2).reshape(-1, ROW // 2))
    return steps(state, data[whole:]) ^ 0xFFFFFFFF


def steps(state: int, data: bytes) -> int:
    """The register after the data."""
    table = tables()[1]
    even = len(data) & ~1
    for k in struct.unpack_from(f"<{even // 2}H", data):
        state = table[(state ^ k) & 0xFFFF] ^ state >> 16
    if len(data) > even:
        state = table[((state ^ data[-1]) & 0xFF) << 8] ^ state >> 8
    return state


def rows(state: int, words: np.ndarray) -> int:
    """The register after rows of words."""
    moved = tables()[2]
    for row in run(np.zeros(len(words), np.uint32), words.T).tolist():
        state = (moved[0][state & 255] ^ moved[1][state >> 8 & 255] ^ moved[2][state >> 16 & 255]
                 ^ moved[3][state >> 24] ^ row)
    return state


def run(states: np.ndarray, columns) -> np.ndarray:
    """Many registers, each after its own words."""
    table = tables()[0]
    for words in columns:
        states = table[(states ^ words) & 0xFFFF] ^ states >> 16
    return states


@cache
def tables():
    """For two bytes as an array and as a list; where a row of zeros moves each byte of the register."""
    table = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    registers = (np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]).reshape(-1)
    for _ in range(ROW // 2):
        registers = table[registers & 0xFFFF] ^ registers >> 16
    return table, table.tolist(), registers.reshape(4, 256).tolist()
