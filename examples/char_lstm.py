"""A character-level LSTM that learns to write its own source.

    rushlight run examples/char_lstm.py

Truncated back-propagation through time: the state goes on from window to window, detached, so that
gradients stay within a window.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn


class CharLSTM(nn.Module):
    """Characters (N, T) to scores of the next ones (N, T, characters), and the new state."""

    def __init__(self, characters, hidden=128, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(characters, 32)
        self.lstm = nn.LSTM(32, hidden, layers, batch_first=True, dropout=0.1)
        self.head = nn.Linear(hidden, characters)

    def forward(self, tokens, state=None):
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.head(hidden), state


def windows(text, streams, length):
    """Endless (inputs, targets, first of its streams?), each (streams, length)."""
    per_stream = (len(text) - 1) // streams
    inputs = text[:streams * per_stream].view(streams, per_stream)
    targets = text[1:streams * per_stream + 1].view(streams, per_stream)
    while True:
        for i in range(0, per_stream - length + 1, length):
            yield inputs[:, i:i + length], targets[:, i:i + length], i == 0


@torch.no_grad()
def write(model, alphabet, start, count, temperature=0.5):
    model.eval()
    tokens = torch.tensor([[alphabet.index(c) for c in start]])
    text, state = start, None
    for _ in range(count):
        scores, state = model(tokens, state)
        tokens = torch.multinomial((scores[:, -1] / temperature).softmax(-1), 1)
        text += alphabet[tokens.item()]
    return text


def main():
    parser = argparse.ArgumentParser(description="Learn to write this program.")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--write", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    with open(__file__, encoding="utf-8") as f:
        source = f.read()
    alphabet = sorted(set(source))
    text = torch.tensor([alphabet.index(c) for c in source])
    model = CharLSTM(len(alphabet))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    state = None
    for step, (inputs, targets, first) in zip(range(args.steps), windows(text, 16, args.length)):
        state = None if first else tuple(part.detach() for part in state)
        optimizer.zero_grad()
        scores, state = model(inputs, state)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step < 5 or step % 50 == 49:
            print(f"step {step:4d}  loss {loss.item():.6f}")
    print(write(model, alphabet, "def ", args.write))


if __name__ == "__main__":
    main()
