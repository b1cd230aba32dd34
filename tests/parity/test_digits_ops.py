"""gcd, lcm, nextafter, frexp, histograms, slopes, low ranks, in-place and method forms, against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402

RNG = np.random.default_rng(2)
WHOLE, OTHERS = RNG.integers(-60, 60, (3, 5)), RNG.integers(-20, 20, (5,))
FLOATS, NEAR = RNG.normal(size=(3, 5)) * 9, RNG.normal(size=(3, 5))
SHAPE, AT = RNG.uniform(0.1, 9, 12), RNG.uniform(0.1, 9, 12)

CASES = {
    "gcd": lambda T: [T.gcd(T.tensor(WHOLE), T.tensor(OTHERS)), T.tensor(WHOLE).gcd_(T.tensor(OTHERS)),
                      T.tensor(WHOLE, dtype=T.int8).gcd(T.tensor(OTHERS, dtype=T.int32))],
    "lcm": lambda T: [T.lcm(T.tensor(WHOLE), T.tensor(OTHERS)), T.tensor(WHOLE).lcm(T.tensor(OTHERS)),
                      T.lcm(T.tensor(WHOLE), T.tensor(OTHERS), out=T.zeros(3, 5, dtype=T.int64))],
    "nextafter": lambda T: [T.nextafter(T.tensor(FLOATS, dtype=d), T.tensor(NEAR, dtype=d)) for d in (T.float32, T.float64)]
    + [T.tensor([0.0, 1.0, float("inf"), float("nan")]).nextafter(T.tensor([1.0, 1.0, 0.0, 0.0]))],
    "frexp": lambda T: [*T.frexp(T.tensor(FLOATS, dtype=T.float32)), *T.tensor([0.0, -8.0, 3.0]).frexp()],
    "i0": lambda T: [T.i0(T.tensor(NEAR)), T.tensor(NEAR).i0_(), T.i0(T.arange(3))],
    "igamma": lambda T: [T.igamma(T.tensor(SHAPE), T.tensor(AT)), T.tensor(SHAPE).igammac_(T.tensor(AT)),
                         T.tensor(SHAPE).igamma(T.tensor(AT))],
    "histogram": lambda T: [*T.histogram(T.tensor(FLOATS), 6), *T.histogram(T.tensor(FLOATS), 4, range=(-5.0, 5.0),
                            density=True), *T.histogram(T.tensor(FLOATS), T.tensor([-9.0, 0, 1, 20], dtype=T.float64),
                            weight=T.tensor(NEAR))],
    "histogramdd": lambda T: [(r := T.histogramdd(T.tensor(FLOATS), [2, 3, 2, 2, 1])).hist, *r.bin_edges],
    "gradient": lambda T: [*T.gradient(T.tensor(FLOATS)), *T.gradient(T.tensor(FLOATS), spacing=0.5, edge_order=2),
                           *T.gradient(T.tensor(FLOATS), spacing=(T.tensor([0.0, 1, 3, 3.5, 6], dtype=T.float64),), dim=1,
                                       edge_order=2)],
    "index_reduce": lambda T: [T.tensor(FLOATS).index_reduce(0, T.tensor([0, 2, 0]), T.tensor(NEAR), how, include_self=s)
                               for how in ("prod", "mean", "amax", "amin") for s in (True, False)]
    + [T.tensor(FLOATS).index_reduce_(1, T.tensor([4, 4]), T.tensor(NEAR[:, :2].copy()), "amax")],
    "as_strided": lambda T: [T.as_strided_scatter(T.tensor(FLOATS), T.tensor([7.0, 8.0], dtype=T.float64), (2,), (3,), 1),
                             T.tensor(FLOATS).as_strided_((2, 2), (1, 5), 2)],
    "by element": lambda T: [T.tensor(FLOATS).apply_(lambda x: x * 2), T.tensor(FLOATS).map_(
        T.tensor(NEAR), lambda a, b: a + b), T.tensor(FLOATS).hardshrink(), T.tensor(FLOATS).prelu(T.tensor([0.3],
                             dtype=T.float64))],
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    ours, theirs = CASES[name](rushlight), CASES[name](torch)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6 if a.dtype.itemsize < 8 else 1e-9, atol=1e-12)


def slopes(T):
    found = []
    for f in (lambda x: T.frexp(x).mantissa.pow(2).sum(), lambda x: sum(g.pow(2).sum() for g in T.gradient(x, spacing=0.3)),
              lambda x: x.index_reduce(0, T.tensor([0, 2, 0]), x * 2, "amax").sum()):
        x = T.tensor(FLOATS, requires_grad=True)
        f(x).backward()
        found.append(x.grad.numpy())
    return found


def test_gradients():
    for a, b in zip(slopes(rushlight), slopes(torch)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_gradient_of_as_strided_scatter():
    """By its definition: PyTorch 2.13 leaves out the part of `input`."""
    x = rushlight.tensor(FLOATS, requires_grad=True)
    rushlight.as_strided_scatter(x, x.flatten()[:2] * 3, (2,), (3,), 1).pow(2).sum().backward()
    want = 2 * FLOATS.reshape(-1)
    want[[1, 4]] = 0
    want[:2] += 18 * FLOATS.reshape(-1)[:2]
    np.testing.assert_allclose(x.grad.numpy().reshape(-1), want)


def test_low_ranks():
    a = RNG.normal(size=(30, 4)) @ RNG.normal(size=(4, 20))
    for T in (rushlight, torch):
        T.manual_seed(0)
        for x, f in ((T.tensor(a), T.svd_lowrank), (T.tensor(a.T.copy()), T.svd_lowrank), (T.tensor(a), T.pca_lowrank)):
            u, s, v = f(x, q=5)
            want = x - x.mean(0, keepdim=True) if f is T.pca_lowrank else x
            np.testing.assert_allclose((u * s @ v.mT).numpy(), want.numpy(), atol=1e-9)
            np.testing.assert_allclose(s.numpy()[:4], np.linalg.svd(want.numpy())[1][:4], rtol=1e-9)


@pytest.mark.parametrize("call", [
    lambda T: T.gcd(T.ones(2), T.ones(2)), lambda T: T.nextafter(T.ones(2, dtype=T.int64), T.ones(2, dtype=T.int64)),
    lambda T: T.ones(3, requires_grad=True).apply_(abs), lambda T: T.pca_lowrank(T.ones(3, 3), q=9),
    lambda T: T.gradient(T.ones(3, 3), edge_order=3), lambda T: T.gradient(T.ones(1, 3))])
def test_errors(call):
    said = []
    for T in (rushlight, torch):
        with pytest.raises((RuntimeError, ValueError, NotImplementedError)) as error:
            call(T)
        said.append((error.type.__name__, str(error.value)[:40]))
    assert said[0] == said[1]
