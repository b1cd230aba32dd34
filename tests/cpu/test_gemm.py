"""Matrix products against NumPy in float64."""
import random

import ml_dtypes
import numpy as np
import pytest

from rushlight.compiler.kernel import Body, Code, Epilogue, Instr
from rushlight.cpu import gemm, jit
from rushlight.cpu.gemm import lower_matmul
from rushlight.dtypes import bfloat16
from rushlight.runtime.threads import set_num_threads
from rushlight.testing.calls import Memory

KINDS = [np.float32, np.float64]
TOLERANCE = {2: 1e-2, 4: 1e-6, 8: 3e-15}


def draw(rng, shape, kind=np.float32, transposed=False):
    if transposed:
        return draw(rng, (*shape[:-2], shape[-1], shape[-2]), kind).swapaxes(-1, -2)
    return rng.uniform(-1, 1, shape).astype(kind)


def product(a, b, threads=1, epilogue=lambda memory, out: None, out=None):
    """(a @ b as the kernels make it, the calls)."""
    set_num_threads(threads)
    memory = Memory()
    poison = 77 if a.dtype.kind in "iu" else np.nan
    out = memory.put(np.full((*a.shape[:-1], b.shape[-1]), poison, a.dtype) if out is None else out)
    calls = lower_matmul(out, memory.put(a), memory.put(b), memory.temp, epilogue(memory, out))
    memory.run(calls)
    return memory.array(out).copy(), calls


def check(a, b, threads=1):
    got, _ = product(a, b, threads)
    wide = [x.astype(np.float64) for x in (a, b)]
    size = np.abs(wide[0]) @ np.abs(wide[1]) + 1e-30
    error = np.max(np.abs(got.astype(np.float64) - wide[0] @ wide[1]) / size, initial=0)
    assert error < TOLERANCE[a.itemsize], (a.shape, b.shape, a.strides, b.strides)


