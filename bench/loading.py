"""Samples a second out of a data loader with 0, 1 and 2 worker processes, here and in PyTorch."""
from __future__ import annotations

import sys
import time

import numpy as np

from .overheads import in_process
from .report import Table

WORKERS = 0, 1, 2
HEADER = "samples a second", "rushlight", "PyTorch", "ratio"
NOTE = ("The best pass of several over the same persistent workers, nothing else running. Rows: 784 floats of a TensorDataset, "
        "256 in a batch. Pictures: 3 x 96 x 96 bytes, cropped, flipped and scaled by NumPy, 64 in a batch. Stream: an "
        "IterableDataset of dictionaries, 64 in a batch. Large: 4 MB a sample, 4 in a batch. One thread in each process.")
SECONDS = 3.0           # of passes for each loader


def datasets(torch) -> dict:
    """(dataset, samples, batch size) by name."""
    data = torch.utils.data

    class Pictures(data.Dataset):
        def __init__(self, n):
            self.bytes = np.random.default_rng(0).integers(0, 256, (n, 96, 96, 3), np.uint8)

        def __len__(self):
            return len(self.bytes)

        def __getitem__(self, i):
            top, left = i % 9, i // 9 % 9
            crop = self.bytes[i, top:top + 88, left:left + 88]
            crop = crop[:, ::-1] if i % 2 else crop
            pixels = (crop.transpose(2, 0, 1).astype(np.float32) / 255 - 0.45) / 0.22
            return torch.from_numpy(pixels), i % 10

    class Stream(data.IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            info = data.get_worker_info()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            for i in range(first, self.n, step):
                yield {"ids": torch.tensor([i, i + 1, i + 2]), "name": f"sample {i}", "weight": i / 2}

    class Large(data.Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, i):
            return torch.full((1024, 1024), float(i))

    rows = data.TensorDataset(torch.ones(20_000, 784), torch.zeros(20_000, dtype=torch.int64))
    return {"rows": (rows, 20_000, 256), "pictures": (Pictures(2_000), 2_000, 64),
            "stream": (Stream(6_000), 6_000, 64), "large": (Large(), 64, 4)}


def loading(torch) -> dict[str, float]:
    """Samples a second by name and number of workers."""
    found = {}
    for name, (dataset, count, size) in datasets(torch).items():
        for workers in WORKERS:
            loader = torch.utils.data.DataLoader(dataset, batch_size=size, num_workers=workers, persistent_workers=workers > 0)
            found[f"{name}, {workers} worker{'s' * (workers != 1)}"] = count / best_pass(torch, loader, count)
    return found


def best_pass(torch, loader, count) -> float:
    """Seconds of the quickest pass; all samples must come, finished."""
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until or best == float("inf"):
        started, seen = time.perf_counter(), 0
        for batch in loader:
            first = next(iter(batch.values())) if isinstance(batch, dict) else batch[0] if isinstance(batch, list) else batch
            torch.cpu.synchronize()
            seen += len(first)
        best = min(best, time.perf_counter() - started)
        if seen != count:
            raise AssertionError(f"{seen} samples came instead of {count}")
    return best


def measure(options) -> tuple[list[Table], bool]:
    """One table: throughput and its ratio to PyTorch's, more is better."""
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for _ in range(options.repeat):             # by turns
        keep_best(ours, in_process(sys.executable, "rushlight", "loading", "loading"))
        keep_best(theirs, in_process(options.torch_python, "torch", "loading", "loading") if options.torch_python else {})
    table = Table("Data loaders", HEADER, [row(name, ours[name], theirs.get(name)) for name in ours], NOTE)
    print(f"{table}\n", flush=True)
    return [table], True


def keep_best(best: dict[str, float], found: dict[str, float]) -> None:
    best.update({name: max(value, best.get(name, 0.0)) for name, value in found.items()})


def row(name, a, b) -> tuple[str, ...]:
    return name, f"{a:,.0f}", "" if b is None else f"{b:,.0f}", "" if b is None else f"{a / b:.2f}"
