"""Sort kernels against the primitive's NumPy meaning."""
import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight.cpu import jit
from rushlight.prims import introsort
from rushlight.prims.host import argsort
from rushlight.runtime.threads import get_num_threads, set_num_threads

KINDS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.uint8, np.int8, np.int16, np.int32, np.int64, np.bool_]
SHAPES = [((1,), 0), ((9,), 0), ((80,), 0), ((81,), 0), ((1000,), 0), ((3, 17), 1), ((3, 17), 0), ((200, 5), 0),
          ((20, 300), 1), ((2, 90, 3), 1), ((4, 0), 1), ((0, 4), 1), ((50, 3), 1)]


@pytest.fixture(autouse=True)
def threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


def tensor(array):
    if array.dtype == ml_dtypes.bfloat16:
        return rushlight.tensor(array.astype(np.float32)).bfloat16()
    return rushlight.tensor(array)


def values(rng, shape, kind):
    """With ties."""
    if kind is np.bool_:
        return rng.random(shape) < 0.5
    if np.dtype(kind).kind in "iu":
        info = np.iinfo(kind)
        return np.where(rng.random(shape) < 0.5, rng.integers(info.min, info.max, shape, kind), np.array(3, kind))
    return np.round(rng.normal(size=shape), 1).astype(kind)


def check(x, dim, descending):
    for stable in (True, False):
        order = dict(dim=dim, descending=descending, stable=stable)
        np.testing.assert_array_equal(argsort(tensor(x), **order).numpy(), argsort.reference(x, **order), err_msg=str(stable))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: np.dtype(k).name)
def test_every_dtype(kind, descending):
    rng = np.random.default_rng(0)
    for shape, dim in SHAPES:
        check(values(rng, shape, kind), dim, descending)


@pytest.mark.parametrize("n", [30, 700])
@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda k: np.dtype(k).name)
def test_special_numbers(kind, n):
    """nan is the greatest whatever its sign, -0 equals 0, infinities and denormals stand where they belong."""
    rng = np.random.default_rng(1)
    tiny = float(ml_dtypes.finfo(kind).smallest_subnormal)
    x = rng.choice([np.nan, -np.nan, 0.0, -0.0, tiny, -tiny, np.inf, -np.inf, 1.0, -1.0], n).astype(kind)
    x = np.copysign(x, rng.choice([-1, 1], n).astype(kind))
    for descending in (False, True):
        check(x, 0, descending)


def test_any_strides():
    rng = np.random.default_rng(2)
    big = rushlight.tensor(values(rng, (12, 134, 10), np.float32))
    for x in (big[::2, ::3, ::5], big.permute(2, 0, 1), big.permute(1, 2, 0), big[:, :1].expand(12, 7, 10), big[3:, 5:, 7:]):
        for dim in range(3):
            got = argsort(x, dim=dim, descending=False).numpy()
            np.testing.assert_array_equal(got, np.argsort(x.numpy(), axis=dim, kind="stable"))


def test_threads():
    x = np.random.default_rng(3).normal(size=(150, 333))
    for n in (1, 2, 4):
        set_num_threads(n)
        check(x, 0, False)
        check(x, 1, True)


def test_new_sizes_compile_nothing():
    rng = np.random.default_rng(4)
    check(values(rng, (20, 300), np.float32), 1, False)
    before = jit.compilations
    check(values(rng, (1, 30000), np.float32), 1, False)
    check(values(rng, (500, 7), np.float32), 1, False)
    assert jit.compilations == before


def test_what_is_made_of_it():
    x = rushlight.tensor([[3.0, 1.0, 2.0], [0.5, 0.5, -1.0]])
    values, order = x.sort(1)
    assert values.tolist() == [[1, 2, 3], [-1, 0.5, 0.5]] and order.tolist() == [[1, 2, 0], [2, 0, 1]]
    assert x.topk(2, 1)[0].tolist() == [[3, 2], [0.5, 0.5]]
    assert x.reshape(-1).median().item() == 0.5 and x[0, 0].argsort().item() == 0


class Adversary:
    """Keys that are decided while they are compared, so that quicksort finds no good pivot (M. D. McIlroy, "A killer
    adversary for quicksort", 1999)."""

    def __init__(self, keys, number):
        self.keys, self.number = keys, number

    def __lt__(self, other):
        keys, a, b = self.keys, self.number, other.number
        if a not in keys and b not in keys:
            keys[b if a == keys.get("candidate") else a] = len(keys)
        for one, two in ((a, b), (b, a)):
            if one not in keys:
                keys["candidate"] = one
        return keys.get(a, 1 << 30) < keys.get(b, 1 << 30)


def test_what_quicksort_cannot_halve_goes_by_a_heap(monkeypatch):
    keys, n, heaps = {}, 2000, []
    introsort.std_sort([Adversary(keys, k) for k in range(n)])
    hard = np.array([keys.get(k, n) for k in range(n)]) // 3            # with ties
    original = introsort._sort_by_heap
    monkeypatch.setattr(introsort, "_sort_by_heap", lambda *args: heaps.append(1) or original(*args))
    check(hard, 0, False)
    check(hard.astype(np.float32), 0, False)
    assert len(heaps) >= 2


def test_few_elements_and_digits_keep_their_order():
    for x, stable in ((rushlight.arange(16) % 3, True), (rushlight.arange(17) % 3, False),
                      (rushlight.arange(1 << 15) % 3, True), ((rushlight.arange(1 << 15) % 3).float(), False)):
        kept = x.sort(stable=True).indices
        assert (x.sort().indices == kept).all().item() is stable
        assert (x.argsort() == kept).all().item() is stable and (x.argsort(stable=True) == kept).all().item()
