"""Three arms of a spiral told apart by a multi-layer perceptron.

    rushlight run examples/mlp.py
"""
import argparse
import math

import torch
from torch import nn

ARMS = 3


def spirals(points, noise=0.15):
    """Points (ARMS * points, 2) on arms that wind around each other, and the arm of each."""
    radius = torch.linspace(0.1, 1, points).repeat(ARMS)
    arm = torch.arange(ARMS).repeat_interleave(points)
    angle = 5 * radius + arm * (2 * math.pi / ARMS) + noise * torch.randn(ARMS * points)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1), arm


def main():
    parser = argparse.ArgumentParser(description="Tell the arms of a spiral apart.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    points, arms = spirals(200)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                          nn.Linear(64, ARMS))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(args.steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(points), arms)
        loss.backward()
        optimizer.step()
        if step < 5 or step % 100 == 99:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    with torch.no_grad():
        accuracy = (model(points).argmax(1) == arms).float().mean().item()
    print(f"accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
