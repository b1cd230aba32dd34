"""Every distribution against PyTorch: samples of one seed, densities, gradients, moments, words."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight import config     # noqa: E402

torch.set_num_threads(1)
RNG = np.random.default_rng(5)
A, B = RNG.uniform(0.3, 3, (2, 3)), RNG.uniform(0.4, 2, (2, 3))
REAL, P = RNG.uniform(-2, 2, (2, 3)), RNG.uniform(0.05, 0.95, (2, 3))
SIMPLEX = RNG.dirichlet(np.ones(4), 3)
TRIL = np.tril(RNG.uniform(-1, 1, (2, 3, 3)), -1) + np.eye(3) * 1.3
COVARIANCE = TRIL @ np.swapaxes(TRIL, -1, -2)
COUNT = np.array([[3.0, 10, 40], [1, 100, 7]])

# name: (class, parameters); a parameter that is an array becomes a tensor
CASES = {
    "Normal": ("Normal", dict(loc=REAL, scale=A)),
    "Normal numbers": ("Normal", dict(loc=0.5, scale=2.0)),
    "Laplace": ("Laplace", dict(loc=REAL, scale=A)),
    "Cauchy": ("Cauchy", dict(loc=REAL, scale=A)),
    "Uniform": ("Uniform", dict(low=REAL, high=REAL + A)),
    "Exponential": ("Exponential", dict(rate=A)),
    "Bernoulli probs": ("Bernoulli", dict(probs=P)),
    "Bernoulli logits": ("Bernoulli", dict(logits=REAL)),
    "Geometric probs": ("Geometric", dict(probs=P)),
    "Geometric logits": ("Geometric", dict(logits=REAL)),
    "Poisson": ("Poisson", dict(rate=A * 8)),
    "Binomial probs": ("Binomial", dict(total_count=COUNT, probs=P)),
    "Binomial logits": ("Binomial", dict(total_count=12, logits=REAL)),
    "NegativeBinomial": ("NegativeBinomial", dict(total_count=COUNT, probs=P)),
    "Categorical probs": ("Categorical", dict(probs=SIMPLEX * 2)),
    "Categorical logits": ("Categorical", dict(logits=REAL)),
    "OneHotCategorical": ("OneHotCategorical", dict(probs=SIMPLEX)),
    "StraightThrough": ("OneHotCategoricalStraightThrough", dict(logits=REAL)),
    "Multinomial": ("Multinomial", dict(total_count=9, probs=SIMPLEX)),
    "Gamma": ("Gamma", dict(concentration=A, rate=B)),
    "Chi2": ("Chi2", dict(df=A * 3)),
    "Beta": ("Beta", dict(concentration1=A, concentration0=B)),
    "Dirichlet": ("Dirichlet", dict(concentration=A)),
    "StudentT": ("StudentT", dict(df=A * 3, loc=REAL, scale=B)),
    "FisherSnedecor": ("FisherSnedecor", dict(df1=A * 5, df2=B * 6)),
    "MultivariateNormal tril": ("MultivariateNormal", dict(loc=REAL, scale_tril=TRIL)),
    "MultivariateNormal cov": ("MultivariateNormal", dict(loc=REAL, covariance_matrix=COVARIANCE)),
    "MultivariateNormal prec": ("MultivariateNormal", dict(loc=REAL, precision_matrix=COVARIANCE)),
    "LogNormal": ("LogNormal", dict(loc=REAL, scale=A)),
    "HalfNormal": ("HalfNormal", dict(scale=A)),
    "HalfCauchy": ("HalfCauchy", dict(scale=A)),
    "Gumbel": ("Gumbel", dict(loc=REAL, scale=A)),
    "Pareto": ("Pareto", dict(scale=A, alpha=B + 2)),
    "Weibull": ("Weibull", dict(scale=A, concentration=B + 1)),
    "InverseGamma": ("InverseGamma", dict(concentration=A + 2, rate=B)),
    "RelaxedBernoulli": ("RelaxedBernoulli", dict(temperature=np.array(0.7), probs=P)),
    "RelaxedOneHotCategorical": ("RelaxedOneHotCategorical",
                                 dict(temperature=np.array(0.7), logits=REAL)),
    "ContinuousBernoulli probs": ("ContinuousBernoulli", dict(probs=P)),
    "ContinuousBernoulli half": ("ContinuousBernoulli", dict(probs=np.array([0.4995, 0.5, 0.5008, 0.2]))),
    "ContinuousBernoulli logits": ("ContinuousBernoulli", dict(logits=REAL)),
    "Kumaraswamy": ("Kumaraswamy", dict(concentration1=A + 1, concentration0=B + 1)),
    "VonMises": ("VonMises", dict(loc=REAL, concentration=A * 3)),
    "LogisticNormal": ("LogisticNormal", dict(loc=REAL, scale=A)),
    "LKJCholesky": ("LKJCholesky", dict(dim=3, concentration=A)),
    "LKJCholesky large": ("LKJCholesky", dict(dim=5, concentration=np.array(1.5))),
    "LowRankMultivariateNormal": ("LowRankMultivariateNormal", dict(loc=REAL, cov_factor=TRIL[..., :2], cov_diag=A)),
    "Wishart tril": ("Wishart", dict(df=np.array([4.5, 7.0]), scale_tril=TRIL)),
    "Wishart cov": ("Wishart", dict(df=np.array([4.5, 7.0]), covariance_matrix=COVARIANCE)),
    "Wishart prec": ("Wishart", dict(df=np.array([4.5, 7.0]), precision_matrix=COVARIANCE)),
}
SMOOTH_TO = {"Gamma": 2e-3, "Chi2": 2e-3, "Beta": 2e-3, "Dirichlet": 2e-3, "StudentT": 2e-3,
             "FisherSnedecor": 2e-3, "InverseGamma": 2e-3}   # PyTorch's own gradients approximate


def made(T, name, dtype="float64", validate_args=None):
    """The distribution in library T, and its parameters as leaves."""
    class_, params = CASES[name]
    leaves = {k: T.tensor(v, dtype=getattr(T, dtype), requires_grad=k not in
                          ("total_count", "temperature"))
              for k, v in params.items() if isinstance(v, np.ndarray)}
    return getattr(T.distributions, class_)(**(params | leaves), validate_args=validate_args), leaves


def array(x):
    return np.array(x.detach().numpy())


def same(ours, theirs, tolerance=1e-9):
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(array(ours), array(theirs), rtol=tolerance, atol=tolerance)


def attempt(call):
    try:
        return call()
    except (NotImplementedError, AttributeError) as error:
        return type(error)


def same_or_neither(ours, theirs, call, tolerance=1e-8):
    a, b = attempt(lambda: call(*ours)), attempt(lambda: call(*theirs))
    if isinstance(b, type):
        return
    assert not isinstance(a, type), f"missing: {b}"
    if isinstance(b, (str, tuple, bool)):
        assert a == b
    else:
        same(a, b, tolerance)


@pytest.fixture(params=["cpu", "reference"])
def backend(request):
    with config.backend.override(request.param):
        yield


@pytest.mark.parametrize("name", CASES)
def test_samples(name, backend):
    for dtype, tolerance in (("float32", 2e-6), ("float64", 1e-12)):
        for shape in ((), (4,), (2, 5)):
            out = []
            for T in (rushlight, torch):
                d, _ = made(T, name, dtype)
                T.manual_seed(11)
                out.append((d.sample(shape), T.rand(2)))
            same(out[0][0], out[1][0], tolerance)
            same(out[0][1], out[1][1], 0)
            assert not out[0][0].requires_grad


@pytest.mark.parametrize("name", CASES)
def test_samples_carry_gradients(name):
    if name.startswith("Wishart"):
        return          # PyTorch loses its own by a write in place
    grads = []
    for T in (rushlight, torch):
        d, leaves = made(T, name)
        if not d.has_rsample:
            assert not made(torch, name)[0].has_rsample
            return
        T.manual_seed(12)
        x = d.rsample((3,))
        weights = T.tensor(np.cos(np.arange(x.numel())).reshape(tuple(x.shape)))
        used = [v for v in leaves.values() if v.requires_grad]
        grads.append(T.autograd.grad((x * weights).sum(), used) if used else ())
    for a, b in zip(*grads, strict=True):
        same(a, b, SMOOTH_TO.get(CASES[name][0], 1e-8))


@pytest.mark.parametrize("name", CASES)
def test_log_prob(name, backend):
    torch.manual_seed(13)
    values = made(torch, name)[0].sample((5,)).detach().numpy()
    out = []
    for T in (rushlight, torch):
        d, leaves = made(T, name)
        smooth = not d.support.is_discrete
        x = T.tensor(values, requires_grad=smooth)
        y = d.log_prob(x)
        weights = T.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)), dtype=y.dtype)
        used = [v for v in leaves.values() if v.requires_grad] + [x] * smooth
        grads = T.autograd.grad((y * weights).sum(), used, allow_unused=True) if used else ()
        if name == "Wishart tril":      # PyTorch's reach into the upper triangle
            grads = [g.tril() if g.dim() > 1 else g for g in grads]
        out.append((y, grads))
    same(out[0][0], out[1][0])
    for a, b in zip(out[0][1], out[1][1], strict=True):
        zero = np.zeros(())
        np.testing.assert_allclose(zero if a is None else array(a), zero if b is None else array(b),
                                   rtol=1e-7, atol=1e-7)


SHOWN = ("mean", "variance", "stddev", "mode", "batch_shape", "event_shape", "has_rsample",
         "has_enumerate_support")


@pytest.mark.parametrize("name", CASES)
def test_moments_and_words(name):
    ours, theirs = made(rushlight, name)[:1], made(torch, name)[:1]
    for what in SHOWN:
        same_or_neither(ours, theirs, lambda d, what=what: tuple(getattr(d, what))
                        if what.endswith("shape") else getattr(d, what))
    same_or_neither(ours, theirs, lambda d: d.entropy())
    assert repr(ours[0]).replace("rushlight", "torch") == repr(theirs[0])
    assert repr(ours[0].support).split("(")[0] == repr(theirs[0].support).split("(")[0]
    assert ours[0].support.event_dim == theirs[0].support.event_dim


@pytest.mark.parametrize("name", CASES)
def test_cdf_expand_and_enumeration(name):
    (ours, _), (theirs, _) = made(rushlight, name), made(torch, name)
    torch.manual_seed(14)
    x = theirs.sample().numpy()
    u = np.linspace(0.1, 0.9, int(np.prod(theirs.batch_shape))).reshape(tuple(theirs.batch_shape))
    same_or_neither((ours, rushlight), (theirs, torch), lambda d, T: d.cdf(T.tensor(x)))
    same_or_neither((ours, rushlight), (theirs, torch), lambda d, T: d.icdf(T.tensor(u)))
    if theirs.has_enumerate_support and name != "Binomial probs":
        for expand in (True, False):
            same(ours.enumerate_support(expand), theirs.enumerate_support(expand))
    wide = [d.expand((4, *d.batch_shape)) for d in (ours, theirs)]
    assert tuple(wide[0].batch_shape) == tuple(wide[1].batch_shape)
    same(wide[0].log_prob(rushlight.tensor(x)), wide[1].log_prob(torch.tensor(x)))
    for T in (rushlight, torch):
        T.manual_seed(15)
    same(wide[0].sample((2,)), wide[1].sample((2,)), 1e-12)


PAIRS = [("Normal", dict(loc=REAL, scale=A), dict(loc=REAL * 2, scale=B)),
         ("Laplace", dict(loc=REAL, scale=A), dict(loc=REAL * 2, scale=B)),
         ("Cauchy", dict(loc=REAL, scale=A), dict(loc=REAL * 2, scale=B)),
         ("LogNormal", dict(loc=REAL, scale=A), dict(loc=REAL * 2, scale=B)),
         ("Gumbel", dict(loc=REAL, scale=A), dict(loc=REAL * 2, scale=B)),
         ("Uniform", dict(low=REAL, high=REAL + A), dict(low=REAL - B, high=REAL + A + 1)),
         ("Exponential", dict(rate=A), dict(rate=B)), ("Poisson", dict(rate=A), dict(rate=B)),
         ("HalfNormal", dict(scale=A), dict(scale=B)),
         ("Gamma", dict(concentration=A, rate=B), dict(concentration=B, rate=A)),
         ("Beta", dict(concentration1=A, concentration0=B),
          dict(concentration1=B, concentration0=A)),
         ("Dirichlet", dict(concentration=A), dict(concentration=B)),
         ("Pareto", dict(scale=A + 1, alpha=B), dict(scale=A, alpha=B + 1)),
         ("Bernoulli", dict(probs=P), dict(probs=1 - P)), ("Geometric", dict(probs=P),
                                                           dict(probs=1 - P)),
         ("Binomial", dict(total_count=5, probs=P), dict(total_count=5, probs=1 - P)),
         ("Categorical", dict(probs=SIMPLEX), dict(logits=REAL[:1, :1] + SIMPLEX[::-1] * 3)),
         ("OneHotCategorical", dict(probs=SIMPLEX), dict(probs=SIMPLEX[::-1].copy())),
         ("MultivariateNormal", dict(loc=REAL, scale_tril=TRIL),
          dict(loc=REAL * 2, covariance_matrix=COVARIANCE + np.eye(3)))]
MIXED = [("Uniform", dict(low=REAL, high=REAL + A), "Normal", dict(loc=REAL, scale=B)),
         ("Exponential", dict(rate=A), "Gamma", dict(concentration=A, rate=B)),
         ("Gamma", dict(concentration=A, rate=B), "Exponential", dict(rate=A)),
         ("Exponential", dict(rate=A), "Normal", dict(loc=REAL, scale=B)),
         ("Laplace", dict(loc=REAL, scale=A), "Normal", dict(loc=REAL * 2, scale=B)),
         ("Normal", dict(loc=REAL, scale=A), "Laplace", dict(loc=REAL * 2, scale=B)),
         ("Normal", dict(loc=REAL, scale=A), "Gumbel", dict(loc=REAL * 2, scale=B))]


@pytest.mark.parametrize("first, p, second, q", [(n, p, n, q) for n, p, q in PAIRS] + MIXED)
def test_divergences(first, p, second, q):
    out = []
    for T in (rushlight, torch):
        d, e = (getattr(T.distributions, name)(**{
            k: T.tensor(v) if isinstance(v, np.ndarray) else v for k, v in params.items()})
            for name, params in ((first, p), (second, q)))
        out.append(T.distributions.kl_divergence(d, e))
    same(*out)


FAMILIES = {
    "Bernoulli": dict(probs=P), "Poisson": dict(rate=A), "Binomial": dict(total_count=5, probs=P),
    "Beta": dict(concentration1=A, concentration0=B), "ContinuousBernoulli": dict(probs=P),
    "Exponential": dict(rate=A), "Gamma": dict(concentration=A, rate=B), "Gumbel": dict(loc=REAL, scale=A),
    "Laplace": dict(loc=REAL, scale=A), "Normal": dict(loc=REAL, scale=B), "Pareto": dict(scale=B, alpha=A),
    "Uniform": dict(low=P / 2, high=P / 2 + 0.4), "Cauchy": dict(loc=REAL, scale=A), "Weibull": dict(scale=A, concentration=B),
    "Kumaraswamy": dict(concentration1=A, concentration0=B), "VonMises": dict(loc=REAL, concentration=A),
    "MultivariateNormal": dict(loc=REAL, scale_tril=TRIL),
    "LowRankMultivariateNormal": dict(loc=REAL * 2, cov_factor=TRIL[..., :2], cov_diag=A),
    "Wishart": dict(df=np.array([4.5, 7.0]), scale_tril=TRIL)}


@pytest.mark.parametrize("first", FAMILIES)
def test_divergences_between_families(first):
    for second in FAMILIES:
        if first == second == "Wishart":
            continue        # PyTorch's is negative here; ours is checked by its samples
        out = []
        for T in (rushlight, torch):
            d, e = (getattr(T.distributions, name)(**{
                k: T.tensor(v * scale) if isinstance(v, np.ndarray) else v for k, v in FAMILIES[name].items()})
                for name, scale in ((first, 1), (second, 1 if second in ("Bernoulli", "Binomial") else 1.1)))
            try:
                out.append(T.distributions.kl_divergence(d, e))
            except NotImplementedError:
                out.append(None)
        assert (out[0] is None) == (out[1] is None), (first, second)
        if out[0] is not None:
            same(*out, 1e-8)


@pytest.mark.parametrize("scale", [0.2, 0.0, -0.3])
def test_generalized_pareto(scale):
    """In float32: PyTorch's takes nothing else."""
    out = []
    for T in (rushlight, torch):
        loc, size = T.tensor(REAL, dtype=T.float32, requires_grad=True), T.tensor(A, dtype=T.float32)
        d = T.distributions.GeneralizedPareto(loc, size, T.tensor(P * scale, dtype=T.float32))
        T.manual_seed(17)
        x = d.rsample((4,))
        y = d.log_prob(x.detach())
        out.append((x, y, d.cdf(x), d.icdf(T.tensor(P, dtype=T.float32)), d.mean, d.variance, d.mode, d.entropy(),
                    d.log_survival_function(x), d.expand((2, 2, 3)).log_prob(x[0]), *T.autograd.grad(y.sum(), loc)))
    for a, b in zip(*out, strict=True):
        same(a, b, 2e-5)


