"""Every primitive of linear algebra: its rules against differences, batches against loops."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl
from rushlight import config
from rushlight.prims import linalg

PRIMS = [p for p in vars(linalg).values() if isinstance(p, linalg.Primitive)]
COMPLEX = (linalg.eig, linalg.eigvals, linalg.sign_of_det)      # of real matrices too: in tests/prims
SMOOTH = [p for p in PRIMS if p.vjp[0] is not None and p not in COMPLEX]


@pytest.fixture(params=["cpu", "reference"], autouse=True)
def backend(request):
    with config.backend.override(request.param):
        yield


def cases(prim):
    """The samples in float64 that are not empty."""
    found = prim.samples(np.random.default_rng(0))
    return [(xs, params) for xs, params in found if xs[0].dtype == np.float64 and xs[0].size]


def moved(prim, xs, params, directions, by):
    return prim.reference(*[x + by * d for x, d in zip(xs, directions, strict=True)], **params)


def differentiable_case(prim, xs, params):
    m, n = xs[0].shape[-2:]
    return not (m > n and params.get("mode") == "complete" or m != n and params.get("full"))


def symmetric(prim, directions):
    """Of these only one triangle is read: move both alike."""
    if prim in (linalg.cholesky, linalg.eigh, linalg.eigvalsh):
        return [(d + np.swapaxes(d, -1, -2)) / 2 for d in directions]
    return directions


@pytest.mark.parametrize("prim", SMOOTH, ids=str)
def test_derivatives_are_those_of_differences(prim):
    rng = np.random.default_rng(1)
    for xs, params in cases(prim):
        if not differentiable_case(prim, xs, params):
            continue
        directions = symmetric(prim, [rng.uniform(-1, 1, x.shape) for x in xs])
        wanted = (moved(prim, xs, params, directions, 1e-6)
                  - moved(prim, xs, params, directions, -1e-6)) / 2e-6
        tensors = [rl.tensor(x) for x in xs]
        y = prim(*tensors, **params)
        tangent = prim.jvp([rl.tensor(d) for d in directions], y, *tensors, **params)
        np.testing.assert_allclose(tangent.numpy(), wanted, rtol=1e-5, atol=1e-5)
        g = rl.tensor(rng.uniform(-1, 1, y.shape))
        grads = [prim.gradient.rule(i)(g, *picked(prim, i, y, tensors), **params)
                 for i in range(len(xs))]
        inner = sum(float((a * rl.tensor(d)).sum()) for a, d in zip(grads, directions, strict=True))
        np.testing.assert_allclose(inner, float((g * tangent).sum()), rtol=1e-7, atol=1e-7)


def picked(prim, i, y, tensors):
    return y, *tensors


@pytest.mark.parametrize("prim", SMOOTH, ids=str)
def test_second_derivatives(prim):
    rng = np.random.default_rng(2)
    xs, params = cases(prim)[0]
    if not differentiable_case(prim, xs, params):
        xs, params = cases(prim)[1]
    weights = rl.tensor(rng.uniform(-1, 1, prim.reference(*xs, **params).shape))
    direction = symmetric(prim, [rng.uniform(-1, 1, xs[0].shape)])[0]

    def slope(a, create_graph=False):
        leaf = rl.tensor(a, requires_grad=True)
        y = (prim(leaf, *[rl.tensor(x) for x in xs[1:]], **params) * weights).sum()
        (g,) = rl.autograd.grad(y, leaf, create_graph=True)
        return leaf, (g * rl.tensor(direction)).sum()
    leaf, along = slope(xs[0])
    (second,) = rl.autograd.grad(along, leaf)
    up, down = (float(slope(xs[0] + by * direction)[1]) for by in (1e-5, -1e-5))
    got = float((second * rl.tensor(direction)).sum())
    np.testing.assert_allclose(got, (up - down) / 2e-5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prim", PRIMS, ids=str)
def test_batched_is_one_by_one(prim):
    for xs, params in cases(prim)[:2]:
        copies = [np.stack([x, x + 0.01]) for x in xs]
        got = prim.batch(prim, 2, [rl.tensor(x) for x in copies], [True] * len(xs), **params)
        for k in range(2):
            wanted = prim.reference(*[x[k] for x in copies], **params)
            np.testing.assert_allclose(got[k].numpy(), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prim", PRIMS, ids=str)
def test_samples_of_all_shapes_run(prim):
    for xs, params in prim.samples(np.random.default_rng(3)):
        y = prim(*[rl.tensor(x) for x in xs], **params)
        wanted = prim.reference(*xs, **params)
        near = prim.ulp * np.finfo(wanted.dtype).eps if prim.ulp else 0
        np.testing.assert_allclose(y.numpy(), wanted, rtol=near, atol=near * np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("prim", [p for p in PRIMS if p.raises], ids=str)
def test_failures(prim):
    for xs, params, error, phrase in prim.raises(np.random.default_rng(4)):
        with pytest.raises(error, match=phrase):
            prim(*[rl.tensor(x) for x in xs], **params).numpy()


def test_errors_stand_at_the_call():
    with pytest.raises(rl.linalg.LinAlgError, match="not positive-definite"):
        rl.linalg.cholesky(-rl.eye(3))
    with pytest.raises(RuntimeError, match="singular"):
        rl.linalg.solve(rl.zeros(2, 2), rl.ones(2))


def test_the_gradient_of_a_singular_determinant():
    a = rl.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]], dtype=rl.float64)
    a.requires_grad_()
    (g,) = rl.autograd.grad(rl.det(a), a)
    minor = [[4.0, 4.0, -4.0], [-2.0, -2.0, 2.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(g.numpy(), minor, atol=1e-12)
