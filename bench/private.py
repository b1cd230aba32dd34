"""What privacy costs: a private step beside an ordinary one, in rushlight and in PyTorch with Opacus.

    python bench/private.py LIBRARY NAME BATCH [--seconds S] [--threads N]      one program, one line of JSON

Programs: the network of Opacus' MNIST example, an MLP 784-512-512-10, a small Transformer (two layers of width 64, 32
words). Modes take turns in one process, and the best step of each counts, noise and update included.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings

from .report import ROOT, Table

HEADER = ("workload", "ordinary", "hooks", "ghost", "ratio", "memory", "PyTorch", "Opacus hooks",
          "Opacus ghost", "ratio, Opacus")
NOTE = ("Milliseconds a step, the best of many. Ratios are ghost mode's to the ordinary step of the same "
        "library; memory is that of all tensors and temporaries of rushlight's step in ghost mode, to the "
        "ordinary one's.")
BATCHES = 64, 512
LIBRARIES = "rushlight", "opacus"
TIMEOUT = 600
WARMING = 1.0           # seconds


def programs(torch):
    nn, F = torch.nn, torch.nn.functional

    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 16, 8, 2, padding=3), nn.Conv2d(16, 32, 4, 2)
            self.fc1, self.fc2 = nn.Linear(512, 32), nn.Linear(32, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2, 1)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2, 1)
            return self.fc2(F.relu(self.fc1(x.flatten(1))))

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places, self.out = nn.Embedding(1000, 64), nn.Embedding(32, 64), nn.Linear(64, 10)
            layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            places = torch.arange(x.shape[1]).repeat(len(x), 1)        # Opacus' ghost mode takes no expanded ones
            return self.out(self.layers(self.words(x) + self.places(places)).mean(1))

    for kind in (Images, Words):        # where pickle finds them: Opacus copies models that way
        kind.__qualname__ = kind.__name__
        globals()[kind.__name__] = kind

    def dense():
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return {"private_cnn": (Images, lambda n: torch.randn(n, 1, 28, 28)), "private_mlp": (dense, lambda n: torch.randn(n, 784)),
            "private_transformer": (Words, lambda n: torch.randint(0, 1000, (n, 32)))}


NAMES = "private_cnn", "private_mlp", "private_transformer"


def step_of(torch, private, name, n, mode):
    """A function that makes one training step."""
    torch.manual_seed(0)
    make, data = programs(torch)[name]
    model, x, y, criterion = make(), data(n), torch.randint(0, 10, (n,)), torch.nn.CrossEntropyLoss()
    if mode != "ordinary" and private.__name__ == "opacus":
        model = private.validators.ModuleValidator.fix(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    if mode != "ordinary":
        bound = dict(max_grad_norm=1.0) if mode == "ghost" else {}
        model = private.grad_sample.prepare_module(model, mode, **bound)
        kind = private.optimizers.get_optimizer_class("flat", False, mode)
        optimizer = kind(optimizer, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=n)
    if mode == "ghost":
        criterion = private.utils.fast_gradient_clipping_utils.DPLossFastGradientClipping(model, optimizer, criterion)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def measured(library, name, n, seconds, threads) -> dict:
    """{mode: milliseconds}, and of rushlight {mode + memory: MiB}."""
    if library == "rushlight":
        import rushlight as torch
        from rushlight import privacy as private
    else:
        import opacus as private
        import opacus.optimizers
        import opacus.utils.fast_gradient_clipping_utils
        import opacus.validators
        import torch
    torch.set_num_threads(threads)
    modes = "ordinary", "hooks", "ghost"
    found = {m + "_mib": peak_of(name, n, m) for m in modes} if library == "rushlight" else {}
    steps = {mode: step_of(torch, private, name, n, mode) for mode in modes}
    best = dict.fromkeys(modes, float("inf"))
    for step in steps.values():
        tell_apart(library)
        end = time.perf_counter() + WARMING
        step()
        for _ in range(3):
            if time.perf_counter() < end:       # what takes seconds is not warmer the next time
                step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for mode, step in steps.items():
            start = time.perf_counter()
            step()
            best[mode] = min(best[mode], time.perf_counter() - start)
    return found | {mode: 1e3 * t for mode, t in best.items()}


def tell_apart(library) -> None:
    """The next program is another one, not the last one grown, though it begins at the same line."""
    if library == "rushlight":
        from rushlight.trace import periods
        periods.begun.clear()


def peak_of(name, n, mode) -> float:
    """MiB of all tensors and temporaries of a program that is alone in the process."""
    import gc

    import rushlight
    from rushlight import privacy
    from rushlight.runtime import memory
    tell_apart("rushlight")
    step = step_of(rushlight, privacy, name, n, mode)
    for _ in range(3):
        step()
    gc.collect()
    memory.empty_cache()
    memory.reset_peak()
    step()
    return memory.statistics().peak / 2**20


def measure(options) -> tuple[list[Table], bool]:
    """The section of `python -m bench`."""
    rows = [row(name, n, options) for name in NAMES for n in BATCHES
            if not options.only or name in options.only.split(",")]
    table = Table("Private training", HEADER, rows, NOTE)
    print(f"{table}\n", flush=True)
    return [table], not any("failed" in cell for r in rows for cell in r)


def row(name, n, options) -> tuple[str, ...]:
    pythons = {"rushlight": sys.executable, "opacus": options.torch_python}
    mine, theirs = (process(library, name, n, pythons[library], options) for library in LIBRARIES)
    return (f"{name} {n}", *[cell(mine, m) for m in ("ordinary", "hooks", "ghost")], ratio(mine, "ghost", "ordinary"),
            ratio(mine, "ghost_mib", "ordinary_mib"), *[cell(theirs, m) for m in ("ordinary", "hooks", "ghost")],
            ratio(theirs, "ghost", "ordinary"))


def process(library, name, n, python, options) -> dict:
    if python is None:
        return {}
    command = [python, "-m", "bench.private", library, name, str(n),
               "--seconds", str(options.seconds), "--threads", str(options.threads)]
    env = os.environ | {"PYTHONPATH": ROOT, "RUSHLIGHT_THREADS": str(options.threads)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        missing = "No module named 'opacus'" in done.stderr
        return {} if missing else {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def cell(facts, key) -> str:
    return f"failed: {facts['error']}" if "error" in facts else f"{facts[key]:.2f}" if key in facts else ""


def ratio(facts, key, base) -> str:
    return f"{facts[key] / facts[base]:.2f}" if key in facts else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("batch", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(json.dumps(measured(options.library, options.name, options.batch, options.seconds, options.threads)))


if __name__ == "__main__":
    main()
