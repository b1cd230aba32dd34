"""A damped oscillation fitted by LBFGS in float64.

    rushlight run examples/curve_fit.py

Four numbers are found from noisy measurements; their standard errors come from the Jacobian of the
curve at the end.
"""
import argparse

import torch
from torch.func import jacrev

TRUE = (2.0, 0.3, 4.0, 0.5)
NAMES = ("amplitude", "damping", "frequency", "phase")


def curve(parameters, t):
    amplitude, damping, frequency, phase = parameters
    return amplitude * torch.exp(-damping * t) * torch.sin(frequency * t + phase)


def standard_errors(parameters, t, residual):
    """Roots of the diagonal of s² (JᵀJ)⁻¹, one for each parameter."""
    jacobian = jacrev(curve)(parameters, t)
    variance = residual.square().sum() / (len(t) - len(parameters))
    return (variance * torch.linalg.inv(jacobian.T @ jacobian)).diagonal().sqrt()


def main():
    parser = argparse.ArgumentParser(description="Fit a damped oscillation.")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_default_dtype(torch.float64)
    t = torch.linspace(0, 6, 120)
    measured = curve(torch.tensor(TRUE), t) + 0.05 * torch.randn(120)
    parameters = torch.tensor([1.0, 0.1, 3.7, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=5, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (curve(parameters, t) - measured).square().mean()
        loss.backward()
        return loss

    for step in range(args.steps):
        print(f"step {step:4d}  loss {optimizer.step(closure).item():.12f}")

    found = parameters.detach()
    errors = standard_errors(found, t, curve(found, t) - measured)
    for name, value, error, true in zip(NAMES, found.tolist(), errors.tolist(), TRUE):
        print(f"{name:10s} {value:8.4f} ± {error:.4f}   (true {true})")


if __name__ == "__main__":
    main()
