"""The mathematical functions: bounds in ulp on dense samples, special values, the same bits everywhere."""
import math
import time

import numpy as np
import pytest

from rushlight import dtypes as d
from rushlight.cpu import jit, probe
from rushlight.cpu import math as emitted
from rushlight.cpu.features import Host
from rushlight.cpu.lanes import FUNCTIONS as EMITTED

inf, nan = math.inf, math.nan
N = 40_000


def elementwise(function):
    return lambda x: np.array([function(v) for v in x.astype(np.float64)])


def uniform(low, high):
    return lambda rng: rng.uniform(low, high, N)


def sizes(low=-87.0, high=88.0):
    """Positive numbers of every size."""
    return lambda rng: np.exp(rng.uniform(low, high, N))


def both_signs(rng):
    return sizes()(rng) * rng.choice([-1, 1], N)


# name: the meaning (run in a wider type), bounds for float32 and float64, samples
FUNCTIONS = {
    "exp": (np.exp, 1.0, 1.1, [uniform(-103, 88.7), uniform(-1, 1)]),
    "exp2": (np.exp2, 1.0, 1.1, [uniform(-149, 127.9), uniform(-1, 1)]),
    "expm1": (np.expm1, 1.4, 1.4, [uniform(-20, 88.7), uniform(-1, 1), uniform(-1e-3, 1e-3)]),
    "log": (np.log, 1.0, 1.0, [sizes(), uniform(0.5, 2)]),
    "log1p": (np.log1p, 1.5, 1.5, [sizes(), uniform(-0.999, 2), uniform(-1e-3, 1e-3)]),
    "log2": (np.log2, 0.51, 0.8, [sizes(), uniform(0.5, 2)]),
    "log10": (np.log10, 0.51, 0.8, [sizes(), uniform(0.5, 2)]),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5, 1.5, [sizes()]),
    "tanh": (np.tanh, 1.4, 1.4, [uniform(-10, 10), uniform(-1, 1), uniform(-1e-3, 1e-3)]),
    "sinh": (np.sinh, 0.51, 1.7, [uniform(-88, 88), uniform(-2, 2)]),
    "cosh": (np.cosh, 0.51, 1.4, [uniform(-88, 88), uniform(-2, 2)]),
    "asinh": (np.arcsinh, 0.51, 1.7, [both_signs, uniform(-3, 3)]),
    "acosh": (np.arccosh, 0.51, 1.8, [uniform(1, 3), uniform(1, 1e6)]),
    "atanh": (np.arctanh, 0.51, 2.1, [uniform(-0.9999, 0.9999), uniform(-0.01, 0.01)]),
    "sin": (np.sin, 1.2, 1.2, [uniform(-10, 10), uniform(-1e6, 1e6), uniform(-2 ** 22, 2 ** 22)]),
    "cos": (np.cos, 1.2, 1.2, [uniform(-10, 10), uniform(-1e6, 1e6), uniform(-2 ** 22, 2 ** 22)]),
    "tan": (np.tan, 0.51, 1.2, [uniform(-10, 10), uniform(-1e6, 1e6)]),
    "asin": (np.arcsin, 0.51, 2.1, [uniform(-1, 1)]),
    "acos": (np.arccos, 0.51, 1.3, [uniform(-1, 1)]),
    "atan": (np.arctan, 0.51, 1.8, [both_signs, uniform(-5, 5)]),
    "erf": (elementwise(math.erf), 1.2, 2.0, [uniform(-6, 6), uniform(-1, 1)]),
    "erfc": (elementwise(math.erfc), 0.51, 6.0, [uniform(-6, 9), uniform(-1, 1)]),
    "lgamma": (elementwise(math.lgamma), 0.52, 24, [uniform(3.5, 60), uniform(0.01, 0.7)]),      # Python's is off by 14
    "bessel_i0": (np.i0, 0.52, 8.0, [uniform(-9, 9), uniform(0, 85)]),
}
each = pytest.mark.parametrize


def ulps(got, wanted):
    kind = got.dtype.type
    near = wanted.astype(kind)
    unit = np.maximum(np.spacing(np.abs(near)), np.finfo(kind).smallest_subnormal)
    return np.abs(got.astype(np.longdouble) - wanted) / unit


def check_bound(name, kind, wider, bound):
    meaning, _, _, samples = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    for draw in samples:
        x = draw(rng).astype(kind.numpy)
        error = ulps(probe.apply(name, kind, x), meaning(x.astype(wider)))
        worst = error.argmax()
        assert error[worst] <= bound, (x[worst], error[worst])


@each("name", FUNCTIONS)
def test_float32_bound(name):
    check_bound(name, d.float32, np.float64, FUNCTIONS[name][1])


