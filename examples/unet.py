"""A U-Net that finds discs in noisy pictures, pixel by pixel.

    rushlight run examples/unet.py

Pictures and masks are made here. Ronneberger, Fischer and Brox (2015): down by pooling, up by
transposed convolutions, and each size passed across by joining channels.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 32


def sample(count):
    """Noisy pictures and their masks, both (count, 1, SIZE, SIZE): two discs in each."""
    grid = torch.arange(SIZE, dtype=torch.float32)
    centre = torch.randint(4, SIZE - 4, (2, count, 2, 1, 1)).float()
    radius = torch.randint(3, 8, (count, 2, 1, 1)).float()
    inside = (grid.view(SIZE, 1) - centre[0])**2 + (grid - centre[1])**2 <= radius**2
    mask = inside.any(dim=1, keepdim=True).float()
    return mask + 0.7 * torch.randn(count, 1, SIZE, SIZE), mask


def convolutions(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
                         nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1),
                         nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Module):
    """Pictures (N, 1, H, W), H and W multiples of 4, to scores of the same shape."""

    def __init__(self, widths=(8, 16, 32)):
        super().__init__()
        self.down = nn.ModuleList(convolutions(a, b) for a, b in zip((1, *widths), widths))
        wide_first = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in wide_first)
        self.join = nn.ModuleList(convolutions(2 * b, b) for _, b in wide_first)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        passed = []
        for layer in self.down:
            x = layer(F.max_pool2d(x, 2) if passed else x)
            passed.append(x)
        for up, join, across in zip(self.up, self.join, passed[-2::-1]):
            x = join(torch.cat((across, up(x)), dim=1))
        return self.head(x)


def criterion(scores, mask):
    """Binary cross-entropy plus one minus the Dice coefficient."""
    probability = scores.sigmoid()
    dice = 2 * (probability * mask).sum() / (probability.sum() + mask.sum())
    return F.binary_cross_entropy_with_logits(scores, mask) + 1 - dice


def intersection_over_union(scores, mask):
    found, wanted = scores > 0, mask > 0.5
    return ((found & wanted).sum() / (found | wanted).sum()).item()


def main():
    parser = argparse.ArgumentParser(description="Find discs in noise.")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(args.steps):
        images, masks = sample(8)
        optimizer.zero_grad()
        loss = criterion(model(images), masks)
        loss.backward()
        optimizer.step()
        if step < 5 or step % 10 == 9:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    model.eval()
    images, masks = sample(32)
    with torch.no_grad():
        print(f"intersection over union {intersection_over_union(model(images), masks):.4f}")


if __name__ == "__main__":
    main()
