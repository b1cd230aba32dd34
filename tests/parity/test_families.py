"""Polynomials, Bessel functions, zeta and ndtri of torch.special against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight.ops.families import FUNCTIONS     # noqa: E402

LINE = np.concatenate([np.linspace(-30, 60, 271), [0.0, np.inf, np.nan, 1e-3, 24.9999, 25.0001, 1e4]])
POLYNOMIALS = [n for n in FUNCTIONS if "polynomial" in n]
ONE = [n for n in FUNCTIONS if n not in POLYNOMIALS and n not in ("zeta", "ndtri")]


@pytest.mark.parametrize("name", ONE)
def test_of_one_number(name):
    x = np.abs(LINE) if "_k" in name or "_y" in name else LINE
    for dtype, tolerance in (("float64", 2e-6), ("float32", 2e-5)):    # PyTorch's own err by 1e-6
        a, b = (getattr(T.special, name)(T.tensor(x, dtype=getattr(T, dtype))).numpy() for T in (rushlight, torch))
        assert a.dtype == b.dtype
        keep = np.isfinite(b) & (np.abs(x) < 1e3)
        np.testing.assert_allclose(a[keep], b[keep], rtol=tolerance, atol=tolerance)
    assert getattr(rushlight.special, name)(rushlight.tensor([2])).dtype is rushlight.float32


def test_against_scipy():
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(0.01, 60, 400), [24.99999, 25.0, 300.0]])
    for name, theirs in (("bessel_j0", "j0"), ("bessel_j1", "j1"), ("bessel_y0", "y0"), ("bessel_y1", "y1"),
                         ("modified_bessel_k0", "k0"), ("modified_bessel_k1", "k1"), ("scaled_modified_bessel_k0", "k0e"),
                         ("scaled_modified_bessel_k1", "k1e"), ("spherical_bessel_j0", None)):
        want = np.sin(x) / x if theirs is None else getattr(special, theirs)(x)
        found = getattr(rushlight.special, name)(rushlight.tensor(x)).numpy()
        np.testing.assert_allclose(found, want, rtol=1e-11 if "_k" in name else 1e-9, atol=0 if "_k" in name else 1e-13)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    x, n = np.linspace(-1.3, 1.3, 27), np.arange(-1, 7)[:, None]
    for given in (n, 3, 0, -2, 9):
        pair = [getattr(T.special, name)(T.tensor(x), T.tensor(given) if given is n else given).numpy()
                for T in (rushlight, torch)]
        np.testing.assert_allclose(*pair, rtol=1e-9, atol=1e-9)


def test_zeta_and_ndtri():
    s, q = np.array([1.0, 1.5, 2, 2, 3, 7, 0.5, 2, 2.5]), np.array([2.0, 0.3, 1, 30, 4, 0.1, 1, -1, -0.5])
    p = np.concatenate([np.linspace(0, 1, 41), [1e-12, 1e-300, 1 - 1e-9, -0.1, 1.1, np.nan]])
    found = []
    for T in (rushlight, torch):
        q_, p_ = T.tensor(q[1:6], requires_grad=True), T.tensor(p[1:40], requires_grad=True)
        T.special.zeta(T.tensor(s[1:6]), q_).sum().backward()
        T.special.ndtri(p_).sum().backward()
        found.append([T.special.zeta(T.tensor(s), T.tensor(q)).numpy(), T.special.zeta(3.0, T.tensor(q[:6])).numpy(),
                      T.special.ndtri(T.tensor(p)).numpy(), q_.grad.numpy(), p_.grad.numpy()])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_no_derivatives():
    x = rushlight.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="derivative for aten::special_bessel_j0 is not implemented"):
        rushlight.special.bessel_j0(x).sum().backward()


def test_airy():
    """PyTorch is wrong by 3e-6 between -2 and -4; there both of ours have to agree."""
    from rushlight.prims.families import _airy, _airy_near
    x = np.concatenate([np.linspace(-40, 20, 3001), [0.0, 104.0, np.nan]])
    ours, theirs = rushlight.special.airy_ai(rushlight.tensor(x)).numpy(), torch.special.airy_ai(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours, theirs, 0, 5e-6)
    calm = (x < -4.5) | (x > -2)
    np.testing.assert_allclose(ours[calm], theirs[calm], 1e-9, 1e-9)
    middle = np.linspace(-4.5, -2, 500)
    np.testing.assert_allclose(_airy(middle), _airy_near(middle), 0, 1e-14)
    np.testing.assert_allclose(_airy(np.linspace(2, 3, 50)), _airy_near(np.linspace(2, 3, 50)), 1e-12)
