"""Each series of a sample's derivative is summed on the side where it converges quickly."""
import numpy as np

from rushlight.prims import implicit


def test_few_terms_are_summed_over_the_whole_range(monkeypatch):
    monkeypatch.setattr(implicit, "TERMS", 200)
    x = np.linspace(1e-3, 1 - 1e-3, 101)
    alpha, total = np.full_like(x, 2.0), np.full_like(x, 3.0)        # F = x^2 (a = 2, b = 1): dF/da = x^2 log x
    expected = -x ** 2 * np.log(x) / (2 * x) / (1 - x)
    b = total - alpha
    assert (b == 1).all()
    np.testing.assert_allclose(implicit._dirichlet_slope(x, alpha, total), expected, rtol=1e-9)