SIZES = [       # batch, m, k, n
    ((), 5, 7, 9), ((), 1, 1, 1), ((), 64, 784, 256), ((), 1, 300, 70), ((), 70, 300, 1), ((), 3, 2, 1000),
    ((), 33, 257, 65), ((), 16, 512, 16), ((), 257, 31, 17), ((3,), 33, 17, 49), ((2, 3), 8, 600, 31),
    ((), 10, 9000, 10), ((), 2, 5000, 1), ((2,), 40, 3000, 35), ((), 8, 1024, 1024), ((), 20, 0, 5)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_every_transposition(kind, left, right):
    rng = np.random.default_rng(0)
    for batch, m, k, n in SIZES:
        check(draw(rng, (*batch, m, k), kind, left), draw(rng, (*batch, k, n), kind, right))


@pytest.mark.parametrize("shape", [((0, 3), (3, 4)), ((3, 0), (0, 4)), ((3, 4), (4, 0)), ((0, 3, 2), (0, 2, 5))], ids=str)
def test_empty(shape):
    a, b = (np.ones(s, np.float32) for s in shape)
    got, calls = product(a, b)
    assert (got == 0).all()
    assert bool(calls) == bool(got.size)


@pytest.mark.parametrize("kind", KINDS)
def test_any_strides(kind):
    rng = np.random.default_rng(1)
    big = rng.uniform(-1, 1, (4, 60, 80)).astype(kind)
    check(big[:, ::2, ::3], big[:, 7:34, ::2])                                      # steps in both
    check(np.broadcast_to(big[0], (5, 60, 80)), np.broadcast_to(big[1].T, (5, 80, 60)))     # one b for all
    check(big[0, :, :40], np.broadcast_to(big[0, 0, :1], (40, 33)))                 # a single number
    check(big[:, 3].T, big[:, 5])
    check(big.transpose(2, 1, 0), big.transpose(2, 0, 1))
    check(np.broadcast_to(big[0, 0], (30, 80)), big[0].T)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("right", [False, True])
def test_narrow_floats_are_rounded_once(kind, right, monkeypatch):
    monkeypatch.setattr(gemm, "has_dots", lambda kind: False)
    rng = np.random.default_rng(2)
    a, b = draw(rng, (2, 33, 300), kind), draw(rng, (2, 300, 40), kind, right)
    got, _ = product(a, b)
    single, _ = product(a.astype(np.float32), b.astype(np.float32))
    assert (got == single.astype(kind)).all()


VECTORS = [     # batch, k, n of products with one row
    ((), 1, 1), ((), 5, 3), ((), 16, 16), ((), 300, 70), ((), 1000, 2), ((), 33, 1), ((), 5000, 9), ((), 4100, 1100),
    ((3,), 47, 40), ((2, 3), 600, 31), ((), 20, 5000)]


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("shape", VECTORS, ids=str)
def test_few_rows(kind, rows, shape):
    """Whatever the layout and the number of threads: near the exact sum, and the same bits."""
    rng, (batch, k, n) = np.random.default_rng(9), shape
    x, b = draw(rng, (*batch, rows, k), kind), draw(rng, (*batch, k, n), kind)
    check(x, b)
    plain = product(x, b)[0].tobytes()
    turned = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    assert product(x, turned, 2)[0].tobytes() == plain
    crossed = product(turned.swapaxes(-1, -2), x.swapaxes(-1, -2), 2)[0].swapaxes(-1, -2)
    assert rows > 1 or crossed.tobytes() == plain
    assert product(x, np.repeat(b, 2, -1)[..., ::2])[0].tobytes() == plain


@pytest.mark.parametrize("right", [False, True])
def test_one_row_looks_at_nothing_else(right):
    """What lies beside a view, and in lanes that are not there, may be infinite."""
    big = np.full((70, 80), np.inf, np.float32)
    big[:37, :37] = 1
    b = (big.T if right else big)[:37, :37]
    assert (product(np.ones((1, 37), np.float32), b)[0] == 37).all()


def test_sums_of_minus_zeros_have_one_sign_in_every_layout():
    for k, n in ((20, 5), (16, 40), (70, 3)):
        b = -np.zeros((k, n), np.float32)
        signs = [np.signbit(product(np.ones((1, k), np.float32), x)[0]).tobytes() for x in (b, np.asfortranarray(b))]
        assert signs[0] == signs[1]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("right", [False, True])
def test_integers_wrap(kind, right):
    rng, limits = np.random.default_rng(10), np.iinfo(kind)
    for batch, m, k, n in SIZES:
        a, b = (rng.integers(limits.min, limits.max, s, kind, True) for s in ((*batch, m, k), (*batch, k, n)))
        assert (product(a, np.asfortranarray(b) if right else b)[0] == a @ b).all()


needs_dots = pytest.mark.skipif(not gemm.has_dots(bfloat16), reason="this CPU has no dot products of bfloat16")


@needs_dots
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_dot_products_of_pairs(left, right):
    """Even and odd k, whole and ragged tiles: no further from the exact sum than one rounding and a bit."""
    rng, kind = np.random.default_rng(8), ml_dtypes.bfloat16
    for batch, m, k, n in [*SIZES, ((), 3, 1, 5), ((), 300, 301, 129), ((2,), 64, 1025, 33)]:
        a, b = draw(rng, (*batch, m, k), kind, left), draw(rng, (*batch, k, n), kind, right)
        wide = [x.astype(np.float64) for x in (a, b)]
        exact, size = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
        error = np.abs(product(a, b)[0].astype(np.float64) - exact)
        assert (error <= 2 ** -8 * np.abs(exact) + 1e-6 * size).all()


@needs_dots
def test_odd_pairs_read_nothing_behind_the_last_k():
    """What lies behind a view may be infinite."""
    big = np.full((40, 64), np.inf, ml_dtypes.bfloat16)
    big[:33, :33] = 1
    for a, b in product_of_views(big[:33, :33]):
        assert (product(a, b)[0] == 33).all()


def product_of_views(x):
    return [(a, b) for a in (x, x.T) for b in (x, x.T)]


@needs_dots
@pytest.mark.parametrize("size", [(64, 784, 256), (37, 301, 61), (5, 600, 1), (3, 20, 7)], ids=str)
def test_threads_and_transposition_change_no_bit_of_dot_products(size):
    rng, (m, k, n) = np.random.default_rng(5), size
    a, b = draw(rng, (m, k), ml_dtypes.bfloat16), draw(rng, (k, n), ml_dtypes.bfloat16)
    plain = product(a, b)[0].tobytes()
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert product(left, right, 2)[0].tobytes() == plain


def test_padded_output_keeps_its_gaps():
    rng = np.random.default_rng(3)
    a, b = draw(rng, (20, 30)), draw(rng, (30, 50))
    memory = Memory()
    wide = memory.put(np.full((20, 64), 7, np.float32))
    out = wide._replace(shape=(20, 50))
    memory.run(lower_matmul(out, memory.put(a), memory.put(b), memory.temp))
    assert (memory.array(wide)[:, 50:] == 7).all()
    assert np.allclose(memory.array(out), a @ b, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 784, 256), (300, 300, 300), (10, 9000, 10), (1, 2000, 900)], ids=str)