def test_divergence_of_wishart_distributions_is_the_mean_log_ratio():
    D, t = rushlight.distributions, rushlight.tensor
    p, q = D.Wishart(t([4.5, 7.0]).double(), scale_tril=t(TRIL)), D.Wishart(t([5.0, 8.0]).double(), t(COVARIANCE))
    rushlight.manual_seed(3)
    x = p.sample((200000,))
    assert rushlight.allclose((p.log_prob(x) - q.log_prob(x)).mean(0), D.kl_divergence(p, q), rtol=0.05)
    assert rushlight.allclose(D.kl_divergence(p, p), rushlight.zeros(2).double(), atol=1e-9)


def test_independent_mixture_and_transformed():
    def program(T):
        D, t = T.distributions, T.tensor
        inner = D.Independent(D.Normal(t(REAL), t(A)), 1)
        mixture = D.MixtureSameFamily(D.Categorical(t(SIMPLEX[0, :2] + 0.1)), inner)
        flat = D.MixtureSameFamily(D.Categorical(probs=t(P)), D.Normal(t(REAL), t(A)))
        moved = D.TransformedDistribution(D.Normal(t(REAL), t(A)), [
            D.SigmoidTransform(), D.AffineTransform(t(1.0, dtype=T.float64), t(B))])
        tanh = D.TransformedDistribution(inner, D.TanhTransform(cache_size=1))
        T.manual_seed(16)
        x, y, z, w = mixture.sample((4,)), flat.sample((4,)), moved.sample((3,)), tanh.sample()
        return (x, mixture.log_prob(x), mixture.mean, mixture.variance, y, flat.log_prob(y),
                flat.cdf(y), z, moved.log_prob(z), moved.cdf(z), w, tanh.log_prob(w),
                inner.entropy(), D.kl_divergence(inner, inner))
    for a, b in zip(program(rushlight), program(torch), strict=True):
        same(a, b)


