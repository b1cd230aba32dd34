"""What the sweep over PyTorch's tables has found: each a program that once gave other numbers in silence."""
import numpy as np
import pytest
import rushlight
from tests.parity.oracle import Input, check

torch = pytest.importorskip("torch")
WIDE = (np.random.RandomState(0).randn(8, 600) * 400).astype(np.float32)
OTHER = (np.random.RandomState(1).randn(8, 600) * 400).astype(np.float32)

HALVES = {      # programs whose inner sums leave float16
    "mean": lambda T, x, y: x.abs().mean(), "mean of rows": lambda T, x, y: x.abs().mean(1),
    "std": lambda T, x, y: x.std(1), "norm": lambda T, x, y: x.norm(), "norm 3": lambda T, x, y: x.norm(3, 1),
    "normalize": lambda T, x, y: T.nn.functional.normalize(x),
    "cosine": lambda T, x, y: T.nn.functional.cosine_similarity(x, y),
    "hypot": lambda T, x, y: T.hypot(x, y), "renorm": lambda T, x, y: T.renorm(x, 2, 0, 5.0),
    "logcumsumexp": lambda T, x, y: x.logcumsumexp(1), "lerp": lambda T, x, y: T.lerp(x * 30, y * -30, 0.3)}


@pytest.mark.parametrize("name", HALVES)
def test_sums_of_halves_do_not_overflow(name):
    inputs = [Input(a, "float16") for a in (WIDE, OTHER)]
    assert not check(HALVES[name], *inputs, grads=0, tolerance=1e-2)


A = np.random.RandomState(2).randn(4, 4)
X = np.array([0.3, -0.2, 0.9, 1.4])
PROGRAMS = {
    "logcumsumexp far apart": (lambda T, x: (x * 200).logcumsumexp(0), X),
    "logcumsumexp": (lambda T, x: x.logcumsumexp(0), X),
    "hypot of large numbers": (lambda T, x: T.hypot(x * 0 + 3e200, x * 0 + 4e200), X),
    "polygamma method": (lambda T, x: x.polygamma(1), X), "polygamma(3) of negative": (lambda T, x: T.polygamma(3, x - 15), X),
    "quantile's q": (lambda T, x: T.quantile(T.arange(5.0, dtype=T.float64), x.abs() / 2), X),
    "index_fill twice": (lambda T, x: T.zeros(5, 2, dtype=T.float64).index_fill(0, T.tensor([0, 2, 0]), x[0]), X),
    "slogdet's sign": (lambda T, x: T.linalg.slogdet(x), A),
    "eigh": (lambda T, x: T.linalg.eigh(x)[0], A), "eigvalsh": (lambda T, x: T.linalg.eigvalsh(x), A),
    "cholesky_inverse": (lambda T, x: T.cholesky_inverse(x.tril() + 3 * T.eye(4, dtype=T.float64)), A),
    "cholesky_solve": (lambda T, x: T.cholesky_solve(x, x + 3 * T.eye(4, dtype=T.float64)), A),
    "i1": (lambda T, x: T.special.i1(x * 0), X), "i1e": (lambda T, x: T.special.i1e(x * 0), X),
    "nextafter": (lambda T, x: T.nextafter(x, x.flip(0)), X),
    "transposed convolution with a large output padding": (lambda T, x: T.nn.functional.conv_transpose2d(
        x.reshape(1, 1, 4, 4), x.reshape(1, 1, 4, 4), stride=2, output_padding=2, dilation=3), A),
    "circular padding that crops": (lambda T, x: T.nn.functional.pad(x[None, None], (-1, 1, -2, 1), "circular"), A),
    "replicating padding that crops": (lambda T, x: T.nn.functional.pad(x[None, None], (-1, 2, 0, 0), "replicate"), A),
    "replicating padding that crops all": (lambda T, x: T.nn.functional.pad(x[None, None], (-4, 5, 3, -4), "replicate"), A),
    "LU of a wide matrix": (lambda T, x: T.linalg.lu_factor(x[:2])[0], A),
    "LU of a tall matrix": (lambda T, x: T.linalg.lu(x[:, :2])[1:], A),
    "upper Cholesky of complex numbers": (lambda T, x: T.linalg.cholesky(
        T.complex(x, x.mT) @ T.complex(x, x.mT).mH + T.eye(4), upper=True).real, A),
    "a tolerance of each matrix": (lambda T, x: T.linalg.pinv(x.detach().reshape(2, 2, 4), atol=T.tensor([0.1, 1.5])) * x.sum(), A),
    "reflecting padding that crops": (lambda T, x: T.nn.functional.pad(x[None], (-2, 3), "reflect"), A),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    program, array = PROGRAMS[name]
    assert not check(program, Input(array, "float64"), names=False, strides=False)


def _writes_to_result(T, make):
    x = T.arange(16.0).reshape(1, 4, 2, 2)
    make(T, x).zero_()
    return x


@pytest.mark.parametrize("make", [
    lambda T, x: x.diff(n=0), lambda T, x: x[0, 0, 0, 0].sum_to_size(()), lambda T, x: T.nn.functional.pixel_shuffle(x, 1),
    lambda T, x: T.nn.functional.pixel_unshuffle(x, 1), lambda T, x: T.nn.functional.pad(x, (0, 0, 0, 0), "reflect"), lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, (None, None)),
    lambda T, x: x.to("cpu", T.float32, True, True), lambda T, x: x.float(memory_format=T.channels_last)])
