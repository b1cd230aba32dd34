"""Objects on disk: machine code kept between processes, one file each, never a reason to fail.

    file := MAGIC, length (8 bytes), blake2b-16 of key and payload, payload
    name := key + ".o", the key is a hash of everything that the payload depends on

A file is written under another name and renamed, so a reader sees a whole file or none. Whatever is
damaged, foreign or not to be read counts as absent; whatever cannot be written is not kept.
"""
from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from hashlib import blake2b

from .. import config

MAGIC = b"rushlight object 1\n"
HEADER = len(MAGIC) + 8 + 16
SUFFIX = ".o"
STALE_TEMPORARY = 3600      # seconds after which a writer must have died
REFRESH = 86400             # an object read after this many seconds counts as young again
BLOCK = 4096                # what a file takes at least, so that the number of files is bounded, too
COUNTS = 64                 # how often the folder is counted while it fills up once


def make_key(*parts: str) -> str:
    """The name under which a payload that depends on `parts` alone is kept."""
    digest = blake2b(digest_size=20)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def load(key: str) -> bytes | None:
    """The payload kept under `key`, None if there is none that is whole."""
    folder = _trusted_folder()
    if not folder:
        return None
    path = os.path.join(folder, key + SUFFIX)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    payload = _payload(key, content)
    _forget(path) if payload is None else _refresh(path)
    return payload


def store(key: str, payload: bytes) -> bool:
    """Keep `payload` under `key`; False where the folder cannot be written."""
    folder = _trusted_folder(make=True)
    if not folder:
        return False
    content = _header(key, payload) + payload
    if not _write(os.path.join(folder, key + SUFFIX), content):
        return False
    if _is_time_to_count(key, len(content)):
        _bound(folder)
    return True


def size() -> int:
    """Bytes of all objects in the cache folder."""
    return sum(bytes_ for _, bytes_, _ in _entries(config.cache.value))


def count() -> int:
    """Number of objects in the cache folder."""
    return sum(1 for _ in _entries(config.cache.value))


def clear() -> int:
    """Remove all objects; how many could not be removed."""
    folder = config.cache.value
    removed = [_forget(path) for path, _, _ in list(_entries(folder, temporaries=True))]
    return removed.count(False)


def _header(key: str, payload: bytes) -> bytes:
    return MAGIC + len(payload).to_bytes(8, "little") + _checksum(key, payload)


def _checksum(key: str, payload: bytes) -> bytes:
    digest = blake2b(key.encode(), digest_size=16)
    digest.update(payload)
    return digest.digest()


def _payload(key: str, content: bytes) -> bytes | None:
    payload = content[HEADER:]
    return payload if content[:HEADER] == _header(key, payload) else None


def _trusted_folder(make: bool = False) -> str:
    """The cache folder if nobody else can put code there, else ""."""
    folder = config.cache.value
    if not folder:
        return ""
    try:
        if make:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        return folder if _is_private(os.stat(folder)) else ""
    except OSError:
        return ""


def _is_private(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return stat.S_ISDIR(status.st_mode)
    me = os.geteuid()
    owned = me == 0 or status.st_uid in (0, me)
    return stat.S_ISDIR(status.st_mode) and owned and not status.st_mode & stat.S_IWOTH


def _write(path: str, content: bytes) -> bool:
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        _forget(temporary)
        return False
    return True


def _refresh(path: str) -> None:
    with contextlib.suppress(OSError):
        if time.time() - os.stat(path).st_mtime > REFRESH:
            os.utime(path)


def _forget(path: str) -> bool:
    with contextlib.suppress(OSError):
        os.unlink(path)
        return True
    return False


def _entries(folder: str, temporaries: bool = False) -> Iterator[tuple[str, int, float]]:
    """(path, bytes, time of last use) of each object in `folder`."""
    if not folder:
        return
    endings = (SUFFIX, ".tmp") if temporaries else (SUFFIX,)
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(endings):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    yield entry.path, status.st_size, status.st_mtime


def _is_time_to_count(key: str, added: int) -> bool:
    """Drawn by the key, in proportion to what is added: nobody has to remember how much there is.

    Counting tens of thousands of files takes a tenth of a second, which only so many stores cost.
    """
    limit = config.cache_size.value << 20
    return int(key[:8], 16) * limit <= COUNTS * _on_disk(added) << 32


def _on_disk(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _bound(folder: str) -> None:
    """Evict the oldest objects once the folder is over its bound, down to 3/4 of it."""
    _sweep_temporaries(folder)
    limit = config.cache_size.value << 20
    oldest_first = sorted(_entries(folder), key=lambda entry: entry[2])
    total = sum(_on_disk(bytes_) for _, bytes_, _ in oldest_first)
    if total <= limit:
        return
    for path, bytes_, _ in oldest_first:
        if total <= limit * 3 // 4:
            return
        total -= _on_disk(bytes_) if _forget(path) else 0


def _sweep_temporaries(folder: str) -> None:
    horizon = time.time() - STALE_TEMPORARY
    for path, _, modified in list(_entries(folder, temporaries=True)):
        if path.endswith(".tmp") and modified < horizon:
            _forget(path)