def test_a_mixture_judges_values_by_each_of_its_components():
    def program(T):
        D, ends = T.distributions, T.tensor([1.0, 2.0])
        mixture = D.MixtureSameFamily(D.Categorical(T.ones(2)), D.Uniform(-ends, ends))
        with pytest.raises(ValueError, match="MixtureSameFamilyConstraint"):
            mixture.log_prob(T.tensor([0.5, 1.5, 0.0]))
        return mixture.log_prob(T.tensor([0.5, -0.5, 0.0])), repr(D.MixtureSameFamily(
            D.Categorical(T.ones(2)), D.Normal(ends, ends)).support)
    (a, found), (b, expected) = program(rushlight), program(torch)
    same(a, b)
    assert found == expected


TRANSFORMS = {
    "ExpTransform()": REAL, "SigmoidTransform()": REAL, "TanhTransform()": REAL,
    "SoftplusTransform()": REAL, "AffineTransform(2.0, -3.0)": REAL,
    "AffineTransform(2.0, 3.0, event_dim=1)": REAL, "PowerTransform(2.0)": A,
    "StickBreakingTransform()": REAL, "ComposeTransform([ExpTransform(), AffineTransform(1., 2.)])":
    REAL, "IndependentTransform(ExpTransform(), 1)": REAL, "ReshapeTransform((3,), (3, 1))": REAL,
    "ExpTransform().inv": A, "CatTransform([ExpTransform(), SigmoidTransform()], -1, [1, 2])": REAL,
    "CatTransform([ExpTransform(), SigmoidTransform()], 0)": REAL,
    "StackTransform([ExpTransform(), SigmoidTransform()], 0)": REAL,
    "StackTransform([ExpTransform(), AffineTransform(1., 2.), TanhTransform()], -1)": REAL,
    "CorrCholeskyTransform()": REAL, "CorrCholeskyTransform().inv": "factors",
}


