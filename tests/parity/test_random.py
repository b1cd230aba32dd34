"""Random numbers against PyTorch's: values and the state afterwards."""
import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

SIZES = (0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 1000, 10000)
FLOATS = ("float32", "float64", "float16", "bfloat16")


def pair(seed=11):
    return rl.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def plain(x) -> np.ndarray:
    """Values as float64 or integers, of either kind of tensor."""
    wide = {"torch.float16": "float32", "torch.bfloat16": "float32"}.get(str(x.dtype))
    module = torch if isinstance(x, torch.Tensor) else rl
    return (x.to(getattr(module, wide)) if wide else x).detach().numpy()


def check(sample, ulp=0, seed=11):
    """`sample(module, generator)` gives the same values, strides and state in both."""
    ours, theirs = pair(seed)
    actual, expected = sample(rl, ours), sample(torch, theirs)
    assert str(actual.dtype) == str(expected.dtype)
    assert tuple(actual.shape) == tuple(expected.shape)
    assert actual.stride() == expected.stride()
    compare(plain(actual), plain(expected), ulp)
    assert ours.state_bytes() == theirs.get_state().numpy().tobytes()


def compare(actual, expected, ulp):
    """Equal, or within `ulp` of numbers of the size of 1 and more (a shifted value may cancel)."""
    if ulp and actual.dtype.kind == "f":
        bound = ulp * np.finfo(actual.dtype).eps
        np.testing.assert_allclose(actual, expected, rtol=bound, atol=bound)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", SIZES)
class TestFloats:
    def test_rand(self, n, dtype):
        check(lambda m, g: m.rand(n, dtype=getattr(m, dtype), generator=g))

    @pytest.mark.parametrize("low, high", [(-1.3, 7.1), (1, 2), (100, 101), (-3, -2), (0, 1e-7)])
    def test_uniform(self, n, dtype, low, high):
        check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).uniform_(low, high, generator=g),
              ulp=4 if dtype == "float64" else 0)

    def test_randn(self, n, dtype):
        check(lambda m, g: m.randn(n, dtype=getattr(m, dtype), generator=g), ulp=2)

    def test_normal(self, n, dtype):
        check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).normal_(0.7, 1.3, generator=g),
              ulp=2)

    def test_exponential(self, n, dtype):
        check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).exponential_(1.7, generator=g),
              ulp=2)

    def test_bernoulli_number(self, n, dtype):
        check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).bernoulli_(0.3, generator=g))

    def test_bernoulli_tensor(self, n, dtype):
        p = np.linspace(0, 1, n)
        check(lambda m, g: m.bernoulli(m.tensor(p).to(getattr(m, dtype)), generator=g))

    def test_strided(self, n, dtype):
        for name, args in (("uniform_", ()), ("normal_", ()), ("bernoulli_", (0.4,))):
            check(lambda m, g, a=args, f=name: getattr(
                m.zeros(n, 2, dtype=getattr(m, dtype))[:, 1], f)(*a, generator=g), ulp=2)


@pytest.mark.parametrize("n", (1, 15, 16, 33, 1000))
@pytest.mark.parametrize("dtype", FLOATS)
def test_other_distributions(n, dtype):
    check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).geometric_(0.2, generator=g))
    check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).cauchy_(0.5, 2, generator=g), ulp=8)
    check(lambda m, g: m.empty(n, dtype=getattr(m, dtype)).log_normal_(0.5, 1, generator=g), ulp=8)


@pytest.mark.parametrize("name", ["normal_", "uniform_", "bernoulli_"])
@pytest.mark.parametrize("make", [
    lambda m: m.zeros(6, 5).t(), lambda m: m.zeros(2, 3, 4).permute(1, 2, 0),
    lambda m: m.zeros(8, 6)[::2, 1:],
    lambda m: m.zeros(4, 5, 6).transpose(0, 2)[::2], lambda m: m.zeros(3, 1, 7).transpose(0, 1)])
def test_fills_in_memory_order(name, make):
    check(lambda m, g: getattr(make(m), name)(generator=g), ulp=2)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "bool", *FLOATS])
