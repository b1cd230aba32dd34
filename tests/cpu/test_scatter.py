"""Scatter kernels against the primitive's NumPy meaning."""
import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight.cpu import jit
from rushlight.prims.index import scatter
from rushlight.runtime.threads import get_num_threads, set_num_threads

MODES = ["set", "add", "multiply", "amax", "amin"]
KINDS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.uint8, np.int8, np.int16, np.int32, np.int64,
         np.bool_]


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


def values(rng, shape, kind):
    if kind is np.bool_:
        return rng.random(shape) < 0.5
    if np.dtype(kind).kind in "iu":
        return rng.integers(0, 7, shape).astype(kind)
    return rng.uniform(-2, 2, shape).astype(kind)


def indices(rng, shape, source, coords):
    """Index arrays that the source's axes walk, negative ones among them."""
    return [rng.integers(-shape[axis], shape[axis], source) for axis, e in enumerate(coords) if e < 0]


def check(dst, src, at, coords, mode, wrap=True):
    params = dict(coords=coords, mode=mode, wrap=wrap, error="index")
    got = array(scatter(dst if isinstance(dst, rushlight.Tensor) else tensor(dst), tensor(src),
                        *[rushlight.tensor(i) for i in at], **params))
    old = array(dst).astype(src.dtype) if isinstance(dst, rushlight.Tensor) else dst
    wanted = scatter.reference(old, src, *at, **params)
    np.testing.assert_array_equal(got, wanted.astype(np.float32) if wanted.dtype == ml_dtypes.bfloat16 else wanted)
    return got


CASES = [       # shape of the destination, of the source, coordinates
    ((5, 7), (9, 7), (-1, 1)), ((7, 5), (7, 9), (0, -1)), ((40, 100), (33, 100), (-1, 1)), ((40, 5), (20, 3), (-1, 1)),
    ((6,), (50,), (-1,)), ((6, 5), (50,), (-1, -2)), ((3, 4, 30), (3, 4, 50), (0, 1, -1)), ((9, 4, 30), (9, 4, 50), (0, 1, -1)),
    ((3, 6, 17), (3, 11, 17), (0, -1, 2)), ((3, 6, 17), (11, 3, 17), (1, -1, 2)), ((5, 6, 17), (2, 3, 17), (-1, -2, 2)),
    ((6, 7), (7, 9), (-1, 0)), ((4, 4), (4,), (0, 0)), ((5, 5), (5, 3), (-1, 0)), ((1, 1), (1, 1), (-1, 1)), ((4, 1), (9, 1), (-1, 1))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: np.dtype(k).name)
def test_every_dtype(kind, mode):
    rng = np.random.default_rng(0)
    for shape, source, coords in CASES:
        if mode == "set":       # which of two equal places wins is the last: so does NumPy
            source = tuple(min(n, 3) for n in source)
        check(values(rng, shape, kind), values(rng, source, kind), indices(rng, shape, source, coords), coords, mode)


def test_an_index_that_is_the_same_for_a_row():
    rng = np.random.default_rng(1)
    for columns in (1, 3, 4, 15, 16, 17, 100, 300):
        rows = np.broadcast_to(rng.integers(0, 6, (4, 10, 1)), (4, 10, columns))
        for mode in ("add", "amax"):
            check(values(rng, (6, columns), np.float32), values(rng, rows.shape, np.float32), [rows], (-1, 2), mode)


def test_expanded_and_strided_sources():
    rng = np.random.default_rng(2)
    big = rushlight.tensor(values(rng, (40, 60), np.float32))
    at = rushlight.tensor(rng.integers(0, 5, 30)).unsqueeze(1).expand(30, 20)
    params = dict(coords=(-1, 1), mode="add", wrap=False, error="index")
    for src in (big[:30, ::3], big[0, :20].expand(30, 20), big[:20, :30].T, big[:30, :1].expand(30, 20), big[10:, 40:]):
        got = scatter(rushlight.zeros(5, 20), src, at, **params).numpy()
        wanted = scatter.reference(np.zeros((5, 20), np.float32), src.numpy(), at.numpy(), **params)
        np.testing.assert_array_equal(got, wanted)


def test_empty_and_without_axes():
    none = np.zeros((0, 4), np.int64)
    check(np.ones((3, 4), np.float32), np.ones((0, 4), np.float32), [none], (-1, 1), "add")
    check(np.ones((0, 4), np.float32), np.ones((0, 4), np.float32), [none], (-1, 1), "add")
    for mode in MODES:
        check(np.array(3.0, np.float32), np.array(5.0, np.float32), [], (), mode)
        check(np.ones(4, np.float32), np.array(5.0, np.float32), [np.array(-1)], (-1,), mode)


