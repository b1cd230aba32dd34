"""Winograd's convolutions: how exact they are, what they are used for, and the switch."""
import numpy as np
import pytest

import rushlight
from rushlight import config, dtypes
from rushlight.compiler import plan
from rushlight.compiler.kernel import Body, Epilogue, Instr
from rushlight.cpu.conv import lower_conv, lower_conv_input_grad
from rushlight.testing.calls import Memory
from rushlight.testing.convolutions import all_three, draw, out_sizes, references

CASES = [   # x, w, stride, padding, dilation, groups
    ((5, 40, 15, 17), (48, 40, 3, 3), (1, 1), (1, 1), (1, 1), 1),       # ragged tiles and lanes
    ((2, 32, 20, 70), (33, 32, 3, 3), (1, 1), (0, 0), (1, 1), 1),       # rows of several runs
    ((2, 150, 30, 33), (140, 150, 3, 3), (1, 1), (2, 2), (1, 1), 1),    # blocks of all dimensions
    ((3, 16, 33, 36), (280, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),      # blocks of outputs
    ((2, 16, 15, 17), (16, 16, 3, 3), (1, 1), (20, 20), (1, 1), 1),     # tiles beside the image
    ((5, 40, 15, 17), (48, 40, 4, 4), (2, 2), (1, 1), (1, 1), 1),       # four phases
    ((3, 150, 37, 34), (140, 150, 4, 4), (2, 2), (0, 3), (1, 1), 1),
    ((9, 16, 16, 15), (20, 16, 2, 2), (1, 1), (0, 1), (1, 1), 1),       # 2x2 taps
    ((2, 20, 5, 9, 10), (24, 20, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),     # planes of taps
    ((2, 20, 6, 12, 10), (24, 20, 2, 3, 3), (2, 1, 1), (1, 1, 0), (1, 1, 1), 1),
    ((2, 20, 8, 12, 14), (24, 20, 4, 4, 4), (2, 2, 2), (1, 1, 1), (1, 1, 1), 1),
    ((2, 20, 8, 12, 10), (24, 20, 3, 2, 2), (1, 1, 1), (2, 0, 1), (2, 1, 1), 1),
    ((18, 40, 4, 4), (300, 40, 3, 3), (1, 1), (1, 1), (1, 1), 1),       # one tile in an image
    ((5, 270, 7, 6), (50, 270, 3, 3), (1, 1), (1, 1), (1, 1), 1),       # tiles made ahead
    ((9, 16, 29, 31), (17, 16, 3, 3), (1, 1), (0, 1), (1, 1), 1),       # the gradient in parts
]
ALLOWED = 2e-6          # of the largest output; sums over taps stay below 1e-6


def operands(case, axes=None):
    rng, (xs, ws, *geometry) = np.random.default_rng(0), case
    shapes = xs, (xs[0], ws[0], *out_sizes(xs, ws, *geometry))
    x, g = (draw(rng, s, axes=axes) for s in shapes)
    return x, g, draw(rng, ws), geometry


def errors(made, wanted):
    return [abs(a - b).max() / abs(b).max() for a, b in zip(made, wanted, strict=True)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_float64(case):
    x, g, w, geometry = operands(case)
    wanted = references(*(a.astype(np.float64) for a in (x, g, w)), geometry)
    made = all_three(x, g, w, geometry)
    assert max(errors(made, wanted)) < ALLOWED
    with config.winograd.override("off"):
        direct = all_three(x, g, w, geometry)
    assert max(errors(direct, wanted)) < 1e-6
    for a, b in zip(made, direct, strict=True):
        assert (a != b).any()                   # it was Winograd


def in_order(a, axes):
    """The same numbers in memory order `axes`."""
    return np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("first", [0, -1])
def test_neither_threads_nor_memory_order_change_a_bit(case, first):
    """Channels adjacent in memory, or nothing that is like an image."""
    x, g, w, geometry = operands(case)
    axes = (0, *range(2, x.ndim), 1) if first == 0 else (x.ndim - 1, 1, 0, *range(2, x.ndim - 1))
    one, two = all_three(x, g, w, geometry, 1), all_three(x, g, w, geometry, 2)
    other = all_three(*(in_order(a, axes) for a in (x, g, w)), geometry)
    for a, b, c in zip(one, two, other, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


def notes(xs, ws, *geometry, kind=np.float32):
    memory = Memory()
    out = memory.new((xs[0], ws[0], *out_sizes(xs, ws, *geometry)), kind)
    calls = lower_conv(out, memory.new(xs, kind), memory.new(ws, kind), *geometry, memory.temp)
    return " ".join(call.note for call in calls)


def test_what_it_is_used_for():
    plain = (1, 1), (1, 1), (1, 1), 1
    assert "Winograd" in notes((2, 32, 32, 32), (32, 32, 3, 3), *plain)
    assert "Winograd" in notes((32, 32, 4, 4), (32, 32, 3, 3), *plain)
    assert "Winograd" not in notes((2, 15, 32, 32), (32, 15, 3, 3), *plain)
    assert "Winograd" not in notes((2, 32, 7, 7), (32, 32, 3, 3), *plain)
    assert "Winograd" not in notes((64, 32, 2, 2), (32, 32, 3, 3), *plain)
    assert "Winograd" not in notes((2, 32, 32, 32), (32, 32, 5, 5), *plain)
    assert "Winograd" not in notes((2, 32, 32, 32), (32, 32, 3, 3), (2, 2), (1, 1), (1, 1), 1)
    assert "Winograd" not in notes((2, 32, 32, 32), (32, 32, 3, 3), (1, 1), (2, 2), (2, 2), 1)
    assert "Winograd" not in notes((2, 64, 32, 32), (64, 32, 3, 3), (1, 1), (1, 1), (1, 1), 2)
    assert "Winograd" not in notes((2, 32, 32, 32), (32, 32, 3, 3), *plain, kind=np.float64)


def test_epilogue_is_the_body_on_the_plain_result():
    x, g, w, geometry = operands(CASES[0])
    f, rng = dtypes.float32, np.random.default_rng(2)
    for lower, a, shape in ((lower_conv, x, g.shape), (lower_conv_input_grad, g, x.shape)):
        added, memory = draw(rng, shape, axes=(0, 2, 3, 1)), Memory()
        plain, fused, va, vw = *(memory.new(shape) for _ in range(2)), memory.put(a), memory.put(w)
        memory.run(lower(plain, va, vw, *geometry, memory.temp))
        body = Body((f, f), (Instr("add", f, (0, 1)),), (2,))
        epilogue = Epilogue(body, (memory.put(added),), (fused,))
        memory.run(lower(fused, va, vw, *geometry, memory.temp, epilogue))
        assert (memory.array(fused) == memory.array(plain) + added).all()


def test_a_changed_switch_makes_new_plans():
    rushlight.manual_seed(0)
    x, w = rushlight.randn(2, 32, 32, 32), rushlight.randn(32, 32, 3, 3)

    def y():
        return rushlight.nn.functional.conv2d(x, w, padding=1).numpy()
    first = y()
    with config.winograd.override("off"):
        assert not plan.plans
        direct = y()
    assert (first != direct).any() and (first == y()).all()
    assert abs(first - direct).max() < ALLOWED * abs(direct).max()