@pytest.mark.parametrize("words", TRANSFORMS)
def test_transforms(words):
    out = []
    for T in (rushlight, torch):
        f = eval(words, dict(vars(T.distributions)))
        x = TRANSFORMS[words]
        x = T.distributions.CorrCholeskyTransform()(T.tensor(REAL)) if isinstance(x, str) else T.tensor(x)
        y = f(x)
        out.append((y, f.inv(y), f.log_abs_det_jacobian(x, y), f.domain.event_dim, repr(f)))
    for a, b in zip(out[0][:3], out[1][:3], strict=True):
        same(a, b, 1e-7)
    assert out[0][3:] == out[1][3:]


def test_cumulative_distribution_transform():
    out = []
    for T in (rushlight, torch):
        f = T.distributions.CumulativeDistributionTransform(T.distributions.Normal(T.tensor(REAL), T.tensor(A)))
        x = T.tensor(P)
        y = f(x)
        out.append((y, f.inv(y), f.log_abs_det_jacobian(x, y)))
    for a, b in zip(*out, strict=True):
        same(a, b)


def test_joined_constraints():
    out = []
    for T in (rushlight, torch):
        c = T.distributions.constraints
        joined = [c.cat([c.positive, c.real, c.unit_interval], -1), c.stack([c.positive, c.real, c.unit_interval], -1)]
        for constraint in joined:
            for registry in (T.distributions.biject_to, T.distributions.transform_to):
                y = registry(constraint)(T.tensor(REAL))
                out.append((T, y, constraint.check(y)))
        out.append((T, c.corr_cholesky.check(T.tensor(TRIL)), c.MixtureSameFamilyConstraint(c.positive).check(T.tensor(A))))
    half = len(out) // 2
    for a, b in zip(out[:half], out[half:], strict=True):
        for x, y in zip(a[1:], b[1:], strict=True):
            same(x, y)


