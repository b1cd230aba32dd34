"""Event files: records with checksums, each a protocol buffer.

A record is the length (8 bytes), its masked CRC-32C, the data, their masked CRC-32C (TensorFlow's TFRecord
format). Messages are written field by field; the numbers are those of TensorBoard's event.proto and
summary.proto.
"""
from __future__ import annotations

import struct
import zlib

import numpy as np

DT_STRING = 7
_POLYNOMIAL = 0x82F63B78        # CRC-32C, reflected


def _table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.tolist()


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted so that data with checksums in them do no harm."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A record of an event file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc(length)), data,
                     struct.pack("<I", masked_crc(data))))


# -- protocol buffers ----------------------------------------------------------------------------
def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def whole(field: int, n: int) -> bytes:
    """An integer."""
    return _varint(field << 3) + _varint(n)


def double(field: int, x: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", x)


def single(field: int, x: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", x)


def part(field: int, data: bytes | str) -> bytes:
    """A message, a string or bytes."""
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def doubles(field: int, xs) -> bytes:
    return part(field, np.asarray(xs, "<f8").tobytes())


# -- messages ------------------------------------------------------------------------------------
def event(wall_time: float, step: int | None, body: bytes) -> bytes:
    """An event with a body of `version` or `summary`."""
    return double(1, wall_time) + (whole(2, step) if step else b"") + body


def version() -> bytes:
    """What a file begins with."""
    return part(3, "brain.Event:2")


def summary(*values: bytes) -> bytes:
    return part(5, b"".join(part(1, v) for v in values))


def metadata(plugin: str, content: bytes = b"") -> bytes:
    """Which page of TensorBoard shows a value."""
    return part(9, part(1, part(1, plugin) + (part(2, content) if content else b"")))


def scalar(tag: str, value: float) -> bytes:
    return part(1, tag) + single(2, value)


def strings(tag: str, plugin: str, texts) -> bytes:
    """A tensor of strings for a plugin."""
    shape = part(2, part(2, whole(1, len(texts))))
    tensor = whole(1, DT_STRING) + shape + b"".join(part(8, t) for t in texts)
    return part(1, tag) + part(8, tensor) + metadata(plugin)


def image(tag: str, pixels: np.ndarray) -> bytes:
    """Bytes (height, width, channels), 1, 3 or 4 of them."""
    h, w, c = pixels.shape
    return part(1, tag) + part(4, whole(1, h) + whole(2, w) + whole(3, c) + part(4, png(pixels)))


def png(pixels: np.ndarray) -> bytes:
    """A PNG file (RFC 2083)."""
    h, w, c = pixels.shape
    kind = {1: 0, 3: 2, 4: 6}[c]
    lines = np.zeros((h, 1 + w * c), np.uint8)
    lines[:, 1:] = pixels.reshape(h, w * c)

    def chunk(name, data):
        return (struct.pack(">I", len(data)) + name + data
                + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join((b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, kind, 0, 0, 0)),
                     chunk(b"IDAT", zlib.compress(lines.tobytes())), chunk(b"IEND", b"")))


def histogram(tag: str, least, most, count, total, squares, limits, counts) -> bytes:
    """Counts of values up to each limit, and their sums."""
    body = b"".join(double(k, float(x)) for k, x in
                    enumerate((least, most, count, total, squares), 1))
    return part(1, tag) + part(5, body + doubles(6, limits) + doubles(7, counts))
