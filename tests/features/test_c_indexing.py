"""C: masks, gather, scatter and all that stands between brackets."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F


def masked_example():
    data = torch.arange(15, dtype=torch.float64).view(5, 3).requires_grad_(True)
    mask = data <= 6
    return data, mask, data * mask


def test_c01_comparison_gives_a_mask():
    mask = torch.arange(5) <= 2
    assert mask.dtype == torch.bool
    assert repr(mask) == "tensor([ True,  True,  True, False, False])"


def test_c02_assignment_through_a_mask():
    data = torch.arange(5)
    data[data <= 2] = 0
    assert repr(data) == "tensor([0, 0, 0, 3, 4])"
    data[data > 0] = torch.tensor([7, 8])
    assert data.tolist() == [0, 0, 0, 7, 8]
    with pytest.raises(IndexError, match="The shape of the mask .* does not match the shape of the indexed tensor"):
        data[torch.tensor([True, False])] = 0


def test_c03_mask_keeps_gradients():
    assert repr(masked_example()[2]) == """\
tensor([[0., 1., 2.],
        [3., 4., 5.],
        [6., 0., 0.],
        [0., 0., 0.],
        [0., 0., 0.]], dtype=torch.float64, grad_fn=<MulBackward0>)"""


def test_c04_gradient_through_the_mask():
    data, mask, masked = masked_example()
    masked.sum().backward()
    assert data.grad.dtype == torch.float64 and data.grad.sum() == 7
    assert torch.equal(data.grad, mask.double())


def test_c05_counting_with_a_mask():
    y = torch.tensor([[1, 0, 1], [1, 2, 2]])
    assert (y == 1).sum() == 3
    assert (y == 1).sum(axis=0).tolist() == (y == 1).sum(dim=0).tolist() == [2, 0, 1]


def test_c06_gather():
    x = torch.tensor([[1, 2], [3, 4]])
    index = torch.tensor([[0, 0], [1, 0]])
    assert torch.gather(x, 1, index).tolist() == [[1, 1], [4, 3]]
    assert torch.gather(x, 0, index).tolist() == [[1, 2], [3, 2]]
    assert torch.gather(torch.rand(3, 5), 1, torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 4)


def test_c07_gather_errors():
    x = torch.tensor([[1, 2], [3, 4]])
    with pytest.raises(TypeError, match=r"gather\(\): argument 'index' \(position 3\) must be Tensor, not list"):
        torch.gather(x, 1, [[0, 0], [1, 0]])
    with pytest.raises(RuntimeError, match="index 2 is out of bounds for dimension 1 with size 2"):
        torch.gather(x, 1, torch.tensor([[2]])).tolist()
    with pytest.raises(RuntimeError, match="Index tensor must have the same number of dimensions as input tensor"):
        torch.gather(x, 1, torch.tensor([0]))
    with pytest.raises(RuntimeError, match="Expected dtype int32/int64 for index"):
        torch.gather(x, 1, torch.zeros(1, 1))


def test_c08_scatter():
    source = torch.arange(8.0).reshape(2, 2, 2)
    for dim in range(3):
        index = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)], dim).long()
        expected = np.zeros((2, 2, 2))
        for place in np.ndindex(2, 2, 2):
            target = list(place)
            target[dim] = index[place].item()
            expected[tuple(target)] = source[place].item()
        assert torch.zeros(2, 2, 2).scatter(dim, index, source).tolist() == expected.tolist()


def test_c09_scatter_of_a_number():
    index = torch.tensor([[0], [2]])
    assert torch.zeros(2, 3).scatter(1, index, 1.5).tolist() == [[1.5, 0, 0], [0, 0, 1.5]]


def test_c10_scatter_in_place():
    index = torch.tensor([[0], [2]])
    x = torch.ones(2, 3)
    assert x.scatter_(1, index, torch.full((2, 1), 5.0)) is x and x.tolist() == [[5, 1, 1], [1, 1, 5]]
    assert x.scatter_(1, index, 2, reduce="add").tolist() == [[7, 1, 1], [1, 1, 7]]
    assert x.scatter_(1, index, 2, reduce="multiply").tolist() == [[14, 1, 1], [1, 1, 14]]
    assert x.scatter_(dim=1, index=index, value=0).tolist() == [[0, 1, 1], [1, 1, 0]]
    assert x.scatter_(dim=1, index=index, src=torch.ones(2, 1)).tolist() == [[1] * 3] * 2


def test_c11_scatter_wants_one_dtype():
    label = torch.tensor([0, 1, 0, 2]).view(-1, 1)
    with pytest.raises(RuntimeError, match=r"scatter\(\): Expected self.dtype to be equal to src.dtype"):
        torch.zeros(4, 3).scatter_(1, label, torch.ones_like(label))


def test_c12_one_hot_by_scatter():
    label = torch.tensor([0, 1, 0, 2, 3, 2])
    hot = torch.zeros(6, 4).scatter_(1, label.view(len(label), -1), 1)
    assert hot.sum(1).tolist() == [1] * 6 and hot.argmax(1).tolist() == label.tolist()


def test_c13_one_hot_target_transform():
    transform = lambda y: torch.zeros(10, dtype=torch.float).scatter_(dim=0, index=torch.tensor(y), value=1)
    assert transform(3).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_c14_one_hot():
    hot = F.one_hot(torch.tensor([[0, 2], [1, 0]]))
    assert hot.shape == (2, 2, 3) and hot.dtype == torch.int64 and hot[0, 1].tolist() == [0, 0, 1]
    assert F.one_hot(torch.tensor([1]), num_classes=4).tolist() == [[0, 1, 0, 0]]
    for bad, words in ((([-1],), "Class values must be non-negative."), (([3], 3), "Class values must be smaller than num_classes."),
                       (([0.0],), "one_hot is only applicable to index tensor of type LongTensor")):
        with pytest.raises(RuntimeError, match=words):
            F.one_hot(torch.tensor(bad[0]), *bad[1:])
    assert not hasattr(torch, "one_hot")


def test_c15_slices_with_a_step():
    a = torch.arange(10)
    assert a[0::2].tolist() == [0, 2, 4, 6, 8] and a[1:8:3].tolist() == [1, 4, 7]
    assert torch.arange(8).reshape(2, 4)[:, 0::2].tolist() == [[0, 2], [4, 6]]
    with pytest.raises(ValueError, match="step must be greater than zero"):
        a[::-1]


def test_c16_ranges():
    a = torch.arange(12).reshape(3, 4)
    assert a[1:3].shape == (2, 4) and a[:, 1:2].tolist() == [[1], [5], [9]] and a[:].shape == (3, 4)
    assert a[5:].shape == (0, 4) and a[-1, -2:].tolist() == [10, 11]
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        a[3]


def test_c17_new_axis():
    a = torch.arange(4)
    assert a[:, np.newaxis].shape == a[:, None].shape == (4, 1) and a[None].shape == (1, 4)
    assert a[..., None].shape == (4, 1)


def test_c18_masked_fill():
    scores, mask = torch.ones(2, 2, 3), torch.tensor([[1, 0, 1]])
    filled = scores.masked_fill(mask == 0, -1e9)
    assert filled[1, 1].tolist() == [1, -1e9, 1] and scores.sum() == 12
    with pytest.raises(RuntimeError, match="masked_fill_? only supports boolean masks, but got mask with dtype long int"):
        scores.masked_fill(mask, 0)


def test_c19_writes_of_a_slice_of_columns():
    pe = torch.zeros(3, 4)
    pe[:, 0::2] = torch.tensor([[1.0, 2.0]])
    pe[:, 1::2] = 7
    assert pe.tolist() == [[1, 7, 2, 7]] * 3
