"""Every sampler on sizes 1 to 10,000, dtypes and layouts that are drawn: PyTorch's values and its state afterwards."""
import math
import random

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

FLOATS = ("float32", "float64", "float16", "bfloat16")
WHOLE = ("uint8", "int8", "int16", "int32", "int64")
BATCHES, CASES = 60, 50


# -- how a tensor lies ---------------------------------------------------------------------------------
def shape_of(draw):
    """One to four axes, at most 10,000 elements; small and odd sizes come often."""
    n = draw.choice((1, 2, 3, 7, 15, 16, 17, 31, 33, 100, 255, 1000, 4097, 10_000, draw.randint(1, 10_000)))
    shape = []
    for _ in range(draw.choice((0, 0, 1, 2, 3))):
        k = draw.randint(1, min(n, 40))
        shape.append(k)
        n = max(1, n // k)
    return (*shape, n)


LAYOUTS = {
    "packed": lambda x: x, "transposed": lambda x: x.transpose(0, -1), "strided": lambda x: x[..., ::2],
    "offset": lambda x: x[1:] if x.shape[0] > 1 else x, "permuted": lambda x: x.permute(*range(1, x.dim()), 0),
    "column": lambda x: x[..., 0], "squeezed": lambda x: x.unsqueeze(1).transpose(0, 1),
    "channels last": lambda x: with_channels_last(x), "backwards": lambda x: x.flip(0)}


def with_channels_last(x):
    """x of three axes and more as images whose channels lie last."""
    return x.unsqueeze(0).movedim(1, -1).contiguous().movedim(-1, 1) if x.dim() > 2 else x


def zeros(m, case):
    return LAYOUTS[case.layout](m.zeros(case.shape, dtype=getattr(m, case.dtype)))


def given(m, case, low=0.0, high=1.0):
    """The same numbers in both libraries, in the case's dtype and layout."""
    values = np.random.default_rng(case.seed).uniform(low, high, case.shape)
    return LAYOUTS[case.layout](m.tensor(values).to(getattr(m, case.dtype)))


class Case:
    def __init__(self, draw):
        self.shape, self.seed = shape_of(draw), draw.randint(0, 10_000)
        self.layout = draw.choice(("packed", "packed", *LAYOUTS))
        self.dtype = draw.choice(("float32", *FLOATS))
        self.whole = draw.choice(WHOLE)
        self.p = draw.choice((0.1, 0.5, 0.9, draw.random()))
        self.low, self.high = draw.choice(((0.0, 1.0), (-1.5, 2.5), (1.0, 1.25)))
        self.ints = draw.choice(((0, 2), (-5, 100), (0, 2 ** 31), (-2 ** 40, 2 ** 40), (7, 8)))
        self.name = draw.choice(sorted(SAMPLERS))

    def __repr__(self):
        return f"{self.name} {self.dtype}/{self.whole} {self.shape} {self.layout} p={self.p:.3f} {self.low, self.high} {self.ints}"


# -- samplers -------------------------------------------------------------------------------------------
def whole(m, case):
    return LAYOUTS[case.layout](m.zeros(case.shape, dtype=getattr(m, case.whole)))


def dtype(m, case):
    return dict(dtype=getattr(m, case.dtype))


def spread(case):
    """Axes of 3 at least, for dropout of channels."""
    return (2, *case.shape)[:5] if len(case.shape) > 1 else (2, 3, *case.shape)


def weights(m, case):
    """Rows of at most 300 weights that are not all zero."""
    rows = min(case.shape[0], 20)
    values = np.random.default_rng(case.seed).random((rows, min(math.prod(case.shape), 300))) + 0.01
    return m.tensor(values, dtype=getattr(m, "float64" if case.dtype == "float64" else "float32"))


def single(m, case, low=0.0, high=1.0):
    kind = "float64" if case.dtype == "float64" else "float32"
    values = np.random.default_rng(case.seed).uniform(low, high, case.shape)
    return LAYOUTS[case.layout](m.tensor(values, dtype=getattr(m, kind)))


def dropped(name, rank):
    def sample(m, c):
        values = np.ones((2, 3, *((1,) * (rank - 1)), math.prod(c.shape)))
        return getattr(m.nn.functional, name)(m.tensor(values).to(getattr(m, c.dtype)), c.p)
    return sample


def initialised(name, *args):
    def sample(m, c):
        a, b = max(1, c.shape[0] % 100), max(1, math.prod(c.shape) // max(1, c.shape[0]) % 200)
        return getattr(m.nn.init, name)(m.zeros(a, b, dtype=getattr(m, "float64" if c.dtype == "float64" else "float32")), *args)
    return sample


def drawn(make):
    """Samples of a distribution that is made of a number between 0 and 1 each."""
    def sample(m, c):
        x = m.tensor(np.random.default_rng(c.seed).uniform(0.05, 0.95, min(math.prod(c.shape), 500)), dtype=m.float32)
        return make(m.distributions, x).sample((1 + c.seed % 3,))
    return sample


SAMPLERS = {
    "uniform_": lambda m, c: zeros(m, c).uniform_(c.low, c.high),
    "normal_": lambda m, c: zeros(m, c).normal_(c.low, c.high),
    "bernoulli_": lambda m, c: zeros(m, c).bernoulli_(c.p),
    "bernoulli_ whole": lambda m, c: whole(m, c).bernoulli_(c.p),
    "bernoulli_ tensor": lambda m, c: zeros(m, c).bernoulli_(given(m, c)),
    "exponential_": lambda m, c: zeros(m, c).exponential_(c.high),
    "geometric_": lambda m, c: zeros(m, c).geometric_(c.p),
    "cauchy_": lambda m, c: zeros(m, c).cauchy_(c.low, c.high),
    "log_normal_": lambda m, c: zeros(m, c).log_normal_(c.low, c.high / 2),
    "random_": lambda m, c: whole(m, c).random_(),
    "random_ floats": lambda m, c: zeros(m, c).random_(),
    "random_ below": lambda m, c: whole(m, c).random_(100),
    "random_ between": lambda m, c: whole(m, c).random_(3, 90),
    "rand": lambda m, c: m.rand(c.shape, **dtype(m, c)),
    "randn": lambda m, c: m.randn(c.shape, **dtype(m, c)),
    "rand_like": lambda m, c: m.rand_like(zeros(m, c)),
    "randn_like": lambda m, c: m.randn_like(zeros(m, c)),
    "randint": lambda m, c: m.randint(*c.ints, c.shape),
    "randint_like": lambda m, c: m.randint_like(zeros(m, c), 3, 50),
    "randint floats": lambda m, c: m.randint(0, 100, c.shape, **dtype(m, c)),
    "randperm": lambda m, c: m.randperm(math.prod(c.shape)),
    "randn complex": lambda m, c: m.randn(c.shape, dtype=m.complex128 if c.dtype == "float64" else m.complex64),
    "normal of tensors": lambda m, c: m.normal(single(m, c), single(m, c, 0.5, 2)),
    "normal of means": lambda m, c: m.normal(single(m, c), 2.0),
    "bernoulli": lambda m, c: m.bernoulli(given(m, c)),
    "poisson": lambda m, c: m.poisson(single(m, c, 0, 40)),
    "multinomial": lambda m, c: m.multinomial(weights(m, c), weights(m, c).shape[1] // 2 + 1),
    "multinomial one": lambda m, c: m.multinomial(weights(m, c), 1),
    "multinomial again": lambda m, c: m.multinomial(weights(m, c), 1 + c.seed % 50, replacement=True),
    "binomial": lambda m, c: m.binomial(m.full((50,), 20.0), m.full((50,), c.p)),
    "binomial of tensors": lambda m, c: m.binomial(single(m, c, 0, 60).floor(), single(m, c)),
    "normal of deviations": lambda m, c: m.normal(1.5, single(m, c, 0.5, 2)),
    "rand double": lambda m, c: m.rand(c.shape, dtype=m.float64), "randperm int": lambda m, c: m.randperm(math.prod(c.shape), dtype=m.int32),
    "rrelu_": lambda m, c: m.nn.functional.rrelu_(single(m, c, -1, 1), 0.1, 0.4, training=True),
    "Dropout": lambda m, c: m.nn.Dropout(c.p)(given(m, c)), "AlphaDropout": lambda m, c: m.nn.AlphaDropout(c.p)(given(m, c)),
    "dropout": lambda m, c: m.nn.functional.dropout(given(m, c), c.p),
    "alpha_dropout": lambda m, c: m.nn.functional.alpha_dropout(given(m, c), c.p, training=True),
    "dropout1d": dropped("dropout1d", 1), "dropout2d": dropped("dropout2d", 2), "dropout3d": dropped("dropout3d", 3),
    "feature_alpha_dropout": lambda m, c: m.nn.functional.feature_alpha_dropout(
        m.ones(2, 3, math.prod(c.shape)), c.p, training=True),
    "rrelu": lambda m, c: m.nn.functional.rrelu(single(m, c, -1, 1), 0.1, 0.4, training=True),
    "gumbel_softmax": lambda m, c: m.nn.functional.gumbel_softmax(single(m, c), tau=0.7),
    "gumbel_softmax hard": lambda m, c: m.nn.functional.gumbel_softmax(single(m, c), hard=True),
    "fractional_max_pool2d": lambda m, c: m.nn.functional.fractional_max_pool2d(
        m.arange(2 * 3 * 9 * 9.0).reshape(2, 3, 9, 9), 2, output_size=(1 + c.seed % 7, 4)),
    "xavier_uniform_": initialised("xavier_uniform_"), "xavier_normal_": initialised("xavier_normal_"),
    "kaiming_uniform_": initialised("kaiming_uniform_", 1), "kaiming_normal_": initialised("kaiming_normal_"),
    "init.uniform_": initialised("uniform_", -1, 3), "init.normal_": initialised("normal_", 1, 3),
    "trunc_normal_": initialised("trunc_normal_"), "sparse_": initialised("sparse_", 0.4),
    "orthogonal_": lambda m, c: m.nn.init.orthogonal_(m.zeros(c.seed % 20 + 1, 7)).abs(),
    "Linear": lambda m, c: m.nn.Linear(c.seed % 300 + 1, 5).weight,
    "Conv2d": lambda m, c: m.nn.Conv2d(c.seed % 30 + 1, 5, 3).bias,
    "Embedding": lambda m, c: m.nn.Embedding(c.seed % 300 + 1, 5).weight,
    "LSTM": lambda m, c: m.nn.LSTM(3, c.seed % 30 + 1).weight_hh_l0,
    "Normal": drawn(lambda D, x: D.Normal(x, x + 1)), "Uniform": drawn(lambda D, x: D.Uniform(x, x + 1)),
    "Beta": drawn(lambda D, x: D.Beta(x * 3, x + 1)), "Gamma": drawn(lambda D, x: D.Gamma(x * 3, x)),
    "Exponential": drawn(lambda D, x: D.Exponential(x)), "Laplace": drawn(lambda D, x: D.Laplace(x, x)),
    "Categorical": drawn(lambda D, x: D.Categorical(x)), "Bernoulli": drawn(lambda D, x: D.Bernoulli(x)),
    "Geometric": drawn(lambda D, x: D.Geometric(x)), "Poisson": drawn(lambda D, x: D.Poisson(x * 9)),
    "Cauchy": drawn(lambda D, x: D.Cauchy(x, x)), "Gumbel": drawn(lambda D, x: D.Gumbel(x, x)),
    "StudentT": drawn(lambda D, x: D.StudentT(x * 9 + 1)), "Weibull": drawn(lambda D, x: D.Weibull(x, x + 1)),
    "Dirichlet": drawn(lambda D, x: D.Dirichlet(x * 3)), "LogNormal": drawn(lambda D, x: D.LogNormal(x, x)),
    "Multinomial": drawn(lambda D, x: D.Multinomial(20, x)), "OneHot": drawn(lambda D, x: D.OneHotCategorical(x)),
    "VonMises": drawn(lambda D, x: D.VonMises(x, x * 4)), "Pareto": drawn(lambda D, x: D.Pareto(x, x + 1)),
    "Chi2": drawn(lambda D, x: D.Chi2(x * 9)), "HalfCauchy": drawn(lambda D, x: D.HalfCauchy(x)),
    "Binomial": drawn(lambda D, x: D.Binomial(20, x)), "NegativeBinomial": drawn(lambda D, x: D.NegativeBinomial(5, x)),
    "FisherSnedecor": drawn(lambda D, x: D.FisherSnedecor(x * 9 + 1, x * 5 + 1)),
    "ContinuousBernoulli": drawn(lambda D, x: D.ContinuousBernoulli(x)),
    "InverseGamma": drawn(lambda D, x: D.InverseGamma(x * 3 + 1, x)), "LogisticNormal": drawn(lambda D, x: D.LogisticNormal(x, x)),
    "RelaxedBernoulli": drawn(lambda D, x: D.RelaxedBernoulli(0.7, x)),
    "RelaxedOneHot": drawn(lambda D, x: D.RelaxedOneHotCategorical(0.7, x)),
    "LKJCholesky": drawn(lambda D, x: D.LKJCholesky(4, 1.5)), "Wishart": drawn(lambda D, x: D.Wishart(5.0, x[:1].diag_embed())),
    "MultivariateNormal": drawn(lambda D, x: D.MultivariateNormal(x, scale_tril=x.diag_embed())),
    "LowRank": drawn(lambda D, x: D.LowRankMultivariateNormal(x, x.unsqueeze(-1), x)),
    "Mixture": drawn(lambda D, x: D.MixtureSameFamily(D.Categorical(x), D.Normal(x, x))),
    "Transformed": drawn(lambda D, x: D.TransformedDistribution(D.Normal(x, x), [D.ExpTransform(), D.AffineTransform(1, 2)])),
    "Independent": drawn(lambda D, x: D.Independent(D.Normal(x, x), 1)), "OneHotST": drawn(lambda D, x: D.OneHotCategoricalStraightThrough(x)),
    "HalfNormal": drawn(lambda D, x: D.HalfNormal(x)), "Kumaraswamy": drawn(lambda D, x: D.Kumaraswamy(x + 1, x + 1)),
}


def plain(x):
    """Values as NumPy's float64, integers or complex numbers."""
    if "float16" in str(x.dtype):
        x = x.float()
    return x.detach().numpy()


def lies(x):
    """Strides of the axes that have more than one element."""
    return [step for n, step in zip(x.shape, x.stride()) if n > 1]


def compare(case, actual, expected):
    assert (str(actual.dtype), tuple(actual.shape), lies(actual)) == (str(expected.dtype), tuple(expected.shape), lies(expected)), case
    a, b = plain(actual), plain(expected)
    if a.dtype.kind in "fc":
        eps = 2.0 ** -8 if case.dtype == "bfloat16" else 2.0 ** -11 if case.dtype == "float16" else np.finfo(a.dtype).eps
        bound = (64 if case.name[0].isupper() or "softmax" in case.name or "gamma" in case.name else 8) * eps
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound, err_msg=str(case))
    else:
        np.testing.assert_array_equal(a, b, err_msg=str(case))


def sampled(m, cases, seed):
    m.manual_seed(seed)
    return [SAMPLERS[case.name](m, case) for case in cases], bytes(m.get_rng_state().tolist())


@pytest.mark.parametrize("batch", range(BATCHES))
def test_streams(batch):
    """Many samplers draw from one stream; nothing is read before the last one has drawn."""
    draw = random.Random(batch)
    cases = [Case(draw) for _ in range(CASES)]
    (ours, state), (theirs, their_state) = sampled(rl, cases, batch), sampled(torch, cases, batch)
    for case, actual, expected in zip(cases, ours, theirs, strict=True):
        compare(case, actual, expected)
    assert state == their_state


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_each_sampler(name):
    """Every sampler by itself: the state after each call."""
    draw = random.Random(name)
    for seed in range(12):
        case = Case(draw)
        case.name = name
        (ours, state), (theirs, their_state) = sampled(rl, [case], seed), sampled(torch, [case], seed)
        compare(case, ours[0], theirs[0])
        assert state == their_state, case
