"""The zip container of a checkpoint.

Records lie in one folder, uncompressed, each starting at a multiple of 64 bytes, so that a file
can be mapped. Checksums are verified whenever a record is read.
"""
from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
import zipfile
import zlib

import numpy as np

ALIGNMENT = 64
LOCAL_HEADER = struct.Struct("<4s22xHH")    # signature, ..., length of name, length of extra field
PADDING_ID = b"FB"
ZIP64_EXTRA = 20                            # what zipfile adds to the header of a huge record
DAMAGED = "PytorchStreamReader failed reading zip archive: "
EXPANSION = 2                               # how much larger than the file its records may be together
CHUNK = 1 << 20


class Writer:
    """Writes records into the folder `name` of a zip file, and the records that PyTorch expects.

    A block of `with` closes it, or leaves it unfinished where writing has failed.
    """

    def __init__(self, stream, name="archive"):
        self.zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.name, self.checksum = name, 0

    def write(self, record: str, data) -> None:
        data = memoryview(data).cast("B") if len(data) else b""     # an empty view cannot be cast
        info = zipfile.ZipInfo(f"{self.name}/{record}")
        info.extra = padding(self.zip.start_dir + 30 + len(info.filename.encode())
                             + extra_of_size(len(data)))
        self.checksum = zlib.crc32(data, zlib.crc32(record.encode(), self.checksum))
        self.zip.writestr(info, data)

    def write_marks(self) -> None:
        self.write(".format_version", b"1")
        self.write(".storage_alignment", b"%d" % ALIGNMENT)
        self.write("byteorder", sys.byteorder.encode())

    def close(self) -> None:
        self.write("version", b"3\n")
        self.write(".data/serialization_id", b"%040d" % self.checksum)
        self.zip.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.zip.fp = None          # or it would try to write its directory when it dies


def extra_of_size(size) -> int:
    return ZIP64_EXTRA if size * 1.05 > zipfile.ZIP64_LIMIT else 0


def padding(position: int) -> bytes:
    """An extra field after which, from `position` on, the next byte is aligned."""
    size = -(position + 4) % ALIGNMENT
    return PADDING_ID + struct.pack("<H", size) + b"Z" * size


class Reader:
    """Reads records of a zip file, whatever its folder is called."""

    def __init__(self, stream):
        with blaming("the file is damaged or was not written to its end"):
            self.available = EXPANSION * stream.seek(0, os.SEEK_END)
            self.zip = zipfile.ZipFile(stream)
            first = next(iter(self.zip.namelist()), "")
            self.name = first.partition("/")[0]

    def __contains__(self, record: str) -> bool:
        return f"{self.name}/{record}" in self.zip.NameToInfo

    def size(self, record: str) -> int:
        return self.info(record).file_size

    def info(self, record):
        try:
            return self.zip.getinfo(f"{self.name}/{record}")
        except KeyError:
            raise RuntimeError(f"{DAMAGED}it has no record {record!r}") from None

    def read(self, record: str) -> bytes:
        """The bytes of a record; RuntimeError if its checksum is wrong."""
        return self.read_array(record).tobytes()

    def read_array(self, record: str) -> np.ndarray:
        """The same in memory of its own, which is all that is taken."""
        info = self.info(record)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RuntimeError(f"{DAMAGED}record {record!r} is compressed in a way that checkpoints do not know")
        self.available -= info.file_size
        if self.available < 0:
            raise RuntimeError(f"{DAMAGED}its records are more than {EXPANSION} times as large as the file")
        out, at = np.empty(info.file_size, np.uint8), 0
        with blaming(f"record {record!r} is damaged"), self.zip.open(info) as stream:
            while piece := stream.read(min(CHUNK, len(out) - at + 1)):     # the checksum is compared at the end
                out[at:at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)
            if at < len(out):
                raise EOFError(f"{at} bytes of {len(out)}")
        return out

    def position(self, record: str) -> int:
        """Where the bytes of an uncompressed record start in the file."""
        info = self.info(record)
        if info.compress_type != zipfile.ZIP_STORED:
            raise RuntimeError(f"{DAMAGED}record {record!r} is compressed and cannot be mapped")
        with blaming(f"record {record!r} has no header"):
            self.zip.fp.seek(info.header_offset)
            _, name, extra = LOCAL_HEADER.unpack(self.zip.fp.read(LOCAL_HEADER.size))
        return info.header_offset + LOCAL_HEADER.size + name + extra


@contextlib.contextmanager
def blaming(trouble: str):
    """Whatever zipfile, or what it calls, stumbles over is told as one error."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{DAMAGED}{trouble} ({str(error)[:200]})") from None


@contextlib.contextmanager
def replacing(path: str):
    """A binary file that takes the place of `path` when the block ends well, and else vanishes."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {os.path.dirname(path)} does not exist.")
    path = os.path.realpath(path)       # replace what a link points to, not the link
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as stream:        # a device or a pipe cannot be replaced
            yield stream
        return
    handle, draft = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".part",
                                     dir=os.path.dirname(path))
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(draft, mode_for(path))
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def mode_for(path) -> int:
    """The permissions that a plain write to the path would have left."""
    if os.path.exists(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
