"""Complex tensors against PyTorch: values, dtypes, strides, gradients to second order, errors, views."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight import config     # noqa: E402
from tests.parity.oracle import Input, check     # noqa: E402

torch.set_num_threads(1)
RNG = np.random.default_rng(11)


def drawn(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


Z, W, SQUARE, ROW, ONE = drawn(3, 4), drawn(3, 4), drawn(3, 3), drawn(4), drawn()
REAL = RNG.normal(size=(3, 4))
KINDS = ("complex64", "complex128")


def compare(program, *inputs, **how):
    wrong = check(program, *inputs, **how)
    if any("isFloatingType" in w for w in wrong):       # where PyTorch's rule fails on real and complex inputs together
        return
    assert not wrong, "\n".join(wrong)


SMOOTH = """abs acos acosh angle asin asinh atan atanh conj_physical cos cosh exp exp2 expm1 log log10 log1p log2 neg reciprocal
    rsqrt sgn sigmoid sin sinh sqrt square tan tanh positive""".split()
UNARY = {n: lambda T, z, n=n: getattr(T, n)(z) for n in SMOOTH} | {
    "conj": lambda T, z: z.conj() * 2, "adjoint": lambda T, z: z.mH @ z, "H": lambda T, z: z.H @ z,
    "real": lambda T, z: z.real, "imag": lambda T, z: z.imag, "T.real": lambda T, z: T.real(z) * T.imag(z),
    "view_as_real": lambda T, z: T.view_as_real(z), "part of view": lambda T, z: T.view_as_real(z)[..., 1] ** 2,
    "and back": lambda T, z: T.view_as_complex(T.view_as_real(z) * 2),
    "norm": lambda T, z: z.norm(), "norm 1": lambda T, z: z.norm(1, dim=0), "norm 3": lambda T, z: T.linalg.vector_norm(z, 3),
    "norm inf": lambda T, z: T.linalg.vector_norm(z, float("inf"), dim=1), "mean": lambda T, z: z.mean(),
    "sum": lambda T, z: z.sum(0), "prod": lambda T, z: z.prod(), "prod 0": lambda T, z: z.prod(0),
    "cumsum": lambda T, z: z.cumsum(1), "cumprod": lambda T, z: z.cumprod(0), "var": lambda T, z: z.var(0),
    "std": lambda T, z: z.std(), "var_mean": lambda T, z: T.var_mean(z, 1), "logsumexp": lambda T, z: z.logsumexp(1),
    "logcumsumexp": lambda T, z: z.logcumsumexp(1), "cov": lambda T, z: T.cov(z), "corrcoef": lambda T, z: T.corrcoef(z),
    "pow 2": lambda T, z: z ** 2, "pow 3": lambda T, z: z ** 3, "pow .5": lambda T, z: z ** 0.5, "pow -2": lambda T, z: z ** -2,
    "pow 2.5": lambda T, z: z ** 2.5, "pow 1+j": lambda T, z: z ** (1 + 1j), "to the z": lambda T, z: 2.0 ** z,
    "number": lambda T, z: (2 + 3j) * z + 1j - z / (1 - 1j), "1 / z": lambda T, z: 1 / z, "j / z": lambda T, z: 1j / z,
    "masked": lambda T, z: z.masked_fill(z.real > 0, 1j), "where": lambda T, z: T.where(z.real > 0, z, 1j),
    "index": lambda T, z: z[1:, ::2] + z[T.tensor([0, 2])][:, :2], "t": lambda T, z: z.t().contiguous(),
    "cat": lambda T, z: T.cat([z, z.conj()], 1), "stack": lambda T, z: T.stack([z, 1j * z], -1),
    "flip": lambda T, z: z.flip(0), "roll": lambda T, z: z.roll(1, 1), "tril": lambda T, z: z.tril(), "diag": lambda T, z: z.diag(),
    "isnan": lambda T, z: T.isnan(z), "isfinite": lambda T, z: T.isfinite(z), "isreal": lambda T, z: T.isreal(z),
    "any": lambda T, z: z.any(1), "all": lambda T, z: z.all(), "count": lambda T, z: T.count_nonzero(z),
    "nan_to_num": lambda T, z: T.nan_to_num(z), "to real": lambda T, z: z.to(T.float64), "to wide": lambda T, z: z.to(T.complex128),
    "cfloat": lambda T, z: (z.cfloat(), z.cdouble()), "diff": lambda T, z: z.diff(dim=0), "trapz": lambda T, z: T.trapz(z),
    "abs squared": lambda T, z: (z * z.conj()).real.sum(), "zeros": lambda T, z: (z * 0).abs() + (z * 0).angle(),
    "sgn 0": lambda T, z: (z * T.tensor([1, 0, 1, 0])).sgn(), "abs 0": lambda T, z: (z * T.tensor([1, 0, 1, 0])).abs(),
    "einsum": lambda T, z: T.einsum("ij,kj->ik", z, z.conj()), "outer": lambda T, z: T.outer(z[0], z[1]),
    "dot": lambda T, z: (T.dot(z[0], z[1]), T.vdot(z[0], z[1])), "kron": lambda T, z: T.kron(z, z[:2, :2]),
    "linear": lambda T, z: T.nn.functional.linear(z, z.conj(), z[:, 0]), "dropped": lambda T, z: z.detach() + 1,
    "polar form": lambda T, z: T.polar(z.abs(), z.angle()), "parts": lambda T, z: T.complex(z.imag, z.real),
    "repeat": lambda T, z: z.repeat(2, 1), "expand": lambda T, z: z[:, None].expand(3, 2, 4) * 2, "unfold": lambda T, z: z.unfold(1, 2, 1),
    "gather": lambda T, z: z.gather(1, T.tensor([[0, 3], [1, 1], [2, 0]])), "scatter": lambda T, z: z.scatter_add(
        1, T.tensor([[0, 3], [1, 1], [2, 0]]), z[:, :2]), "index_add": lambda T, z: z.index_add(0, T.tensor([0, 0]), z[1:]),
    "take": lambda T, z: z.take(T.tensor([1, 5])), "trace": lambda T, z: z[:, :3].trace(), "lerp": lambda T, z: z.lerp(z * 2, 0.3),
    "addcmul": lambda T, z: T.addcmul(z, z, z, value=2), "addcdiv": lambda T, z: T.addcdiv(z, z, z * z), "tensordot":
    lambda T, z: T.tensordot(z, z, ([1], [1])), "pad": lambda T, z: T.nn.functional.pad(z, (1, 2)), "logaddexp":
    lambda T, z: T.logaddexp(z, z.conj()), "float_power": lambda T, z: T.float_power(z, 2), "ldexp": lambda T, z: T.ldexp(z, T.tensor(2)),
    "gradient": lambda T, z: T.gradient(z[0])[0], "conv1d": lambda T, z: T.nn.functional.conv1d(z[None], z[:2, None, :2].expand(2, 3, 2), z[0, :2], padding=1), "conv2d":
    lambda T, z: T.nn.functional.conv2d(z[None, None], z[None, None, :2, :2], stride=2), "l1_loss": lambda T, z: T.nn.functional.l1_loss(z, z.conj()),
    "large exponents": lambda T, z: (z * 400).logcumsumexp(0), "conv_transpose": lambda T, z: T.nn.functional.conv_transpose1d(z[None], z[:, :2, None]),
    "sinc": lambda T, z: T.sinc(z), "matrix_power": lambda T, z: T.matrix_power(z[:, :3], 3), "cross": lambda T, z: T.cross(z, z.conj(), dim=0),
}


@pytest.mark.parametrize("lies", ("packed", "transposed", "strided"))
@pytest.mark.parametrize("name", UNARY)
def test_of_one_tensor(name, lies):
    grads = 1 if name in ("zeros", "sgn 0") else 2      # PyTorch's second gradient at 0 is nan
    compare(UNARY[name], Input(Z, "complex128", lies), names=False, grads=grads, strides=lies == "packed" and name not in LAZY)


LAZY = ("conj", "H", "adjoint")     # of what PyTorch only marks as conjugated


@pytest.mark.parametrize("name", UNARY)
def test_in_single_precision(name):
    compare(UNARY[name], Input(Z, "complex64"), names=False, strides=False, grads=1, tolerance=2e-4)


@pytest.mark.parametrize("name", ["exp", "prod", "number", "norm", "var", "masked", "cumprod", "pow 2.5", "real"])
def test_the_meaning_differentiates_alike(name):
    with config.backend.override("reference"):
        compare(UNARY[name], Input(Z, "complex128"), names=False)


def test_tape_shows_what_pytorch_shows():
    for f in (lambda T, z: z.abs(), lambda T, z: z.real, lambda T, z: z.conj_physical(), lambda T, z: z.angle(), lambda T, z: z.sgn(),
              lambda T, z: T.view_as_real(z), lambda T, z: T.complex(z.real, z.imag), lambda T, z: z * 2j, lambda T, z: z.exp()):
        compare(f, Input(Z, "complex128"))


BINARY = {
    "add": lambda T, a, b: a + b, "sub": lambda T, a, b: a - b, "mul": lambda T, a, b: a * b, "div": lambda T, a, b: a / b,
    "pow": lambda T, a, b: a ** b, "eq": lambda T, a, b: a == b, "ne": lambda T, a, b: a != b, "where":
    lambda T, a, b: T.where(a.abs() > b.abs(), a, b), "alpha": lambda T, a, b: T.add(a, b, alpha=2), "dist": lambda T, a, b: T.dist(a, b),
    "isclose": lambda T, a, b: T.isclose(a, b) if a.dtype is b.dtype else None, "logical": lambda T, a, b: a.logical_and(b),
}


@pytest.mark.parametrize("a", ("complex64", "complex128", "float32", "float64", "int64"))
@pytest.mark.parametrize("b", ("complex64", "complex128"))
@pytest.mark.parametrize("name", BINARY)
def test_of_two_tensors_of_any_dtypes(name, a, b):
    left = Z if "complex" in a else np.abs(REAL) + 1
    compare(BINARY[name], Input(left, a), Input(W, b), names=False, tolerance=1e-4)
    compare(BINARY[name], Input(left, a), Input(ONE, b), names=False, tolerance=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_products(kind):
    for f in (lambda T, a, b: a @ b, lambda T, a, b: T.mm(a, b), lambda T, a, b: a @ b[0], lambda T, a, b: T.stack([a, b]) @ b,
              lambda T, a, b: T.bmm(a[None], b[None]), lambda T, a, b: T.addmm(a, a, b, alpha=2, beta=1j),
              lambda T, a, b: T.baddbmm(a[None], a[None], b[None])):
        compare(f, Input(SQUARE, kind), Input(SQUARE.T + 1, kind), names=False, strides=False, tolerance=1e-4)


# -- promotion and numbers ---------------------------------------------------------------------------------------------
def test_numbers_promote_by_category():
    for dtype in ("bool", "uint8", "int64", "bfloat16", "float32", "float64", "complex64", "complex128"):
        for number in (1j, 2 + 1j, 1, 0.5, True):
            for op in ("add", "mul", "div", "pow"):
                made = []
                for T in (torch, rushlight):
                    x = T.ones(2, dtype=getattr(T, dtype))
                    made.append((str(getattr(T, op)(x, number).dtype), str(T.result_type(x, number))))
                assert made[0] == made[1], (dtype, number, op)


def test_spaces():
    for f in (lambda T: T.linspace(0, 1j, 5), lambda T: T.linspace(1 - 2j, 3, 4, dtype=T.complex128), lambda T: T.logspace(0, 1.5, 4, dtype=T.complex64),
              lambda T: T.linspace(0, 1, 3, dtype=T.complex64), lambda T: T.eye(2, dtype=T.complex64), lambda T: T.full((2,), 1j),
              lambda T: T.linspace(0, 1j, 5, dtype=T.float32), lambda T: T.ones(2, dtype=T.complex64).abs_()):
        compare(f, grads=0)


def test_default_dtype_decides():
    for T in (torch, rushlight):
        T.set_default_dtype(T.float64)
        try:
            assert str((T.tensor([1]) * 1j).dtype) == str(T.tensor([1j]).dtype) == str(T.full((1,), 1j).dtype) == "torch.complex128"
        finally:
            T.set_default_dtype(T.float32)


# -- memory ------------------------------------------------------------------------------------------------------------
def written(f):
    """What memory holds after a program, in both libraries."""
    found = [f(T) for T in (torch, rushlight)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(np.array(b.detach().resolve_conj()), np.array(a.detach().resolve_conj()), rtol=1e-5)


def parts_write_through(T):
    z = T.arange(6).reshape(2, 3).to(T.complex64)
    z.real = T.tensor(2.0)
    z.imag[1] = T.tensor([1.0, 2, 3])
    r = z.real
    z.imag += 1
    z += 1
    T.view_as_real(z)[0, 0].mul_(3)
    z.t()[1] = 5j
    r[1, 2] = -1
    return z, r, z.real, z.imag.t()


def pairs_write_through(T):
    x = T.arange(12.0).reshape(3, 2, 2)
    z = T.view_as_complex(x)
    z.mul_(1j)
    x[1] += 1
    z[0, 1] = 7
    T.view_as_real(z)[2].zero_()
    return x, z, z.abs()


def bytes_write_through(T):
    x = T.arange(4, dtype=T.int32)
    b = x.view(T.uint8)
    b[1] = 1
    x[3] = -1
    h = x.view(T.int64)
    h[0] += 1
    odd = T.arange(11, dtype=T.uint8)
    odd[1:9].clone().view(T.int64).fill_(3)
    odd[:8].view(T.float64).fill_(1.5)
    return x, b, h, odd, x.view(T.float32), T.ones(2, dtype=T.float32).view(T.int32)


def from_numpy_writes_through(T):
    a = np.arange(6.0)
    z = T.from_numpy(a.view(np.complex128))
    z.imag.add_(1)
    a[0] = 9
    out = z.real.numpy()
    out[2] = -5
    return z, T.from_numpy(a), z.real, T.from_numpy(out)


@pytest.mark.parametrize("program", (parts_write_through, pairs_write_through, bytes_write_through, from_numpy_writes_through))
def test_views_share_memory(program):
    written(program)


def test_views_lie_where_pytorch_says():
    for T in (torch, rushlight):
        z = T.zeros(4, 6, dtype=T.complex64)[1:, ::2]
        assert z.real.data_ptr() == z.data_ptr() and z.imag.data_ptr() == z.data_ptr() + 4
        assert z.real.stride() == (12, 4) and z.imag.storage_offset() == 13 and T.view_as_real(z).stride() == (12, 4, 1)
        version = z._version
        z.real.zero_()
        assert z._version == version + 1 and z.real._base is not None


GRADS = {
    "writes to a part": lambda T, z, x: (lambda w: (w.real.mul_(x), w)[1] * 2)(z.clone()),
    "writes to the imaginary part": lambda T, z, x: (lambda w: (w.imag.copy_(x), w.abs())[1])(z * 1),
    "writes to pairs": lambda T, z, x: (lambda y: (T.view_as_complex(y).mul_(z), y)[1])(T.stack([x, 2 * x], -1)),
    "reads a part after a write": lambda T, z, x: (lambda w, r: (w.mul_(1j * x), r * 3)[1])(*(lambda w: (w, w.real))(z.clone())),
    "writes to an index": lambda T, z, x: (lambda w: (w.__setitem__((slice(None), 1), x[:, 0]), w)[1])(z.clone()),
    "mixes": lambda T, z, x: z * x + x / z - z ** 2 * x.exp(), "sums": lambda T, z, x: (z * x).sum(0) + x.sum(),
    "makes complex": lambda T, z, x: T.complex(x, x * 2) * z, "product": lambda T, z, x: x.to(z.dtype) @ z.t(),
    "polar": lambda T, z, x: T.polar(x.abs(), x) + z, "where": lambda T, z, x: T.where(x > 0, z, x),
    "copy": lambda T, z, x: (lambda w: (w.copy_(x), w * z)[1])(T.zeros_like(z)),
}


@pytest.mark.parametrize("name", GRADS)
def test_gradients_of_real_and_complex_inputs(name):
    compare(GRADS[name], Input(Z, "complex128"), Input(REAL, "float64"), names=False, strides=False)


# -- linear algebra ------------------------------------------------------------------------------------------------------
def fit(a):
    return a @ a.mH + a.shape[-1] * (a * 0 + 1)


def hermitian(a):
    return a + a.mH


LINALG = {
    "inv": lambda T, a: T.linalg.inv(a), "det": lambda T, a: T.det(a), "slogdet": lambda T, a: T.linalg.slogdet(a),
    "logdet": lambda T, a: T.logdet(a), "solve": lambda T, a: T.linalg.solve(a, a[:, :2] + 1), "right": lambda T, a: T.linalg.solve(
        a, a[:2] + 1, left=False), "cholesky": lambda T, a: T.linalg.cholesky(hermitian(a) + 9 * T.eye(3)), "upper":
    lambda T, a: T.linalg.cholesky(hermitian(a) + 9 * T.eye(3), upper=True), "qr": lambda T, a: [x.abs() for x in T.linalg.qr(a)],
    "eigh": lambda T, a: [x.abs() for x in T.linalg.eigh(hermitian(a))], "eigvalsh": lambda T, a: T.linalg.eigvalsh(hermitian(a)),
    "svd": lambda T, a: [x.abs() for x in T.linalg.svd(a)], "svd product": lambda T, a: (lambda u, s, v: u[:, :2] @ v[:2])(*T.linalg.svd(a)),
    "svdvals": lambda T, a: T.linalg.svdvals(a), "tall svd": lambda T, a: [x.abs() for x in T.linalg.svd(a[:, :2], full_matrices=False)],
    "pinv": lambda T, a: T.linalg.pinv(a[:, :2]), "matrix_exp": lambda T, a: T.matrix_exp(a), "lu": lambda T, a: T.linalg.lu(a),
    "triangular": lambda T, a: T.linalg.solve_triangular(a, a + 1, upper=True), "lu_solve": lambda T, a: T.linalg.lu_solve(
        *T.linalg.lu_factor(a), a + 1), "adjoint": lambda T, a: T.linalg.lu_solve(*T.linalg.lu_factor(a), a + 1, adjoint=True),
    "lu left": lambda T, a: T.linalg.lu_solve(*T.linalg.lu_factor(a), a + 1, left=False),
    "cholesky_solve": lambda T, a: T.cholesky_solve(a, T.linalg.cholesky(hermitian(a) + 9 * T.eye(3))), "norm nuc":
    lambda T, a: T.linalg.norm(a, "nuc"), "norm 2": lambda T, a: T.linalg.matrix_norm(a, 2), "cond": lambda T, a: T.linalg.cond(a),
    "rank": lambda T, a: T.linalg.matrix_rank(a), "vecdot": lambda T, a: T.linalg.vecdot(a, a + 1), "lstsq":
    lambda T, a: T.linalg.lstsq(a[:, :2], a).solution, "eig": lambda T, a: (lambda w, v: [w.abs().sum(), v.abs().sum()])(*T.linalg.eig(a)),
    "eig back": lambda T, a: (lambda w, v: v @ T.diag(w) @ T.linalg.inv(v))(*T.linalg.eig(a)), "eigvals":
    lambda T, a: (T.linalg.eigvals(a) ** 2).sum(), "pinverse": lambda T, a: T.pinverse(a), "tensorinv":
    lambda T, a: T.linalg.tensorinv(a.reshape(3, 3, 1), ind=1), "multi_dot": lambda T, a: T.linalg.multi_dot([a, a, a]),
    "householder": lambda T, a: T.linalg.householder_product(a, a[0] / 9),
}


@pytest.mark.parametrize("name", LINALG)
def test_linear_algebra(name):
    compare(LINALG[name], Input(SQUARE, "complex128"), names=False, strides=False, tolerance=1e-8)
    compare(LINALG[name], Input(SQUARE, "complex64"), names=False, strides=False, grads=0, tolerance=1e-4)


@pytest.mark.parametrize("name", ("eig", "eig back", "eigvals"))
def test_eigenvalues_of_real_matrices(name):
    compare(LINALG[name], Input(SQUARE.real, "float64"), names=False, strides=False, tolerance=1e-8)


# -- what is refused -------------------------------------------------------------------------------------------------------
REFUSED = """ceil floor trunc fix round frac sign signbit digamma lgamma erf erfc erfinv isposinf isneginf deg2rad rad2deg relu logit
    bitwise_not amax amin max min argmax argmin aminmax median mode unique sort argsort nansum nanmean i0""".split()
REFUSED_PAIRS = """lt le gt ge maximum minimum fmax fmin atan2 copysign hypot nextafter logaddexp2 remainder fmod floor_divide xlogy
    bitwise_and gcd heaviside""".split()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_of_one_tensor(name):
    compare(lambda T, z: getattr(T, name)(z), Input(Z, "complex64"))


@pytest.mark.parametrize("name", REFUSED_PAIRS)
def test_refused_of_two_tensors(name):
    compare(lambda T, a, b: getattr(T, name)(a, b), Input(Z, "complex64"), Input(W, "complex64"))


REFUSALS = {
    "mse_loss": lambda T, z: T.nn.functional.mse_loss(z, z * 2), "huber_loss": lambda T, z: T.nn.functional.huber_loss(z, z * 2),
    "clamp": lambda T, z: z.clamp(0, 1), "cummax": lambda T, z: z.cummax(0), "topk": lambda T, z: z.topk(2), "softmax":
    lambda T, z: z.softmax(0), "imag": lambda T, z: z.real.imag, "view_as_real": lambda T, z: T.view_as_real(z.real), "view_as_complex":
    lambda T, z: T.view_as_complex(z.real), "scalar backward": lambda T, z: z.sum().backward(), "float": lambda T, z: float(z[0, 0]),
    "add_": lambda T, z: T.zeros(3, 4).add_(1j), "mul_": lambda T, z: T.zeros(3, 4).mul_(z), "fill_": lambda T, z: T.zeros(3, 4).fill_(1j),
    "setitem": lambda T, z: T.zeros(3, 4).__setitem__(0, 1j), "complex": lambda T, z: T.complex(z.real, z.real.to(T.float64)),
    "complex of whole": lambda T, z: T.complex(T.arange(3), T.arange(3)), "polar": lambda T, z: T.polar(T.arange(3), T.arange(3)),
    "finer": lambda T, z: z.t().view(T.float32), "coarser": lambda T, z: T.zeros(5, dtype=T.uint8).view(T.int64), "0-d":
    lambda T, z: z[0, 0].view(T.float32), "H of a batch": lambda T, z: T.zeros(2, 2, 2).H, "cdist": lambda T, z: T.cdist(z, z),
    "quantile": lambda T, z: z.quantile(0.5), "isin": lambda T, z: T.isin(z, z), "histc": lambda T, z: z.histc(), "kthvalue":
    lambda T, z: z.kthvalue(1), "arange": lambda T, z: T.arange(0, 3, dtype=T.complex64), "bernoulli": lambda T, z: T.bernoulli(z),
    "dtypes of a product": lambda T, z: T.zeros(2, 3) @ z, "out": lambda T, z: T.add(z, z, out=T.zeros(3, 4)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    compare(REFUSALS[name], Input(Z, "complex64"))


# -- the rest of the library ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", (1, 5, 16, 100))
@pytest.mark.parametrize("name", ("randn", "rand"))
def test_random_numbers_are_pytorchs(name, n):
    for kind in KINDS:
        made = []
        for T in (torch, rushlight):
            T.manual_seed(n)
            made.append([getattr(T, name)(n, dtype=getattr(T, kind)), getattr(T, name + "_like")(T.zeros(2, n, dtype=getattr(T, kind))),
                         T.zeros(n, 3, dtype=getattr(T, kind)).normal_(0, 2), T.rand(1)])
        for a, b in zip(*made):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-6)


def test_printing():
    for make in (lambda T: T.tensor([1 + 2j, -3.5j, 1e-7]), lambda T: T.tensor([1e10 + 1j, 2]), lambda T: T.tensor(1j, dtype=T.complex128),
                 lambda T: T.arange(2000).to(T.complex64), lambda T: T.tensor([[1j, float("nan")], [float("inf"), 2]]),
                 lambda T: T.zeros(0, dtype=T.complex64), lambda T: T.tensor([1j], requires_grad=True) * 2):
        assert repr(make(rushlight)) == repr(make(torch))


@pytest.mark.parametrize("optimiser", ("SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta", "Adamax", "Rprop", "ASGD"))
def test_optimisers_take_complex_parameters(optimiser):
    start, target = drawn(3, 2), drawn(4, 2)
    found = []
    for T in (torch, rushlight):
        layer = T.nn.Linear(3, 2, dtype=T.complex128)
        with T.no_grad():
            layer.weight.copy_(T.tensor(start.T.copy()))
            layer.bias.fill_(1j)
        opt = getattr(T.optim, optimiser)(layer.parameters(), lr=0.1)
        for _ in range(5):
            opt.zero_grad()
            loss = (layer(T.tensor(np.ones((4, 3)) * 1j)) - T.tensor(target)).abs().square().mean()
            loss.backward()
            opt.step()
        found.append([loss.item(), *[p.detach().numpy() for p in layer.parameters()]])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-8)


@pytest.mark.parametrize("order", (1, 2, 3, float("inf")))
def test_clipped_gradients(order):
    found = []
    for T in (torch, rushlight):
        layers = [T.zeros(2, 3, dtype=T.complex128, requires_grad=True), T.zeros(4, dtype=T.float64, requires_grad=True)]
        layers[0].grad, layers[1].grad = T.tensor(Z[:2, :3].copy()), T.ones(4, dtype=T.float64)
        found.append([T.nn.utils.clip_grad_norm_(layers, 0.5, order).item(), *[p.grad.numpy() for p in layers]])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-10)


def test_gradcheck():
    T = rushlight
    for f in (lambda z: z.exp() * z.conj(), lambda z: z.abs(), lambda z: z @ z.mH, lambda z: z.real * z.imag.sin()):
        z = T.tensor(Z, requires_grad=True)
        assert T.autograd.gradcheck(f, (z,)) and T.autograd.gradgradcheck(f, (z,))
