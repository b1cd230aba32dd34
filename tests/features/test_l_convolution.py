"""L: what sizes convolutions have, what they compute, what they can be written as."""
import math

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def size(x, conv):
    return tuple(conv(x).shape[2:])


def test_l01_same_size_padding():
    for kernel in (1, 3, 5, 7):
        assert size(torch.rand(1, 1, 9, 8), nn.Conv2d(1, 1, kernel, padding=int((kernel - 1) / 2))) == (9, 8)


def test_l02_valid_convolution():
    x = torch.rand(1, 1, 7, 8)
    assert size(x, nn.Conv2d(1, 1, 3)) == size(x, nn.Conv2d(1, 1, 3, padding="valid")) == (5, 6)


def test_l03_padded_convolution():
    n, f, p = 9, 4, 3
    assert size(torch.rand(1, 1, n, n), nn.Conv2d(1, 1, f, padding=p)) == (n + 2 * p - f + 1,) * 2


def test_l04_same_padding():
    x = torch.rand(1, 2, 7, 8)
    same, plain = nn.Conv2d(2, 3, 5, padding="same"), nn.Conv2d(2, 3, 5, padding=2)
    plain.load_state_dict(same.state_dict())
    assert size(x, same) == (7, 8) and torch.allclose(same(x), plain(x), atol=1e-6)
    with pytest.raises(ValueError, match="padding='same' is not supported for strided convolutions"):
        nn.Conv2d(1, 1, 3, stride=2, padding="same")


def test_l05_strided_convolution():
    for n, f, p, s in ((7, 3, 0, 2), (8, 3, 1, 2), (10, 4, 2, 3)):
        assert size(torch.rand(1, 1, n, n), nn.Conv2d(1, 1, f, s, p)) == (math.floor((n + 2 * p - f) / s + 1),) * 2


def test_l06_padding_forms():
    x = torch.rand(1, 1, 6, 6)
    assert [size(x, nn.Conv2d(1, 1, 3, padding=p)) for p in (1, (2, 0), "valid", "same")] == [(6, 6), (8, 4), (4, 4), (6, 6)]
    with pytest.raises(ValueError, match="Invalid padding string 'some', should be one of"):
        nn.Conv2d(1, 1, 3, padding="some")


def test_l07_padding_mode():
    x = torch.rand(1, 2, 5, 6)
    for mode in ("reflect", "replicate", "circular"):
        conv = nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode)
        padded = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), conv.weight, conv.bias)
        assert torch.allclose(conv(x), padded, atol=1e-6)


def test_l08_weight_layout():
    conv = nn.Conv2d(3, 5, (2, 4))
    assert conv.weight.shape == (5, 3, 2, 4) and conv.bias.shape == (5,)


def test_l09_convolution_formula():
    x, w, b = torch.rand(2, 3, 5, 5), torch.rand(4, 3, 2, 2), torch.rand(4)
    y, n, j, row, column = F.conv2d(x, w, b), 1, 2, 3, 0
    correlation = sum((w[j, k] * x[n, k, row:row + 2, column:column + 2]).sum() for k in range(3))
    assert torch.allclose(y[n, j, row, column], b[j] + correlation)
    v, u = torch.rand(1, 2, 4, 4, 4), torch.rand(1, 2, 3, 3, 3)
    assert torch.allclose(F.conv3d(v, u)[0, 0, 1, 0, 1], (u[0] * v[0, :, 1:4, 0:3, 1:4]).sum())


def test_l10_translation_equivariance():
    conv, x = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), torch.rand(1, 2, 8, 8)
    shift = lambda t: torch.roll(t, (2, -3), (2, 3))
    assert torch.allclose(conv(shift(x)), shift(conv(x)), atol=1e-6)


def test_l11_why_pad():
    x = torch.rand(1, 1, 6, 6)
    assert size(x, nn.Conv2d(1, 1, 1)) == (6, 6) and size(x, nn.Conv2d(1, 1, 3)) == (4, 4)
    ones = torch.ones(1, 1, 3, 3)
    uses = lambda p: torch.autograd.grad(F.conv2d(leaf, ones, padding=p).sum(), leaf)[0][0, 0, 0, 0]
    leaf = x.requires_grad_()
    assert uses(0) == 1 and uses(1) == 4


def test_l12_transposed_convolution_in_three_steps():
    n, k, s, p = 4, 3, 2, 1
    x, w = torch.rand(1, 1, n, n), torch.rand(1, 1, k, k)
    apart = torch.zeros(1, 1, n + (n - 1) * (s - 1), n + (n - 1) * (s - 1))
    apart[..., ::s, ::s] = x
    filled = F.pad(apart, (k - p - 1,) * 4)
    assert filled.shape[-1] == n + (n - 1) * (s - 1) + 2 * (k - 1 - p)
    y = F.conv2d(filled, w.flip(2, 3))
    assert y.shape[-1] == (n - 1) * s - 2 * p + k and torch.allclose(y, F.conv_transpose2d(x, w, stride=s, padding=p), atol=1e-6)