@pytest.mark.parametrize("shape, source, coords", [
    ((50, 256), (3000, 256), (-1, 1)), ((100,), (50000,), (-1,)), ((30, 4), (20000, 4), (-1, 1)), ((16, 4, 64), (16, 4, 900), (0, 1, -1)),
    ((20, 30), (40000,), (-1, -2)), ((300, 40), (900, 40), (-1, 1))], ids=str)
def test_bits_do_not_depend_on_threads(shape, source, coords):
    rng = np.random.default_rng(3)
    src, at = values(rng, source, np.float32), indices(rng, shape, source, coords)
    if coords == (-1, 1) and source[1] != 40:
        at = [np.broadcast_to(at[0][:, :1], source)]
    bits = []
    for n in (1, 2, 4):
        set_num_threads(n)
        bits.append([check(np.zeros(shape, np.float32), src, at, coords, "add"),
                     check(rushlight.full(shape, 0.5), src, at, coords, "add")])
    assert all((np.stack(b) == np.stack(bits[0])).all() for b in bits)


def test_a_filled_destination():
    """Constants are not copied: the kernel or one loop puts them there."""
    rng = np.random.default_rng(4)
    for kind in (np.float32, np.int64, ml_dtypes.bfloat16, np.bool_):
        for shape, source, coords in (((4, 3, 33), (4, 3, 9), (0, 1, -1)), ((5, 7), (9, 7), (-1, 1)), ((12, 5), (12, 2), (0, -1))):
            dst = rushlight.ones(shape, dtype=tensor(values(rng, (1,), kind)).dtype)
            check(dst, values(rng, source, kind), indices(rng, shape, source, coords), coords, "add")


def test_the_destination_may_have_other_readers():
    x, at = rushlight.arange(6.0), rushlight.tensor([1, 1, 3])
    doubled = x * 2
    y = doubled.index_add(0, at, rushlight.ones(3))
    z = doubled.index_add(0, at, doubled[:3]) + doubled
    assert y.tolist() == [0, 4, 4, 7, 8, 10] and doubled.tolist() == [0, 2, 4, 6, 8, 10]
    assert z.tolist() == [0, 6, 8, 16, 16, 20]


def test_new_sizes_compile_nothing():
    rng = np.random.default_rng(5)

    def step(rows, columns, n):
        at = np.broadcast_to(rng.integers(0, rows, (n, 1)), (n, columns))
        check(values(rng, (rows, columns), np.float32), values(rng, (n, columns), np.float32), [at], (-1, 1), "add")
    step(20, 40, 50)
    before = jit.compilations
    step(30, 41, 80)
    step(300, 500, 20)
    assert jit.compilations == before


@pytest.mark.parametrize("wrap, bad", [(True, 5), (True, -6), (False, -1), (False, 99)])
def test_a_bad_index_is_reported(wrap, bad):
    dst, src = rushlight.zeros(5, 7), rushlight.ones(3, 7)
    for at in (np.broadcast_to(np.array([[0], [bad], [1]]), (3, 7)), np.where(np.arange(21).reshape(3, 7) == 11, bad, 0)):
        y = scatter(dst, src, rushlight.tensor(at), coords=(-1, 1), mode="add", wrap=wrap, error="gather")
        with pytest.raises(RuntimeError, match=f"index {bad} is out of bounds for dimension 0 with size 5"):
            y.numpy()
        del y           # else it is still pending
    assert dst.sum().item() == 0


def test_a_bad_index_into_nothing():
    y = rushlight.zeros(0, 3).index_put((rushlight.tensor([0]),), rushlight.ones(1, 3), accumulate=True)
    with pytest.raises(IndexError, match="out of bounds"):
        y.numpy()


def test_in_place_once_nobody_needs_the_old_values():
    x = rushlight.zeros(1000)
    x.sum().item()
    place = x.data_ptr()
    for k in range(3):
        x[rushlight.tensor([k, 999])] = 5.0
        assert x[k].item() == 5 and x.data_ptr() == place
        x.index_add_(0, rushlight.tensor([k, k]), rushlight.ones(2))
        assert x[k].item() == 7 and x.data_ptr() == place
    old = x.clone()
    x.index_add_(0, rushlight.tensor([0]), rushlight.ones(1))
    assert old.sum().item() == 26 and x.sum().item() == 27


@pytest.mark.parametrize("at", [[1, 2, 100], [*range(50), -101], [0, 100, *range(30)]], ids=len)
def test_nothing_is_half_written(at):
    x = rushlight.zeros(100, 4)
    x.sum().item()
    before = x.storage.node.buffer
    x.index_put_((rushlight.tensor(at),), rushlight.ones(4), accumulate=True)
    with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 100"):
        x.sum().item()
    assert (before.as_numpy(np.float32, (400,)) == 0).all()
