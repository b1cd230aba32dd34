"""Event files read back: what a run's files hold, as Python values.

Reading stops where a file ends in the middle of a record, or where a checksum is wrong: what was
written before is kept.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .events import DT_STRING, TYPES, masked_crc

KIND_OF = {number: (name, at, form) for name, (number, at, form) in TYPES.items()}
SESSION_STARTS = 1


# -- records and protocol buffers ------------------------------------------------------------------
def records(data: bytes) -> Iterator[bytes]:
    """The data of a file's records."""
    at = 0
    while at + 12 <= len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        end = at + 12 + length
        if masked_crc(data[at:at + 8]) != crc or end + 4 > len(data):
            return
        body = data[at + 12:end]
        if masked_crc(body) != struct.unpack_from("<I", data, end)[0]:
            return
        yield body
        at = end + 4


def fields(data: bytes) -> dict[int, list]:
    """A message's values by their numbers: whole numbers, or the bytes of anything else; ValueError if it is none."""
    found: dict[int, list] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            length, at = (8, at) if kind == 1 else (4, at) if kind == 5 else varint(data, at)
            value, at = data[at:at + length], at + length
            if kind not in (1, 2, 5) or at > len(data):
                raise ValueError("not a protocol buffer")
        found.setdefault(key >> 3, []).append(value)
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("not a protocol buffer")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n


def text(x) -> str:
    return x.decode("utf-8", "replace")


def one(message: dict, number: int, default=b""):
    return message.get(number, [default])[-1]


# -- values ----------------------------------------------------------------------------------------
def array(tensor: bytes):
    """The numbers of a tensor.proto, flat; a list of strings."""
    message = fields(tensor)
    kind = one(message, 1, 0)
    if kind == DT_STRING:
        return [text(s) for s in message.get(8, [])]
    name, at, form = KIND_OF.get(kind, (None, None, None))
    if name is None:
        return np.zeros(0)
    if 4 in message and name not in ("bfloat16",):
        return np.frombuffer(one(message, 4), np.dtype(name))
    if form == "whole":
        return np.array([signed(n) for n in numbers(message.get(at, []))])
    return np.frombuffer(b"".join(message.get(at, [])), form)


def numbers(parts) -> Iterator[int]:
    """Whole numbers, packed or not."""
    for x in parts:
        at = 0
        if isinstance(x, int):
            yield x
            continue
        while at < len(x):
            n, at = varint(x, at)
            yield n


def struct_value(data: bytes):
    """A value of struct.proto: a number, a string or a bool."""
    message = fields(data)
    if 2 in message:
        return struct.unpack("<d", message[2][0])[0]
    return text(message[3][0]) if 3 in message else bool(one(message, 4, 0))


@dataclass
class Histogram:
    """How many values up to each limit."""
    limits: np.ndarray
    counts: np.ndarray

    @classmethod
    def read(cls, data: bytes) -> Histogram:
        message = fields(data)
        limits, counts = (np.frombuffer(b"".join(message.get(k, [])), "<f8") for k in (6, 7))
        return cls(limits, counts)


@dataclass
class Run:
    """What one folder's files hold, by tag: lists of (step, value)."""
    name: str
    scalars: dict = field(default_factory=dict)
    images: dict = field(default_factory=dict)
    sounds: dict = field(default_factory=dict)
    histograms: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)
    hparams: dict = field(default_factory=dict)

    def tables(self):
        return self.scalars, self.images, self.sounds, self.histograms, self.texts

    def read(self, path: str) -> None:
        """Add what is in a file."""
        with open(path, "rb") as file:
            data = file.read()
        for record in records(data):
            self.add_event(fields(record))

    def add_event(self, event) -> None:
        step = signed(one(event, 2, 0))
        if 7 in event and one(fields(event[7][-1]), 1, 0) == SESSION_STARTS:
            self.forget(step)
        for summary in event.get(5, []):
            for value in fields(summary).get(1, []):
                self.add_value(fields(value), step)

    def forget(self, step: int) -> None:
        """A session begins again at this step."""
        for table in self.tables():
            for tag in list(table):
                table[tag] = [x for x in table[tag] if x[0] < step]
                if not table[tag]:
                    del table[tag]

    def add_value(self, value, step: int) -> None:
        tag, plugin, content = text(one(value, 1)), *plugin_of(value)
        if plugin == "hparams":
            self.add_hparams(content)
        elif 2 in value:
            put(self.scalars, tag, step, struct.unpack("<f", value[2][-1])[0])
        elif 4 in value:
            put(self.images, tag, step, one(fields(value[4][-1]), 4))
        elif 5 in value:
            put(self.histograms, tag, step, Histogram.read(value[5][-1]))
        elif 6 in value:
            put(self.sounds, tag, step, one(fields(value[6][-1]), 4))
        elif 8 in value and plugin in ("scalars", "text"):
            self.add_tensor(tag, step, plugin, array(value[8][-1]))

    def add_tensor(self, tag, step, plugin, found) -> None:
        if plugin == "text":
            put(self.texts, tag.removesuffix("/text_summary"), step, "\n".join(map(str, found)))
        elif len(found):
            put(self.scalars, tag, step, float(found[0]))

    def add_hparams(self, content: bytes) -> None:
        """The hyper-parameters of a session's start."""
        for start in fields(content).get(3, []):
            for pair in fields(start).get(1, []):
                message = fields(pair)
                self.hparams[text(one(message, 1))] = struct_value(one(message, 2))


def plugin_of(value) -> tuple[str, bytes]:
    """The name of the plugin that shows a value, and what it knows about it."""
    about = fields(one(fields(one(value, 9)), 1))
    return text(one(about, 1)), one(about, 2)


def put(table, tag, step, value) -> None:
    table.setdefault(tag, []).append((step, value))


# -- folders ---------------------------------------------------------------------------------------
def event_files(folder: str) -> list[str]:
    """The event files of a folder, in the order in which they were begun."""
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if "tfevents" in name)


def read_runs(folders) -> list[Run]:
    """A run for each folder with event files, in these and below them, sorted by name.

    Raises:
        FileNotFoundError: a folder is not there.
    """
    found = {}
    for top in folders:
        if not os.path.isdir(top):
            raise FileNotFoundError(f"no such folder: {top}")
        for folder, inner, _ in os.walk(top):
            inner.sort()
            if files := event_files(folder):
                name = os.path.relpath(folder, top)
                base = os.path.basename(os.path.abspath(top))
                found[os.path.abspath(folder)] = base if name == "." else f"{base}/{name}", files
    return [read_run(name, files) for name, files in sorted(found.values())]


def read_run(name: str, files) -> Run:
    run = Run(name)
    for path in files:
        run.read(path)
    return run
