"""Event files: records with checksums, each a protocol buffer.

A record is the length (8 bytes), its masked CRC-32C, the data, their masked CRC-32C (TensorFlow's TFRecord
format). Messages are written field by field; the numbers are those of TensorBoard's event.proto and
summary.proto.
"""
from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np

from .crc import crc32c

DT_STRING = 7
TYPES = {       # types.proto's number, tensor.proto's field, what the field holds
    "float16": (19, 13, "whole"), "bfloat16": (14, 13, "whole"), "float32": (1, 5, "<f4"),
    "float64": (2, 6, "<f8"), "int8": (6, 7, "whole"), "uint8": (4, 7, "whole"),
    "int16": (5, 7, "whole"), "int32": (3, 7, "whole"), "int64": (9, 10, "whole"),
    "bool": (10, 11, "whole"), "complex64": (8, 9, "<f4"), "complex128": (18, 12, "<f8"),
}

def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted so that data with checksums in them do no harm."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A record of an event file."""
    return b"".join((head(len(data)), data, struct.pack("<I", masked_crc(data))))


@lru_cache(1024)
def head(length: int) -> bytes:
    """What a record of this length begins with."""
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc(packed))


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


def wholes(field: int, ns) -> bytes:
    return part(field, b"".join(map(_varint, ns)))


def entry(field: int, key: str, value: bytes) -> bytes:
    """An entry of a map from strings to messages."""
    return part(field, part(1, key) + part(2, value))


# -- messages ------------------------------------------------------------------------------------
def event(wall_time: float, step: int | None, body: bytes) -> bytes:
    """An event with a body of `version` or `summary`."""
    return double(1, wall_time) + (whole(2, step) if step else b"") + body


def version() -> bytes:
    """What a file begins with."""
    return part(3, "brain.Event:2")


def start() -> bytes:
    """A session's begin: TensorBoard forgets what an earlier one wrote from this step on."""
    return part(7, whole(1, 1))


def graph_def(data: bytes) -> bytes:
    return part(4, data)


def summary(*values: bytes) -> bytes:
    return part(5, b"".join(part(1, v) for v in values))


def metadata(plugin: str, content: bytes = b"") -> bytes:
    """Which page of TensorBoard shows a value."""
    return part(9, part(1, part(1, plugin) + (part(2, content) if content else b"")))


def scalar(tag: str, value: float) -> bytes:
    return part(1, tag) + single(2, value)


def shape(sizes) -> bytes:
    """A tensor_shape.proto."""
    return b"".join(part(2, whole(1, n)) for n in sizes)


def strings(tag: str, plugin: str, texts, is_scalar: bool = False) -> bytes:
    """A tensor of strings for a plugin."""
    tensor = whole(1, DT_STRING) + part(2, shape([] if is_scalar else [len(texts)])) + b"".join(part(8, t) for t in texts)
    return part(1, tag) + part(8, tensor) + metadata(plugin)


def tensor(tag: str, values: np.ndarray, about: bytes) -> bytes:
    """An array with the metadata of the plugin that shows it."""
    if values.nbytes >= 1 << 31:
        raise ValueError("tensor is bigger than protocol buffer's hard limit of 2GB in size")
    if values.dtype.name not in TYPES:
        raise ValueError(f"{tag} has unsupported tensor dtype torch.{values.dtype.name}")
    kind, field, form = TYPES[values.dtype.name]
    if form == "whole":
        bits = values.view(np.uint16) if field == 13 else values
        data = wholes(field, bits.reshape(-1).tolist())
    else:
        data = part(field, np.ascontiguousarray(values).view(form).tobytes())
    return part(1, tag) + part(8, whole(1, kind) + part(2, shape(values.shape)) + data) + about


def image(tag: str, pixels: np.ndarray) -> bytes:
    """Bytes (height, width, channels), 1, 3 or 4 of them."""
    return picture(tag, *pixels.shape, png(pixels))


def picture(tag: str, height: int, width: int, channels: int, file: bytes) -> bytes:
    """An image's file, PNG or GIF."""
    return part(1, tag) + part(4, whole(1, height) + whole(2, width) + whole(3, channels) + part(4, file))


def audio(tag: str, rate: int, frames: int, file: bytes) -> bytes:
    """A WAV file of one channel."""
    return part(1, tag) + part(6, single(1, rate) + whole(2, 1) + whole(3, frames) + part(4, file)
                               + part(5, "audio/wav"))


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
