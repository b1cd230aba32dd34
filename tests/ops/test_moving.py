"""What moves elements about, against NumPy: reversal, borders, near and far indices, parts, windows."""
import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional
KINDS = ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"]


def numbers(shape, kind="float32", seed=0):
    """The same numbers as a tensor and as an array."""
    array = np.random.default_rng(seed).integers(0, 100, shape)
    x = torch.tensor(array).to(getattr(torch, kind))
    return x, x.double().numpy()


def equal(tensor, array):
    assert tuple(tensor.shape) == array.shape
    assert np.array_equal(tensor.detach().double().numpy(), array)


# -- reversal ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, dims", [((5, 7), (1,)), ((5, 37), (0, 1)), ((3, 4, 33, 2), (2,)), ((3, 4, 33, 2), (3, 1)),
                                         ((100,), (0,)), ((2, 3), ()), ((0, 3), (1,)), ((16,), (0,)), ((4, 1, 5), (1,))])
def test_flip(kind, shape, dims):
    x, a = numbers(shape, kind)
    equal(x.flip(dims), np.flip(a, dims))
    equal(x.flip(dims) == x, np.flip(a, dims) == a)


def test_flip_of_views_and_into_reductions():
    x, a = numbers((6, 40, 5))
    equal(x.permute(2, 0, 1).flip(1, 2), np.flip(a.transpose(2, 0, 1), (1, 2)))
    equal(x[1:, ::3].flip(0, 1), np.flip(a[1:, ::3], (0, 1)))
    equal(x.flip(1).sum(1), a.sum(1))
    equal(x.flip(1).cumsum(1).flip(1), a[:, ::-1].cumsum(1)[:, ::-1])
    equal(x[0].flip(0) @ x[0].flip(1).t(), a[0][::-1] @ a[0][:, ::-1].T)
    assert x.permute(2, 0, 1).flip(1).stride() == x.permute(2, 0, 1).stride()


def test_flip_of_what_is_overwritten():
    x, a = numbers((4, 50))
    y = x.clone()
    z = y.flip(1)
    y += z
    equal(y, a + a[:, ::-1])
    equal(z, a[:, ::-1])


def test_gradient_of_flip():
    x = torch.arange(12.0).reshape(3, 4).requires_grad_()
    (x.flip(0, 1) * torch.arange(12.0).reshape(3, 4)).sum().backward()
    equal(x.grad, np.arange(12.0).reshape(3, 4)[::-1, ::-1])


# -- indices that all rows share -----------------------------------------------------------------------
def index_patterns(n):
    rng = np.random.default_rng(n)
    yield "neighbours", np.arange(n - 1)
    yield "backwards", np.arange(n)[::-1]
    yield "doubled", np.arange(2 * n) // 2
    yield "thinned", np.arange(0, n, 2)
    yield "one", np.full(20, n - 1)
    yield "near", (np.arange(3 * n) // 3 + rng.integers(-7, 8, 3 * n)).clip(0, n - 1)
    yield "ends", np.array([0, n - 1] * 9)
    yield "anywhere", rng.integers(0, n, 70)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [3, 16, 33, 100])
def test_columns_by_index(kind, n):
    x, a = numbers((21, n), kind)
    for _, index in index_patterns(n):
        equal(x[:, torch.tensor(index.copy())], a[:, index])


def test_rows_and_columns_by_index():
    x, a = numbers((3, 9, 40))
    i, j = np.array([0, 0, 5, 8, 3, 3, 3]), np.arange(70) // 2 + 2
    got = x[:, torch.tensor(i)[:, None], torch.tensor(j)]
    equal(got, a[:, i[:, None], j])


def test_bad_index_among_near_ones():
    x, index = numbers((4, 30))[0], torch.tensor([*range(20), 30])
    with pytest.raises(IndexError, match="index 30 is out of bounds"):
        x[:, index].sum().item()


# -- borders ---------------------------------------------------------------------------------------------
NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize("shape, pad", [((2, 3, 40), (3, 2)), ((2, 3, 5), (0, 4)), ((2, 3, 6, 33), (1, 2, 3, 0)),
                                        ((2, 3, 6, 33), (0, 0, 2, 2)), ((1, 2, 4, 5, 17), (1, 2, 3, 0, 2, 1))])
