"""Scan kernels against the primitives' NumPy meaning: the same bits."""
import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight.cpu import jit
from rushlight.prims.reduce import SCANS, cumprod, cumsum
from rushlight.runtime.threads import get_num_threads, set_num_threads

KINDS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.uint8, np.int8, np.int16, np.int32, np.int64]
SHAPES = [((7,), 0), ((1,), 0), ((3, 17), 0), ((3, 17), 1), ((9, 40), 1), ((4, 0), 1), ((0, 4), 1), ((5, 200), 0),
          ((2, 5, 3), 1), ((2, 30, 80), 1), ((6, 5, 1), 1), ((2, 3, 4, 5), 1), ((1000,), 0), ((50, 2), 0),
          ((4, 20, 7), 1), ((3, 20, 8), 1), ((3, 20, 9), 1)]


@pytest.fixture(autouse=True)
def threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


def tensor(array):
    if array.dtype == ml_dtypes.bfloat16:
        return rushlight.tensor(array.astype(np.float32)).bfloat16()
    return rushlight.tensor(array)


def array(tensor):
    """As NumPy, bfloat16 exactly as float32."""
    return (tensor.float() if tensor.dtype is rushlight.bfloat16 else tensor).numpy()


def same(got, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_array_equal(array(got), wanted.astype(np.float32) if wanted.dtype == ml_dtypes.bfloat16 else wanted)


def values(rng, shape, kind):
    if np.dtype(kind).kind in "iu":
        return rng.integers(0, 5, shape).astype(kind)
    return rng.uniform(-1.5, 1.5, shape).astype(kind)


@pytest.mark.parametrize("scan", SCANS, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: np.dtype(k).name)
def test_every_dtype(scan, kind):
    rng = np.random.default_rng(0)
    for shape, dim in SHAPES:
        x = values(rng, shape, kind)
        with np.errstate(all="ignore"):
            same(scan(tensor(x), dim=dim), scan.reference(x, dim=dim))


@pytest.mark.parametrize("scan", SCANS[2:], ids=str)
def test_nan_and_ties(scan):
    rng = np.random.default_rng(1)
    x = rng.choice([np.nan, 0.0, -0.0, 1.0, np.inf, -np.inf], (20, 30))
    for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        for dim in (0, 1):
            same(scan(tensor(x.astype(kind)), dim=dim), scan.reference(x.astype(kind), dim=dim))
    flags = rng.random((9, 33)) < 0.3
    for dim in (0, 1):
        same(scan(rushlight.tensor(flags), dim=dim), scan.reference(flags, dim=dim))


@pytest.mark.parametrize("scan", SCANS, ids=str)
def test_any_strides(scan):
    rng = np.random.default_rng(2)
    big = rushlight.tensor(values(rng, (12, 34, 20), np.float32))
    for x in (big[::2, ::3, ::5], big.permute(2, 0, 1), big.permute(1, 2, 0), big[0].T, big[:, :1].expand(12, 7, 20),
              big[3:, 5:, 7:]):
        for dim in range(x.dim()):
            same(scan(x, dim=dim), scan.reference(x.numpy(), dim=dim))


def test_float32_accumulates_in_float64():
    x = np.full(1 << 20, 0.1, np.float32)
    assert rushlight.tensor(x).cumsum(0)[-1].item() == np.float32(np.cumsum(x.astype(np.float64))[-1])


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(3)
    for shape, dim in (((300, 500), 0), ((300, 500), 1), ((7, 90, 100), 1)):
        x, bits = rng.normal(size=shape), []
        for n in (1, 2, 4):
            set_num_threads(n)
            bits.append(cumsum(rushlight.tensor(x), dim=dim).numpy().copy())
            same(cumprod(rushlight.tensor(x), dim=dim), cumprod.reference(x, dim=dim))
        assert all((b == bits[0]).all() for b in bits)


def test_new_sizes_compile_nothing():
    def step(*shape):
        for dim in (0, 1):
            rushlight.ones(shape).cumsum(dim).sum().item()
    step(20, 300)
    before = jit.compilations
    step(21, 500)
    step(300, 8)
    assert jit.compilations == before


def test_gradient():
    x = rushlight.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x.cumsum(0) * rushlight.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [111, 110, 100]
