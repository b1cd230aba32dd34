"""Memory seen as elements of another dtype (real parts, pairs, bytes), without PyTorch."""
from __future__ import annotations

import copy
import gc
import io

import numpy as np
import pytest

import rushlight as torch
from rushlight import config


@pytest.fixture(params=["cpu", "reference"], autouse=True)
def backend(request):
    with config.backend.override(request.param):
        yield


def test_writes_are_seen_whichever_way_and_in_order():
    z = torch.zeros(3, dtype=torch.complex64)
    r, i, pairs = z.real, z.imag, torch.view_as_real(z)
    early = r + 1
    r += 2
    late = r + 1
    pairs[:, 1] = torch.arange(3.0)
    z *= 2
    assert early.tolist() == [1, 1, 1] and late.tolist() == [3, 3, 3]
    assert r.tolist() == [4, 4, 4] and i.tolist() == [0, 2, 4] and z.tolist() == [4, 4 + 2j, 4 + 4j]


def test_every_write_counts_once():
    z = torch.zeros(3, dtype=torch.complex64)
    z.real.add_(1)
    z.imag[0] = 1
    assert z._version == z.real._version == 2


def test_a_view_of_a_view_is_the_memory_itself():
    z = torch.ones(4, dtype=torch.complex128)
    back = torch.view_as_complex(torch.view_as_real(z))
    assert back.storage is z.storage and z.view(torch.float64).view(torch.uint8).data_ptr() == z.data_ptr()


def test_bytes_beyond_the_last_whole_element_stay():
    x = torch.arange(11, dtype=torch.uint8)
    x[:8].view(torch.int32).mul_(0)
    assert x.tolist() == [0] * 8 + [8, 9, 10]


def test_clones_do_not_follow():
    z = torch.ones(2, dtype=torch.complex64)
    y, w = z.real.clone(), z.clone()
    z.real.zero_()
    assert y.tolist() == [1, 1] and w.tolist() == [1, 1] and z.tolist() == [0, 0]


def test_a_clone_shares_a_node_until_a_part_is_written():
    z = torch.ones(2, dtype=torch.complex64)
    w = z.clone()
    w.imag.fill_(3)
    assert z.tolist() == [1, 1] and w.tolist() == [1 + 3j, 1 + 3j]


def test_arrays_share_memory_both_ways():
    z = torch.zeros(3, dtype=torch.complex64)
    a = z.real.numpy()
    a[1] = 5
    z.imag.add_(1)
    z[2] = 7j
    assert z.tolist() == [1j, 5 + 1j, 7j] and a.tolist() == [0, 5, 0]
    b = np.arange(4.0)
    c = torch.view_as_complex(torch.from_numpy(b).view(2, 2))
    c.mul_(1j)
    assert b.tolist() == [-1, 0, -3, 2]


def test_what_fails_leaves_the_memory_as_it_was():
    z = torch.ones(3, dtype=torch.complex64)
    z.sum().item()
    z.real.copy_(torch.arange(3.0)[torch.tensor([0, 1, 9])])
    with pytest.raises(IndexError):
        z.tolist()
    assert z.tolist() == [1, 1, 1] and z.real.tolist() == [1, 1, 1]


def test_memory_goes_by_reference_counting():
    from weakref import ref
    gc.disable()
    try:
        z = torch.ones(3, dtype=torch.complex64, requires_grad=True)
        w = z * 2
        w.real.mul_(3)
        w.imag.sum().backward()
        seen = ref(w.storage), ref(w.real.storage)
        del w
        assert seen[0]() is None and seen[1]() is None
    finally:
        gc.enable()


def test_copies_and_files():
    z = torch.tensor([1 + 2j, 3])
    assert copy.deepcopy(z.imag).tolist() == [2, 0]
    for x in (z, z.real, torch.view_as_real(z)):
        file = io.BytesIO()
        torch.save(x, file)
        file.seek(0)
        y = torch.load(file)
        assert y.dtype is x.dtype and y.tolist() == x.tolist() and y.stride() == x.stride()
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        torch.save([z, z.real], io.BytesIO())


def test_gradients_go_through_parts_that_are_written():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    z = torch.zeros(2, dtype=torch.complex128)
    z.real = x * 2
    z.imag = x * x
    (z * z.conj()).real.sum().backward()                # 4 x^2 + x^4
    np.testing.assert_allclose(x.grad.numpy(), [8 + 4, 16 + 32])


@pytest.mark.parametrize("dtype", (torch.complex64, torch.complex128))
def test_moves_of_every_layout(dtype):
    n = (np.arange(40 * 37) * (1 + 2j)).reshape(40, 37).astype(dtype.numpy)
    z = torch.tensor(n)
    for f in (lambda x: x.T, lambda x: x[:, ::2], lambda x: x[3::5, 1::3], lambda x: x[1:, 1:].T, lambda x: x.reshape(5, 8, 37)[:, 2:, ::7]):
        got = f(z)
        np.testing.assert_array_equal(got.contiguous().numpy(), f(n))
        np.testing.assert_array_equal(torch.cat([got, got]).numpy(), np.concatenate([f(n), f(n)]))
    np.testing.assert_array_equal(z[torch.tensor([5, 0, -1])].numpy(), n[[5, 0, -1]])
    z[2:4, ::2] = 1j
    n[2:4, ::2] = 1j
    z.t()[3] = torch.arange(40)
    n.T[3] = np.arange(40)
    np.testing.assert_array_equal(z.numpy(), n)


def test_unaligned_complex_memory():
    """Complex numbers may lie where doubles do, at addresses that are no multiple of 16."""
    a = np.arange(67.0)
    z = torch.from_numpy(a[1:].view(np.complex128))
    np.testing.assert_array_equal((z[::2].contiguous() + 0).numpy(), a[1:].view(np.complex128)[::2])
    np.testing.assert_array_equal(torch.cat([z, z]).numpy(), np.concatenate([a[1:].view(np.complex128)] * 2))


def test_compiled_functions_with_complex_tensors():
    @torch.compile
    def f(x, w):
        return torch.fft.irfft(torch.fft.rfft(x) * w).tanh().sum()
    for k in range(5):
        x, w = torch.arange(8.0) + k, torch.ones(5, dtype=torch.complex64) * 1j
        want = np.tanh(np.fft.irfft(np.fft.rfft(np.arange(8.0) + k) * 1j)).sum()
        np.testing.assert_allclose(f(x, w).item(), want, atol=1e-5)