def test_results_that_are_copies(make):
    assert not check(lambda T: _writes_to_result(T, make), grads=0)


def test_float_power_in_place_keeps_the_dtype():
    assert not check(lambda T: T.full((2,), 3.0, dtype=T.float64).float_power_(2), grads=0)
    for T in (torch, rushlight):
        with pytest.raises(RuntimeError, match="the base given to float_power_ has dtype Float but"):
            T.ones(2).float_power_(2)


def test_pinv_of_hermitian_matrices_reads_the_lower_triangle():
    program = lambda T: T.linalg.pinv(T.tensor(A + 1j * A[::-1]), hermitian=True).abs()
    assert not check(program, grads=0, strides=False, tolerance=1e-9)


def test_cross_entropy_refuses_probabilities_that_are_none():
    for T in (torch, rushlight):
        x, loss = T.ones(2, 3), T.nn.functional.cross_entropy
        with pytest.raises(RuntimeError, match="Expected floating point type for target with class probabilities"):
            loss(x, T.ones(2, 3, dtype=T.int64))
        with pytest.raises(RuntimeError, match="ignore_index is not supported for floating point target"):
            loss(x, x, ignore_index=1)


def test_layer_norm_lies_without_gaps():
    x = np.random.RandomState(4).randn(3, 2, 4)
    assert not check(lambda T, x: T.nn.functional.layer_norm(x.transpose(0, 1), (4,)), Input(x, "float64"), names=False)


def test_results_of_torch_lu_are_written_where_told():
    for T in (torch, rushlight):
        out = T.empty(3, 3), T.empty(3, dtype=T.int32)
        x = T.tensor(A[:3, :3], dtype=T.float32)
        assert all(a is b for a, b in zip(T.lu(x, out=out), out, strict=True))
        np.testing.assert_allclose(out[0].numpy(), T.linalg.lu_factor(x)[0].numpy())


def test_logspace_of_integers():
    assert not check(lambda T: T.logspace(4.3, 1.2, 4, 3.0, dtype=T.int64), grads=0)


def test_ctc_gradient_is_that_of_normalised_scores():
    scores = np.random.RandomState(3).randn(5, 2, 4)
    program = lambda T, x: T.nn.functional.ctc_loss(x, T.tensor([[1, 2], [2, 2]]), T.tensor([5, 4]), T.tensor([2, 2]))
    assert not check(program, Input(scores, "float64"), grads=1, names=False)


OUTS = {
    "take": lambda T, out: T.take(T.arange(6.0), T.tensor([1, -1]), out=out),
    "index_select": lambda T, out: T.index_select(T.tensor(3.0), 0, T.tensor([0]), out=out),
    "sinc": lambda T, out: T.sinc(T.arange(2.0), out=out), "histc": lambda T, out: T.histc(T.arange(2.0), 2, out=out),
    "cumsum": lambda T, out: T.cumsum(T.tensor([1.5, 1.75]), 0, out=out), "amax": lambda T, out: T.amax(T.eye(2), 1, out=out),
    "mm": lambda T, out: T.mm(T.eye(2), T.eye(2), out=out), "zeros": lambda T, out: T.zeros(2, dtype=T.float32, out=out),
    "abs": lambda T, out: T.abs(T.ones(2), out=out), "add": lambda T, out: T.add(T.ones(2), 1, out=out),
    "cat": lambda T, out: T.cat([T.ones(1), T.ones(1)], out=out), "logspace": lambda T, out: T.logspace(0, 1, 2, out=out),
    "inv": lambda T, out: T.linalg.inv(T.eye(2), out=out), "all": lambda T, out: T.all(T.eye(2), 1, out=out)}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("name", OUTS)
