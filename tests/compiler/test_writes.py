"""Writes into realised storages: in place where nobody else looks, at offsets known only when a plan is bound."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import plan


@pytest.fixture
def pair():
    a = np.arange(24.0).reshape(4, 6)
    x = torch.tensor(a)
    x.tolist()
    return a, x


def same(x, a):
    assert np.array_equal(np.array(x.tolist()), a)


def test_a_part_is_written_at_its_place(pair):
    a, x = pair
    for i in range(4):
        x[i, 1:3] = -i
        a[i, 1:3] = -i
        same(x, a)


def test_a_clone_keeps_the_old_value(pair):
    a, x = pair
    y = x.clone()
    before = a.copy()
    x[2, 2] = 100
    a[2, 2] = 100
    same(y, before)
    same(x, a)


def test_a_write_reads_the_old_value_where_parts_overlap(pair):
    a, x = pair
    x[1:] += x[:-1]
    a[1:] = a[1:] + a[:-1]
    same(x, a)
    x[:, ::2].mul_(2)
    a[:, ::2] *= 2
    same(x, a)


def test_new_offsets_need_no_new_plan(pair):
    _, x = pair
    x[0, 0] = 5.0
    x.tolist()
    known = len(plan.plans)
    for i in range(20):
        x[i % 4, i % 6] = float(i)
        x.tolist()
    assert len(plan.plans) == known


def test_memory_stays_where_it_is():
    w = torch.zeros(1000)
    address = w.data_ptr()
    w.add_(1)
    w.tolist()
    assert w.data_ptr() == address
    w[5:7] = 3
    w.tolist()
    assert w.data_ptr() == address


def test_write_into_a_constant_reads_its_last_operand_before_it_is_filled():
    """An input of as many bytes as the result, which nobody needs afterwards, is not filled before it is read."""
    leaf = torch.zeros(3, 8).requires_grad_()
    x = leaf[:, ::2]
    y = torch.cat((x, x))
    weights = torch.arange(1.0, 25.0).reshape(6, 4)
    torch.cpu.synchronize()
    g, = torch.autograd.grad([y], [leaf], [weights])
    del weights, x, y
    assert g[:, ::2].tolist() == [[14, 16, 18, 20], [22, 24, 26, 28], [30, 32, 34, 36]]
