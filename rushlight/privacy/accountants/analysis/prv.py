"""Privacy loss random variables, composed numerically.

Source: Gopi, Lee and Wutschitz 2021, arXiv:2106.02848. The loss of one step, log(P / Q) at a draw from
P, is a random variable; that of many steps is a sum, whose distribution is a convolution. Each is
cut to [-L, L], put on a mesh so that its mean stays, and convolved by Fourier transforms; theorem 5.5
bounds what that costs: epsilon by eps_error, delta by delta_error.

A sample may be added or removed, so there are two pairs (P, Q): N(0, s^2) mixed with N(1, s^2) against
N(0, s^2), and the other way round. The larger epsilon counts.
"""
from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np

from . import rdp
from .special import normal_cdf

ALPHAS = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))
PANELS, NODES, REACH = 400, 16, 40.0        # of the integral for the mean; REACH in deviations


class Loss:
    """The loss of one step. `removed`: P is the mixture; else Q is."""

    def __init__(self, q: float, sigma: float, removed: bool = True):
        self.q, self.sigma, self.removed = q, sigma, removed

    def at(self, x):
        """log of mixture over normal at x; increasing."""
        y = (2 * x - 1) / (2 * self.sigma**2)
        if self.q == 1:
            return y
        return np.logaddexp(math.log1p(-self.q), math.log(self.q) + y)

    def where(self, t):
        """The x with at(x) = t; -inf below the least value."""
        if self.q == 1:
            return self.sigma**2 * t + 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.expm1(t) + self.q
            z = np.where(inside > 0, np.log(np.maximum(inside, 1e-320) / self.q), -np.inf)
        return self.sigma**2 * z + 0.5

    def cdf(self, t):
        """Of the loss."""
        x = self.where(t if self.removed else -t)
        s, q = self.sigma, self.q
        if self.removed:
            return (1 - q) * normal_cdf(x / s) + q * normal_cdf((x - 1) / s)
        return normal_cdf(-x / s)

    def mean_within(self, low: float, high: float) -> float:
        """The mean of the loss, if it is cut to low .. high, by Gauss and Legendre."""
        a, b = (low, high) if self.removed else (-high, -low)
        left = max(float(self.where(np.float64(a))), -REACH * self.sigma)
        right = min(float(self.where(np.float64(b))), 1 + REACH * self.sigma)
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        edges = np.linspace(left, right, PANELS + 1)
        half = np.diff(edges)[:, None] / 2
        x = edges[:-1, None] + half * (nodes + 1)
        density = self.density(x) * half * weights
        sign = 1 if self.removed else -1
        return float(sign * (self.at(x) * density).sum() / density.sum())

    def density(self, x):
        """Of P."""
        def normal(m):
            return np.exp(-((x - m) / self.sigma)**2 / 2)
        return (1 - self.q) * normal(0) + self.q * normal(1) if self.removed else normal(0)


class Mesh(NamedTuple):
    """`size` points, `step` apart, from the `first` multiple of the step, plus `offset`."""
    first: int
    step: float
    size: int
    offset: float = 0.0

    @property
    def low(self) -> float:
        return self.first * self.step + self.offset

    @property
    def points(self):
        return (self.first + np.arange(self.size)) * self.step + self.offset

    def moved(self, by: float) -> Mesh:
        return self._replace(offset=self.offset + by)


