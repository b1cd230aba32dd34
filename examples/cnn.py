"""Squares, discs and crosses in noise told apart by a convolutional network.

    rushlight run examples/cnn.py

The pictures are made here, so nothing is downloaded. Batch normalisation, pooling, dropout and a
learning rate that rises and falls within the run.
"""
import argparse

import torch
from torch import nn

SIZE = 20
SHAPES = ("square", "disc", "cross")


def pictures(count):
    """Noisy pictures (count, 1, SIZE, SIZE) of one shape each, and the shape of each (count,)."""
    shape = torch.randint(len(SHAPES), (count,))
    centre = torch.randint(6, SIZE - 6, (2, count, 1, 1))
    half = torch.randint(4, 7, (count, 1, 1))
    y = (torch.arange(SIZE).view(1, SIZE, 1) - centre[0]).abs()
    x = (torch.arange(SIZE).view(1, 1, SIZE) - centre[1]).abs()
    inside = torch.stack((torch.maximum(x, y) <= half,
                          x**2 + y**2 <= half**2,
                          (torch.minimum(x, y) == 0) & (torch.maximum(x, y) <= half)))
    chosen = inside[shape, torch.arange(count)].float()
    return (chosen + 0.3 * torch.randn(count, SIZE, SIZE)).unsqueeze(1), shape


def block(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.MaxPool2d(2))


def main():
    parser = argparse.ArgumentParser(description="Tell squares, discs and crosses apart.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = nn.Sequential(block(1, 16), block(16, 32), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
                          nn.Dropout(0.2), nn.Linear(32 * 9, len(SHAPES)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=args.steps)
    criterion = nn.CrossEntropyLoss()
    model.train()
    for step in range(args.steps):
        images, shapes = pictures(64)
        optimizer.zero_grad()
        loss = criterion(model(images), shapes)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step < 5 or step % 40 == 39:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    model.eval()
    with torch.no_grad():
        images, shapes = pictures(300)
        right = model(images).argmax(1) == shapes
    print("  ".join(f"{name} {right[shapes == number].float().mean().item():.1%}"
                    for number, name in enumerate(SHAPES)))


if __name__ == "__main__":
    main()
