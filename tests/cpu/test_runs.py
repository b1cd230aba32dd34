"""Concatenations, whose small operands are copied by one command."""
import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight.cpu import jit


@pytest.mark.parametrize("kind", [np.bool_, np.int16, ml_dtypes.bfloat16, np.float32, np.float64], ids=lambda k: np.dtype(k).name)
def test_every_size(kind):
    rng = np.random.default_rng(0)
    for dim, shapes in ((0, [(n,) for n in (1, 0, 2, 3, 5, 33, 64, 100, 1000)]), (0, [(n, 7) for n in (1, 4, 9)]),
                        (1, [(6, n) for n in (1, 3, 16, 90)]), (1, [(3, n, 5) for n in (2, 0, 17)]), (2, [(2, 3, 1)] * 9)):
        xs = [rng.integers(0, 2, s).astype(np.float32) for s in shapes]
        d = rushlight.tensor(np.zeros(1, np.float32).astype(kind)).dtype if kind is not ml_dtypes.bfloat16 else rushlight.bfloat16
        got = rushlight.cat([rushlight.tensor(x).to(d) for x in xs], dim).float().numpy()
        np.testing.assert_array_equal(got, np.concatenate(xs, dim))


def test_any_layout():
    rng = np.random.default_rng(1)
    x = rushlight.tensor(rng.normal(size=(8, 6, 4)).astype(np.float32))
    for pieces in ([x[::2], x[1:3]], [x.permute(0, 2, 1)[:, :, :2], x[:, 2:, 2:]], [x[:, :1].expand(8, 3, 4), x],
                   [x[:, :, ::2], x[:, :, 1:3]], [rushlight.ones(8, 2, 4), x, rushlight.zeros(8, 1, 4)]):
        for dim in range(3):
            rest = [tuple(n for k, n in enumerate(p.shape) if k != dim) for p in pieces]
            if len(set(rest)) == 1:
                got = rushlight.cat(pieces, dim).numpy()
                np.testing.assert_array_equal(got, np.concatenate([p.numpy() for p in pieces], dim))


def test_parts_of_a_cube():
    """Rows of pieces that are apart, before and behind the axis."""
    x = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    t = rushlight.tensor(x)
    for axis in range(3):
        for dim in range(3):
            got = rushlight.stack(t.unbind(axis), dim).numpy()
            np.testing.assert_array_equal(got, np.stack(list(np.moveaxis(x, axis, 0)), dim))
        got = rushlight.cat([p[::2, 1:] for p in t.unbind(axis)], 1).numpy()
        np.testing.assert_array_equal(got, np.concatenate([p[::2, 1:] for p in np.moveaxis(x, axis, 0)], 1))


def test_small_and_big_ones():
    big, small = np.arange(100_000.0), np.ones(3)
    got = rushlight.cat([rushlight.tensor(a) for a in (small, big, small)]).numpy()
    np.testing.assert_array_equal(got, np.concatenate([small, big, small]))


def test_new_sizes_compile_nothing():
    def step(n):
        assert rushlight.stack([rushlight.tensor([float(k)]) for k in range(n)]).sum().item() == n * (n - 1) / 2
    step(4)
    before = jit.compilations
    step(5)
    step(300)
    assert jit.compilations == before
