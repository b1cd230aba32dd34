"""An autoencoder and a variational autoencoder of handwritten digits.

    rushlight run examples/vae.py              variational
    rushlight run examples/vae.py --plain      without noise and prior

1,797 images of 8x8 pixels come with scikit-learn, so nothing is downloaded. The loss is the bound
of Kingma and Welling (2014): reconstruction plus the divergence of the code from N(0, 1).
"""
import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PIXELS, CODE = 64, 8


class Autoencoder(nn.Module):
    """Images (N, 64) to codes (N, 8) and back; the code has a mean and a log-variance."""

    def __init__(self, plain):
        super().__init__()
        self.plain = plain
        self.encoder = nn.Sequential(nn.Linear(PIXELS, 128), nn.ReLU())
        self.mean = nn.Linear(128, CODE)
        self.log_variance = nn.Linear(128, CODE)
        self.decoder = nn.Sequential(nn.Linear(CODE, 128), nn.ReLU(), nn.Linear(128, PIXELS))

    def forward(self, x):
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean
        if not self.plain:
            code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(code), mean, log_variance

    def loss(self, x):
        """Negative bound of an image's log-likelihood, mean over the batch."""
        logits, mean, log_variance = self(x)
        total = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        if not self.plain:
            total = total - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        return total / len(x)


def show(images):
    """Images of values in [0, 1] as characters, side by side."""
    shades = " .:-=+*#%@"
    for row in (images.view(-1, 8, 8) * 9.99).to(torch.int64).transpose(0, 1).tolist():
        print("   ".join("".join(shades[level] for level in line) for line in row))


def batches(loader, steps):
    """`steps` batches, from the start again as often as needed."""
    while True:
        for (images,) in loader:
            if steps == 0:
                return
            steps -= 1
            yield images


def main():
    parser = argparse.ArgumentParser(description="Learn codes of handwritten digits.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    loader = DataLoader(TensorDataset(digits), batch_size=128, shuffle=True, drop_last=True)
    model = Autoencoder(args.plain)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step, images in enumerate(batches(loader, args.steps)):
        optimizer.zero_grad()
        loss = model.loss(images)
        loss.backward()
        optimizer.step()
        if step < 5 or step % 100 == 99:
            print(f"step {step:4d}  loss {loss.item():.5f}")

    with torch.no_grad():
        print("decoded from random codes")
        show(model.decoder(torch.randn(6, CODE)).sigmoid())


if __name__ == "__main__":
    main()