@each("name", FUNCTIONS)
def test_float64_bound(name):
    """Where long double is no wider than double, the meaning's own rounding counts too."""
    widest = np.finfo(np.longdouble).nmant > 52
    check_bound(name, d.float64, np.longdouble, FUNCTIONS[name][2] + (0 if widest else 1))


def power_samples(kind):
    rng = np.random.default_rng(5)
    x = np.exp(rng.uniform(-3, 3, N))
    top = 87 if kind is d.float32 else 700
    y = rng.uniform(-top, top, N) / np.maximum(abs(np.log(x)), 0.01)
    return x.astype(kind.numpy), y.astype(kind.numpy)


@each("kind, wider, bound", [(d.float32, np.float64, 0.51), (d.float64, np.longdouble, 1.5)])
def test_pow_bound(kind, wider, bound):
    x, y = power_samples(kind)
    exact = np.power(x.astype(wider), y.astype(wider))
    assert ulps(probe.apply("pow", kind, x, y), exact).max() <= bound


@each("kind, wider, bound", [(d.float32, np.float64, 0.51), (d.float64, np.longdouble, 2.1)])
def test_atan2_bound(kind, wider, bound):
    rng = np.random.default_rng(5)
    y, x = ((rng.normal(size=N) * np.exp(rng.uniform(-5, 5, N))).astype(kind.numpy) for _ in "yx")
    exact = np.arctan2(y.astype(wider), x.astype(wider))
    assert ulps(probe.apply("atan2", kind, y, x), exact).max() <= bound


@each("kind, bound", [(d.float32, 1.0), (d.float64, 16.0)])
def test_erfinv_undoes_erf(kind, bound):
    """Backwards: the error of y, seen through erf's slope, against y's own last place."""
    x = np.random.default_rng(5).uniform(-0.9, 0.9, N).astype(kind.numpy)
    y = probe.apply("erfinv", kind, x).astype(np.float64)
    slope = 2 / math.sqrt(math.pi) * np.exp(-y * y)
    error = (elementwise(math.erf)(y) - x) / slope / np.spacing(np.abs(y).astype(kind.numpy))
    assert abs(error).max() <= bound


@each("kind, tolerance", [(d.float32, 1e-6), (d.float64, 2e-13)])
def test_digamma_and_trigamma_by_recurrence(kind, tolerance):
    """f(x + 1) = f(x) + 1/x and f'(x + 1) = f'(x) - 1/x^2; one value of each is known."""
    x = np.random.default_rng(5).uniform(0.05, 30, N).astype(kind.numpy)
    x = x[(x + 1) - x == 1]
    far = np.concatenate([x, [kind.numpy.type(1)]])
    f, g = (probe.apply(name, kind, far) for name in ("digamma", "trigamma"))
    f1, g1 = (probe.apply(name, kind, far + 1) for name in ("digamma", "trigamma"))
    assert np.allclose(f1, f + 1 / far, rtol=tolerance * 10, atol=tolerance * 20)
    assert np.allclose(g1, g - 1 / far ** 2, rtol=tolerance * 200, atol=tolerance * 200)
    assert math.isclose(f[-1], -0.57721566490153286, rel_tol=tolerance)
    assert math.isclose(g[-1], math.pi ** 2 / 6, rel_tol=tolerance)


PLACES = (0.013, 0.3, 0.7, 1.01, 1.45, 1.6, 2.1, 2.75, 5.4, 7.99, 8.3, 9.9, 123.5)
NEAREST = {      # to 100 digits by mpmath, rounded
    "lgamma": (4.335440242151058, 1.0957979948180756, 0.26086724653166654, -0.005690307946069651,
        -0.12142059074030692, -0.11259176569675577, 0.04543773854448518, 0.47521466691493713, 3.7977080323490733,
        8.50501160608848, 9.135766871176596, 12.57717990421988, 469.8172754919306),
    "digamma": (-77.47910924410469, -3.502524222200133, -1.2200235536979347, -0.5608854578686745,
        -0.011316422586445888, 0.12604745277347632, 0.48533596867983236, 0.8189010249754326, 1.5909582106988156,
        2.014309222046224, 2.0548066370078493, 2.2411803166063815, 4.812187109433143),
    "trigamma": (5918.773983669404, 12.245364546107732, 2.834049156694611, 1.62121352831322, 0.9780787885942666,
        0.8584318931245798, 0.6068528698010233, 0.43757125764893073, 0.20338331491243108, 0.13331424565985758,
        0.12803052136843215, 0.1062830416287406, 0.008130036519855761),
}


@each("name, bound", [("lgamma", 2.5), ("digamma", 1), ("trigamma", 1)])
def test_gamma_function_and_derivatives(name, bound):
    """Within `bound` ulp, also where sums of larger numbers cancel: digamma is 0 at 1.4616, lgamma at 1 and 2."""
    wanted = np.array(NEAREST[name])
    error = np.abs(probe.apply(name, d.float64, np.array(PLACES)) - wanted) / np.spacing(np.abs(wanted))
    assert error.max() <= bound, error


