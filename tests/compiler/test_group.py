"""Which operations become one kernel, and that every choice is legal."""
from __future__ import annotations

import rushlight as T
from rushlight import nn
from rushlight.trace.graph import Vertex

from tests.compiler.graphs import groups_of, names, program_of

F = nn.functional


def data(*shape):
    x = T.ones(shape).cumsum(0)
    x.tolist()
    return x


def count(program):
    return len(groups_of(program))


def test_pointwise_chain_is_one_kernel():
    x, y = data(5, 7), data(7)
    found = groups_of(lambda: [((x + y).relu() * 2 - x).exp()])
    assert len(found) == 1 and found[0].kind == "loop"


def test_outer_product_is_part_of_a_loop():
    x, y, w = data(6, 1), data(1, 10), data(6, 10)
    (only,) = groups_of(lambda: [w - 2 * (x @ y)])
    assert only.kind == "loop" and "matmul" not in names(only)
    assert (w - 2 * (x @ y)).tolist() == (w - 2 * (x * y)).tolist()
    assert (x[:, :0] @ y[:0]).tolist() == T.zeros(6, 10).tolist()


def test_reshaped_values_walk_alike():
    x = data(6, 10)
    assert count(lambda: [((x + 1).reshape(60) * 2).reshape(3, 20) - 1]) == 1


def test_transposed_reader_is_another_kernel():
    x = data(6, 10)
    assert count(lambda: [(x + 1).t().contiguous()]) == 2


def test_permuted_operands_are_walked_in_their_own_order():
    x, y = data(6, 10), data(10, 6)
    assert count(lambda: [(x + 1).t() * y]) == 1


def test_reduction_takes_its_operand_along():
    x = data(30, 40)
    (only,) = groups_of(lambda: [(x * x + 1).sum(1)])
    assert names(only)[-1] == "sum" and only.dims == (1,)


def test_reductions_over_the_same_axes_share_a_walk():
    x = data(30, 40)
    assert count(lambda: [x.sum(1), (x * 2).sum(1), x.amax(1)]) <= 3
    assert count(lambda y=x + 0: [(y * 2).sum(1), (y * 3).sum(0)]) >= 2


def test_softmax_is_one_kernel():
    x = data(30, 40)
    assert count(lambda: [F.softmax(x, -1)]) == 1


def test_what_a_last_pass_makes_of_the_row_is_part_of_it():
    """The gradient starts a walk of its own at cos(x), which ends where the rows' own values are needed."""
    x = data(64, 300).requires_grad_()

    def program():
        y = T.tanh(x) * T.sin(x)
        (y - y.mean(dim=1, keepdim=True)).pow(2).mean().backward()
        return [x.grad]
    assert [g.dims for g in groups_of(program) if tuple(g.space) == (64, 300)] == [(1,)]


def test_bias_and_activation_ride_on_a_product():
    x, w, b = data(8, 16), data(16, 4), data(4)
    (only,) = groups_of(lambda: [(x @ w + b).relu()])
    assert only.kind == "contract" and names(only)[0] == "matmul"


def test_epilogue_needs_operands_of_the_results_shape():
    x, w = data(8, 16), data(16, 4)
    found = groups_of(lambda: [(x @ w).sum(0)])
    assert [g.kind for g in found] == ["contract", "loop"]


def test_no_cycle_between_kernels():
    """b needs a by way of its sum: a's kernel cannot hold b unless it passes twice over the rows."""
    x = data(12, 20)

    def program():
        a = x + 1
        return [a * a.sum(), a]
    found = groups_of(program)
    done: set = set()
    for g in found:
        mine = set(g.vertices)
        for v in g.vertices:
            for use in v.uses:
                if isinstance(use.source, Vertex) and use.source.prim.name != "full":
                    assert use.source in mine or use.source in done
        done |= mine


def test_equal_nodes_are_computed_once():
    x = data(9)
    (only,) = groups_of(lambda: [x.exp() + x.exp(), x.exp() * 2])
    assert names(only).count("exp") == 1


def test_unread_values_are_not_computed():
    x = data(9)

    def program():
        x.sin()
        return [x.cos()]
    assert [n for g in groups_of(program) for n in names(g)] == ["cos"]


def test_constants_cost_nothing():
    x = data(9)
    (only,) = groups_of(lambda: [x * T.ones(9) + T.full((9,), 3.0)])
    assert "full" not in names(only)


def test_numbered_elements_stay_out_of_folds():
    x = data(9)
    assert count(lambda: [(T.arange(9) * x).sum()]) == 2


def test_draws_keep_their_order():
    def program():
        return [T.rand(5), T.randn(20), T.rand(7)]
    order = [v.extra for g in groups_of(program) for v in g.vertices if v.extra is not None]
    assert order == sorted(order) and len(order) == 3


def test_write_into_a_dead_value_happens_in_place():
    x = data(100)

    def program():
        y = x * 2
        y[3:9] = 1.0
        return [y]
    assert len(program_of(program).steps) == 2          # the product, the write; no copy


def test_write_into_a_value_that_is_read_later_copies():
    x = data(100)

    def program():
        y = x * 2
        z = y.clone()
        y[3:9] = 1.0
        return [y, z]
    assert len(program_of(program).steps) == 3


def test_indices_may_be_values_of_the_same_kernel():
    for n in (7, 2307):
        x = T.rand(3, n)
        best, place = (x / 1.0).max(0)
        found = T.where(best < 0.7, -1, place).tolist()
        columns = list(zip(*x.tolist()))
        assert found == [-1 if max(c) < 0.7 else c.index(max(c)) for c in columns]
