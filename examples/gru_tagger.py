"""A bidirectional GRU that tags every token of sequences of different length.

    rushlight run examples/gru_tagger.py

A token is tagged 1 when it equals the first or the last token of its sequence, otherwise 0, so both
directions are needed. Sequences are padded, packed for the network, and padding has no loss.
"""
import argparse
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

TOKENS, TAGS, IGNORED = 6, 2, -100


class Sequences(Dataset):
    """Sequences of 3 to 15 tokens from 1 to TOKENS, and a tag for each token."""

    def __init__(self, count):
        lengths = torch.randint(3, 16, (count,)).tolist()
        self.sequences = [torch.randint(1, TOKENS + 1, (length,)) for length in lengths]

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, i):
        tokens = self.sequences[i]
        return tokens, ((tokens == tokens[0]) | (tokens == tokens[-1])).long()


def collate(samples):
    """Padded tokens and tags (N, longest), and the lengths (N,)."""
    tokens, tags = zip(*samples)
    lengths = torch.tensor([len(sequence) for sequence in tokens])
    return (pad_sequence(tokens, batch_first=True),
            pad_sequence(tags, batch_first=True, padding_value=IGNORED), lengths)


class Tagger(nn.Module):
    """Tokens (N, T) of the given lengths to scores (N, T, TAGS)."""

    def __init__(self, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS + 1, 16, padding_idx=0)
        self.gru = nn.GRU(16, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, TAGS)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True,
                                      enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return self.head(hidden)


@torch.no_grad()
def accuracy(model, loader):
    """Share of tokens that got their tag; padding does not count."""
    correct = seen = 0
    for tokens, tags, lengths in loader:
        real = tags != IGNORED
        correct += (model(tokens, lengths).argmax(-1) == tags)[real].sum().item()
        seen += real.sum().item()
    return correct / seen


def main():
    parser = argparse.ArgumentParser(description="Tag tokens like the first or the last one.")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    train = DataLoader(Sequences(512), batch_size=64, collate_fn=collate)
    test = DataLoader(Sequences(128), batch_size=64, collate_fn=collate)
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step, (tokens, tags, lengths) in zip(range(args.steps), cycle(train)):
        optimizer.zero_grad()
        scores = model(tokens, lengths)
        loss = F.cross_entropy(scores.transpose(1, 2), tags, ignore_index=IGNORED)
        loss.backward()
        optimizer.step()
        if step < 5 or step % 50 == 49:
            print(f"step {step:4d}  loss {loss.item():.6f}")
    print(f"accuracy {accuracy(model, test):.4f}")


if __name__ == "__main__":
    main()
