"""K: layers: shapes, values, errors."""
import math

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def test_k01_linear():
    layer = nn.Linear(64, 32)
    assert layer(torch.rand(128, 64)).shape == (128, 32) and layer(torch.rand(256, 128, 64)).shape == (256, 128, 32)
    x = torch.rand(5, 64)
    assert torch.allclose(layer(x), x @ layer.weight.t() + layer.bias, atol=1e-6) and nn.Linear(2, 3, bias=False).bias is None


def test_k02_linear_shape_error():
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x63 and 64x32\)"):
        nn.Linear(64, 32)(torch.rand(2, 63))


def test_k03_conv2d():
    conv = nn.Conv2d(26, 3, 5, stride=1, padding=2)
    assert conv(torch.rand(128, 26, 4, 13)).shape == (128, 3, 4, 13) and conv.kernel_size == (5, 5)


def test_k04_conv2d_signature():
    conv = nn.Conv2d(in_channels=4, out_channels=6, kernel_size=(3, 2), stride=2, padding=(1, 0), dilation=1, groups=2,
                     bias=False, padding_mode="zeros")
    assert conv(torch.rand(1, 4, 7, 7)).shape == (1, 6, 4, 3) and conv.weight.shape == (6, 2, 3, 2) and conv.bias is None
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        nn.Conv2d(3, 4, 3, groups=2)


def test_k05_conv2d_errors():
    conv = nn.Conv2d(26, 3, 5)
    with pytest.raises(RuntimeError, match=r"Given groups=1, weight of size \[3, 26, 5, 5\], expected input\[1, 25, 7, 7\] to have 26 channels, "
                                           "but got 25 channels instead"):
        conv(torch.rand(1, 25, 7, 7))
    with pytest.raises(RuntimeError, match=r"Calculated padded input size per channel: \(4 x 4\). Kernel size: \(5 x 5\). Kernel size can't be "
                                           "greater than actual input size"):
        conv(torch.rand(1, 26, 4, 4))


def test_k06_conv3d():
    conv = nn.Conv3d(2, 4, 3)
    assert conv(torch.rand(1, 2, 8, 9, 10)).shape == (1, 4, 6, 7, 8) and conv.weight.shape == (4, 2, 3, 3, 3)


def test_k07_conv_transpose2d():
    n, s, p, k = 5, 2, 1, 4
    assert nn.ConvTranspose2d(3, 2, k, s, p)(torch.rand(1, 3, n, n)).shape == (1, 2, *[(n - 1) * s - 2 * p + k] * 2)


def test_k08_flatten():
    x = torch.rand(256, 4, 64, 128)
    assert nn.Flatten()(x).shape == (256, 32768) and nn.Flatten(0, 2)(x).shape == (65536, 128)


def test_k09_relu():
    x = torch.tensor([-1.0, 2.0])
    assert nn.ReLU()(x).tolist() == [0, 2] and x.tolist() == [-1, 2]
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0, 2]


def test_k10_dropout_in_training():
    x = torch.ones(10000, requires_grad=True)
    y = nn.Dropout()(x)
    y.sum().backward()
    zeros = y == 0
    assert 0.45 < zeros.float().mean() < 0.55 and torch.equal(x.grad == 0, zeros)
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got 1.5"):
        nn.Dropout(1.5)


def test_k11_dropout_scale():
    y = nn.Dropout(0.5)(torch.ones(1000))
    assert set(y.tolist()) == {0.0, 2.0}
    assert set(nn.Dropout(0.2)(torch.ones(1000)).tolist()) == {0.0, 1.25}


def test_k12_dropout_in_evaluation():
    x = torch.rand(100)
    assert torch.equal(nn.Dropout(0.9).eval()(x), x)


def test_k13_dropout_inside_an_mlp():
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 2))
    y = net(torch.randn(5, 10))
    assert y.shape == (5, 2) and "grad_fn=<AddmmBackward0>" in repr(y)


def test_k14_max_pool2d():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert nn.MaxPool2d(2, 2)(x).tolist() == [[[[5, 7], [13, 15]]]]
    assert nn.MaxPool2d(kernel_size=2, stride=2)(torch.rand(1, 8, 28, 30)).shape == (1, 8, 14, 15)


def test_k15_adaptive_avg_pool2d():
    pool = nn.AdaptiveAvgPool2d((7, 7))
    assert pool(torch.rand(1, 3, 20, 31)).shape == pool(torch.rand(1, 3, 2, 2)).shape == (1, 3, 7, 7)
    assert nn.AdaptiveAvgPool2d(1)(torch.arange(4.0).reshape(1, 1, 2, 2)).item() == 1.5


