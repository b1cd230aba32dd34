"""Sizes that are equal by chance: recipes for graphs in which they are not."""
import itertools

import numpy as np
import pytest

import rushlight as T
from rushlight.compiler import pipeline, plan as planning, recipe as recipes
from rushlight.nn import functional as F
from rushlight.trace.likeness import Likeness, Retelling

COUNTS = [9, 14, 30, 47]          # no kernel is another one between 8 and 64


def routed(counts):
    """Rows in parts of given sizes, each through a network of its own, and the gradients of these."""
    rows = T.linspace(-1, 1, 200 * 8).reshape(200, 8)
    nets = [(T.linspace(-1, 1, 8 * 12).reshape(8, 12).mul(k + 1).requires_grad_(),
             T.linspace(0, 1, 12 * 8).reshape(12, 8).requires_grad_()) for k in range(len(counts))]
    out, first = T.zeros(200, 8), 0
    for (up, down), count in zip(nets, counts):
        part = T.arange(first, first + count)
        out = out.index_add(0, part, F.silu(rows[part] @ up) @ down)
        first += count
    loss = (out * rows).sum()
    loss.backward()
    return [loss.detach(), *(w.grad for net in nets for w in net)]


def looks(counts):
    """Parts of one tensor: those of the same size are seen in the same way."""
    whole = T.linspace(0, 3, 120).reshape(30, 4).tanh()
    whole.sum().item()
    return [sum((whole[:n].exp().sum(0) * (k + 1) for k, n in enumerate(counts)), T.zeros(4))]


def numbers(tensors):
    return [t.numpy() for t in tensors]


@pytest.mark.parametrize("program", [routed, looks], ids=lambda p: p.__name__)
def test_recipes_of_different_sizes_serve_equal_ones(program, monkeypatch):
    limit = 30 if program is looks else 47
    combinations = [c for c in itertools.product(COUNTS, repeat=3) if max(c) <= limit]
    expected = {}
    with monkeypatch.context() as alone:
        alone.setattr(recipes, "SEEN", 10**9)       # the passes only
        for counts in combinations:
            planning.forget()
            expected[counts] = numbers(program(counts))
    planning.forget()
    for counts in ((10, 17, 11), (13, 18, 16), (12, 21, 15), (19, 24, 12), (17, 10, 29)):
        program(counts)
        numbers(program(counts))
    assert not recipes.failures
    ran, original = [], pipeline.compile_graph
    monkeypatch.setattr(recipes, "compile_graph", lambda graph: ran.append(graph) or original(graph))
    bound = recipes.bound
    for counts in combinations:
        for a, b in zip(numbers(program(counts)), expected[counts], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=str(counts))
    assert recipes.bound - bound >= len(combinations) and not ran


def test_what_is_apart_anywhere_is_apart():
    a = Likeness((0, 0, 1), (0, 1, 0, 2), (0, 0))
    b = Likeness((0, 1, 1), (0, 1, 2, 1), (0, 0))
    both = a.apart(b)
    assert both.classes() == ((0, 1, 2), (0, 1, 2, 3), (0, 0))
    assert both.is_finer(a) and both.is_finer(b) and not a.is_finer(b) and not a.is_finer(both) and a.is_finer(a)


def test_sizes_are_told_to_what_tells_more_apart():
    coarse, fine = Likeness((0, 0), (0, 1, 0), (0, 0, 1)), Likeness((0, 1), (0, 1, 2), (0, 1, 2))
    told = Retelling(coarse, fine, [2, 4, 2], [1, 1])
    # two layouts, the size of one signature, then an offset and the bytes of a leaf
    assert told.values((5, 1, 3, 2, 2, 1, 7, 100, 400)) == (5, 1, 3, 2, 2, 1, 5, 1, 7, 7, 100, 400)
    assert told.inputs == [0, 0, 1] and told.shift == 3
    same = Retelling(coarse, coarse, [2, 4, 2], [1, 1])
    assert same.values((5, 1, 3, 2, 2, 1, 7, 100, 400)) == (5, 1, 3, 2, 2, 1, 7, 100, 400) and same.shift == 0
