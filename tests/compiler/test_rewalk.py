"""Reductions that see steps with their axes in another order: one kernel, and the bits of packed operands."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.compiler import pipeline, plan
from rushlight.compiler.rewalk import rewalk
from rushlight.compiler.sideways import sideways

from tests.compiler.graphs import through_all
from tests.compiler.recipes import by_new_plans

F = torch.nn.functional
NUMBERS = np.random.default_rng(0).standard_normal((2, 6, 40, 13, 18), dtype=np.float32)


def image(n=0, size=18):
    return torch.tensor(NUMBERS[n, ..., :size])


def steps(x, y):
    return ((x * 2 + y) * x).sum((0, 2, 3)), ((x - y) ** 2).mean((2, 3)), (x * y).amax(1)


def shared(x, y):
    """Steps that other kernels walk in their own order, or that are wanted in memory."""
    z, d = x * y, x - y.mean((0, 2, 3), keepdim=True)
    return z, z.sum((0, 2, 3)), d * d, (d * d).sum((0, 2, 3)), d.exp().sum((2, 3)) + (d.exp() * 2).sum()


def turned(x, y):
    a, b = x.flatten(1), y.flatten(1)
    return (a * b + 1).t().sum(1), (a * b + 1).t().sum(0), (a - b).reshape(6, 40, -1).permute(2, 0, 1).sum((0, 1))


def numbers_of_rows(x, y):
    mean = x.mean((2, 3))
    return mean, (x * x).mean((2, 3)) - mean * mean, y.sum((2, 3)).exp() + 1


PROGRAMS = [steps, shared, turned, numbers_of_rows]


def computed(program, *images):
    return by_new_plans(lambda: [t.contiguous() for t in program(*images)])


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("size", [18, 5])
def test_bits_are_those_of_kernels_apart(monkeypatch, program, size):
    images = [image(n, size).to(memory_format=torch.channels_last) for n in (0, 1)]
    together = computed(program, *images)
    monkeypatch.setattr(pipeline, "PASSES", [p for p in pipeline.PASSES if p.run not in (rewalk, sideways)])
    apart = computed(program, *images)
    plan.forget()
    for a, b in zip(together, apart, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("program", [steps, numbers_of_rows])
def test_bits_are_those_of_packed_images(program):
    packed = program(image(0), image(1))
    for a, b in zip(packed, program(*(image(n).to(memory_format=torch.channels_last) for n in (0, 1))), strict=True):
        assert torch.equal(a, b)


def test_one_kernel_computes_and_folds():
    x, y = (image(n).to(memory_format=torch.channels_last) for n in (0, 1))
    for program in (lambda: ((x * 2 + y) * x).sum((0, 2, 3)), lambda: ((x - y) ** 2).mean((2, 3))):
        walks = [s.note for s in through_all(program).steps if s.work >= x.numel()]
        assert len(walks) == 1 and walks[0].startswith("columns")


@pytest.mark.parametrize("groups", [1, 4, 40])
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_of_channels_last(groups, affine):
    results = []
    for image_format in (torch.contiguous_format, torch.channels_last):
        x = image(0).double().to(memory_format=image_format).requires_grad_()
        g = image(1).double().to(memory_format=image_format)
        w, b = ((torch.arange(40.) + k).double().requires_grad_() if affine else None for k in (1, 7))
        y = F.group_norm(x, groups, w, b)
        wanted = [x, w, b] if affine else [x]
        first = torch.autograd.grad(y, wanted, g, create_graph=True)
        second = torch.autograd.grad(sum((t * t).sum() for t in first), x)
        results.append([y, *first, *second])
        assert y.is_contiguous(memory_format=image_format)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b.contiguous(), rtol=1e-9, atol=1e-9)