def test_registered_bijections():
    both = [(r, n) for r in ("biject_to", "transform_to")
            for n in ("real", "positive", "unit_interval", "simplex", "real_vector")]
    for registry, name in [*both, ("transform_to", "lower_cholesky"),
                           ("transform_to", "positive_definite"), ("transform_to", "positive_semidefinite"),
                           ("biject_to", "corr_cholesky"), ("transform_to", "corr_cholesky")]:
        out = []
        for T in (rushlight, torch):
            constraint = getattr(T.distributions.constraints, name)
            out.append(getattr(T.distributions, registry)(constraint)(T.tensor(COVARIANCE)))
        same(*out)


WRONG = {
    "scale": lambda T: T.distributions.Normal(T.zeros(2), T.tensor([1.0, -1.0])),
    "probs": lambda T: T.distributions.Bernoulli(T.tensor([1.5])),
    "both": lambda T: T.distributions.Bernoulli(T.tensor([0.5]), T.tensor([0.5])),
    "value": lambda T: T.distributions.Exponential(T.ones(2)).log_prob(T.tensor([-1.0, 1.0])),
    "shape": lambda T: T.distributions.Normal(T.zeros(2), 1.0).log_prob(T.zeros(3)),
    "number": lambda T: T.distributions.Normal(T.zeros(2), 1.0).log_prob(0.0),
    "event": lambda T: T.distributions.Dirichlet(T.ones(3)).log_prob(T.ones(4)),
    "category": lambda T: T.distributions.Categorical(T.ones(3)).log_prob(T.tensor(3)),
    "simplex": lambda T: T.distributions.Categorical(T.tensor(1.0)),
    "low high": lambda T: T.distributions.Uniform(T.ones(2), T.zeros(2)),
    "definite": lambda T: T.distributions.MultivariateNormal(T.zeros(2), -T.eye(2)),
    "kl": lambda T: T.distributions.kl_divergence(T.distributions.Laplace(0.0, 1.0),
                                                  T.distributions.Poisson(1.0)),
    "broadcast": lambda T: T.distributions.Normal("a", 1.0),
    "bernoulli": lambda T: T.distributions.ContinuousBernoulli(),
    "lkj": lambda T: T.distributions.LKJCholesky(1),
    "wishart": lambda T: T.distributions.Wishart(1.0, T.eye(3)),
    "wishart's": lambda T: T.distributions.Wishart(4.0, T.eye(3), T.eye(3)),
    "low rank": lambda T: T.distributions.LowRankMultivariateNormal(T.zeros(3), T.ones(2, 2), T.ones(3)),
    "low rank's": lambda T: T.distributions.LowRankMultivariateNormal(T.zeros(3), T.ones(3, 2), T.ones(2)),
    "independent": lambda T: T.distributions.Independent(T.distributions.Normal(0.0, 1.0), 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_words_of_errors(name):
    said = []
    for T in (rushlight, torch):
        with pytest.raises(Exception) as caught:
            WRONG[name](T)
        said.append((type(caught.value).__name__, str(caught.value).replace("rushlight", "torch")))
    assert said[0] == said[1]


def test_modules_have_pytorch_s_names():
    from rushlight.distributions.multivariate_normal import MultivariateNormal
    from rushlight.distributions.normal import Normal
    assert (Normal, MultivariateNormal) == (rushlight.distributions.Normal,
                                            rushlight.distributions.MultivariateNormal)
