"""Workers of a data loader killed at random moments: each answered by an error that names it, nothing left.

    python -m tests.data.kills --n 100 --seed 0
"""
from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import threading
import time

import rushlight as torch
from rushlight.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    """Batches that go through shared memory."""

    def __len__(self):
        return 100_000

    def __getitem__(self, i):
        return torch.full((3, 64, 64), float(i)), i


def kept() -> tuple[int, int]:
    """Open descriptors, which shared memory has too, and threads."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def killed(dice: random.Random, workers: int, persistent: bool) -> float:
    """Seconds from the kill of a worker to the error that names it."""
    loader = DataLoader(Pictures(), batch_size=16, num_workers=workers, persistent_workers=persistent)
    it = iter(loader)
    pids = [one.process.pid for one in it.workers]
    victim, moment = dice.choice(pids), []

    def kill():
        moment.append(time.monotonic())
        os.kill(victim, signal.SIGKILL)
    timer = threading.Timer(dice.random() * 0.2, kill)
    timer.start()
    try:
        for x, y in it:
            assert (x[:, 0, 0, 0] == y).all()
        raise AssertionError("the loader came to its end")
    except RuntimeError as error:
        seconds = time.monotonic() - moment[0]
        assert f"(pid(s) {victim}) exited unexpectedly" in str(error) and "killed by signal: Killed" in str(error)
    timer.join()
    assert all(map(is_gone, pids)), "a worker is left"
    return seconds


def run(n: int, seed: int, seconds: float = 2) -> list[float]:
    dice, taken = random.Random(seed), []
    before = kept()
    for i in range(n):
        taken.append(killed(dice, dice.randint(1, 2), i % 2 == 1))
        assert taken[-1] < seconds, f"the error came after {taken[-1]:.1f} s"
    after = kept()
    assert all(a <= b for a, b in zip(after, before)), f"left behind: {before} -> {after}"
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    taken = sorted(run(options.n, options.seed))
    print(f"{options.n} workers killed, each named after {taken[len(taken) // 2] * 1000:.0f} ms (median), "
          f"{taken[-1] * 1000:.0f} ms at most; no process and no shared memory left")


if __name__ == "__main__":
    sys.exit(main())
