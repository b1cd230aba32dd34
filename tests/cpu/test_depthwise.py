"""Convolutions of few channels per group, which are summed straight from lines of the image."""
import random

import numpy as np
import pytest

from rushlight.compiler.kernel import Ref
from rushlight.cpu import depthwise
from rushlight.cpu.conv import lower_conv, lower_conv_input_grad
from rushlight.cpu.image import Along, Image
from rushlight.testing.calls import Memory
from rushlight.testing.convolutions import all_three, check, draw, out_sizes

CASES = [   # x, w, stride, padding, dilation, groups
    ((2, 6, 9, 20), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    ((2, 6, 9, 20), (6, 1, 3, 3), (2, 2), (1, 1), (1, 1), 6),
    ((2, 3, 17, 40), (3, 1, 7, 7), (1, 1), (3, 3), (1, 1), 3),
    ((2, 3, 8, 20), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),           # a multiplier
    ((1, 4, 9, 20), (4, 2, 3, 5), (1, 2), (1, 2), (2, 1), 2),
    ((1, 8, 9, 20), (8, 4, 3, 5), (3, 3), (1, 2), (2, 1), 2),           # a stride not unrolled
    ((2, 3, 30, 30), (3, 1, 9, 2), (1, 1), (4, 1), (3, 3), 3),          # taps not unrolled
    ((2, 3, 12, 1100), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),        # tiles of columns
    ((2, 3, 250, 70), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),         # tiles of rows
    ((1, 5, 300), (10, 1, 31), (1,), (15,), (1,), 5),
    ((40, 2, 7, 9), (2, 1, 3, 3), (1, 1), (1, 1), (1, 1), 2),           # parts of the batch
    ((2, 4, 5, 6, 20), (4, 1, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 4),
    ((2, 4, 7, 6, 20), (4, 2, 3, 2, 5), (2, 1, 2), (2, 0, 1), (1, 2, 1), 2),
    ((3, 2, 9, 8, 9), (4, 1, 4, 1, 3), (1, 2, 1), (3, 0, 2), (2, 1, 1), 2),
    ((1, 3, 4, 130, 140), (3, 1, 2, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1), 3),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_against_float64(case, kind):
    check(*case, kind=kind)


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (3, 2, 1, 0)])
def test_any_memory_order_of_images(axes):
    check(*CASES[0], axes=axes)
    check(*CASES[1], axes=axes)


def test_random_geometries():
    rnd = random.Random(4)
    for turn in range(25):
        kernel, stride, dilation = ([rnd.randint(1, n) for _ in range(2)] for n in (8, 3, 3))
        padding = [rnd.randint(0, 4) for _ in range(2)]
        size = [max(1, d * (k - 1) + 1 - 2 * p) + rnd.randint(0, 40)
                for k, d, p in zip(kernel, dilation, padding)]
        groups, inner, outer = rnd.randint(1, 4), rnd.randint(1, 4), rnd.randint(1, 4)
        check((rnd.randint(1, 4), groups * inner, *size), (groups * outer, inner, *kernel),
              tuple(stride), tuple(padding), tuple(dilation), groups, seed=turn)


def test_random_volumes():
    rnd = random.Random(5)
    for turn in range(12):
        kernel, stride, dilation = ([rnd.randint(1, n) for _ in range(3)] for n in (4, 2, 2))
        padding = [rnd.randint(0, 3) for _ in range(3)]
        size = [max(1, d * (k - 1) + 1 - 2 * p) + rnd.randint(0, most)
                for k, d, p, most in zip(kernel, dilation, padding, (5, 9, 30))]
        groups, inner, outer = rnd.randint(1, 4), rnd.randint(1, 3), rnd.randint(1, 3)
        check((rnd.randint(1, 3), groups * inner, *size), (groups * outer, inner, *kernel),
              tuple(stride), tuple(padding), tuple(dilation), groups, seed=turn)


@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[10], CASES[11]], ids=str)
def test_threads_change_no_bit(case):
    rng = np.random.default_rng(3)
    xs, ws, *geometry = case
    x, w, g = (draw(rng, s) for s in (xs, ws, (xs[0], ws[0], *out_sizes(xs, ws, *geometry))))
    for one, two in zip(all_three(x, g, w, geometry, 1), all_three(x, g, w, geometry, 2)):
        assert one.tobytes() == two.tobytes()


def test_what_lies_beyond_the_last_output_does_not_reach_the_weights():
    """Infinity in a column that only the last tap meets leaves the other taps' gradients finite."""
    rng = np.random.default_rng(7)
    x, w, g = (draw(rng, s) for s in ((1, 2, 6, 20), (2, 1, 3, 3), (1, 2, 4, 18)))
    x[0, 0, :, 19] = np.inf
    dw = all_three(x, g, w, ((1, 1), (0, 0), (1, 1), 2))[2]
    assert np.isfinite(dw[0, 0, :, :2]).all() and not np.isfinite(dw[0, 0, :, 2]).any()
    assert np.isfinite(dw[1]).all()


def test_the_plan_keeps_to_its_bounds():
    plain = Along(0, 1, 1, 1, 0, 1, 1)
    image = Image(Ref(0), 0, 0, 0, (plain, Along(400, 100, 100, 1, -1, 1, 3),
                                    Along(4, 100, 100, 1, -1, 1, 3)))
    assert depthwise.direct(image, 1, 1, 4).plane_bytes <= 2 * depthwise.LINE_BYTES
    assert depthwise.direct(image, depthwise.FEW + 1, 1, 4) is None
    assert depthwise.direct(image, 1, depthwise.FEW + 1, 4) is None


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (4, 1), (1, 2)])
def test_input_gradients_with_zeros_between(stride):
    for kernel, padding in ((3, 1), (4, 0), (7, 3)):
        case = (2, 3, 13, 30), (6, 1, kernel, kernel), stride, (padding,) * 2, (1, 1), 3
        check(*case)
        check(*case, axes=(0, 2, 3, 1), kind=np.float64)


def test_depthwise_layers_are_direct():
    memory = Memory()
    x, w = memory.new((2, 8, 16, 16)), memory.new((8, 1, 3, 3))
    calls = lower_conv(memory.new((2, 8, 16, 16)), x, w, (1, 1), (1, 1), (1, 1), 8, memory.temp)
    assert len(calls) == 1 and calls[0].note.endswith("direct")
    calls = lower_conv_input_grad(memory.new((2, 8, 32, 32)), x, w, (2, 2), (1, 1), (1, 1), 8,
                                  memory.temp)
    assert len(calls) == 1 and calls[0].note.endswith("direct")
    x, w = memory.new((2, 8, 6, 16, 16)), memory.new((8, 1, 3, 3, 3))
    calls = lower_conv(memory.new((2, 8, 6, 16, 16)), x, w, (1,) * 3, (1,) * 3, (1,) * 3, 8, memory.temp)
    assert len(calls) == 1 and calls[0].note.endswith("direct")
