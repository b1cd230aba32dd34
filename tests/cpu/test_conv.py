"""Convolutions and their gradients against sums over taps in float64."""
import random

import ml_dtypes
import numpy as np
import pytest

from rushlight import dtypes
from rushlight.compiler.kernel import Body, Epilogue, Instr
from rushlight.cpu import jit
from rushlight.cpu.conv import lower_conv, lower_conv_input_grad
from rushlight.testing.calls import Memory
from rushlight.testing.convolutions import all_three, check, draw, out_sizes


CASES = [   # x, w, stride, padding, dilation, groups
    ((2, 3, 8, 9), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 8, 9), (4, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((1, 1, 28, 28), (32, 1, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 16, 6, 6), (8, 16, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 16, 6, 6), (8, 16, 1, 1), (2, 2), (0, 0), (1, 1), 1),      # phases without taps
    ((1, 6, 20), (6, 1, 5), (2,), (2,), (1,), 6),                   # depthwise
    ((1, 2, 30), (3, 2, 4), (3,), (5,), (4,), 1),
    ((2, 4, 4, 5, 6), (6, 2, 2, 3, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2), 2),
    ((2, 64, 4, 4), (32, 64, 4, 4), (1, 1), (0, 0), (1, 1), 1),     # one position
    ((3, 40, 7, 7), (70, 40, 3, 3), (1, 1), (1, 1), (1, 1), 1),     # several blocks of k, ragged tiles
    ((4, 8, 40, 40), (8, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),      # the weight gradient in parts
    ((3, 40, 9, 7), (3, 40, 1, 1), (1, 1), (0, 0), (1, 1), 1),      # few outputs of many channels
    ((3, 5, 3, 4), (1, 5, 3, 4), (1, 1), (0, 0), (1, 1), 1),
]


EXTREMES = [
    ((3, 4, 1, 1), (5, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),        # taps that meet padding only
    ((3, 4, 2, 2), (5, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 4, 2, 3), (6, 2, 5, 7), (1, 2), (4, 6), (1, 2), 2),
    ((3, 4, 1), (5, 4, 2), (1,), (2,), (3,), 1),
    ((3, 32, 1, 2), (32, 1, 5, 5), (1, 1), (2, 2), (1, 1), 32),
    ((1, 2, 3000), (20, 2, 3), (2,), (1,), (1,), 1),                # one long line
    ((1, 2, 2000), (20, 2, 400), (3,), (7,), (1,), 1),              # more taps than a block of k
    ((1, 32, 30, 70), (20, 32, 3, 3), (1, 1), (20, 20), (20, 20), 1),
    ((1, 16, 5, 700), (16, 16, 3, 3), (1, 2), (1, 1), (1, 1), 1),
    ((1, 300, 12, 12), (16, 300, 1, 1), (2, 2), (3, 3), (1, 1), 1),
]


@pytest.mark.parametrize("case", EXTREMES, ids=str)
def test_extreme_sizes(case):
    check(*case)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_three_convolutions(case, kind):
    check(*case, kind=kind)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_are_summed_in_float32(kind):
    check(*CASES[1], kind=kind)


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)])
def test_any_memory_order_of_images(axes):
    for case in (CASES[n] for n in (0, 1, 3, 4, 9, 11)):
        check(*case, axes=axes)


def random_case(rnd):
    spatial, groups = rnd.choice([1, 2, 2, 3]), rnd.choice([1, 1, 2, 3])
    kernel, padding = ([rnd.randint(low, 4) for _ in range(spatial)] for low in (1, 0))
    stride, dilation = ([rnd.randint(1, 3) for _ in range(spatial)] for _ in range(2))
    size = [max(1, d * (k - 1) + 1 - 2 * p) + rnd.randint(0, 10 if spatial < 3 else 4)
            for k, d, p in zip(kernel, dilation, padding)]
    inputs, outputs = groups * rnd.randint(1, 5), groups * rnd.randint(1, 20)
    return ((rnd.randint(1, 4), inputs, *size), (outputs, inputs // groups, *kernel), tuple(stride),
            tuple(padding), tuple(dilation), groups)


def test_random_geometries():
    rnd = random.Random(1)
    for turn in range(60):
        kind = rnd.choice([np.float32, np.float64])
        check(*random_case(rnd), kind=kind, threads=rnd.choice([1, 2]), seed=turn)


def test_empty():
    check((0, 3, 8, 8), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1)


@pytest.mark.parametrize("case", [CASES[1], CASES[9], CASES[10]], ids=str)
def test_threads_change_no_bit(case):
    rng = np.random.default_rng(3)
    xs, ws, *geometry = case
    x, w, g = (draw(rng, s) for s in (xs, ws, (xs[0], ws[0], *out_sizes(xs, ws, *geometry))))
    for one, two in zip(all_three(x, g, w, geometry, 1), all_three(x, g, w, geometry, 2)):
        assert one.tobytes() == two.tobytes()


def epilogue_inputs(rng, shape):
    """A bias by channel, and full inputs in two memory orders."""
    bias = draw(rng, (shape[1],))
    yield np.broadcast_to(bias.reshape(-1, *[1] * (len(shape) - 2)), shape)
    yield draw(rng, shape)
    yield draw(rng, shape, axes=(0, *range(2, len(shape)), 1))


@pytest.mark.parametrize("case", [CASES[n] for n in (1, 3, 5, 8, 9, 12)], ids=str)
def test_epilogue_is_the_body_on_the_plain_result(case):
    rng, (xs, ws, *geometry) = np.random.default_rng(5), case
    ys = (xs[0], ws[0], *out_sizes(xs, ws, *geometry))
    for lower, a, shape in ((lower_conv, xs, ys), (lower_conv_input_grad, ys, xs)):
        for added in epilogue_inputs(rng, shape):
            memory = Memory()
            va, vw = memory.put(draw(rng, a)), memory.put(draw(rng, ws))
            plain, fused = memory.new(shape), memory.new(shape)
            memory.run(lower(plain, va, vw, *geometry, memory.temp))
            epilogue = Epilogue(sum_with_bias(), (memory.put(added),), (fused,))
            memory.run(lower(fused, va, vw, *geometry, memory.temp, epilogue))
            assert (memory.array(fused) == memory.array(plain) + added).all()


def sum_with_bias():
    f = dtypes.float32
    return Body((f, f), (Instr("add", f, (0, 1)),), (2,))


WINOGRADS = [((n, 16, 12, 12), (20, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1) for n in (3, 20)]


def test_new_sizes_need_no_new_code():
    """Twenty batches, channel counts and image sizes of one structure: compiled at most once."""
    rnd = random.Random(2)
    for case in CASES[0], *WINOGRADS:
        check(*case)
    before = jit.compilations + jit.loads
    for turn in range(20):
        c, o, n = (rnd.randint(1, 20) for _ in range(3))
        case = ((1 + n % 5, c, 3 + n, 5 + o), (o, c, 3, 3), (1, 1), (1, 1), (1, 1), 1)
        check(*case, seed=turn)
    assert jit.compilations + jit.loads - before <= 4
