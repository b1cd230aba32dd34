"""Handwritten digits, learned with differential privacy.

A plain Opacus program:

    python examples/private_digits.py             in PyTorch with Opacus
    rushlight run examples/private_digits.py      in rushlight, unchanged

1,797 images of 8x8 pixels come with scikit-learn. 80% of them train a small convolutional network with
DP-SGD: batches are Poisson samples, each image's gradient is clipped, noise is added to their sum. What
is printed as epsilon bounds how much anybody can learn from the network about one single image.
"""
import argparse

import torch
import torch.nn.functional as F
from opacus import PrivacyEngine
from opacus.validators import ModuleValidator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    """Two convolutions with BatchNorm, which privacy does not allow, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.out = nn.Conv2d(16, 32, 3, padding=1), nn.Linear(32 * 4 * 4, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.out(x.flatten(1))


def data():
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    whole = TensorDataset(images, torch.tensor(digits.target, dtype=torch.int64))
    parts = [int(0.8 * len(whole)), len(whole) - int(0.8 * len(whole))]
    return random_split(whole, parts, generator=torch.Generator().manual_seed(0))


def accuracy(model, dataset):
    model.eval()
    with torch.no_grad():
        hits = [(model(x).argmax(1) == y).sum().item() for x, y in DataLoader(dataset, batch_size=512)]
    model.train()
    return sum(hits) / len(dataset)


def allowed(model):
    """The model with layers in the place of those that break privacy."""
    for error in ModuleValidator.validate(model):
        print("not private:", str(error)[:110], "...")
    fixed = ModuleValidator.fix(model)
    print("in its place:", fixed.norm)
    return fixed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--delta", type=float, default=5e-4)
    parser.add_argument("--clip", type=float, default=1.0)
    options = parser.parse_args()

    torch.manual_seed(0)
    train, test = data()
    model = allowed(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    engine = PrivacyEngine(accountant="prv")
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model, optimizer=optimizer, data_loader=DataLoader(train, batch_size=64),
        target_epsilon=options.epsilon, target_delta=options.delta, epochs=options.epochs,
        max_grad_norm=options.clip)
    print(f"{len(train)} images, {len(loader)} Poisson batches an epoch; each gradient is clipped to "
          f"{options.clip}, noise has {optimizer.noise_multiplier:.2f} times that deviation")
    for epoch in range(options.epochs):
        sizes = []
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            sizes.append(len(x))
        print(f"epoch {epoch + 1:2d}: batches of {min(sizes)} to {max(sizes)}, accuracy {accuracy(model, test):.3f}, "
              f"epsilon {engine.get_epsilon(options.delta):.2f} at delta {options.delta}")


if __name__ == "__main__":
    main()
