"""Processes killed while they save: the file must always be one of the states, whole.

    python -m tests.io.kills --n 200 --seed 0

A child saves state after state to one path; it is killed at a random moment (SIGKILL), and the file is read.
"""
from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time

import rushlight as torch

TENSORS, SIZE = 8, 100_000


def state(step: int) -> dict:
    return {"step": step, **{f"w{i}": torch.full((SIZE,), float(step)) for i in range(TENSORS)}}


def save_forever(path: str, step: int, ready: int) -> None:
    while True:
        step += 1
        torch.save(state(step), path)
        os.write(ready, b".")


def killed(path: str, step: int, delay: float) -> int:
    """Saves from `step` on are killed after `delay` seconds of them; how many were finished."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_forever(path, step, writing)
        finally:
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)             # the first is there
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reading, "rb") as rest:
        return 1 + len(rest.read())


def whole(path: str) -> int:
    """The step of the file; an error if anything in it is of another."""
    found = torch.load(path)
    step = found["step"]
    assert found.keys() == state(step).keys()
    for i in range(TENSORS):
        w = found[f"w{i}"]
        assert w.shape == (SIZE,) and (w == step).all().item(), f"w{i} is not that of step {step}"
    return step


def run(n: int, seed: int) -> int:
    """How many of n kills hit a save; an AssertionError, or what `load` raises, if a state was lost."""
    dice, step, hits = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt")
        for _ in range(n):
            done = step + killed(path, step, dice.random() * 0.03)
            step = whole(path)
            assert step in (done, done + 1), f"{done} saves were finished, the file has step {step}"
            hits += any(name.endswith(".part") for name in os.listdir(folder))
            for name in os.listdir(folder):
                if name != "model.pt":
                    os.unlink(os.path.join(folder, name))
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()
    hits = run(options.n, options.seed)
    print(f"{options.n} kills, {hits} of them in the middle of a save, nothing lost, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
