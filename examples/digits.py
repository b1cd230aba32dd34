"""Handwritten digits with a small convolutional network.

A plain PyTorch program:

    python examples/digits.py             in PyTorch
    rushlight run examples/digits.py      in rushlight, unchanged

1,797 images of 8x8 pixels come with scikit-learn, so nothing is downloaded. 60% of them train the
network, 20% choose the best epoch, 20% test it.
"""
import argparse
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split
from tqdm import tqdm

CLASSES = 10


class Digits(Dataset):
    """Images (1, 8, 8) with values in [0, 1], and what digit each shows."""

    def __init__(self):
        digits = load_digits()
        self.images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        self.labels = torch.tensor(digits.target, dtype=torch.int64)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


class Net(nn.Module):
    """Two convolutions, two linear layers, dropout between them."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1, stride=2)
        self.fc1 = nn.Linear(32 * 4 * 4, 128)
        self.dropout = nn.Dropout(0.25)
        self.fc2 = nn.Linear(128, CLASSES)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(x))
        return self.fc2(self.dropout(x))


def train(model, loader, optimizer, epoch):
    """One pass over the training data; returns mean loss and accuracy."""
    model.train()
    seen, total_loss, correct = 0, 0.0, 0
    bar = tqdm(loader, desc=f"epoch {epoch}", leave=False)
    for images, labels in bar:
        optimizer.zero_grad()
        scores = model(images)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        seen += len(labels)
        total_loss += loss.item() * len(labels)
        correct += (scores.argmax(1) == labels).sum().item()
        bar.set_postfix(loss=f"{total_loss / seen:.4f}", accuracy=f"{correct / seen:.2%}")
    return total_loss / seen, correct / seen


@torch.no_grad()
def evaluate(model, loader):
    """Mean loss and accuracy, and how often digit i was taken for digit j."""
    model.eval()
    total_loss = 0.0
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for images, labels in loader:
        scores = model(images)
        total_loss += F.cross_entropy(scores, labels, reduction="sum").item()
        pairs = labels * CLASSES + scores.argmax(1)
        confusion += torch.bincount(pairs, minlength=CLASSES**2).view(CLASSES, CLASSES)
    seen = confusion.sum().item()
    return total_loss / seen, confusion.diagonal().sum().item() / seen, confusion


def show(confusion):
    print("confusion (rows: digit, columns: taken for)")
    print("     " + "".join(f"{j:4d}" for j in range(CLASSES)))
    for i, row in enumerate(confusion.tolist()):
        print(f"{i:4d} " + "".join(f"{n:4d}" if n else "   ." for n in row))


def main():
    parser = argparse.ArgumentParser(description="Train a network on scikit-learn's digits.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default=os.path.join("runs", "digits.pt"))
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    digits = Digits()
    parts = random_split(digits, [0.6, 0.2, 0.2])
    train_loader = DataLoader(parts[0], batch_size=args.batch_size, shuffle=True)
    valid_loader, test_loader = (DataLoader(part, batch_size=256) for part in parts[1:])
    print(f"torch {torch.__version__}: {', '.join(str(len(part)) for part in parts)} images "
          "to train, validate, test")

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    os.makedirs(os.path.dirname(args.checkpoint) or ".", exist_ok=True)
    best = -1.0
    for epoch in range(args.epochs):
        loss, accuracy = train(model, train_loader, optimizer, epoch)
        valid_loss, valid_accuracy, _ = evaluate(model, valid_loader)
        print(f"epoch {epoch:2d}  loss {loss:.7f}  accuracy {accuracy:.4f}  "
              f"valid loss {valid_loss:.7f}  valid accuracy {valid_accuracy:.4f}")
        if valid_accuracy > best:
            best = valid_accuracy
            torch.save(model.state_dict(), args.checkpoint)

    model.load_state_dict(torch.load(args.checkpoint))
    test_loss, test_accuracy, confusion = evaluate(model, test_loader)
    print(f"test loss {test_loss:.7f}  test accuracy {test_accuracy:.4f}")
    show(confusion)


if __name__ == "__main__":
    main()
