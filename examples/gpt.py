"""A small GPT that learns to add numbers written as text, and then is asked.

    rushlight run examples/gpt.py

Pre-norm blocks, causal attention, tied input and output embeddings, AdamW with warm-up and cosine
decay; answers are sampled with temperature and top-k.
"""
import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

ALPHABET = "0123456789+=.\n"


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))

    def attend(self, x):
        n, t, width = x.shape
        q, k, v = (part.view(n, t, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(n, t, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Tokens (N, T), T <= context, to scores of the next token (N, T, tokens)."""

    def __init__(self, tokens, context, width=64, heads=4, blocks=2):
        super().__init__()
        self.context = context
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.apply(self.initialise)
        self.head.weight = self.token.weight

    @staticmethod
    def initialise(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens):
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))

    @torch.no_grad()
    def sample(self, tokens, count, temperature=1.0, top_k=None):
        """`tokens` (N, T) continued by `count` drawn ones."""
        for _ in range(count):
            scores = self(tokens[:, -self.context:])[:, -1] / temperature
            if top_k is not None:
                least = scores.topk(top_k).values[:, -1:]
                scores = scores.masked_fill(scores < least, -math.inf)
            tokens = torch.cat((tokens, torch.multinomial(scores.softmax(-1), 1)), dim=1)
        return tokens


def encode(text):
    return torch.tensor([ALPHABET.index(c) for c in text])


def decode(tokens):
    return "".join(ALPHABET[i] for i in tokens)


def sums(count):
    """Text of `count` random sums, eleven characters each: `07+35=042.` and a line end."""
    pairs = torch.randint(100, (count, 2)).tolist()
    return "".join(f"{a:02d}+{b:02d}={a + b:03d}.\n" for a, b in pairs)


def warm_up_and_decay(steps, warm_up=20):
    def factor(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
    return factor


def main():
    parser = argparse.ArgumentParser(description="Learn to add by reading sums.")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = GPT(len(ALPHABET), context=33)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_and_decay(args.steps))
    for step in range(args.steps):
        text = encode(sums(32 * 3)).view(32, 33)
        optimizer.zero_grad()
        scores = model(text[:, :-1])
        loss = F.cross_entropy(scores.reshape(-1, len(ALPHABET)), text[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step < 5 or step % 40 == 39:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    model.eval()
    asked = encode("12+34=56+21=").view(2, 6)
    for answer in model.sample(asked, 5, temperature=0.8, top_k=3).tolist():
        print(repr(decode(answer)))


if __name__ == "__main__":
    main()
