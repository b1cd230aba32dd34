"""D: reshaping, axes, joining, repeating, padding."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F

OUT_OF_RANGE = r"Dimension out of range \(expected to be in range of \[-3, 2\], but got {}\)"


def test_d01_reshape_is_not_transpose():
    x = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert x.reshape(4, 2).tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert x.transpose(0, 1).tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]


def test_d02_reshape_with_minus_one_and_bad_sizes():
    a = torch.arange(6)
    assert a.reshape(-1, 1).shape == (6, 1) and a.reshape(2, -1).shape == (2, 3)
    with pytest.raises(RuntimeError, match=r"shape '\[4, 2\]' is invalid for input of size 6"):
        a.reshape(4, 2)
    with pytest.raises(RuntimeError, match=r"shape '\[4, -1\]' is invalid for input of size 6"):
        a.reshape(4, -1)
    with pytest.raises(RuntimeError, match="only one dimension can be inferred"):
        a.reshape(-1, -1)


def test_d03_view():
    x = torch.arange(15)
    y = x.view(5, 3)
    y[0, 0] = 7
    assert x[0] == 7 and torch.rand(4, 3, 2).view(4, -1).shape == (4, 6)
    with pytest.raises(RuntimeError, match=r"shape '\[4, 4\]' is invalid for input of size 15"):
        x.view(4, 4)


def test_d04_transpose_of_the_last_axes():
    key = torch.rand(2, 3, 4, 5)
    assert key.transpose(-2, -1).shape == (2, 3, 5, 4)
    assert torch.equal(key.transpose(-2, -1)[1, 2], key[1, 2].t())


def test_d05_permute():
    x = torch.arange(24).reshape(2, 3, 4)
    assert x.permute(2, 0, 1).shape == x.permute((2, 0, 1)).shape == (4, 2, 3)
    assert np.array_equal(x.permute(2, 0, 1).numpy(), np.transpose(x.numpy(), (2, 0, 1)))
    with pytest.raises(RuntimeError, match="number of dimensions in the tensor input does not match the length of the desired"):
        x.permute(0, 1)


def test_d06_unsqueeze():
    x = torch.zeros(3, 4)
    assert x.unsqueeze(0).shape == (1, 3, 4) and x.unsqueeze(-1).shape == (3, 4, 1) and x.unsqueeze(-3).shape == (1, 3, 4)
    x.unsqueeze(1)[0, 0, 0] = 5
    assert x[0, 0] == 5
    with pytest.raises(IndexError, match=OUT_OF_RANGE.format(5)):
        torch.unsqueeze(x, 5)


def test_d07_squeeze_all():
    assert torch.zeros(2, 1, 3, 1, 4, 1, 5).squeeze().shape == (2, 3, 4, 5)


def test_d08_squeeze_one():
    x = torch.zeros(2, 1, 3)
    assert x.squeeze(0).shape == (2, 1, 3) and x.squeeze(1).shape == x.squeeze(-2).shape == (2, 3)


def test_d09_out():
    out = torch.empty(2, 3, 5)
    a, b = torch.rand(2, 3, 4), torch.rand(2, 4, 5)
    assert torch.bmm(a, b, out=out) is out and torch.allclose(out, a @ b)
    for shape_op in (torch.unsqueeze, torch.squeeze):
        with pytest.raises(TypeError, match="out"):
            shape_op(a, 0, out=out)


def test_d10_stack():
    pair = [torch.zeros(3, 3), torch.ones(3, 3)]
    assert [tuple(torch.stack(pair, dim).shape) for dim in (0, 1, 2)] == [(2, 3, 3), (3, 2, 3), (3, 3, 2)]
    assert torch.stack(pair, 2)[0, 0].tolist() == [0, 1] and torch.stack(pair, -1).shape == (3, 3, 2)


def test_d11_stack_errors():
    with pytest.raises(IndexError, match=OUT_OF_RANGE.format(3)):
        torch.stack([torch.zeros(3, 3)] * 2, 3)
    with pytest.raises(RuntimeError, match=r"stack expects each tensor to be equal size, but got \[2, 3\] at entry 0 and \[2, 4\] at entry 1"):
        torch.stack([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(RuntimeError, match="stack expects a non-empty TensorList"):
        torch.stack([])


def test_d12_cat():
    assert torch.cat([torch.zeros(2, 3), torch.ones(2, 3)], 1).tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    assert torch.cat((torch.tensor([1]), torch.tensor([2.5]))).dtype == torch.float32
    with pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 0. Expected size 3 but got size 4 for tensor number 1"):
        torch.cat([torch.zeros(2, 3), torch.zeros(2, 4)])


def test_d13_flatten():
    x = torch.zeros(2, 3, 4)
    assert torch.flatten(x, 1).shape == (2, 12) and torch.flatten(x).shape == (24,) and x.flatten(0, 1).shape == (6, 4)
    assert torch.flatten(torch.tensor(1)).shape == (1,)


def test_d14_repeat_interleave():
    x = torch.tensor([[1, 2], [3, 4]])
    assert torch.repeat_interleave(x, 2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert x.repeat_interleave(2, dim=1).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]


def test_d15_repeat_interleave_by_a_tensor():
    x = torch.tensor([[1, 2], [3, 4]])
    assert torch.repeat_interleave(x, torch.tensor([1, 2]), dim=0).tolist() == [[1, 2], [3, 4], [3, 4]]
    with pytest.raises(RuntimeError, match=r"repeats must have the same size as input along dim, but got repeats.size\(0\) = 3 and input.size\(0\) = 2"):
        torch.repeat_interleave(x, torch.tensor([1, 2, 3]), dim=0)


def test_d16_repeat():
    x = torch.tensor([1, 2, 3])
    assert x.repeat(2, 2).tolist() == [[1, 2, 3, 1, 2, 3]] * 2 == np.tile(x.numpy(), (2, 2)).tolist()
    with pytest.raises(RuntimeError, match="Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"):
        torch.zeros(2, 2).repeat(2)


def test_d17_pad():
    x = torch.ones(2, 2)
    assert F.pad(x, (1, 2)).tolist() == [[0, 1, 1, 0, 0]] * 2
    assert F.pad(x, (0, 0, 1, 0), value=7.0).tolist() == [[7, 7], [1, 1], [1, 1]]
    assert F.pad(torch.arange(3.0)[None], (2, 0), mode="reflect").tolist() == [[2, 1, 0, 1, 2]]


def test_d18_pages_to_a_book():
    pages = [torch.full((2, 3), float(n)) for n in range(4)]
    book = torch.stack(pages)
    assert book.shape == (4, 2, 3) and torch.equal(book[2], pages[2])


def test_d19_numpy_does_the_same():
    a = np.arange(6).reshape(2, 3)
    x = torch.from_numpy(a)
    assert np.array_equal(np.transpose(a, (1, 0)), x.permute(1, 0))
    assert np.array_equal(np.stack([a, a], 1), torch.stack([x, x], 1))
    assert np.array_equal(np.repeat(a, 2, 1), x.repeat_interleave(2, 1))
