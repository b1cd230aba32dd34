"""Downloading by the standard library: resumed where it was cut, checked, shown as it goes."""
from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import time
import urllib.error
import urllib.request

CHUNK = 1 << 18
TRIES = 3


def digest_of(path: str, kind: str = "md5") -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_whole(path: str, md5: str | None) -> bool:
    """Whether a file is there with this checksum."""
    return os.path.isfile(path) and (md5 is None or digest_of(path) == md5)


def download(urls, path: str, md5: str | None) -> None:
    """Fetch the first of several addresses that works into a file.

    A part that was fetched before is kept in `path`.part and continued.

    Raises:
        RuntimeError: none works, or what came has another checksum; says why for each address.
    """
    if is_whole(path, md5):
        return
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    part, reasons = path + ".part", []
    for url in [urls] if isinstance(urls, str) else urls:
        for _ in range(TRIES):
            try:
                fetch(url, part)
            except (urllib.error.URLError, OSError) as error:
                reasons.append(f"{url}: {error}")
                continue
            if is_whole(part, md5):
                os.replace(part, path)
                return
            reasons.append(f"{url}: the file's MD5 is {digest_of(part)}, not {md5}")
            os.remove(part)
    raise RuntimeError(f"Error downloading {os.path.basename(path)}:\n" + "\n".join(reasons))


def fetch(url: str, part: str, is_shown: bool = True) -> None:
    """Append to a file what an address has beyond it."""
    have = os.path.getsize(part) if os.path.exists(part) else 0
    request = urllib.request.Request(url, headers={"User-Agent": "rushlight", "Range": f"bytes={have}-"}
                                     if have else {"User-Agent": "rushlight"})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:       # nothing is left
            return
        raise
    with answer:
        continued = answer.status == 206
        total = int(answer.headers.get("Content-Length") or 0) + (have if continued else 0)
        with open(part, "ab" if continued else "wb") as file, Progress(os.path.basename(part)[:-5], total, is_shown) as bar:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.show(file.tell())
    if total and os.path.getsize(part) < total:
        raise OSError(f"the connection ended after {os.path.getsize(part)} of {total} bytes")


class Progress:
    """A line on the terminal that says how much of a file is there; nothing where there is none."""

    def __init__(self, name: str, total: int, is_shown: bool = True):
        self.name, self.total, self.shown = name, total, 0.0
        self.is_shown = is_shown and sys.stderr.isatty()

    def __enter__(self):
        return self

    def show(self, done: int) -> None:
        if not self.is_shown or time.monotonic() - self.shown < 0.1:
            return
        self.shown = time.monotonic()
        part = f" ({100 * done // self.total}%)" if self.total else ""
        sys.stderr.write(f"\r{self.name}: {done / 1e6:.1f} MB{part}")
        sys.stderr.flush()

    def __exit__(self, *_):
        if self.shown:
            sys.stderr.write("\n")


def unpack_tar(path: str, folder: str) -> None:
    """Unpack an archive; members that would land outside of the folder are refused."""
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
