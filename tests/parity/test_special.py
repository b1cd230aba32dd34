"""torch.special against PyTorch: values and gradients."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight import config     # noqa: E402

WIDE, POSITIVE = np.concatenate([np.linspace(-70, 70, 141), [0.0]]), np.linspace(0.1, 3, 30)
UNARY = {"i0": WIDE, "i0e": WIDE, "i1": WIDE, "i1e": WIDE, "erfcx": np.linspace(-5, 30, 100),
         "ndtr": np.linspace(-3, 8, 99), "log_ndtr": np.linspace(-40, 8, 99),
         "entr": np.linspace(0.0, 4, 50), "expit": WIDE, "gammaln": POSITIVE, "psi": POSITIVE,
         "digamma": POSITIVE, "erf": POSITIVE, "erfc": POSITIVE, "erfinv": np.linspace(-.9, .9, 20),
         "exp2": POSITIVE, "expm1": POSITIVE, "log1p": POSITIVE, "logit": np.linspace(.1, .9, 9),
         "sinc": POSITIVE}
RNG = np.random.default_rng(3)
SHAPE, AT = RNG.uniform(0.05, 50, 200), RNG.uniform(0.01, 80, 200)


@pytest.fixture(params=["cpu", "reference"], autouse=True)
def backend(request):
    with config.backend.override(request.param):
        yield


def results(T, name, dtype, *arrays):
    leaves = [T.tensor(a, dtype=getattr(T, dtype)) for a in arrays]
    leaves[-1].requires_grad_()
    y = getattr(T.special, name)(*leaves)
    return y.detach().numpy(), y, leaves[-1]


@pytest.mark.parametrize("name", UNARY)
def test_of_one_number(name):
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-5)):
        (a, y, x), (b, z, w) = (results(T, name, dtype, UNARY[name]) for T in (rushlight, torch))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 0.1)
        (g,), (h,) = rushlight.autograd.grad(y.sum(), x), torch.autograd.grad(z.sum(), w)
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=tolerance * 100, atol=tolerance)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "xlog1py", "xlogy"])
def test_of_two_numbers(name):
    for dtype, tolerance in (("float64", 1e-8), ("float32", 1e-4)):    # PyTorch's own error
        (a, _, _), (b, _, _) = (results(T, name, dtype, SHAPE, AT) for T in (rushlight, torch))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 1e-2)
