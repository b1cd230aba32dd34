"""What compiled kernels must do for every primitive: the same bits alone or fused, from views, on any threads."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight as T
from rushlight import nn
from rushlight.trace.flush import flush

from tests.fuzz.running import bits, node_by_node, with_threads
from tests.prims.cases import ALL, OPERATORS, array, cases, rng_of

F = nn.functional


def named(prims):
    return pytest.mark.parametrize("prim", prims, ids=lambda p: p.name)


def some(prim, most=20):
    """Samples of a primitive, of each kind of operands one."""
    found = {}
    for case in cases(prim):
        found.setdefault((tuple((a.dtype.name, a.ndim, a.size == 0) for a in case.arrays), str(case.recorded)), case)
    return list(found.values())[:most]


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(bits(a), bits(b))


def test_every_primitive_has_samples():
    assert all(cases(p) for p in ALL)


# -- fused and alone --------------------------------------------------------------------------------------
def amid_others(case):
    """The primitive between pointwise operations that fuse with it."""
    xs = case.tensors()
    xs = [T.where(T.ones(x.shape, dtype=T.bool), x, x[..., :1] if x.dim() else x) for x in xs]
    y = case.call(*xs)
    z = y == y if y.dtype.is_complex else T.where(y == y, y, y * 0 if y.dtype is not T.bool else y)
    return [y, z] + ([z.reshape(-1).sum(), z.t() + 1] if y.dim() == 2 and y.dtype.is_floating_point else [])


@named(OPERATORS)
def test_fusion_changes_no_bit(prim):
    for case in some(prim):
        fused = amid_others(case)
        flush()
        with node_by_node():
            alone = amid_others(case)
        for a, b in zip(fused, alone):
            assert same(array(a), array(b)), case


# -- views ------------------------------------------------------------------------------------------------
def transposed(a):
    return T.tensor(np.array(a.swapaxes(0, -1)), dtype=kind(a)).transpose(0, -1)


def strided(a):
    return T.tensor(np.repeat(a, 2, -1), dtype=kind(a))[..., ::2]


def behind(a):
    return T.tensor(np.concatenate([a[:1], a]), dtype=kind(a))[1:]


def kind(a):
    from rushlight import dtypes
    return dtypes.from_numpy(a.dtype)


@named(OPERATORS)
@pytest.mark.parametrize("lies", [transposed, strided, behind], ids=lambda f: f.__name__)
def test_operands_may_lie_anywhere(prim, lies):
    for case in some(prim):
        if any(not a.ndim or not a.size for a in case.arrays) or case.prim.name == "concat":
            continue
        expected = array(case.call(*case.tensors()))
        found = array(case.call(*[lies(a) for a in case.arrays]))
        assert same(expected, found), case


# -- threads ----------------------------------------------------------------------------------------------
def numbers(*shape, seed=0):
    return T.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=T.float32)


def whole(n, *shape, seed=0):
    return T.tensor(np.random.default_rng(seed).integers(0, n, shape))


BIG = {
    "map": lambda: (numbers(300, 1001) * 3).sin(),
    "rows": lambda: numbers(300, 1001).sum(1),
    "one row": lambda: numbers(400000).sum(),
    "columns": lambda: numbers(3001, 70).sum(0),
    "inner and outer": lambda: numbers(60, 70, 90).sum((0, 2)),
    "middle": lambda: numbers(60, 70, 90).sum(1),
    "product": lambda: (numbers(700, 90) * 0.01 + 1).prod(0),
    "extreme": lambda: numbers(300, 1001).amax(1),
    "argument": lambda: numbers(300, 1001).argmax(0),
    "softmax": lambda: F.softmax(numbers(300, 1001), -1),
    "layer norm": lambda: F.layer_norm(numbers(300, 1001), (1001,)),
    "matmul": lambda: numbers(300, 257) @ numbers(257, 131, seed=1),
    "long matmul": lambda: numbers(5, 30001) @ numbers(30001, 3, seed=1),
    "batched": lambda: numbers(12, 65, 33) @ numbers(12, 33, 70, seed=1),
    "convolution": lambda: F.conv2d(numbers(3, 8, 33, 33), numbers(16, 8, 3, 3, seed=1), padding=1),
    "scan": lambda: numbers(300, 1001).cumsum(1),
    "scan of columns": lambda: numbers(1001, 300).cumsum(0),
    "sort": lambda: numbers(300, 1001).sort(1).values,
    "gather": lambda: numbers(300, 70)[whole(300, 5000)],
    "scatter": lambda: T.zeros(50, 7).index_add(0, whole(50, 30000), numbers(30000, 7)),
    "embedding's gradient": lambda: T.zeros(9, 64).index_put((whole(9, 20000),), numbers(20000, 64), accumulate=True),
}


@pytest.mark.parametrize("name", BIG)
def test_threads_change_no_bit(name):
    with with_threads(1):
        one = array(BIG[name]())
    for n in (2, 3, 4):
        with with_threads(n):
            assert same(one, array(BIG[name]())), n


@pytest.mark.parametrize("name", BIG)
def test_gradients_on_threads_change_no_bit(name):
    def gradient():
        x = numbers(1).requires_grad_()
        made = BIG[name]()
        if not made.dtype.is_floating_point:
            return np.zeros(1)
        y = made * x
        (y.square() * 0.5).sum().backward()
        return array(x.grad)
    with with_threads(1):
        one = gradient()
    with with_threads(3):
        assert same(one, gradient())


def test_samples_follow_from_the_name():
    assert rng_of(ALL[0]).random() == rng_of(ALL[0]).random()
