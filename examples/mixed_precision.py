"""The arms of a spiral again, by a wide network, in float32 and in bfloat16 under autocast.

    rushlight run examples/mixed_precision.py

Weights, their updates and the loss stay in float32; products of matrices are of bfloat16. On a CPU with dot
products of bfloat16 (AVX-512 BF16) these take less time; what is learnt is the same.
"""
import argparse
import math
import time

import torch
from torch import nn

ARMS = 3


def spirals(points, noise=0.3):
    """Points (ARMS * points, 2) on arms that wind around each other, and the arm of each."""
    radius = torch.linspace(0.1, 1, points).repeat(ARMS)
    arm = torch.arange(ARMS).repeat_interleave(points)
    angle = 5 * radius + arm * (2 * math.pi / ARMS) + noise * torch.randn(ARMS * points)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1), arm


def network(width):
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, width), nn.ReLU(), nn.Linear(width, ARMS))


def train(model, points, arms, steps, reduced):
    """Train; the losses of the steps, and the seconds that the fastest took."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, fastest = [], math.inf
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            scores = model(points)
        loss = nn.functional.cross_entropy(scores.float(), arms)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        fastest = min(fastest, time.perf_counter() - start)
    return losses, fastest


def accuracy(model, points, arms):
    with torch.no_grad():
        return (model(points).argmax(1) == arms).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description="Train in float32 and in bfloat16, and compare.")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    points, arms = spirals(200)
    held_out = spirals(200)
    seconds = {}
    for name in ("float32", "bfloat16"):
        torch.manual_seed(args.seed)
        model = network(args.width)
        losses, seconds[name] = train(model, points, arms, args.steps, reduced=name == "bfloat16")
        if name == "float32":
            for step, loss in enumerate(losses[:5]):
                print(f"step {step:4d}  loss {loss:.6f}")
        print(f"{name:8}  {seconds[name] * 1e3:6.2f} ms a step, ends at {losses[-1]:.4f}, "
              f"accuracy {accuracy(model, *held_out):.4f} on points it has not seen")
    print(f"bfloat16 takes {seconds['bfloat16'] / seconds['float32']:.2f} of the time")


if __name__ == "__main__":
    main()
