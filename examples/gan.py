"""A generative adversarial network that learns eight clusters on a circle.

    rushlight run examples/gan.py

Each network has its own optimiser. The discriminator sees generated points detached, so that its
step leaves the generator alone; the generator is rewarded for points that are taken for real.
"""
import argparse
import math

import torch
from torch import nn

CLUSTERS, NOISE = 8, 16


def centres():
    angle = torch.arange(CLUSTERS) * (2 * math.pi / CLUSTERS)
    return torch.stack((angle.cos(), angle.sin()), dim=1)


def real_points(count):
    """Points (count, 2) around the centres."""
    return centres()[torch.randint(CLUSTERS, (count,))] + 0.05 * torch.randn(count, 2)


def network(inputs, outputs, activation):
    return nn.Sequential(nn.Linear(inputs, 128), activation, nn.Linear(128, 128), activation,
                         nn.Linear(128, outputs))


def main():
    parser = argparse.ArgumentParser(description="Learn to make points like the given ones.")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    generator = network(NOISE, 2, nn.ReLU())
    discriminator = network(2, 1, nn.LeakyReLU(0.2))
    criterion = nn.BCEWithLogitsLoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    ones, zeros = torch.ones(args.batch_size, 1), torch.zeros(args.batch_size, 1)
    for step in range(args.steps):
        fake = generator(torch.randn(args.batch_size, NOISE))

        optimizer_d.zero_grad()
        loss_real = criterion(discriminator(real_points(args.batch_size)), ones)
        loss_fake = criterion(discriminator(fake.detach()), zeros)
        loss_d = loss_real + loss_fake
        loss_d.backward()
        optimizer_d.step()

        optimizer_g.zero_grad()
        loss_g = criterion(discriminator(fake), ones)
        loss_g.backward()
        optimizer_g.step()
        if step < 5 or step % 500 == 499:
            print(f"step {step:4d}  discriminator loss {loss_d.item():.6f}  "
                  f"generator loss {loss_g.item():.6f}")

    with torch.no_grad():
        distance = torch.cdist(generator(torch.randn(1000, NOISE)), centres())
    nearest = distance.min(dim=1)
    reached = torch.bincount(nearest.indices[nearest.values < 0.2], minlength=CLUSTERS)
    print(f"clusters reached {(reached > 10).sum().item()} of {CLUSTERS}, "
          f"points near one {reached.sum().item() / 1000:.1%}")


if __name__ == "__main__":
    main()
