"""Layout arithmetic against NumPy's views of an array that holds its own positions."""
from __future__ import annotations

import itertools
from importlib import import_module

import numpy as np
import pytest

L = import_module("rushlight.layout")       # `rushlight.layout` is the class that users know

SHAPES = [(), (1,), (5,), (0,), (2, 3), (3, 1), (1, 1, 4), (2, 0, 3), (2, 3, 4), (3, 1, 2, 2)]


def positions(l, offset=0):
    """The element numbers that a layout reaches."""
    at = np.full(tuple(l.shape), offset)
    for axis, (n, s) in enumerate(zip(l.shape, l.strides)):
        at = at + (np.arange(n) * s).reshape([-1 if k == axis else 1 for k in range(l.ndim)])
    return at


def views(shape):
    """(layout, offset, the same view by NumPy) of packed memory: permuted, stepped, cut."""
    base = np.arange(int(np.prod(shape))).reshape(shape)
    l = L.packed(shape)
    out = [(l, 0, base)]
    for dims in itertools.islice(itertools.permutations(range(len(shape))), 4):
        out.append((L.permute(l, dims), 0, base.transpose(dims)))
    for d, n in enumerate(shape):
        cut, at = L.narrow(l, d, min(1, n), n, 2)
        out.append((cut, at, base[(slice(None),) * d + (slice(min(1, n), n, 2),)]))
    return out


every_view = pytest.mark.parametrize("l, at, want", [v for s in SHAPES for v in views(s)], ids=str)


@every_view
def test_reaches_what_numpy_reaches(l, at, want):
    assert tuple(l.shape) == want.shape and np.array_equal(positions(l, at), want)


@every_view
def test_facts(l, at, want):
    flat = want.reshape(-1)
    assert l.numel == want.size and l.ndim == want.ndim
    assert l.packed == (np.array_equal(flat - (flat[0] if flat.size else 0), np.arange(flat.size)))
    assert L.is_dense(l) == (not flat.size or flat.max() - flat.min() + 1 == flat.size) or not flat.size
    assert L.extent(l) == (flat.max() - flat.min() + 1 if flat.size else 0)
    assert not L.overlaps_itself(l) or not l.numel


@every_view
def test_views_of_views(l, at, want):
    for d in range(l.ndim + 1):
        assert np.array_equal(positions(L.unsqueeze(l, d), at), np.expand_dims(want, d))
    assert np.array_equal(positions(L.squeeze(l, range(l.ndim)), at), want.squeeze())
    for d, n in enumerate(l.shape):
        if n:
            got, move = L.select(l, d, n - 1)
            assert np.array_equal(positions(got, at + move), want.take(n - 1, d))
    for a, b in itertools.combinations(range(l.ndim), 2):
        assert np.array_equal(positions(L.transpose(l, a, b), at), want.swapaxes(a, b))
        for offset in (-1, 0, 1):
            got, move = L.diagonal(l, offset, a, b)
            assert np.array_equal(positions(got, at + move), want.diagonal(offset, a, b))


@every_view
def test_view_is_numpys_reshape_without_a_copy(l, at, want):
    for shape in reshapes(l.numel):
        got = L.view(l, shape)
        if got is not None:
            assert np.array_equal(positions(got, at), want.reshape(shape))
        elif l.numel:
            memory = np.arange(at + L.extent(l))
            seen = np.lib.stride_tricks.as_strided(memory[at:], l.shape, [8 * s for s in l.strides])
            assert not np.shares_memory(memory, seen.reshape(shape))


def reshapes(n):
    if not n:
        return [(0,), (3, 0), (0, 1, 2)]
    found = [(n,), (1, n), (n, 1)]
    for k in range(2, n):
        if n % k == 0:
            found += [(k, n // k), (k, 1, n // k)]
            found += [(k, j, n // k // j) for j in range(2, n // k) if (n // k) % j == 0]
    return found + ([()] if n == 1 else [])


def test_one_layout_for_equal_ones():
    assert L.layout((2, 3), (3, 1)) is L.packed((2, 3)) is L.permute(L.transpose(L.packed((2, 3)), 0, 1), (1, 0))


def test_expand():
    l = L.expand(L.packed((3, 1)), (2, 3, 4))
    assert np.array_equal(positions(l), np.broadcast_to(np.arange(3).reshape(3, 1), (2, 3, 4)))
    assert L.overlaps_itself(l) and not L.is_dense(l)


def test_unfold():
    want = np.lib.stride_tricks.sliding_window_view(np.arange(7), 3)[::2]
    assert np.array_equal(positions(L.unfold(L.packed((7,)), 0, 3, 2)), want)


@pytest.mark.parametrize("a, b, want", [((), (2,), (2,)), ((3, 1), (4,), (3, 4)), ((1,), (0,), (0,)), ((2, 3), (2, 3), (2, 3)),
                                        ((5, 1, 2), (3, 1), (5, 3, 2)), ((2,), (3,), None), ((2, 0), (2, 2), None)])
def test_broadcast(a, b, want):
    if want is None:
        with pytest.raises(RuntimeError, match="must match the size of tensor b"):
            L.broadcast_shapes(a, b)
    else:
        assert L.broadcast_shapes(a, b) == want == L.broadcast_shapes(b, a)


def test_dims():
    assert [L.wrap_dim(d, 3) for d in (0, 2, -1, -3)] == [0, 2, 2, 0] and L.wrap_dim(-1, 0) == 0
    assert L.wrap_dims((0, -1), 2) == (0, 1)
    with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 2"):
        L.wrap_dim(2, 2)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        L.wrap_dims((0, -2), 2)


def test_size():
    s = L.Size((2, 3))
    assert s.numel() == 6 and s == (2, 3) and repr(s) == "torch.Size([2, 3])"
    assert type(s + (1,)) is type((1,) + s) is type(s[:1]) is type(s * 2) is L.Size and s[0] == 2