def test_l13_fractionally_strided():
    x, y, w = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 3, 3), torch.rand(2, 3, 4, 4)
    there, back = F.conv2d(x, w, stride=2), F.conv_transpose2d(y, w, stride=2)
    assert torch.allclose((there * y).sum(), (x * back).sum(), rtol=1e-4)


def test_l14_dilated_convolution():
    x, w, d, k = torch.rand(1, 1, 9, 9), torch.rand(1, 1, 3, 3), 2, 3
    wide = torch.zeros(1, 1, d * (k - 1) + 1, d * (k - 1) + 1)
    wide[..., ::d, ::d] = w
    assert torch.allclose(F.conv2d(x, w, dilation=d), F.conv2d(x, wide), atol=1e-6) and wide.shape[-1] == 5


def seen_by_the_middle(layers, n=31):
    """How many columns of the input the middle of the output depends on."""
    x = torch.rand(1, 1, n, n, dtype=torch.float64, requires_grad=True)
    y = nn.Sequential(*layers).double()(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    seen = x.grad[0, 0].abs().sum(0) > 0
    return seen


def conv(kernel, **kwargs):
    layer = nn.Conv2d(1, 1, kernel, **kwargs)
    nn.init.uniform_(layer.weight, 0.5, 1)
    return layer


def test_l15_dilation_schedule():
    layers = lambda schedule: [conv(3, dilation=d, padding=d) for d in schedule]
    seen, gridded = seen_by_the_middle(layers((1, 2, 3, 2, 1))), seen_by_the_middle(layers((2, 2, 2)))
    assert seen[15 - 9:15 + 10].all() and seen.sum() == 19
    assert not gridded[15 - 5] and gridded[15 - 6] and gridded.sum() == 7


def receptive_field(layers):
    """r_{k-1} = (r_k - 1) s_k + f_k, back from the last layer."""
    r = 1
    for f, s in reversed(layers):
        r = (r - 1) * s + f
    return r


def test_l16_receptive_field():
    layers = [(3, 1), (5, 2), (2, 2), (3, 1)]
    seen = seen_by_the_middle([conv(f, stride=s) for f, s in layers])
    assert receptive_field(layers) == seen.sum() == 17


def test_l17_small_kernels_in_place_of_large_ones():
    assert seen_by_the_middle([conv(3), conv(3)]).sum() == 5 == receptive_field([(3, 1)] * 2)
    assert seen_by_the_middle([conv(3)] * 3).sum() == 7
    count = lambda kernel: nn.Conv2d(64, 64, kernel, bias=False).weight.numel()
    assert 2 * count(3) < count(5) and 3 * count(3) < count(7)


def test_l18_one_by_one_convolution():
    narrow, x = nn.Conv2d(16, 4, 1), torch.rand(2, 16, 5, 5)
    mixed = torch.einsum("oc,nchw->nohw", narrow.weight[:, :, 0, 0], x) + narrow.bias.reshape(-1, 1, 1)
    assert narrow(x).shape == (2, 4, 5, 5) and torch.allclose(narrow(x), mixed, atol=1e-6)


def test_l19_convolution_as_a_matrix_product():
    x, w = torch.rand(2, 3, 6, 7), torch.rand(4, 3, 3, 3)
    columns = F.unfold(x, 3)
    assert columns.shape == (2, 27, 20)
    assert torch.allclose((w.reshape(4, 27) @ columns).reshape(2, 4, 4, 5), F.conv2d(x, w), atol=1e-5)
    counted = F.fold(F.unfold(torch.ones(1, 1, 4, 4), 2), (4, 4), 2)
    assert counted[0, 0, 0].tolist() == [1, 2, 2, 1] and counted[0, 0, 1, 1] == 4


def test_l20_two_against_three_dimensions():
    x, w = torch.rand(1, 5, 6, 6), torch.rand(1, 5, 3, 3)
    flat, deep = F.conv2d(x, w), F.conv3d(x[:, None], w[:, None])
    assert deep.shape == (1, 1, 1, 4, 4) and torch.allclose(flat, deep[:, :, 0], atol=1e-6)
    assert F.conv3d(x[:, None], w[:, None, :3]).shape == (1, 1, 3, 4, 4)


def test_l21_downsampling_factor():
    halve = lambda i, o: nn.Conv2d(i, o, 3, stride=2, padding=1)
    net = nn.Sequential(halve(3, 4), halve(4, 4), nn.MaxPool2d(2), halve(4, 4), halve(4, 4))
    assert size(torch.rand(1, 3, 224, 224), net) == (224 // 32,) * 2 == (7, 7)
