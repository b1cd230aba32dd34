"""What the tape costs and keeps: memory, depth, lines. (What it computes: tests/prims, tests/parity.)"""
from __future__ import annotations

import gc
import weakref

import pytest

import rushlight as torch
from rushlight.trace.record import pending


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*shape):
    return torch.ones(*shape, requires_grad=True)


OPERATIONS = {
    "add": lambda x: x + 1, "exp": lambda x: x.exp(), "mul": lambda x: x * x, "sum": lambda x: x.sum(), "view": lambda x: x.view(-1),
    "slice": lambda x: x[1:], "in place": lambda x: (x * 1).exp_(), "copy slices": lambda x: filled(x * 1), "softmax": lambda x: x.softmax(0),
    "matmul": lambda x: x @ x, "max": lambda x: x.max(0).values, "split": lambda x: x.split(1)[1], "hook": lambda x: hooked(x * 2), "retained": lambda x: retained(x * 2)}


def filled(y):
    y[0] = 3
    y[:, 1] *= 2
    return y


def hooked(y):
    y.register_hook(lambda g: g)
    return y


def retained(y):
    y.retain_grad()
    return y


@pytest.mark.parametrize("name", OPERATIONS)
def test_memory_goes_by_reference_counting(name, without_collector):
    y = OPERATIONS[name](leaf(2, 2))
    watched = [weakref.ref(y), weakref.ref(y.grad_fn), weakref.ref(y.storage)]
    del y
    assert [r() for r in watched] == [None] * 3


@pytest.mark.parametrize("name", OPERATIONS)
def test_memory_goes_after_backward(name, without_collector):
    x = leaf(2, 2)
    y = OPERATIONS[name](x)
    y.sum().backward()
    watched = [weakref.ref(y), weakref.ref(y.grad_fn)]
    del y
    assert [r() for r in watched] == [None] * 2 and x.grad is not None


def test_backward_frees_what_was_saved(without_collector):
    x = leaf(3)
    y = x * 2
    kept = weakref.ref(y.storage)
    z = y.exp().sum()
    del y
    z.backward()
    pending.flush()
    assert kept() is None


def test_long_chains_neither_recurse_nor_linger(without_collector):
    x = y = leaf(1)
    for _ in range(20000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1
    del y


def test_nothing_is_computed_before_it_is_needed():
    x = leaf(3)
    before = len(pending.nodes)
    y = (x * 2).exp().sum()
    y.backward()
    x.shape, x.grad.stride(), x.grad is None, y._version, y.grad_fn, x.is_leaf
    assert len(pending.nodes) > before
    assert x.grad.tolist() == pytest.approx([14.778112] * 3)


def test_dead_work_is_not_run():
    dead = weakref.ref((leaf(3) * 2).storage.node)
    assert dead() is None


def test_errors_in_backward_leave_modes_alone():
    x = leaf(2)
    y = x * 2
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert torch.is_grad_enabled()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_anomaly_names_the_function_and_the_line():
    x = torch.zeros(2, requires_grad=True)
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"'SqrtBackward0' returned nan(.|\n)*test_tape"):
        y = (x * 0).sqrt() * 0
        y.sum().backward()
    assert not torch.is_anomaly_enabled()


class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise ValueError("no rule")


@pytest.mark.parametrize("forward, kind, words", [
    (lambda x: x.sqrt(), RuntimeError, "SqrtBackward0"),
    (lambda x: x.tanh().mul_(2), RuntimeError, "TanhBackward0"),
    (lambda x: Failing.apply(x), ValueError, "FailingBackward")])
def test_anomaly_warns_of_the_forward_line(forward, kind, words):
    x = torch.full((2,), -1.0, requires_grad=True)
    with torch.autograd.set_detect_anomaly(True), pytest.raises(kind), \
            pytest.warns(UserWarning, match=rf"Error detected in {words}\. Traceback of forward call that caused "
                                            r"the error:\n +\S*test_tape.py:\d+  .*lambda x: "):
        forward(x).sum().backward()


def test_hooks_on_saved_tensors_may_change_them():
    x = torch.full((2,), 3.0, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda v: v.half(), lambda v: v.float() * 10):
        y = x.exp().sin()
    y.sum().backward()
    assert x.grad is not None and y.grad_fn.name() == "SinBackward0"


def test_multi_grad_hooks():
    a, b, seen = leaf(1), leaf(1), []
    handle = torch.autograd.graph.register_multi_grad_hook([a, b], lambda gs: seen.append([g.item() for g in gs]))
    (a * 2 + b * 3).sum().backward()
    handle.remove()
    (a * 2 + b * 3).sum().backward()
    assert seen == [[2, 3]]


def test_what_has_no_graph_is_named_before_what_is_not_differentiated():
    """As in PyTorch: outputs first, by number; inputs after them."""
    plain, x = torch.ones(()), leaf()
    for outputs, inputs, words in (
            (plain * 2, plain, "element 0 of tensors does not require grad"),
            ((x * 2, plain), x, "element 1 of tensors does not require grad"),
            (x * 2, plain, "One of the differentiated Tensors does not require grad")):
        with pytest.raises(RuntimeError, match=words):
            torch.autograd.grad(outputs, inputs)


MANY = {"Split": lambda y: y.split(1), "Unbind": lambda y: y.unbind(), "SplitWithSizes": lambda y: y.split([1, 1]),
        "Select": lambda y: y.chunk(2)[0], "View": lambda y: [y.chunk(2)[0].view(-1)]}


@pytest.mark.parametrize("name", MANY)
def test_one_of_many_views_is_not_written_to(name):
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 2
    part = MANY[name](y)[0]
    words = f"Output 0 of {name} is a view and is being modified inplace. This view is the output of a function that returns"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=words if y._version == 0 else "returns multiple views"):
            part.mul_(2)
        y.add_(1)                               # it stays one of many
    with torch.no_grad():
        part.mul_(2)
    assert y.flatten()[0].item() == 8


def test_parts_that_are_no_views_are_written_to():
    x = torch.ones(4, requires_grad=True)
    a, b = (x * 2).unsafe_chunk(2)
    a.mul_(5)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [10, 10, 2, 2]
    plain = torch.ones(4)
    plain.chunk(2)[1].zero_()
    assert plain.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("p", [0.5, 1.5, 2, 3])
def test_norm_of_zeros_has_no_slope_in_either_direction(p):
    x, v = torch.zeros(3), torch.tensor([1., 2., 3.])
    assert torch.func.jvp(lambda x: torch.linalg.vector_norm(x, p), (x,), (v,))[1].item() == 0
    mixed = torch.tensor([0., 1., 2.])
    _, slope = torch.func.jvp(lambda x: torch.linalg.vector_norm(x, p), (mixed,), (v,))
    gradient = torch.func.grad(lambda x: torch.linalg.vector_norm(x, p))(mixed)
    assert slope.item() == pytest.approx((gradient * v).sum().item(), rel=1e-5)
