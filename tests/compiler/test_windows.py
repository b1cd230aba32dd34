"""Reductions whose order is free walk where memory lies: windows, rows, columns give the same."""
import itertools

import numpy as np
import pytest

import rushlight as torch


def windows(a, k, s, d=1):
    span = d * (k - 1) + 1
    out = (a.shape[-1] - span) // s + 1
    return np.stack([a[..., i * s:i * s + span:d] for i in range(out)], -2)


@pytest.mark.parametrize("k, s", [(2, 2), (3, 1), (3, 2), (2, 3), (9, 1), (16, 16)])
@pytest.mark.parametrize("fill", ["numbers", "lowest", "nan", "equal"])
def test_windows_of_every_shape(k, s, fill):
    a = np.random.default_rng(k).integers(-9, 9, (3, 5, 70)).astype(np.float32)
    a = {"numbers": a, "lowest": np.full_like(a, -np.inf), "equal": np.zeros_like(a),
         "nan": np.where(a > 7, np.nan, a)}[fill]
    x = torch.tensor(a).unfold(2, k, s)
    seen = windows(a, k, s)
    assert np.array_equal(x.amax(-1).numpy(), seen.max(-1), equal_nan=True)
    assert np.array_equal(x.argmax(-1).numpy(), seen.argmax(-1))
    assert np.allclose(x.sum(-1).numpy(), seen.sum(-1), equal_nan=True)


def test_planes_of_windows():
    a = np.random.default_rng(0).standard_normal((2, 3, 20, 23)).astype(np.float32)
    for k, s, p in [(3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 3, 2)]:
        pool = torch.nn.functional.max_pool2d
        at = pool(torch.tensor(a), k, s, p, return_indices=True)[1]
        lone = pool(torch.tensor(a), k, s, p)
        taped = pool(torch.tensor(a, requires_grad=True), k, s, p)
        padded = np.pad(a, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf)
        seen = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (2, 3))[:, :, ::s, ::s]
        assert np.array_equal(lone.numpy(), seen.max((-1, -2)))
        assert np.array_equal(lone.numpy(), taped.detach().numpy())
        assert np.array_equal(a.reshape(2, 3, -1)[np.arange(2)[:, None, None], np.arange(3)[:, None],
                                                  at.numpy().reshape(2, 3, -1)].reshape(lone.shape), lone.numpy())


def test_zeros_of_both_signs_have_an_order():
    for bits in itertools.product((0.0, -0.0), repeat=3):
        row = np.array(bits, np.float32)
        for a in (np.tile(row, (20, 5)), np.tile(row[:, None], (5, 20)).T, np.tile(row[:, None], (5, 20))):
            for dim in (0, 1):
                x = torch.tensor(np.ascontiguousarray(a))
                assert not np.signbit(x.amax(dim).numpy()).any() or np.signbit(a).all(dim).any()
                assert np.array_equal(np.signbit(x.amax(dim).numpy()), np.signbit(a).all(dim))
                assert np.array_equal(np.signbit(x.amin(dim).numpy()), np.signbit(a).any(dim))
