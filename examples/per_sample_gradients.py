"""The gradient of each sample's loss: by a loop, by hooks, by vmap, and by what takes the cheapest way for each layer.

    rushlight run examples/per_sample_gradients.py

Prints the largest difference to the loop and how long each way takes. Gradients of samples are what private training
clips, what tells hard samples from easy ones, and what the noise of a step is made of, which is printed at the end.
"""
import argparse
import time

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from rushlight.privacy import GradSampleModule, per_sample_grads


def network(width):
    return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(),
                         nn.Linear(8 * 5 * 5, width), nn.Tanh(), nn.Linear(width, 10))


def by_a_loop(model, x, y):
    """One backward pass for each sample: the meaning of all other ways."""
    names, parameters = zip(*model.named_parameters())
    rows = [torch.autograd.grad(cross_entropy(model(x[i:i + 1]), y[i:i + 1]), parameters) for i in range(len(x))]
    return {name: torch.stack(column) for name, column in zip(names, zip(*rows))}


def by_hooks(model, x, y):
    """One backward pass for all; hooks note what went into each layer and the gradient at what came out."""
    watched = GradSampleModule(model)
    try:
        cross_entropy(watched(x), y).backward()         # a mean, which the hooks undo
        return {name: p.grad_sample for name, p in model.named_parameters()}
    finally:
        model.zero_grad()
        watched.to_standard_module()


def by_vmap(model, x, y):
    """The gradient of one sample's loss as a function, and that function for all samples at once."""
    parameters = dict(model.named_parameters())

    def loss(parameters, image, label):
        return cross_entropy(functional_call(model, parameters, (image.unsqueeze(0),)), label.unsqueeze(0))
    return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)


def by_layer(model, x, y):
    """Each layer by its cheapest exact way."""
    return per_sample_grads(model, cross_entropy, (x, y))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = network(args.width)
    x, y = torch.randn(args.batch, 1, 12, 12), torch.randint(0, 10, (args.batch,))
    wanted = by_a_loop(model, x, y)
    for way in (by_a_loop, by_hooks, by_vmap, by_layer):
        for _ in range(4):                              # the first ones compile
            start = time.perf_counter()
            found = way(model, x, y)
            torch.cpu.synchronize()
            took = time.perf_counter() - start
        largest = max((found[name] - wanted[name]).abs().max().item() for name in wanted)
        print(f"{way.__name__:10} {1e3 * took:7.1f} ms, largest difference {largest:.1e}")
    flat = torch.cat([g.flatten(1) for g in wanted.values()], 1)
    norms, noise = flat.norm(dim=1), flat.var(dim=0).sum().item()
    print(f"norms of the samples' gradients: {norms.min().item():.2f} to {norms.max().item():.2f}; "
          f"mean {flat.mean(0).norm().item():.2f}, noise {noise ** 0.5:.2f}")


if __name__ == "__main__":
    main()
