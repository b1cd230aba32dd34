"""Transforms by kernels of rushlight: sizes, layouts and dtypes against NumPy in float64."""
import numpy as np
import pytest

import rushlight as torch

SHAPES = [(20, 16), (5, 128), (33, 400), (6, 1000), (17, 105), (3, 7, 60), (9, 2), (40, 3), (4, 5, 4)]


def close(got, wanted):
    limit = 1e-6 if got.dtype.to_real() is torch.float32 else 1e-14
    assert np.abs(got.resolve_conj().numpy() - wanted).max() <= limit * np.abs(wanted).max()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_transforms_of_many_rows(shape, wide):
    rng, n = np.random.default_rng(0), shape[-1]
    a = rng.standard_normal((2, *shape)).astype(np.float64 if wide else np.float32)
    x = torch.tensor(a[0])
    c = torch.complex(*torch.tensor(a))
    z = a[0] + 1j * a[1].astype(np.float64)
    close(torch.fft.fft(c), np.fft.fft(z))
    close(torch.fft.ifft(c, norm="ortho"), np.fft.ifft(z, norm="ortho"))
    close(torch.fft.fft(x, dim=0), np.fft.fft(a[0].astype(float), axis=0))
    close(torch.fft.fft(c.mT), np.fft.fft(z.swapaxes(-1, -2)))
    close(torch.fft.fft2(c), np.fft.fft2(z))
    close(torch.fft.rfft2(x), np.fft.rfft2(a[0].astype(float)))
    close(torch.fft.ihfft(x), np.fft.ihfft(a[0].astype(float)))
    close(torch.fft.irfft(c, n=n), np.fft.irfft(z, n=n))
    close(torch.fft.irfft2(c, s=shape[-2:]), np.fft.irfft2(z, s=shape[-2:]))


def test_threads_change_no_bit():
    x, threads, found = torch.randn(300, 96), torch.get_num_threads(), []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        found.append(torch.fft.rfft2(x).numpy().tobytes())
    torch.set_num_threads(threads)
    assert len(set(found)) == 1


def test_rows_do_not_know_of_each_other():
    x = torch.randn(40, 64)
    y = torch.fft.rfft(x)
    x[3], x[7] = float("inf"), 1e30
    z = torch.fft.rfft(x)
    assert torch.equal(y[:3], z[:3]) and torch.equal(y[8:], z[8:])