def mesh_for(reach: float, step: float) -> Mesh:
    """Whole steps over -reach .. reach at least, of a size for which Fourier transforms are quick."""
    half = math.ceil(reach / step)
    size = smooth(2 * half + 2)
    return Mesh(-(size // 2), step, size)


def smooth(n: int) -> int:
    """The least number >= n that is even and has no prime factor above 5."""
    best = 1 << (n - 1).bit_length()
    for fives in (5**k for k in range(28)):
        for odd in (fives * 3**k for k in range(40)):
            if 2 * odd >= 2 * best:
                break
            best = min(best, odd << max(1, (-(-n // odd) - 1).bit_length()))
    return best


def reach_for(history, eps_error: float, delta_error: float) -> float:
    """How far losses must be followed (remark 5.6): tails by Renyi divergences."""
    def epsilon(entries, delta):
        total = sum(rdp.compute_rdp(q=q, noise_multiplier=s, steps=n, orders=ALPHAS) for s, q, n in entries)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return rdp.get_privacy_spent(orders=ALPHAS, rdp=total, delta=delta)[0]
    steps = sum(n for _, _, n in history)
    tails = [epsilon([(s, q, 1)], delta_error / (8 * steps)) for s, q, _ in history]
    return max(epsilon(history, delta_error / 4), *tails, eps_error) + 3


class Composed(NamedTuple):
    """The distribution of a sum of losses."""
    masses: np.ndarray
    mesh: Mesh

    def epsilon(self, delta: float) -> float:
        """The least epsilon with sum_t p(t) max(0, 1 - exp(epsilon - t)) <= delta."""
        t = self.mesh.points
        tail = np.cumsum(self.masses[::-1])[::-1]
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.cumsum((self.masses * np.exp(-t))[::-1])[::-1]
            negative = np.exp(t) * scaled - tail
        i = int(np.searchsorted(negative, -delta, side="left"))
        if i <= 0 or i >= len(t):
            raise RuntimeError("Cannot compute epsilon")
        return float(np.log((tail[i] - delta) / scaled[i]))


def on_mesh(loss: Loss, mesh: Mesh) -> Composed:
    """The loss cut to the mesh, moved so that its mean is right."""
    low, high = mesh.low, mesh.low + mesh.step * (mesh.size - 1)
    edges = (mesh.first + np.arange(mesh.size + 1) - 0.5) * mesh.step
    bounds = loss.cdf(np.array([low, high]))
    inside = np.clip(loss.cdf(edges), *bounds)
    inside[0], inside[-1] = bounds
    masses = np.diff((inside - bounds[0]) / (bounds[1] - bounds[0]))
    shift = loss.mean_within(low, high) - float(mesh.points @ masses)
    if abs(shift) >= mesh.step / 2:
        raise RuntimeError("Discrete mean differs significantly from continuous mean.")
    return Composed(masses, mesh.moved(shift))


def powered(one: Composed, steps: int) -> Composed:
    """The sum of `steps` equal losses, on the same points."""
    if steps == 1:
        return one
    mesh = one.mesh
    masses = np.fft.irfft(np.fft.rfft(one.masses)**steps, mesh.size)
    turns = (steps - 1) * mesh.first % mesh.size        # the sum of first points is not the first point
    return Composed(np.roll(masses, turns), mesh.moved(mesh.offset * (steps - 1)))


def joined(a: Composed, b: Composed) -> Composed:
    """The sum of two losses on the same points."""
    n, start = a.mesh.size, -a.mesh.first
    full = np.fft.irfft(np.fft.rfft(a.masses, 2 * n) * np.fft.rfft(b.masses, 2 * n), 2 * n)
    return Composed(full[start:start + n], a.mesh.moved(b.mesh.offset))


def epsilon_of(history, delta: float, eps_error: float, delta_error: float, removed: bool) -> float:
    """An upper bound of epsilon for one of the two neighbourhoods."""
    steps = sum(n for _, _, n in history)
    reach = reach_for(history, eps_error, delta_error)
    mesh = mesh_for(reach, eps_error / math.sqrt(steps * math.log(12 / delta_error) / 2))
    if np.finfo(np.longdouble).eps * mesh.size > delta - delta_error:
        raise ValueError("Floating point errors will dominate for such small values of delta. Increase "
                         "delta or reduce domain size.")
    total = None
    for sigma, q, n in history:
        part = powered(on_mesh(Loss(q, sigma, removed), mesh), n)
        total = part if total is None else joined(total, part)
    return total.epsilon(delta - delta_error) + eps_error
