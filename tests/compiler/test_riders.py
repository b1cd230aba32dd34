"""Sums across rows that ride on the nest of these rows: one kernel less, the same bits."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import pipeline, plan, riders
from rushlight.compiler.riders import ride

from tests.compiler.graphs import through_all
from tests.compiler.recipes import by_new_plans

F = torch.nn.functional
NUMBERS = np.random.default_rng(0).standard_normal((2, 2200 * 70), dtype=np.float32)


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    plan.forget()
    monkeypatch.setattr(riders, "LARGE", 1 << 16)
    yield
    plan.forget()


def tensors(rows, length, dtype="float32"):
    x, g = (torch.tensor(n[:rows * length].reshape(rows, length)).to(getattr(torch, dtype)) for n in NUMBERS)
    return x, g, torch.tensor(NUMBERS[0, -length:]), torch.tensor(NUMBERS[1, -length:])


def layer_norm(x, g, w, b):
    x, w, b = (t.detach().requires_grad_() for t in (x, w, b))
    return torch.autograd.grad(F.layer_norm(x, x.shape[-1:], w.to(x.dtype), b.to(x.dtype)), (x, w, b), g)


def rms_norm(x, g, w, b):
    x, w = (t.detach().requires_grad_() for t in (x, w))
    return torch.autograd.grad(F.rms_norm(x, x.shape[-1:], w.to(x.dtype)), (x, w), g)


def softmax(x, g, w, b):
    y = (x * w).softmax(1)
    dx = y * (g - (y * g).sum(1, keepdim=True))
    return dx, dx.sum(0), (y * x).sum(0)


def batches(x, g, w, b):
    """Sums over the first of two axes of rows."""
    x, g = (t[:len(t) // 4 * 4].reshape(-1, 4, t.shape[-1]) for t in (x, g))
    y = (x - x.mean(-1, keepdim=True)) * w
    return y, (y * g).sum(0), g.sum(0)


def blocks(x, g, w, b):
    """Rows of two axes, in parts of longer ones."""
    x, g = (t.reshape(len(t), -1, 2, t.shape[-1] // 2)[:, :, 0] for t in (x, g))
    y = x - x.mean((-2, -1), keepdim=True)
    return y, (y * g).sum(0)


PROGRAMS = [layer_norm, rms_norm, softmax, batches, blocks]


def computed(program, operands):
    return by_new_plans(lambda: [t.clone() for t in program(*operands)])


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("rows, length, dtype", [(1100, 70, "float32"), (1025, 64, "float32"), (2100, 34, "bfloat16")])
def test_bits_are_those_of_kernels_apart(monkeypatch, program, rows, length, dtype):
    operands = tensors(rows, length, dtype)
    riding = computed(program, operands)
    monkeypatch.setattr(pipeline, "PASSES", [p for p in pipeline.PASSES if p.run is not ride])
    alone = computed(program, operands)
    plan.forget()
    for a, b in zip(riding, alone, strict=True):
        assert torch.equal(a, b)


def folds(program, rows, length):
    """What the kernels over all elements fold, by their notes."""
    steps = through_all(lambda: program(*tensors(rows, length))).steps
    return [s.note for s in steps if s.work >= rows * length]


@pytest.mark.parametrize("program", PROGRAMS)
def test_one_kernel_makes_rows_and_sums_across_them(program):
    made = folds(program, 2100, 64)
    assert len(made) <= (1 if program in (softmax, batches, blocks) else 2)
    assert all(note.startswith("row ") for note in made)


def test_too_few_parts_are_not_shared_out():
    assert any(note.startswith("columns") for note in folds(softmax, 700, 100))


def test_what_needs_the_sums_does_not_ride():
    """The gradient of a mean over rows is read by the nest itself."""
    def program(x, g, w, b):
        y = x.softmax(1)
        return (y - y.mean(0)).softmax(1)
    x, *rest = tensors(1100, 66)
    y = torch.tensor(np.asarray(x)).softmax(1)
    apart = (y - torch.tensor(np.asarray(y)).mean(0)).softmax(1)
    assert torch.equal(program(x, *rest), apart)