def test_threads_change_no_bit(size):
    rng, (m, k, n) = np.random.default_rng(4), size
    a, b = draw(rng, (m, k)), draw(rng, (k, n))
    assert product(a, b, 1)[0].tobytes() == product(a, b, 2)[0].tobytes()


@pytest.mark.parametrize("size", [(64, 784, 256), (37, 300, 61), (5, 600, 1), (3, 20, 7), (16, 4096, 64), (9, 5000, 300),
                                  (300, 5000, 40), (1030, 301, 200)], ids=str)
def test_transposition_changes_no_bit(size):
    rng, (m, k, n) = np.random.default_rng(5), size
    a, b = draw(rng, (m, k)), draw(rng, (k, n))
    plain = product(a, b)[0]
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert product(left, right)[0].tobytes() == plain.tobytes()


def test_rows_whose_k_are_pages_apart_are_packed():
    """Where the matrix is large; a small one is read where it lies."""
    rng = np.random.default_rng(6)
    readers = []
    for k in (301, 40):
        calls = product(draw(rng, (1030, k), transposed=True), draw(rng, (k, 200)))[1]
        readers.append([w.symbol.split("_")[1] for w in calls[0].words if isinstance(w, Code) and "read" in w.symbol])
    assert readers == [["packed"], ["matrix"]]


# --- epilogues -------------------------------------------------------------------------------------

def scaled_sum(kind):
    """(acc * x + y, acc + y)"""
    return Body((kind,) * 3, (Instr("mul", kind, (0, 1)), Instr("add", kind, (3, 2)), Instr("add", kind, (0, 2))), (4, 5))


def broadcasts(rng, shape, kind):
    """Inputs of every kind of stride: rows, columns, single numbers, transposed, packed."""
    m, n = shape[-2:]
    yield np.broadcast_to(draw(rng, (n,), kind), shape)
    yield np.broadcast_to(draw(rng, (m, 1), kind), shape)
    yield np.broadcast_to(draw(rng, (1,), kind), shape)
    yield draw(rng, shape, kind, transposed=True)
    yield draw(rng, shape, kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("size", [((), 37, 300, 61), ((3,), 5, 20, 40), ((), 10, 9000, 10), ((), 50, 30, 1)], ids=str)
def test_epilogue_is_the_body_on_the_plain_result(kind, size):
    rng, (batch, m, k, n) = np.random.default_rng(6), size
    a, b = draw(rng, (*batch, m, k), kind), draw(rng, (*batch, k, n), kind)
    plain = product(a, b)[0]
    for x in broadcasts(rng, plain.shape, kind):
        for y in broadcasts(rng, plain.shape, kind):
            first, second = fused(a, b, x, y)
            assert (first == (plain * x).astype(kind) + y).all()
            assert (second == plain + y).all()


def fused(a, b, x, y):
    made = []

    def epilogue(memory, out):
        made.extend([memory, out, memory.new(out.shape, a.dtype)])
        return Epilogue(scaled_sum(out.dtype), (memory.put(x), memory.put(y)), (out, made[2]))
    first, _ = product(a, b, epilogue=epilogue)
    return first, made[0].array(made[2])


# --- what is compiled ------------------------------------------------------------------------------

def test_new_sizes_need_no_new_code():
    rng, rnd = np.random.default_rng(7), random.Random(7)
    check(draw(rng, (40, 50)), draw(rng, (50, 60), transposed=True))
    before = jit.compilations + jit.loads
    for _ in range(20):
        m, k, n = (rnd.randint(2, 200) for _ in range(3))
        check(draw(rng, (m, k)), draw(rng, (k, n), transposed=True))
    assert jit.compilations + jit.loads - before <= 1       # `combine`, if one of them is cut in k


def test_calls_say_what_they_do():
    a, b = np.ones((64, 784), np.float32), np.ones((784, 256), np.float32)
    _, calls = product(a, b)
    assert calls[-1].note == "matmul float32 64x784x256 nn"
    assert sum(call.flops for call in calls) == 2 * 64 * 784 * 256


def test_small_products_are_one_unit_of_work():
    _, calls = product(np.ones((16, 20), np.float32), np.ones((20, 30), np.float32))
    assert all(call.units <= call.grain for call in calls)
