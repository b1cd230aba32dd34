"""Results that take over the memory of what they replace: same bits, less memory."""
import pytest

import rushlight as T
from rushlight.compiler import plan
from rushlight.nn import functional as F


def drawn(*shape, seed=0):
    T.manual_seed(seed)
    x = T.randn(*shape)
    x.tolist()
    return x


def bits(program, *shapes, frees: bool):
    """(the result's numbers, the plan): `program` on fresh inputs, of which the first is let go of before the flush."""
    inputs = [drawn(*shape, seed=n) for n, shape in enumerate(shapes)]
    first = inputs[0]
    result = program(*inputs)
    if frees:
        del first, inputs
    values = result.view(T.int32).tolist()
    return values, next(reversed(plan.plans.values()))


PRODUCTS = [(1, 1, 1), (1, 300, 7), (2, 50, 33), (3, 1000, 17), (5, 7, 3), (16, 16, 16), (63, 700, 65), (64, 2000, 64),
            (130, 31, 129), (257, 193, 300)]
IMAGES = {"taps": ((2, 5, 9, 11), (7, 5, 3, 3), {}), "winograd": ((2, 32, 13, 18), (32, 32, 3, 3), {"padding": 1}),
          "spread": ((2, 16, 14, 14), (32, 16, 4, 4), {"stride": 2}), "depthwise": ((2, 24, 10, 10), (24, 1, 3, 3), {"groups": 24}),
          "pointwise": ((3, 8, 6, 6), (12, 8, 1, 1), {}), "line": ((2, 3, 40), (4, 3, 5), {}),
          "space": ((1, 4, 6, 6, 6), (5, 4, 3, 3, 3), {})}
CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


@pytest.mark.parametrize("m, k, n", PRODUCTS)
@pytest.mark.parametrize("is_turned", [False, True])
def test_a_product_adds_to_what_it_replaces(m, k, n, is_turned):
    def program(p, a, b):
        return p - 0.1 * (a @ (b.t() if is_turned else b))
    shapes = (m, n), (m, k), (n, k) if is_turned else (k, n)
    kept, _ = bits(program, *shapes, frees=False)
    freed, made = bits(program, *shapes, frees=True)
    assert freed == kept and made.recipe.donors


@pytest.mark.parametrize("kind", IMAGES)
def test_a_convolution_adds_to_what_it_replaces(kind):
    x, w, how = IMAGES[kind]
    conv = CONVOLUTIONS[len(x)]
    out = tuple(conv(T.zeros(x), T.zeros(w), **how).shape)

    def program(r, x, w):
        return (conv(x, w, **how) + r).relu()
    kept, _ = bits(program, out, x, w, frees=False)
    freed, made = bits(program, out, x, w, frees=True)
    assert freed == kept and made.recipe.donors


@pytest.mark.parametrize("kind", IMAGES)
def test_a_gradient_of_an_input_adds_to_what_it_replaces(kind):
    x, w, how = IMAGES[kind]
    conv = CONVOLUTIONS[len(x)]
    out = tuple(conv(T.zeros(x), T.zeros(w), **how).shape)

    def program(r, w, g):
        x = T.zeros_like(r).requires_grad_()
        return T.autograd.grad(conv(x, w, **how), x, g)[0] * 2 + r
    kept, _ = bits(program, x, w, out, frees=False)
    freed, made = bits(program, x, w, out, frees=True)
    assert freed == kept and made.recipe.donors


def test_what_is_multiplied_is_never_taken_over():
    def program(a):
        return a @ a + a
    kept, _ = bits(program, (64, 64), frees=False)
    freed, made = bits(program, (64, 64), frees=True)
    assert freed == kept and not made.recipe.donors


def rows(x):
    """Softmax after products: the row kernel's last pass writes where its first ones read."""
    y = x @ x
    return (y.softmax(-1) * y).softmax(-1) @ x


def steps(x):
    """Loops between products that read what they write over."""
    y = x @ x
    for _ in range(4):
        y = (y * 0.5 - y.sum(0)).relu() @ x
    return y


@pytest.mark.parametrize("program, values", [(rows, 1), (steps, 2)])
def test_loops_write_over_what_nobody_reads_again(program, values):
    x, alive = drawn(96, 96), []
    together = program(x).tolist()
    made = next(reversed(plan.plans.values()))
    multiply = T.Tensor.__matmul__

    def kept(a, b):
        alive.append(multiply(a, b))
        return alive[-1]
    try:
        T.Tensor.__matmul__ = kept
        apart = program(x).tolist()
    finally:
        T.Tensor.__matmul__ = multiply
    assert together == apart
    assert made.arena_bytes < (values + 0.5) * 96 * 96 * 4


def test_the_update_takes_over_what_it_replaces_not_the_gradient():
    m, a, b = drawn(64, 64), drawn(64, 64, seed=1), drawn(64, 64, seed=2)
    before = m.data_ptr()
    g = a @ b
    m = m * 0.9 + g
    m.tolist()
    assert m.data_ptr() == before and g.data_ptr() != before