def test_k16_batch_norm():
    norm = nn.BatchNorm1d(2)
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    y = norm(x)
    assert torch.allclose(y.mean(0), torch.zeros(2), atol=1e-6) and torch.allclose(y.var(0, unbiased=False), torch.ones(2), atol=1e-4)
    assert torch.allclose(norm.running_mean, torch.tensor([0.2, 0.4])) and torch.allclose(norm.running_var, torch.tensor([1.1, 1.7]))
    assert norm.num_batches_tracked == 1
    assert torch.allclose(norm.eval()(x), (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt())


def test_k17_batch_norm_takes_out_shifts():
    norm, x = nn.BatchNorm1d(3), torch.randn(50, 3, dtype=torch.float64)
    norm.double()
    assert torch.allclose(norm(x), norm(x * 7 + 100), atol=1e-4)


def test_k18_batch_norm_statistics():
    norm = nn.BatchNorm1d(3, track_running_stats=True)
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert nn.BatchNorm1d(3, track_running_stats=False).running_mean is None
    with pytest.raises(ValueError, match=r"Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 3\]\)"):
        norm(torch.rand(1, 3))


def test_k19_layer_norm_by_hand():
    x, eps = torch.randn(4, 16), 1e-6
    by_hand = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps)
    layer = nn.LayerNorm(16, eps=eps)(x)
    assert torch.allclose(layer, by_hand * math.sqrt(16 / 15), atol=1e-4)
    assert 0 < (layer - by_hand).abs().max() < 0.15


def test_k20_interpolate():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert F.interpolate(x, scale_factor=2).tolist() == [[[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]]]
    assert F.interpolate(x, size=3).shape == (1, 1, 3, 3) and F.interpolate(x, size=(1, 5), mode="bilinear").shape == (1, 1, 1, 5)


def test_k21_interpolate_modes():
    shapes = {"nearest": 2, "nearest-exact": 2, "bilinear": 2, "bicubic": 2, "area": 2, "linear": 1, "trilinear": 3}
    for mode, axes in shapes.items():
        assert F.interpolate(torch.rand(2, 3, *[4] * axes), scale_factor=1.5, mode=mode).shape == (2, 3, *[6] * axes)
    with pytest.raises(NotImplementedError, match="Got 3D input, but bilinear mode needs 4D input"):
        F.interpolate(torch.rand(1, 2, 3), size=4, mode="bilinear")


def test_k22_align_corners():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    aligned = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)[0, 0]
    assert torch.allclose(aligned[0], torch.tensor([0, 1 / 3, 2 / 3, 1])) and aligned[-1, -1] == 3
    edges = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)[0, 0]
    assert edges[0].tolist() == [0, 0.25, 0.75, 1] and torch.equal(edges, F.interpolate(x, scale_factor=2, mode="bilinear")[0, 0])
    with pytest.raises(ValueError, match="align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"):
        F.interpolate(x, scale_factor=2, mode="nearest", align_corners=True)


def test_k23_interpolate_argument_errors():
    x = torch.rand(1, 1, 4, 4)
    with pytest.raises(ValueError, match="only one of size or scale_factor should be defined"):
        F.interpolate(x, size=2, scale_factor=2)
    with pytest.raises(ValueError, match="either size or scale_factor should be defined"):
        F.interpolate(x)
    with pytest.raises(ValueError, match=r"Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
                                         r"dimensions of \[4, 4\] and scale_factor of shape \(2, 2, 2\)"):
        F.interpolate(x, scale_factor=(2, 2, 2))


def test_k24_average_pooling_head():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.rand(2, 5, 6, 7)
    assert torch.allclose(head(x), x.mean((2, 3))) and not list(head.parameters())


def test_k25_pooling_saves_parameters():
    count = lambda net: sum(p.numel() for p in net.parameters())
    plain, pooled = nn.Linear(8 * 28 * 28, 10), nn.Linear(8 * 14 * 14, 10)
    assert not list(nn.MaxPool2d(2).parameters()) and count(pooled) * 3.9 < count(plain)


def test_k26_positional_encoding():
    n, d = 10, 6
    position, pe = torch.arange(n).unsqueeze(1), torch.zeros(n, d)
    rate = torch.exp(torch.arange(0, d, 2) * -(math.log(10000.0) / d))
    pe[:, 0::2], pe[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
    assert pe[0].tolist() == [0, 1] * 3 and abs(pe[3, 2] - math.sin(3 / 10000 ** (2 / 6))) < 1e-6


def test_k27_embedding():
    table = nn.Embedding(20, 4)
    tokens = torch.tensor([[1, 3], [19, 1]])
    assert table(tokens).shape == (2, 2, 4) and torch.equal(table(tokens)[1, 1], table.weight[1])
    assert torch.allclose(F.one_hot(tokens, 20).float() @ table.weight, table(tokens))
    with pytest.raises(IndexError, match="index out of range in self"):
        table(torch.tensor([20])).tolist()
