"""The checker of graphs: what it lets pass and what it names."""
from __future__ import annotations

import pytest

import rushlight as T
from rushlight import config
from rushlight.layout import layout
from rushlight.trace.graph import Use
from rushlight.trace.show import show_graph
from rushlight.trace.verify import verify

from tests.compiler.graphs import graph_of


def graph():
    x = T.arange(12.0).reshape(3, 4)
    x.tolist()
    return graph_of(lambda: [((x + 1)[:, ::2] * 2).sum(0), (x - 1).t().contiguous()])


def test_legal_graph_passes():
    verify(graph())


def broken(change, phrase):
    g = graph()
    change(g)
    with pytest.raises(RuntimeError, match=phrase) as caught:
        verify(g)
    assert "v1: float32" in str(caught.value)       # the neighbourhood is shown


def test_operand_that_comes_later():
    broken(lambda g: g.vertices.reverse(), "comes later")


def test_operand_beyond_its_end():
    def change(g):
        v = next(v for v in g.vertices if v.uses and hasattr(v.uses[0].source, "prim"))
        v.uses[0] = v.uses[0]._replace(offset=1000)
    broken(change, "beyond its end")


def test_operand_of_another_dtype():
    def change(g):
        v = next(v for v in g.vertices if v.uses and hasattr(v.uses[0].source, "prim"))
        source = v.uses[0].source
        source.dtype = T.int8
    broken(change, "is read as float32")


def test_missing_operand():
    broken(lambda g: g.vertices[0].uses.pop(), "operands where the signature has")


def test_layout_that_is_not_the_signatures():
    def change(g):
        v = g.vertices[0]
        v.uses[0] = Use(v.uses[0].source, layout((12,), (1,)), 0, v.uses[0].dtype)
    broken(change, "not its signature's")


def test_shape_that_is_not_the_rules():
    def change(g):
        g.vertices[0].shape = (3, 5)
    broken(change, "shape is not what its rule says")


def test_empty_operands_may_begin_anywhere():
    x = T.ones(4, 3)
    x.tolist()
    verify(graph_of(lambda: [(x + 1)[4:] * 2]))


def test_users_can_ask_for_it(capsys):
    with config.override(check=True):
        assert (T.arange(5.0) * 2).flip(0).tolist() == [8.0, 6.0, 4.0, 2.0, 0.0]


def test_graph_is_shown_with_lines():
    text = show_graph(graph())
    assert "float32[3, 4] = add(input0, number" in text and "test_verify.py" in text and "-> output" in text