def test_random(dtype):
    check(lambda m, g: m.zeros(100, dtype=getattr(m, dtype)).random_(generator=g))


@pytest.mark.parametrize("low, high", [
    (0, 2), (-5, 95), (0, 2**28 - 1), (0, 2**28), (-2**40, 2**40), (-2**63, 2**63 - 1),
    (0, 2**63 - 1)])
def test_randint(low, high):
    for n in SIZES:
        check(lambda m, g, n=n: m.randint(low, high, (n,), generator=g))


def test_randint_dtypes_and_shapes():
    check(lambda m, g: m.randint(10, (), generator=g))
    check(lambda m, g: m.randint(-3, 5, (4, 3), dtype=m.int8, generator=g))
    check(lambda m, g: m.randint(10, (4, 3), dtype=m.float32, generator=g))
    check(lambda m, g: m.empty(3, 4).t().random_(2, 9, generator=g))


@pytest.mark.parametrize("n", SIZES)
def test_randperm(n):
    check(lambda m, g: m.randperm(n, generator=g))
    check(lambda m, g: m.randperm(min(n, 100), dtype=m.int32, generator=g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])      # halves tie: topk's own order
@pytest.mark.parametrize("shape, n", [((5,), 1), ((300,), 300), ((4, 50), 1), ((4, 50), 7)])
def test_multinomial(shape, n, dtype):
    weights = np.random.default_rng(3).random(shape) + 0.01
    for replacement in (False, True):
        check(lambda m, g, r=replacement: m.multinomial(
            m.tensor(weights).to(getattr(m, dtype)), n, r, generator=g))


def test_normal_of_tensors():
    mean, std = np.arange(40.0).reshape(20, 2), np.linspace(0.1, 2, 40).reshape(20, 2)
    single = lambda m, x: m.tensor(x, dtype=m.float32)
    check(lambda m, g: m.normal(single(m, mean), 2.0, generator=g), ulp=2)
    check(lambda m, g: m.normal(3.0, single(m, std), generator=g), ulp=2)
    check(lambda m, g: m.normal(single(m, mean), single(m, std), generator=g), ulp=2)
    check(lambda m, g: m.normal(1.0, 2.0, (3, 7), generator=g), ulp=2)


def test_poisson():
    rates = np.abs(np.random.default_rng(1).standard_normal(200) * 30)
    check(lambda m, g: m.poisson(m.tensor(rates, dtype=m.float32), generator=g))


def test_bernoulli_of_a_transposed_tensor():
    p = np.random.default_rng(1).random((4, 7))
    check(lambda m, g: m.bernoulli(m.tensor(p, dtype=m.float32).t(), generator=g))
    check(lambda m, g: m.zeros(4, 7).bernoulli_(
        m.tensor(p.T.copy(), dtype=m.float32).t(), generator=g))
    check(lambda m, g: m.zeros(7, 4).t().bernoulli_(m.tensor(p[:1], dtype=m.float64), generator=g))


def test_state_goes_both_ways():
    ours, theirs = pair()
    rl.randn(5, generator=ours), torch.randn(5, generator=theirs)
    theirs.set_state(torch.tensor(ours.get_state().tolist(), dtype=torch.uint8))
    ours.set_state(rl.tensor(theirs.get_state().tolist(), dtype=rl.uint8))
    assert rl.randn(9, generator=ours).tolist() == torch.randn(9, generator=theirs).tolist()


def test_a_program_of_random_draws():
    """Everything in one stream, read in another order and partly not at all."""
    def program(m):
        m.manual_seed(5)
        kept = [m.rand(10), m.randn(7), m.randn(20), m.randint(9, (5,)), m.randperm(8)]
        m.rand(1000), m.randn(3)
        kept += [m.randn(4), m.empty(30).bernoulli_(0.5), m.nn.functional.dropout(m.ones(40), 0.3)]
        return [x.tolist() for x in reversed(kept)], m.get_rng_state().tolist()

    for ours, theirs in zip(program(rl)[0], program(torch)[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert program(rl)[1] == program(torch)[1]
