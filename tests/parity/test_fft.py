"""torch.fft, stft and istft against PyTorch: values, dtypes, strides, gradients to second order, errors."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight import config     # noqa: E402
from tests.parity.oracle import Input, check     # noqa: E402

torch.set_num_threads(1)
RNG = np.random.default_rng(5)
REAL = RNG.normal(size=(3, 4, 5))
COMPLEX = REAL + 1j * RNG.normal(size=(3, 4, 5))
SIGNAL = RNG.normal(size=(2, 40))
NORMS = (None, "backward", "ortho", "forward")
FROM_REAL, TO_REAL = ("rfft", "ihfft"), ("irfft", "hfft")
ALONG = ("fft", "ifft", *FROM_REAL, *TO_REAL)
OVER = tuple(n + "n" for n in ALONG)


def compare(program, *inputs, **how):
    wrong = check(program, *inputs, **how)
    assert not wrong, "\n".join(wrong)


def inputs_of(name, lies="packed"):
    """Real where only that is taken, else both."""
    kinds = [Input(REAL, "float64", lies)]
    return kinds if name.startswith(FROM_REAL) else [*kinds, Input(COMPLEX, "complex128", lies)]


@pytest.mark.parametrize("lies", ("packed", "transposed", "strided"))
@pytest.mark.parametrize("dim", (0, 1, 2, -1))
@pytest.mark.parametrize("name", ALONG)
def test_along_one_axis(name, dim, lies):
    for x in inputs_of(name, lies):
        compare(lambda T, x: getattr(T.fft, name)(x, dim=dim), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", (None, 1, 3, 4, 8, 9))
@pytest.mark.parametrize("name", ALONG)
def test_sizes_and_norms(name, n, norm):
    for x in inputs_of(name):
        compare(lambda T, x: getattr(T.fft, name)(x, n, norm=norm), x, names=False, strides=n != 1)
        compare(lambda T, x: getattr(T.fft, name)(x, n=n, dim=1, norm=norm), x, names=False, strides=n != 1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dims", (None, (0,), (0, 1), (2, 0), (-1, -2), (0, 1, 2)))
@pytest.mark.parametrize("name", OVER)
def test_over_several_axes(name, dims, norm):
    for x in inputs_of(name):
        compare(lambda T, x: getattr(T.fft, name)(x, dim=dims, norm=norm), x, names=False)
        s = (3, 6, 4)[:3 if dims is None else len(dims)]
        compare(lambda T, x: getattr(T.fft, name)(x, s, dims, norm), x, names=False, strides=False)


@pytest.mark.parametrize("name", [n + "2" for n in ALONG])
def test_over_two_axes(name):
    for x in inputs_of(name):
        compare(lambda T, x: (getattr(T.fft, name)(x), getattr(T.fft, name)(x, s=(2, 6)), getattr(T.fft, name)(x, dim=(0, 1))), x,
                names=False)
        compare(lambda T, x: getattr(T.fft, name)(x, s=(-1, 4), norm="ortho"), x, names=False)


@pytest.mark.parametrize("dtype", ("float32", "complex64", "int64", "bool", "uint8"))
@pytest.mark.parametrize("name", (*ALONG, *OVER))
def test_precision_follows_the_input(name, dtype):
    if dtype == "complex64" and name.startswith(FROM_REAL):
        return
    compare(lambda T, x: getattr(T.fft, name)(x), Input(COMPLEX if "complex" in dtype else np.abs(REAL) * 3, dtype), tolerance=1e-4, grads=1,
            names=False)


@pytest.mark.parametrize("name", (*ALONG, *OVER))
def test_the_meaning_transforms_alike(name):
    with config.backend.override("reference"):
        for x in inputs_of(name):
            compare(lambda T, x: getattr(T.fft, name)(x) * 2, x, names=False)


def test_frequencies():
    for n in range(1, 8):
        for d in (1.0, 0.25, 2):
            for kind in ("float32", "float64", "complex64"):
                compare(lambda T: (T.fft.fftfreq(n, d, dtype=getattr(T, kind)), T.fft.rfftfreq(n, d=d, dtype=getattr(T, kind))))


@pytest.mark.parametrize("dim", (None, 0, 1, (0, 2), (1, -1)))
def test_order_of_frequencies(dim):
    compare(lambda T, x: (T.fft.fftshift(x, dim), T.fft.ifftshift(x, dim=dim)), Input(COMPLEX, "complex128"), names=False)


def test_out():
    for T in (torch, rushlight):
        x, y = T.arange(4.0), T.zeros(4, dtype=T.complex64)
        assert T.fft.fft(x, out=y) is y and y.sum().item() == 0 and T.fft.rfftfreq(4, out=T.zeros(3)).tolist() == [0, 0.25, 0.5]


def test_there_and_back_in_a_network():
    def program(T, x, w):
        y = T.fft.irfft(T.fft.rfft(x) * w, n=5)
        return (y.tanh() ** 2).sum(), T.fft.fft2(x).abs().log1p().sum()
    compare(program, Input(REAL, "float64"), Input(COMPLEX[0, 0, :3], "complex128"), names=False)


def test_convolution_by_transforms():
    T = rushlight
    T.manual_seed(0)
    a, b = T.randn(50, dtype=T.float64), T.randn(9, dtype=T.float64)
    want = np.convolve(a.numpy(), b.numpy())
    got = T.fft.irfft(T.fft.rfft(a, 58) * T.fft.rfft(b, 58), 58)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


ERRORS = {
    "complex input": lambda T, z: T.fft.rfft(z), "complex inputs": lambda T, z: T.fft.rfftn(z), "ihfft": lambda T, z: T.fft.ihfft(z),
    "half": lambda T, z: T.fft.fft(z.real.half()), "no axis": lambda T, z: T.fft.fft(z[0, 0, 0]), "empty": lambda T, z: T.fft.fft(z[:0], dim=0),
    "no points": lambda T, z: T.fft.fft(z, n=0), "negative": lambda T, z: T.fft.fft(z, n=-1), "one number": lambda T, z: T.fft.irfft(z[..., :1]),
    "dim": lambda T, z: T.fft.fft(z, dim=5), "norm": lambda T, z: T.fft.fft(z, norm="bad"), "lengths": lambda T, z: T.fft.fftn(z, (2, 2), (0,)),
    "twice": lambda T, z: T.fft.fftn(z, dim=(0, 0)), "many": lambda T, z: T.fft.fftn(z, (2, 2, 2, 2)), "vector": lambda T, z: T.fft.fft2(z[0, 0]),
    "nothing": lambda T, z: T.fft.rfftn(z.real, dim=()), "out": lambda T, z: T.fft.fft(z, out=T.zeros(3)), "real out": lambda T, z: T.fft.irfft(
        z, out=T.zeros(3, dtype=T.complex64)), "whole": lambda T, z: T.fft.fftfreq(4, dtype=T.int64), "no tensor": lambda T, z: T.fft.fft("a"),
    "stft": lambda T, z: T.stft(z.real[0, 0], 4), "long": lambda T, z: T.stft(z[0, 0], 40, center=False), "window": lambda T, z: T.stft(
        z.real[0, 0], 4, window=T.ones(3), return_complex=True), "hop": lambda T, z: T.stft(z[0, 0], 4, 0), "win": lambda T, z: T.stft(z[0, 0], 4, win_length=5),
    "one side": lambda T, z: T.stft(z[0, 0], 4, onesided=True), "axes": lambda T, z: T.stft(z, 2), "align": lambda T, z: T.stft(
        z[0, 0], 4, align_to_window=True), "istft": lambda T, z: T.istft(z.real[0], 6), "points": lambda T, z: T.istft(z[0], 10),
    "both sides": lambda T, z: T.istft(z[0], 6, onesided=False), "complex": lambda T, z: T.istft(z[0], 6, return_complex=True),
    "hops": lambda T, z: T.istft(z[0], 6, 9), "gaps": lambda T, z: T.istft(z[0], 6, window=T.zeros(6)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    compare(ERRORS[name], Input(COMPLEX, "complex64"), grads=0)


WAYS = [dict(), dict(hop_length=3), dict(win_length=6), dict(center=False), dict(normalized=True), dict(onesided=False),
        dict(pad_mode="constant"), dict(center=False, win_length=5, align_to_window=True), dict(hop_length=8, pad_mode="replicate")]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("windowed", (False, True))
def test_stft(way, windowed):
    def program(T, x):
        window = T.hann_window(way.get("win_length", 8), dtype=T.float64) if windowed else None
        return T.stft(x, 8, window=window, return_complex=True, **way), x[0].stft(8, window=window, return_complex=True, **way)
    compare(program, Input(SIGNAL, "float64"), names=False)
    if way.get("onesided") is None:
        compare(lambda T, x: T.stft(x, 8, **way), Input(SIGNAL + 1j * SIGNAL[::-1], "complex128"), names=False)


BACK = [dict(), dict(hop_length=3), dict(normalized=True), dict(length=40), dict(length=30), dict(length=45), dict(onesided=False),
        dict(onesided=False, return_complex=True), dict(win_length=6, hop_length=2)]


@pytest.mark.parametrize("way", BACK, ids=str)
def test_istft(way):
    def program(T, x):
        how = {k: v for k, v in way.items() if k not in ("length", "return_complex")}
        window = T.hamming_window(way.get("win_length", 8), dtype=T.float64)
        spectrum = T.stft(x, 8, window=window, return_complex=True, **how)
        return T.istft(spectrum * spectrum.abs(), 8, window=window, **way), spectrum[0].istft(8, window=window, **way)
    compare(program, Input(SIGNAL, "float64"), names=False)


def test_there_and_back_again():
    T = rushlight
    x = T.randn(3, 400)
    window = T.hann_window(64)
    back = T.istft(T.stft(x, 64, 16, window=window, return_complex=True), 64, 16, window=window, length=400)
    assert (back - x).abs().max() < 1e-5


def test_gradcheck():
    T = rushlight
    z = T.tensor(COMPLEX[0], requires_grad=True)
    for f in (lambda z: T.fft.fft2(z), lambda z: T.fft.irfft(z, 7), lambda z: T.fft.hfft(z, 4), lambda z: T.fft.rfft(z.real).abs()):
        assert T.autograd.gradcheck(f, (z,)) and T.autograd.gradgradcheck(f, (z,))


def test_batches():
    T = rushlight
    x = T.tensor(COMPLEX)
    for f in (lambda x: T.fft.fft(x, dim=0), lambda x: T.fft.irfft(x), lambda x: T.fft.fft(x).real.sum(0), lambda x: x.imag * 2):
        got = T.vmap(f)(x)
        np.testing.assert_allclose(got.numpy(), T.stack([f(row) for row in x]).numpy(), atol=1e-12)
