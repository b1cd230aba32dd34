"""python -m bench.growing [NAME ...] [--threads N]: loops in which every turn has other sizes.

Each library runs a loop in a process of its own, three times: in the first one all sizes are new, later
ones meet them again. PyTorch's time is the best of its three.
"""
from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from time import perf_counter

from .machine import torch_python
from .report import ROOT, Table

TURNS = 3
CODE = """
import json, sys
sys.path.insert(0, {root!r})
from bench.growing import turns
print(json.dumps(turns({library!r}, {name!r}, {threads})))
"""


# -- programs: make(torch) -> loop, which returns a number that tells whether it is right -----------------
def transformer(torch, layers, width, heads=8, words=256, context=512):
    """A decoder; `cache`, if there is one, holds the keys and values of each layer."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x, cache):
            b, t, _ = x.shape
            q, k, v = (part.view(b, t, heads, width // heads).transpose(1, 2)
                       for part in self.qkv(self.before(x)).split(width, 2))
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            if cache is not None:
                cache[:] = k, v
            y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, width))
            return x + self.down(F.gelu(self.up(self.between(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.word, self.place = nn.Embedding(words, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, at, caches=None, start=0):
            x = self.word(at) + self.place(torch.arange(start, start + at.shape[1]))
            for n, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[n])
            return self.head(self.norm(x[:, -1]))

    torch.manual_seed(0)
    return Decoder().eval()


def sampling(layers, width, count, cached):
    """Greedy sampling, one more word each turn."""
    def make(torch):
        net = transformer(torch, layers, width)

        def loop():
            at, start = torch.tensor([[1, 2, 3, 4]]), 0
            caches = [[] for _ in net.blocks] if cached else None
            words = at
            with torch.no_grad():
                for _ in range(count):
                    following = net(words, caches, start).argmax(-1, keepdim=True)
                    following.item()
                    at = torch.cat((at, following), 1)
                    words, start = (following, at.shape[1] - 1) if cached else (at, 0)
            return at.sum().item()
        return loop
    return make


def beams(torch):
    """Sampling with a batch that gets smaller by one every few words."""
    net = transformer(torch, 4, 256)

    def loop():
        at = torch.arange(32).view(16, 2)
        with torch.no_grad():
            for n in range(48):
                following = net(at).argmax(-1, keepdim=True)
                following.tolist()
                at = torch.cat((at, following), 1)[: 16 - n // 4]
        return at.sum().item()
    return loop


def recurrent(torch):
    """An LSTM cell over sequences of every length from 5 to 40, outputs collected in a list."""
    torch.manual_seed(0)
    cell, head = torch.nn.LSTMCell(64, 128), torch.nn.Linear(128, 10)
    x = torch.randn(40, 16, 64)

    def loop():
        total = 0.0
        for length in range(5, 41):
            h = c = torch.zeros(16, 128)
            outputs = []
            for t in range(length):
                h, c = cell(x[t], (h, c))
                outputs.append(h)
            loss = head(torch.stack(outputs)).square().mean()
            loss.backward()
            total += loss.item()
            cell.zero_grad()
            head.zero_grad()
        return total
    return loop


def gated(torch):
    """A GRU cell whose last state is what counts; lengths in no order."""
    torch.manual_seed(0)
    cell, head = torch.nn.GRUCell(64, 128), torch.nn.Linear(128, 10)
    x, y = torch.randn(48, 16, 64), torch.arange(16) % 10

    def loop():
        total = 0.0
        for turn in range(40):
            h = torch.zeros(16, 128)
            for t in range(6 + turn * 17 % 41):
                h = cell(x[t], h)
            loss = torch.nn.functional.cross_entropy(head(h), y)
            loss.backward()
            total += loss.item()
            cell.zero_grad()
            head.zero_grad()
        return total
    return loop


def ragged(torch):
    """Items of a list one by one, their gradients gathered for a step."""
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    opt = torch.optim.SGD(net.parameters(), 1e-3)
    x = torch.randn(200, 32)

    def loop():
        total = 0.0
        for step in range(40):
            opt.zero_grad()
            for item in range(4 + step % 5):
                loss = net(x[: 5 + (step * 31 + item * 57) % 190]).square().mean() / 8
                loss.backward()
            opt.step()
            total += loss.item()
        return round(total, 3)
    return loop


def images(torch):
    """A small convolutional net over images of many sizes, one at a time."""
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
                        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    x = torch.randn(1, 3, 96, 96)
    opt = torch.optim.SGD(net.parameters(), 1e-3)

    def loop():
        total = 0.0
        for turn in range(60):
            image = x[:, :, : 24 + turn * 29 % 71, : 24 + turn * 13 % 67]
            loss = F.cross_entropy(net(image), torch.tensor([turn % 10]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        return round(total, 2)
    return loop


def lengths(torch):
    """Training of an encoder on batches that are as long as their longest sentence."""
    F = torch.nn.functional
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
    net = torch.nn.TransformerEncoder(layer, 2)
    word, head = torch.nn.Embedding(1000, 128), torch.nn.Linear(128, 2)
    opt = torch.optim.Adam([*net.parameters(), *word.parameters(), *head.parameters()], 1e-5)

    def loop():
        total = 0.0
        for turn in range(60):
            length = 8 + turn * 37 % 61
            at = (torch.arange(16 * length) * 7 % 1000).view(16, length)
            loss = F.cross_entropy(head(net(word(at)).mean(1)), torch.arange(16) % 2)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        return round(total, 2)
    return loop


def epoch(torch):
    """Small convolutional net over a data set whose last batch is smaller."""
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 10))
    x, y = torch.randn(300, 1, 28, 28), torch.randint(0, 10, (300,))
    opt = torch.optim.SGD(net.parameters(), 1e-3)

    def loop():
        total = 0.0
        for a, b in zip(x.split(64), y.split(64)):
            loss = F.cross_entropy(net(a), b)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        return round(total, 1)
    return loop


LOOPS = {
    "gpt 4x256, 100 words": sampling(4, 256, 100, False),
    "gpt 4x256, 100 words, cached": sampling(4, 256, 100, True),
    "gpt 12x256, 60 words, cached": sampling(12, 256, 60, True),
    "gpt 6x768, 60 words": sampling(6, 768, 60, False),
    "gpt 6x768, 100 words, cached": sampling(6, 768, 100, True),
    "beam search, shrinking": beams,
    "LSTM cell, lengths 5 to 40": recurrent,
    "GRU cell, lengths 6 to 46": gated,
    "list of items, one by one": ragged,
    "images of 60 sizes": images,
    "encoder, lengths 8 to 68": lengths,
    "epoch with a last batch": epoch,
}


# -- measuring --------------------------------------------------------------------------------------
def turns(library: str, name: str, threads: int) -> dict:
    """Seconds of each turn, and what the loops returned."""
    torch = importlib.import_module(library)
    torch.set_num_threads(threads)
    loop, seconds, results = LOOPS[name](torch), [], []
    torch.zeros(1).item()       # parameters are there before the clock starts, wherever they are made late
    for _ in range(TURNS):
        started = perf_counter()
        results.append(loop())
        seconds.append(perf_counter() - started)
    return {"seconds": seconds, "results": results}


def in_process(python: str, library: str, name: str, threads: int) -> dict:
    code = CODE.format(root=ROOT, library=library, name=name, threads=threads)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def row(name: str, python: str, threads: int) -> tuple:
    ours = in_process(sys.executable, "rushlight", name, threads)
    theirs = in_process(python, "torch", name, threads)
    first, again, best = ours["seconds"][0], min(ours["seconds"][1:]), min(theirs["seconds"])
    same = abs(ours["results"][0] - theirs["results"][0]) <= 1e-3 * abs(theirs["results"][0])
    return (name, *(f"{1e3 * s:.0f}" for s in (first, again, best)), f"{first / best:.2f}",
            f"{again / best:.2f}", "" if same else f"{ours['results'][0]} against {theirs['results'][0]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growing", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of names of loops")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch-python", default=sys.executable)
    options = parser.parse_args()
    python = torch_python(options.torch_python)
    rows = [row(name, python, options.threads) for name in LOOPS
            if not options.names or name.startswith(tuple(options.names))]
    print(Table("Loops of growing and shrinking sizes, ms", (
        "loop", "all new", "known", "PyTorch", "new / PyTorch", "known / PyTorch", "differs"), rows))


if __name__ == "__main__":
    main()
