"""Depthwise convolutions with channels in lanes against sums over taps in float64."""
import numpy as np
import pytest

from rushlight import dtypes
from rushlight.compiler.kernel import Body, Epilogue, Instr
from rushlight.cpu.conv import lower_conv, lower_conv_input_grad
from rushlight.testing.calls import Memory
from rushlight.testing.convolutions import all_three, check, draw, out_sizes


def depthwise(x, kernel, stride, padding, dilation):
    return x, (x[1], 1, *kernel), stride, padding, dilation, x[1]


CASES = [depthwise(*case) for case in (
    ((2, 32, 7, 7), (7, 7), (1, 1), (3, 3), (1, 1)),
    ((2, 40, 14, 15), (3, 3), (2, 2), (1, 1), (1, 1)),          # zeros between in the input gradient
    ((3, 20, 28, 30), (5, 5), (2, 2), (2, 2), (1, 1)),
    ((2, 24, 9, 13), (3, 3), (1, 1), (1, 1), (2, 2)),           # dilated
    ((2, 18, 20, 21), (2, 4), (1, 2), (3, 0), (1, 1)),          # sides that differ
    ((2, 18, 21, 20), (5, 3), (3, 2), (1, 2), (2, 1)),
    ((2, 16, 8, 33), (1, 7), (1, 1), (0, 3), (1, 1)),           # taps in one direction
    ((2, 16, 33, 8), (7, 1), (1, 1), (3, 0), (1, 1)),
    ((1, 16, 90, 120), (3, 3), (1, 1), (1, 1), (1, 1)),         # tiles of rows
    ((1, 16, 11, 12), (3, 3), (1, 1), (9, 9), (1, 1)),          # rows beside the image
    ((40, 33, 3, 2), (3, 3), (1, 1), (1, 1), (1, 1)),           # parts of the images
    ((4, 20, 57), (5,), (1,), (2,), (1,)),
    ((4, 20, 57), (4,), (2,), (1,), (1,)),
)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_float64(case):
    check(*case)


def operands(case):
    rng, (xs, ws, *geometry) = np.random.default_rng(1), case
    x, w, g = (draw(rng, s) for s in (xs, ws, (xs[0], ws[0], *out_sizes(xs, ws, *geometry))))
    return x, g, w, geometry


def last_first(a):
    """The same numbers, channels adjacent in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_neither_threads_nor_memory_order_change_a_bit(case):
    x, g, w, geometry = operands(case)
    one, two = all_three(x, g, w, geometry, 1), all_three(x, g, w, geometry, 2)
    other = all_three(last_first(x), last_first(g), np.asfortranarray(w), geometry)
    anyhow = all_three(x.T.copy().T, g.T.copy().T, w, geometry)
    for four in zip(one, two, other, anyhow, strict=True):
        assert len({a.tobytes() for a in four}) == 1


def test_what_it_is_used_for():
    def note(x, kernel, groups):
        memory = Memory()
        out = memory.new((*x[:2], x[2] + 1 - kernel[2], x[3] + 1 - kernel[3]))
        calls = lower_conv(out, memory.new(x), memory.new(kernel), (1, 1), (0, 0), (1, 1), groups,
                           memory.temp)
        return calls[-1].note
    assert "by channels" in note((2, 16, 20, 20), (16, 1, 3, 3), 16)
    assert "by channels" in note((2, 16, 90, 90), (16, 1, 5, 5), 16)
    assert "by channels" not in note((2, 16, 90, 90), (16, 1, 3, 3), 16)
    assert "by channels" not in note((2, 15, 20, 20), (15, 1, 3, 3), 15)
    assert "by channels" not in note((2, 32, 20, 20), (32, 2, 3, 3), 16)


@pytest.mark.parametrize("case", [CASES[0], CASES[1]], ids=str)
def test_epilogue_is_the_body_on_the_plain_result(case):
    x, g, w, geometry = operands(case)
    f, rng = dtypes.float32, np.random.default_rng(2)
    for lower, a, shape in ((lower_conv, x, g.shape), (lower_conv_input_grad, g, x.shape)):
        added, memory = draw(rng, shape, axes=(0, 2, 3, 1)), Memory()
        plain, fused, va, vw = *(memory.new(shape) for _ in range(2)), memory.put(a), memory.put(w)
        memory.run(lower(plain, va, vw, *geometry, memory.temp))
        body = Body((f, f), (Instr("add", f, (0, 1)),), (2,))
        memory.run(lower(fused, va, vw, *geometry, memory.temp,
                         Epilogue(body, (memory.put(added),), (fused,))))
        assert (memory.array(fused) == memory.array(plain) + added).all()