def test_results_go_into_out(name, dtype):
    def program(T):
        out = T.zeros(2, 2, dtype=getattr(T, dtype))[0]
        return OUTS[name](T, out), out
    assert not check(program, grads=0, strides=False)


MORE = {
    "flip(dims=)": lambda T: T.arange(6).reshape(2, 3).flip(dims=(0, 1)),
    "searchsorted(sorter=)": lambda T: T.searchsorted(T.tensor([3, 1, 2]), T.tensor([2, 3]), sorter=T.tensor([1, 2, 0])),
    "take_along_dim of negative indices": lambda T: T.take_along_dim(T.arange(6).reshape(2, 3), T.tensor([[-1], [0]]), 1),
    "arange of integers to a float": lambda T: T.arange(0, 3.1, dtype=T.int64),
    "avg_pool of integers": lambda T: T.nn.functional.avg_pool1d(T.arange(8).reshape(1, 1, 8), 3),
    "relu6 of integers": lambda T: T.nn.functional.relu6(T.arange(-2, 9)),
    "cov of one variable": lambda T: T.cov(T.arange(4.0).reshape(1, 4)),
    "tensordot that broadcasts": lambda T: T.tensordot(T.ones(1, 2), T.ones(3, 2), ([0], [0])),
    "expand by an axis of size 1": lambda T: T.arange(5).expand(1, 5), "clamp_min of bools": lambda T: T.tensor([True, False])
    .clamp_min(T.tensor([False, True])), "unique slices": lambda T: T.tensor([[1, 0, 1], [2, 5, 2]]).unique(dim=1)}


@pytest.mark.parametrize("name", MORE)
def test_arguments_and_results(name):
    assert not check(MORE[name], grads=0)


def test_empty_batch_leaves_running_statistics():
    def program(T):
        m = T.nn.BatchNorm2d(3)
        m(T.zeros(0, 3, 2, 2))
        return m.running_mean, m.running_var
    assert not check(program, grads=0)


def test_fractional_pool_of_one_image_takes_the_first_numbers():
    image, chances = np.random.RandomState(4).randn(4, 7, 7, 7), np.random.RandomState(5).rand(2, 4, 3)
    program = lambda T, x, c: T.nn.functional.fractional_max_pool3d(x, 2, output_size=(4, 4, 4), _random_samples=c.detach())
    assert not check(program, Input(image, "float64"), Input(chances, "float64"), grads=1, names=False, strides=False)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "cosine", "nuttall", "kaiser", "gaussian",
                                  "exponential"])
@pytest.mark.parametrize("points", [0, 1, 8])
@pytest.mark.parametrize("sym", [True, False])
def test_windows(name, points, sym):
    assert not check(lambda T: getattr(T.signal.windows, name)(points, sym=sym, dtype=T.float64), grads=0, tolerance=1e-6)


REFUSED = {
    "diff": lambda T: T.diff(T.arange(3), n=-1), "diagonal": lambda T: T.eye(2).diagonal(0, 1, 1),
    "max_pool": lambda T: T.nn.functional.max_pool2d(T.ones(1, 1, 4, 4), 2, dilation=0),
    "isclose": lambda T: T.isclose(T.ones(1), T.ones(1), rtol=-1.0), "renorm": lambda T: T.renorm(T.tensor(1.0), 2, 0, 1.0),
    "Adam of tensors": lambda T: T.optim.Adam([T.nn.Parameter(T.ones(1))], lr=T.tensor(0.1), foreach=True),
    "SGD of two rates": lambda T: T.optim.SGD([T.nn.Parameter(T.ones(1))], lr=T.tensor([0.1, 0.2])),
    "LSTM": lambda T: T.nn.LSTM(3, 4, bias=3), "put": lambda T: T.put(T.ones(3), T.tensor([0]), T.tensor([1])),
    "empty_permuted": lambda T: T.empty_permuted((2, 3), (0, 0)), "arange": lambda T: T.arange(0, float("inf"), 2),
    "max_unpool": lambda T: T.nn.functional.max_unpool1d(T.ones(1, 2, 3), T.zeros(1, 2, 2, dtype=T.int64), 2)}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_are_refused(name):
    assert not check(REFUSED[name], grads=0)


def test_new_functions():
    assert not check(lambda T: (T.put(T.arange(4), T.tensor([1, -1]), T.tensor([7, 8])), T.nonzero_static(T.eye(2), size=3),
                                T.arange(4).put_(T.tensor([0, 0]), T.tensor([2, 3]), accumulate=True),
                                T.empty_permuted((2, 3, 4), (2, 0, 1)).stride()), grads=0)