def test_padding(mode, shape, pad):
    x, a = numbers(shape)
    width = [(0, 0)] * (len(shape) - len(pad) // 2) + list(zip(pad[::2], pad[1::2]))[::-1]
    expected = np.pad(a, width, NUMPY_MODES[mode])
    for _ in range(3):                          # as it is, traced, replayed
        y = x.clone().requires_grad_()
        z = F.pad(y, pad, mode)
        equal(z, expected)
        weights = numbers(expected.shape, seed=1)
        z.backward(weights[0])
        places = np.pad(np.arange(a.size).reshape(shape), width, NUMPY_MODES[mode])
        equal(y.grad, np.bincount(places.ravel(), weights[1].ravel(), a.size).reshape(shape))


# -- gradients of parts ------------------------------------------------------------------------------------

def test_gradients_of_many_parts():
    x = torch.rand(40, 3, 5, dtype=torch.float64).requires_grad_()
    y = sum((x[i] * (i + 1)).sum() for i in range(40)) + (x[5:9, 1] ** 2).sum() + x[:, :, 4].sum()
    y.backward()
    expected = np.broadcast_to(np.arange(1.0, 41)[:, None, None], (40, 3, 5)).copy()
    expected[5:9, 1] += 2 * x.detach().numpy()[5:9, 1]
    expected[:, :, 4] += 1
    assert np.allclose(x.grad.numpy(), expected, rtol=1e-15)


def test_parts_that_overlap_and_the_whole():
    x = torch.arange(10.0).requires_grad_()
    y = (x[:6] * 2).sum() + (x[3:] * 3).sum() + (x * 5).sum() + (x.unfold(0, 3, 1) * 7).sum()
    grad, = torch.autograd.grad(y, x)
    windows = np.convolve(np.ones(8), np.ones(3))
    equal(grad, 5 + 2 * (np.arange(10) < 6) + 3 * (np.arange(10) >= 3) + 7 * windows)


def test_sum_so_far_is_nobody_elses():
    """A gradient that goes two ways is added to in one of them only."""
    x = torch.zeros(3).requires_grad_()
    seen = []
    y = x * 1
    y.register_hook(lambda g: seen.append(g.clone()))
    z = y + 0
    (z.sum() + 2 * y[0] + 3 * y[1]).backward()
    equal(x.grad, np.array([3.0, 4.0, 1.0]))
    equal(seen[0], np.array([3.0, 4.0, 1.0]))


def test_second_order_through_parts():
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).requires_grad_()
    y = x[0] ** 3 + x[1] * x[0] + x[2] ** 2 * x[1]
    grad, = torch.autograd.grad(y, x, create_graph=True)
    second, = torch.autograd.grad((grad * torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)).sum(), x)
    a, b, c = 1.0, 2.0, 3.0
    assert np.allclose(second.numpy(), [6 * a + 10, 1 + 200 * c, 20 * c + 200 * b])


# -- windows -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kernel", [(3, 2), (4, 4), (1, 5)])
@pytest.mark.parametrize("stride", [(1, 2), (2, 2), (4, 3)])
@pytest.mark.parametrize("padding, dilation", [((0, 1), (1, 1)), ((1, 1), (2, 1))])
def test_fold_is_the_transpose_of_unfold(kernel, stride, padding, dilation):
    geometry = dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    x = numbers((2, 3, 11, 13), "float64")[0].requires_grad_()
    columns = F.unfold(x, **geometry)
    weights = numbers(columns.shape, "float64", seed=1)[0]
    columns.backward(weights)
    folded = F.fold(weights, (11, 13), **geometry)
    equal(x.grad, folded.numpy())
    assert (folded * x).sum().item() == (columns * weights).sum().item()


# -- tables that are made once -------------------------------------------------------------------------------
def test_tables_survive_replays_and_other_settings():
    x = torch.rand(2, 3, 9, 12)
    first = F.interpolate(x, (5, 20), mode="bilinear").numpy().copy()
    for _ in range(4):
        assert np.array_equal(F.interpolate(x, (5, 20), mode="bilinear").numpy(), first)
    rows = torch.func.vmap(lambda v: F.interpolate(v[None], (5, 20), mode="bilinear")[0])(x)
    assert np.allclose(rows.numpy(), first, atol=1e-6)
    wide = F.interpolate(x.double(), (5, 20), mode="bilinear")
    assert wide.dtype is torch.float64 and np.allclose(wide.numpy(), first, atol=1e-6)


def test_blocks_and_triangles():
    parts = [torch.rand(2, 3).requires_grad_(), torch.rand(4).requires_grad_(), torch.rand(1, 1).requires_grad_()]
    y = torch.block_diag(*parts)
    assert y.shape == (4, 8)
    (y * torch.arange(32.0).reshape(4, 8)).sum().backward()
    equal(parts[0].grad, np.arange(32.0).reshape(4, 8)[:2, :3])
    equal(parts[1].grad, np.arange(19.0, 23.0))
    for args in [(5, 7, 0), (5, 7, 2), (5, 7, -3), (0, 4, 0), (7, 3, 9)]:
        equal(torch.tril_indices(*args), np.stack(np.tril_indices(args[0], args[2], args[1])))
        equal(torch.triu_indices(*args), np.stack(np.triu_indices(args[0], args[2], args[1])))


# -- places in a sorted axis ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 33])
def test_searchsorted_is_numpys(kind, n):
    rng = np.random.default_rng(n)
    rows, values = (rng.integers(0, 12, shape).astype(kind) for shape in ((3, n), (3, 40)))
    rows.sort(1)
    if kind.startswith("float"):
        values[:, 0], rows[:, n // 2 + 1:], values[:, 1] = np.nan, np.nan, np.inf
    for side in ("left", "right"):
        wanted = np.stack([np.searchsorted(a, b, side) for a, b in zip(rows, values, strict=True)])
        found = torch.searchsorted(torch.tensor(rows), torch.tensor(values), side=side)
        equal(found, wanted)
        equal(torch.bucketize(torch.tensor(values), torch.tensor(rows[0]), right=side == "right", out_int32=True),
              np.searchsorted(rows[0], values, side))
    assert found.dtype is torch.int64
    assert torch.searchsorted(torch.tensor([1, 3]), 2.5).item() == 1


def test_histc_counts_both_borders_and_no_nan():
    x = torch.tensor([float("nan"), -1.0, 0.0, 0.5, 1.0, 1.0, 2.0, 2.5])
    equal(torch.histc(x, 4, 0, 2), np.array([1, 1, 2, 1]))
    equal(torch.histc(x[1:], 7), np.array([1, 0, 1, 1, 2, 0, 2]))
