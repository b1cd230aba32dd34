"""Joins of many values that are there are made at the call: same values, nothing recorded."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.trace.record import pending


def values(n, *shape):
    xs = [torch.randn(*shape) for _ in range(n)]
    torch.stack(xs[:2]).sum().item()
    return xs


@pytest.mark.parametrize("shape,dim", [((1, 3), 0), ((3,), -1), ((1, 2, 3), 1), ((2, 3), 0)])
def test_many_are_joined_at_the_call(shape, dim):
    xs = values(12, *shape)
    y = torch.cat(xs, dim)
    assert not pending.nodes
    np.testing.assert_array_equal(y.numpy(), np.concatenate([x.numpy() for x in xs], dim))


def test_sizes_may_differ_along_the_axis():
    xs = values(9, 2, 3) + values(4, 5, 3)
    assert torch.equal(torch.cat(xs), torch.from_numpy(np.concatenate([x.numpy() for x in xs])))


def test_stack_of_parts_at_any_offset():
    data = torch.arange(100)
    data.sum().item()
    y = torch.stack([data[i:i + 7] for i in (3, 50, 3, 8, 0, 93, 12, 1)])
    assert not pending.nodes and y[5].tolist() == list(range(93, 100)) and y[0].tolist() == y[2].tolist()


def test_what_was_joined_is_its_own_memory():
    xs = values(8, 4)
    before = [x.clone() for x in xs]
    y = torch.stack(xs)
    for x in xs:
        x.zero_()
    assert torch.equal(y, torch.stack(before))


@pytest.mark.parametrize("change", [
    lambda xs: xs[3].requires_grad_(), lambda xs: xs.__setitem__(3, xs[3] + 1),
    lambda xs: xs.__setitem__(3, xs[3].double()), lambda xs: xs.__setitem__(3, torch.randn(4, 3).T)])
def test_others_are_recorded(change):
    xs = values(8, 3, 4)
    change(xs)
    y = torch.cat(xs)
    assert pending.nodes
    np.testing.assert_array_equal(y.detach().numpy(), np.concatenate([x.detach().numpy() for x in xs]))


def test_gradients_go_through_many():
    xs = [x.requires_grad_() for x in values(10, 3)]
    (torch.stack(xs) * torch.arange(10.)[:, None]).sum().backward()
    assert [x.grad.tolist() for x in xs] == [[float(i)] * 3 for i in range(10)]


def test_picks_with_repetitions_meet_one_plan():
    from rushlight.compiler import plan
    memory, made = values(50, 1, 4), []
    w = torch.randn(4, 2)
    for turn in range(6):
        rows = [memory[(7 * i * turn + turn) % 50] for i in range(16)]
        (torch.cat(rows) @ w).sum().item()
        made.append(plan.misses)
    assert made[1] == made[-1]


def test_mismatches_are_still_told():
    xs = values(8, 2, 3) + values(1, 2, 4)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 0"):
        torch.cat(xs)
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        torch.stack(xs)
    with pytest.raises(IndexError):
        torch.cat(xs[:8], 5)
