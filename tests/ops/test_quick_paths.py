"""What has a short way for the common case does there what the long way does."""
import itertools

import numpy as np
import pytest

import rushlight as T
from rushlight.compiler import plan as planning
from rushlight.trace.record import pending

INDICES = [0, -1, (1, 2), (slice(None), 1), (slice(1, None), slice(None, 2)), slice(0, 2), (0, slice(None, None, 2)),
           (T.tensor(2), 1), T.tensor(-1), (slice(3, 3),), (slice(None), slice(None))]


def spelled(index):
    """The index as NumPy takes it."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(int(i) if isinstance(i, T.Tensor) else i for i in parts)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reads_and_writes_by_numbers_and_slices(index):
    base = np.arange(36, dtype=np.float32).reshape(3, 3, 4)[:, :, ::2].copy()
    for turn, value in enumerate((7, -0.5, T.tensor(3.0), "part")):
        a, x = base.copy(), T.tensor(base)
        version, shown = x._version, x[0]
        np.testing.assert_array_equal(x.transpose(0, 1)[index].numpy(), a.transpose(1, 0, 2)[spelled(index)])
        if isinstance(value, str):
            value = T.tensor(base)[index] * 2
        x[index] = value
        a[spelled(index)] = value.numpy() if isinstance(value, T.Tensor) else value
        np.testing.assert_array_equal(x.numpy(), a)
        np.testing.assert_array_equal(shown.numpy(), a[0])
        assert x._version > version


def test_a_row_written_to_another_row_of_the_same_tensor():
    x = T.arange(12.0).reshape(3, 4)
    for k in range(3):
        x[(k + 1) % 3] = x[k] + 1
    x[0, 1:] = x[0, :-1]
    assert x.tolist() == [[3, 3, 4, 5], [1, 2, 3, 4], [2, 3, 4, 5]]


def test_writes_that_are_taped_or_refused_take_the_long_way():
    w = T.ones(3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        w[0] = 1.0
    x = T.zeros(3, 2)
    x[1] = w[0] * 2
    x[2, 0] = 5.0
    x.sum().backward()
    assert w.grad.tolist() == [[2, 2], [0, 0], [0, 0]]
    with pytest.raises(RuntimeError, match="single memory location"):
        T.zeros(1, 2).expand(3, 2)[0:2] = 1.0
    with pytest.raises(IndexError, match="out of bounds"):
        x[3] = 1.0
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0] = 1.0
    with pytest.raises(ValueError, match="step must be greater than zero"):
        x[::-1] = 1.0


def test_a_number_written_in_a_loop_makes_one_plan():
    x = T.zeros(50)
    for i in range(3):
        x[i] = float(i)
        x.tolist()
    known = planning.misses
    for i in range(3, 50):
        x[i] = float(i)
        x.tolist()
    assert planning.misses == known and x.tolist() == list(range(50))


@pytest.mark.parametrize("dtype", [T.float32, T.float64, T.float16, T.bfloat16, T.int64, T.int32, T.int16, T.int8, T.uint8,
                                   T.bool], ids=str)
def test_items(dtype):
    x = T.tensor([[0, 1], [100, 1]], dtype=dtype)
    for i, j in itertools.product(range(2), range(2)):
        found, expected = x[i, j].item(), x.tolist()[i][j]
        assert found == expected and type(found) is type(expected)


NUMBERS = [2.5, -0.0, float("inf"), float("nan"), 1e300, 3, -7, True, 2**24 + 1, 2**53 + 1, 2**62 + 1, np.float64(0.1)]


@pytest.mark.parametrize("dtype", [T.float32, T.float64, T.float16], ids=str)
def test_numbers_of_the_moment_are_those_of_numpy(dtype):
    """One plan is given numbers of all kinds."""
    x = T.ones(3, dtype=dtype)
    for number in NUMBERS * 2:
        with np.errstate(all="ignore"):
            expected = np.asarray(number if type(number) is not np.float64 else float(number)).astype(str(dtype)[6:])
        np.testing.assert_array_equal((x * number).numpy(), np.full(3, expected))


@pytest.mark.parametrize("number", [3, -5, 2**53 + 1, 2**62 + 3])
def test_whole_numbers_of_the_moment(number):
    x = T.zeros(3, dtype=T.int64)
    for _ in range(2):
        assert (x + number).tolist() == [number] * 3


@pytest.mark.parametrize("data", [1.5, 3, True, [1.0, 2.0], (1, 2), [], [True, False], [1, 2.5], [1e300], [[1.0], [2.0]],
                                  2**62], ids=str)
@pytest.mark.parametrize("dtype", [None, T.float32, T.float64, T.int64], ids=str)
def test_tensors_of_numbers(data, dtype):
    if dtype is T.int64 and data == [1e300]:
        return
    found = T.tensor(data, dtype=dtype)
    with np.errstate(all="ignore"):
        expected = np.array(data)
        kind = str(dtype)[6:] if dtype else {"f": "float32"}.get(expected.dtype.kind, expected.dtype.name)
        np.testing.assert_array_equal(found.numpy(), expected.astype(kind))
    assert str(found.dtype) == "torch." + kind


def test_calls_that_come_again_are_those_of_the_first_time():
    x = T.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], requires_grad=True)
    out = T.empty(2, 2), T.empty(2, 2, dtype=T.int64)
    for _ in range(4):
        values, at = x.sort(dim=1, descending=True)
        assert values.tolist() == [[3, 2, 1], [5, 4, 0]] and at.tolist() == [[0, 2, 1], [1, 2, 0]]
        assert T.topk(x.detach(), 2, out=out)[0] is out[0] and out[1].tolist() == [[0, 2], [1, 2]]
        assert x.tril().tolist() == [[3, 0, 0], [0, 5, 0]] and x.triu(1).tolist() == [[0, 1, 2], [0, 0, 4]]
        assert x.repeat(2, 1)[3].tolist() == [0, 5, 4]
        y = T.einsum("ij,kj->ik", x, x)
        assert y.tolist() == [[14, 13], [13, 41]]
        x.grad = None
        (y.sum() + values[:, 0].sum() + x.tril().sum()).backward()
        assert x.grad.tolist() == [[8, 12, 12], [7, 14, 12]]


def test_draws_that_come_again_go_on_in_the_stream():
    T.manual_seed(3)
    first = [T.randn(3).tolist() for _ in range(5)], [T.rand(2, 2).tolist() for _ in range(4)], [
        T.randint(0, 10, (4,)).tolist() for _ in range(4)]
    T.manual_seed(3)
    g = T.default_generator
    again = [T.randn(3, generator=g).tolist() for _ in range(5)], [T.rand(2, 2, generator=g).tolist() for _ in range(4)], [
        T.randint(0, 10, (4,), generator=g).tolist() for _ in range(4)]
    assert first == again and first[0][0] != first[0][1]


def test_a_layer_whose_weight_is_no_parameter_any_more():
    layer = T.nn.Linear(2, 2)
    weight = layer.weight.detach() * 2
    del layer.weight
    layer.weight = weight
    x = T.ones(1, 2)
    np.testing.assert_array_equal(layer(x).detach().numpy(), T.nn.functional.linear(x, weight, layer.bias).detach().numpy())


@pytest.mark.parametrize("value", [5.0, 2, "tensor"])
def test_writes_at_indices_that_come_again(value):
    a = np.arange(12, dtype=np.float32).reshape(4, 3)
    x, at, across = T.tensor(a), T.tensor([3, 0, -2]), T.tensor([1, 1, 2])
    for turn in range(6):
        put = T.full((3,), float(turn)) if value == "tensor" else value + turn
        x[at, across] = put
        a[at.tolist(), across.tolist()] = put.numpy() if value == "tensor" else put
        x[at] = x[at] + 1
        a[at.tolist()] = a[at.tolist()] + 1
        assert x.tolist() == a.tolist() and x._version == 2 * (turn + 1)
    w = T.ones(3, requires_grad=True)
    for _ in range(4):
        y = T.zeros(4)
        y[at] = w * 2
        w.grad = None
        y.sum().backward()
        assert w.grad.tolist() == [2, 2, 2]


def test_an_entry_by_a_tensor_and_counting():
    x = T.arange(6).reshape(2, 3)
    for k in (0, 1, -1):
        assert x[T.tensor(k)].tolist() == x.tolist()[k]
    with pytest.raises(IndexError):
        x[T.tensor(2)]
    assert T.arange(0).tolist() == [] and T.arange(3, requires_grad=False).dtype == T.int64
    with pytest.raises(RuntimeError, match="inconsistent with step sign"):
        T.arange(-1)
    with pytest.raises(RuntimeError, match="floating point"):
        T.arange(3, requires_grad=True)


def test_races_that_come_again_go_on_in_the_stream():
    weights = T.tensor([[0.1, 0.0, 0.4], [0.3, 0.3, 0.3]])
    T.manual_seed(5)
    found = [T.multinomial(weights, 1 + k % 2).tolist() for k in range(8)]
    T.manual_seed(5)
    assert found == [T.multinomial(weights, 1 + k % 2, generator=T.default_generator).tolist() for k in range(8)]


def test_an_entry_that_is_changed_in_place_is_not_written_a_second_time():
    x = T.zeros(3, 4)
    T.cpu.synchronize()
    before, version = len(pending.nodes), x._version
    x[1, 2] += 5.0
    assert len(pending.nodes) - before == 2 and x._version == version + 2
    x[T.tensor(0)] -= 1.0
    assert x.tolist() == [[-1.0] * 4, [0.0, 0.0, 5.0, 0.0], [0.0] * 4]
