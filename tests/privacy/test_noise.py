"""Noise: what it is drawn from, and that the grid's is exact."""
import math
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest

import rushlight as torch
from rushlight.privacy import noise


def test_plain_noise_is_that_of_torch_normal():
    like = torch.zeros(7, 9)
    generator = torch.Generator().manual_seed(5)
    found = noise.gaussian(2.0, like, generator)
    expected = torch.normal(0.0, 2.0, (7, 9), generator=torch.Generator().manual_seed(5))
    assert torch.equal(found, expected)
    assert noise.gaussian(0.0, like).abs().sum() == 0


def test_bounds_of_exp_hold():
    getcontext().prec = 80
    for x in (Fraction(0), Fraction(1, 3), Fraction(1), Fraction(12345, 1000), Fraction(700)):
        low, high = noise._exp_bounds(x, 150)
        truth = Fraction((-Decimal(x.numerator) / Decimal(x.denominator)).exp())
        assert low <= truth + Fraction(1, 10**75) and truth - Fraction(1, 10**75) <= high
        assert high - low <= Fraction(1, 1 << 150)


def test_undecided_bits_are_decided_exactly(monkeypatch):
    x = Fraction(1, 3)
    p = noise._exp_bounds(x, 400)[0]
    at = int(p * (1 << 64))
    assert noise._below(at - 1, x) and not noise._below(at + 1, x)
    following = int(p * (1 << 128)) - (at << 64)
    for shift, expected in ((-1, True), (1, False)):
        monkeypatch.setattr(noise.os, "urandom", lambda n, v=following + shift: v.to_bytes(8, "little"))
        assert noise._below(at, x) is expected


def test_bernoulli_has_the_probability():
    n = 200_000
    for numerator, denominator in ((0, 7), (1, 3), (5, 2)):
        p = math.exp(-numerator / denominator)
        share = noise.bernoulli_exp(np.full(n, numerator), denominator).mean()
        assert abs(share - p) < 6 * math.sqrt(p * (1 - p) / n) + 1e-12


def test_discrete_gaussian_has_moments_and_tails_of_the_normal():
    n = 200_000
    z = noise.discrete_gaussian(n) / noise.STEPS
    assert abs(z.mean()) < 6 / math.sqrt(n)
    assert abs(z.var() - 1) < 6 * math.sqrt(2 / n)
    for t in (0.5, 1.0, 2.0, 3.0):
        p = math.erfc(t / math.sqrt(2))
        assert abs((np.abs(z) > t).mean() - p) < 6 * math.sqrt(p / n)


def test_low_bits_are_even():
    low = noise.discrete_gaussian(100_000) & 255
    counts = np.bincount(low, minlength=256)
    assert ((counts - 100_000 / 256)**2).sum() / (100_000 / 256) < 255 + 6 * math.sqrt(2 * 255)


def test_secure_sum_lies_on_the_grid_and_has_the_deviation():
    total = torch.linspace(-3, 3, 40_000)
    found = noise.secure_sum(total, 1.5, 2.0)
    width = noise.grid_width(1.5, 2.0, 40_000)
    assert width * noise.STEPS == pytest.approx(1.5 * (2.0 + width * 200))
    off = (found.double() - total.double()) / 3.0
    assert abs(off.var().item() - 1) < 0.05
    grid = noise.secure_sum(total.double(), 1.5, 2.0) / width
    assert (grid - grid.round()).abs().max() < 1e-6
    assert torch.equal(noise.secure_sum(total, 0.0, 2.0), total)
    with pytest.raises(ValueError, match="finer grid"):
        noise.grid_width(1000.0, 1.0, 10**6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_of_many_sums_is_that_of_each(dtype):
    sums = [torch.ones(n, dtype=dtype) for n in (3, 10, 16, 5, 1000, 40)]
    for step, std in enumerate((1.0, 1.0, 2.5, 0.5, 0.7, 0.0, 1.5)):
        torch.manual_seed(step)
        together = noise.gaussian_sums(sums, std)
        torch.manual_seed(step)
        for total, noisy in zip(sums, together):
            assert torch.equal(noisy, total + noise.gaussian(std, total))