# --- special values -------------------------------------------------------------------------------

SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (inf, inf), (-inf, 0), (1000, inf), (-1000, 0)],
    "exp2": [(0, 1), (3, 8), (-3, 0.125), (inf, inf), (-inf, 0), (5000, inf), (-5000, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (inf, inf), (-inf, -1), (1000, inf), (-1000, -1)],
    "log": [(0, -inf), (-0.0, -inf), (1, 0), (inf, inf), (-1, nan), (-inf, nan)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -inf), (inf, inf), (-2, nan), (-inf, nan)],
    "log2": [(0, -inf), (1, 0), (8, 3), (0.25, -2), (inf, inf), (-1, nan)],
    "log10": [(0, -inf), (1, 0), (1000, 3), (inf, inf), (-1, nan)],
    "rsqrt": [(0, inf), (-0.0, -inf), (4, 0.5), (inf, 0), (-1, nan)],
    "tanh": [(0, 0), (-0.0, -0.0), (inf, 1), (-inf, -1), (50, 1), (-50, -1)],
    "sinh": [(0, 0), (-0.0, -0.0), (inf, inf), (-inf, -inf), (1000, inf)],
    "cosh": [(0, 1), (inf, inf), (-inf, inf), (-1000, inf)],
    "asinh": [(0, 0), (-0.0, -0.0), (inf, inf), (-inf, -inf)],
    "acosh": [(1, 0), (inf, inf), (0.5, nan), (-5, nan), (-inf, nan)],
    "atanh": [(0, 0), (-0.0, -0.0), (1, inf), (-1, -inf), (2, nan), (-inf, nan)],
    "sin": [(0, 0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "cos": [(0, 1), (-0.0, 1), (inf, nan), (-inf, nan)],
    "tan": [(0, 0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "asin": [(0, 0), (-0.0, -0.0), (1, math.pi / 2), (-1, -math.pi / 2), (1.5, nan), (-inf, nan)],
    "acos": [(1, 0), (-1, math.pi), (0, math.pi / 2), (1.5, nan), (inf, nan)],
    "atan": [(0, 0), (-0.0, -0.0), (inf, math.pi / 2), (-inf, -math.pi / 2), (1, math.pi / 4)],
    "erf": [(0, 0), (-0.0, -0.0), (inf, 1), (-inf, -1), (30, 1)],
    "erfc": [(0, 1), (inf, 0), (-inf, 2), (30, 0), (-30, 2)],
    "erfinv": [(0, 0), (-0.0, -0.0), (1, inf), (-1, -inf), (1.5, nan), (-inf, nan)],
    "lgamma": [(1, 0), (2, 0), (0, inf), (-0.0, inf), (-1, inf), (-7, inf), (inf, inf), (-inf, inf)],
    "digamma": [(0, -inf), (-0.0, inf), (-1, nan), (inf, inf), (-inf, nan)],
    "trigamma": [(0, inf), (-1, inf), (inf, 0)],
    "bessel_i0": [(0, 1), (inf, inf), (-inf, inf)], "bessel_i0e": [(0, 1), (inf, 0), (-inf, 0)],
    "bessel_i1": [(0, 0), (-0.0, -0.0), (inf, inf), (-inf, -inf)], "bessel_i1e": [(0, 0), (inf, 0), (-inf, -0.0)],
}
KINDS = [d.float32, d.float64]


@each("kind", KINDS, ids=repr)
@each("name", SPECIAL)
def test_special_values(name, kind):
    x, wanted = np.array([*SPECIAL[name], (nan, nan)], kind.numpy).T.copy()
    got = probe.apply(name, kind, x)
    assert np.array_equal(got, wanted, equal_nan=True), list(zip(x, got, wanted))
    assert np.array_equal(np.signbit(got[wanted == 0]), np.signbit(wanted[wanted == 0]))


@each("kind", KINDS, ids=repr)
@each("name, meaning", [("pow", np.power), ("atan2", np.arctan2)])
def test_special_pairs(name, meaning, kind):
    found = np.array([0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 1e-310, -1e-310, 1e-45, 3e38, 1e308, -1e308,
                      2.0 ** 53, 7e30, inf, -inf, nan])
    with np.errstate(all="ignore"):
        a, b = map(np.ravel, np.meshgrid(found.astype(kind.numpy), found.astype(kind.numpy)))
        wanted, got = meaning(a, b), probe.apply(name, kind, a, b)
    tight = 3e-7 if kind is d.float32 else 1e-15
    assert np.allclose(got, wanted, rtol=tight, atol=0, equal_nan=True)
    numbers = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(got[numbers]), np.signbit(wanted[numbers]))


@each("kind", KINDS, ids=repr)
@each("name", ["sin", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p", "tan"])
def test_denormals_pass_through(name, kind):
    least = np.finfo(kind.numpy).smallest_subnormal
    x = (np.array([1, 2, 3, 1000, -1, -77]) * least).astype(kind.numpy)
    assert np.array_equal(probe.apply(name, kind, x), x)


def test_denormal_results_and_arguments():
    x = np.linspace(-103.9, -87, 1000, dtype=np.float32)
    assert ulps(probe.apply("exp", d.float32, x), np.exp(x.astype(np.float64))).max() <= 1
    x = (np.arange(1, 1000) * 2.0 ** -149).astype(np.float32)
    assert ulps(probe.apply("log", d.float32, x), np.log(x.astype(np.float64))).max() <= 1


# sin at multiples of pi/2 as near as doubles come to them, and of sizes that need every bit of 2/pi
FAR = [(1e22, -0.8522008497671888), (6381956970095103.0 * 2.0 ** 797, 1.0),
       (1e300, -0.8178819121159085), (2.0 ** 1023, 0.5631277798508840), (-1e22, 0.8522008497671888)]


def test_sin_of_any_size():
    x, wanted = (np.array(c) for c in zip(*FAR))
    assert np.allclose(probe.apply("sin", d.float64, x), wanted, rtol=1e-15, atol=0)
    near_pole = probe.apply("cos", d.float64, x[1:2])[0]
    assert math.isclose(near_pole, -4.687165924254624e-19, rel_tol=1e-15)


@each("name", ["sin", "cos", "tan"])
def test_float32_of_any_size(name):
    x = both_signs(np.random.default_rng(2)).astype(np.float32)
    error = ulps(probe.apply(name, d.float32, x), getattr(np, name)(x.astype(np.float64)))
    assert error.max() <= 1.2


# --- the same bits everywhere ---------------------------------------------------------------------

BINARY = {"pow", "atan2", "fmod"}
SAMPLE = np.concatenate([[0.0, -0.0, inf, -inf, nan, 1e-40, 700.0, -745.0, 89.0, -104.0, 2.0 ** 21, 1e30],
                         np.random.default_rng(9).normal(0, 20, 4000), np.linspace(-1, 1, 500)])


def bits(x):
    return np.where(np.isnan(x), 0, x.view(f"i{x.dtype.itemsize}"))


def sample(name, kind):
    x = SAMPLE.astype(kind.numpy)
    return (x, x[::-1].copy()) if name in BINARY else (x,)


@each("kind", KINDS, ids=repr)
@each("name", sorted(EMITTED))
def test_one_lane_gives_the_bits_of_sixteen(name, kind):
    arrays = sample(name, kind)
    assert np.array_equal(bits(probe.apply(name, kind, *arrays, lanes=1)), bits(probe.apply(name, kind, *arrays)))


@each("kind", KINDS, ids=repr)
@each("name", ["exp", "exp2", "pow", "erfc", "cosh"])
def test_cpu_without_avx512_gives_the_same_bits(name, kind, monkeypatch):
    arrays = sample(name, kind)
    native = probe.apply(name, kind, *arrays)
    plain = Host("generic", "", "", "", "x86_64", 256)
    monkeypatch.setattr(emitted, "host", lambda: plain)
    assert np.array_equal(bits(probe.apply(name, kind, *arrays)), bits(native))


@each("name", ["exp", "tanh", "erf", "log", "pow"])
def test_narrow_floats_are_rounded_float32(name):
    for kind in (d.float16, d.bfloat16):
        arrays = [np.abs(a[np.abs(a) < 60]).astype(kind.numpy) for a in sample(name, d.float32)[:1]]
        arrays *= 2 if name in BINARY else 1
        single = probe.apply(name, d.float32, *(a.astype(np.float32) for a in arrays))
        with np.errstate(over="ignore"):
            wanted = single.astype(kind.numpy)
        assert np.array_equal(probe.apply(name, kind, *arrays).view(np.int16), wanted.view(np.int16))


def test_no_function_calls_libm():
    for name in EMITTED:
        code = probe.kernel(name, d.float64, (d.float64,) * (2 if name in BINARY else 1))
        outside = [line for line in code.ir.splitlines() if line.startswith("declare") and "@llvm." not in line]
        assert not outside


@pytest.mark.slow
@each("kind", KINDS, ids=repr)
@each("name", sorted(EMITTED))
def test_compiles_quickly(name, kind):
    """Generous beside what docs/accuracy.md's tool prints (3 to 50 ms): of this thread, for other jobs may share the machine."""
    code = probe.kernel(name, kind, (kind,) * (2 if name in BINARY else 1))
    start = time.thread_time()
    jit._Compiler().compile(code)
    assert time.thread_time() - start < 0.4
