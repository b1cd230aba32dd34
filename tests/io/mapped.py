"""A large checkpoint opened by `torch.load(mmap=True)`: in milliseconds, reading only what is touched.

    python -m tests.io.mapped --gib 2
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

import rushlight as torch

PARTS, TOUCHED = 16, 1 << 20


def resident() -> int:
    """Bytes of files that are in this process' memory."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("RssFile"))


def opening(path: str) -> float:
    start = time.perf_counter()
    torch.load(path, mmap=True)
    return time.perf_counter() - start


def run(path: str, nbytes: int) -> tuple[float, int, int]:
    """Seconds to open, and bytes of the file that were read by opening, and by then summing `TOUCHED` bytes of it."""
    count = nbytes // 4 // PARTS
    torch.save({f"w{k}": torch.full((count,), float(k)) for k in range(PARTS)}, path)
    seconds = min(opening(path) for _ in range(5))
    before = resident()
    found = torch.load(path, mmap=True)
    opened = resident() - before
    middle = found["w7"][count // 2:count // 2 + TOUCHED // 4]
    assert middle.sum().item() == 7 * middle.numel() and found["w3"].shape == (count,)
    return seconds, opened, resident() - before - opened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, opened, touched = run(os.path.join(folder, "large.pt"), int(options.gib * (1 << 30)))
    print(f"{options.gib:g} GiB opened in {1000 * seconds:.1f} ms, {opened / 1024:.0f} KiB of it read; "
          f"summing {TOUCHED >> 20} MiB of it read {touched / (1 << 20):.1f} MiB")


if __name__ == "__main__":
    sys.exit(main())
