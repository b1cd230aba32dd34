"""An encoder-decoder Transformer that learns to reverse sequences of different length.

    rushlight run examples/transformer.py

Attention is written out. A padding mask hides what only fills up the batch, a sequence mask hides
later positions; the decoder needs both, joined by broadcasting and `&`.
"""
import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

PAD, START, END, FIRST = 0, 1, 2, 3
TOKENS, LONGEST = 13, 6


def padding_mask(tokens):
    """True where tokens (N, T) are real: (N, 1, 1, T), for all heads and queries."""
    return (tokens != PAD)[:, None, None, :]


def sequence_mask(size):
    """True where a position may look, (1, 1, size, size): itself and what came before."""
    return (torch.triu(torch.ones(size, size), diagonal=1) == 0)[None, None]


def attention(query, key, value, mask, dropout=None):
    """Mixed values (N, H, T, D) and the weights (N, H, T, S) of scaled dot products."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    weights = scores.masked_fill(mask == 0, -1e9).softmax(dim=-1)
    if dropout is not None:
        weights = dropout(weights)
    return weights @ value, weights


class MultiHead(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)

    def forward(self, x, memory, mask):
        mixed, self.weights = attention(self.split(self.query(x)), self.split(self.key(memory)),
                                        self.split(self.value(memory)), mask, self.dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))


class PositionalEncoding(nn.Module):
    """Adds sines in the even columns and cosines in the odd ones."""

    def __init__(self, width, longest=64):
        super().__init__()
        position = torch.arange(longest).unsqueeze(1)
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        pe = torch.zeros(longest, width)
        pe[:, 0::2] = torch.sin(position * rate)
        pe[:, 1::2] = torch.cos(position * rate)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:x.size(1)]


class Layer(nn.Module):
    """Self-attention, attention to `memory` where there is one, and a feed-forward network."""

    def __init__(self, width, heads, dropout, crossed):
        super().__init__()
        self.own = MultiHead(width, heads, dropout)
        self.cross = MultiHead(width, heads, dropout) if crossed else None
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(),
                                  nn.Linear(2 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3 if crossed else 2)])

    def forward(self, x, mask, memory=None, memory_mask=None):
        norms = iter(self.norms)
        y = next(norms)(x)
        x = x + self.own(y, y, mask)
        if self.cross is not None:
            x = x + self.cross(next(norms)(x), memory, memory_mask)
        return x + self.feed(next(norms)(x))


class Transformer(nn.Module):
    def __init__(self, width=64, heads=4, layers=2, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width, padding_idx=PAD)
        self.position = PositionalEncoding(width)
        self.encoder, self.decoder = (
            nn.ModuleList([Layer(width, heads, dropout, crossed) for _ in range(layers)])
            for crossed in (False, True))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, TOKENS))

    def encode(self, source):
        x = self.position(self.embedding(source))
        for layer in self.encoder:
            x = layer(x, padding_mask(source))
        return x

    def decode(self, target, memory, memory_mask):
        mask = padding_mask(target) & sequence_mask(target.size(1))
        x = self.position(self.embedding(target))
        for layer in self.decoder:
            x = layer(x, mask, memory, memory_mask)
        return self.head(x)

    def forward(self, source, target):
        return self.decode(target, self.encode(source), padding_mask(source))

    @torch.no_grad()
    def answer(self, source):
        """The likeliest token at each place, one after the other: (N, LONGEST + 2)."""
        memory, target = self.encode(source), torch.full((len(source), 1), START)
        for _ in range(LONGEST + 1):
            scores = self.decode(target, memory, padding_mask(source))
            target = torch.cat((target, scores[:, -1].argmax(-1, keepdim=True)), dim=1)
        return target


def sample(count):
    """Sources (count, LONGEST) and their reversals (count, LONGEST + 2) with START and END."""
    lengths = torch.randint(2, LONGEST + 1, (count,))
    tokens = torch.randint(FIRST, TOKENS, (count, LONGEST))
    place = torch.arange(LONGEST)
    source = tokens * (place < lengths[:, None])
    backwards = (lengths[:, None] - 1 - place).clamp(min=0)
    reverse = source.gather(1, backwards) * (place < lengths[:, None])
    target = torch.zeros(count, LONGEST + 2, dtype=torch.int64)
    target[:, 0] = START
    target[:, 1:-1] = reverse
    target.scatter_(dim=1, index=lengths[:, None] + 1, value=END)
    return source, target


def main():
    parser = argparse.ArgumentParser(description="Learn to reverse sequences.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = Transformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.98))
    for step in range(args.steps):
        source, target = sample(64)
        optimizer.zero_grad()
        scores = model(source, target[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD,
                               label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        if step < 5 or step % 100 == 99:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    model.eval()
    source, target = sample(100)
    real = target != PAD
    right = ((model.answer(source) == target) | ~real).all(dim=1)
    print(f"reversed without a mistake {right.float().mean().item():.2%}")


if __name__ == "__main__":
    main()
