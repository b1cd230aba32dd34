"""The note "PyTorch Toolbox" (2024): layers and their shapes, seeds, masks, `to`.

    rushlight run examples/notes/pytorch_toolbox.py

Everything in it that is code, with the outputs it states asserted. Where the note slips, what PyTorch
does is asserted: dropout scales by 1/(1 - p) in training and changes nothing in evaluation.
Per-sample gradients, which this note has too, are in code_toolbox.py.
"""
import os
import random
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def raises(kind, words):
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


def linear():
    layer = nn.Linear(64, 32)
    assert str(layer) == "Linear(in_features=64, out_features=32, bias=True)"
    for *batch, text in ((128, "torch.Size([128, 32])"), (256, 128, "torch.Size([256, 128, 32])")):
        output = layer(torch.rand(*batch, 64))
        print(f"output.shape: {output.shape}")
        assert str(output.shape) == text
    with raises(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x63 and 64x32)"):
        layer(torch.rand(2, 63))


def convolution():
    kernel_size = 5
    layer = nn.Conv2d(26, 3, kernel_size, 1, padding=int((kernel_size - 1) / 2))
    output = layer(torch.rand(128, 26, 4, 13))
    print(f"output.shape: {output.shape}")
    assert str(output.shape) == "torch.Size([128, 3, 4, 13])"
    with raises(RuntimeError, "to have 26 channels, but got 25 channels instead"):
        layer(torch.rand(1, 25, 7, 7))
    with raises(RuntimeError, "Kernel size can't be greater than actual input size"):
        nn.Conv2d(1, 1, 5)(torch.rand(1, 1, 4, 4))


def flatten():
    x = torch.rand(256, 4, 64, 128)
    assert str(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert str(nn.Flatten()(x).shape) == "torch.Size([256, 32768])"
    assert str(nn.Flatten(0, 2)(x).shape) == "torch.Size([65536, 128])"


class SimpleNN(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.dropout = nn.Dropout(p=0.5)
        self.fc2 = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        return self.fc2(self.dropout(x))


def dropout():
    model = SimpleNN(input_dim=10, hidden_dim=20, output_dim=2)
    output = model(torch.randn(5, 10))
    print(output)
    assert output.shape == (5, 2) and output.grad_fn is not None
    assert str(model.dropout) == "Dropout(p=0.5, inplace=False)"

    ones = torch.ones(1000, requires_grad=True)
    kept = model.dropout(ones)
    kept.sum().backward()
    assert kept.unique().tolist() == [0.0, 2.0] and torch.equal(ones.grad, kept)
    model.eval()
    assert torch.equal(model.dropout(ones), ones)


class Env:
    """What a simulator has to have to be seeded."""

    def seed(self, seed):
        self.random = np.random.default_rng(seed)


def all_seed(env, seed=1):
    env.seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed(seed)                # also where there is no GPU
    os.environ["PYTHONHASHSEED"] = str(seed)    # for processes started from here on
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.enabled = False


def seeds():
    def drawn():
        all_seed(env)
        return (env.random.random(), np.random.rand(), random.random(), torch.rand(3).tolist(),
                nn.Linear(3, 3).weight.tolist(), nn.Dropout()(torch.ones(9)).tolist())

    env, cudnn = Env(), torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.enabled
    assert drawn() == drawn()
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.enabled) == (True, False, False)
    cudnn.deterministic, cudnn.benchmark, cudnn.enabled = before


def masks():
    data = torch.arange(5)
    mask = data <= 2
    assert str(mask) == "tensor([ True,  True,  True, False, False])"
    data[mask] = 0
    assert str(data) == "tensor([0, 0, 0, 3, 4])"

    data_shape = 5, 3
    data = torch.arange(15, dtype=torch.float64).view(data_shape).requires_grad_(True)
    data_masked = data * (data <= 6)
    data_masked.sum().backward()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert data_masked.grad is None
    print(f"data_masked:\n{data_masked}\ndata.grad:\n{data.grad}")
    assert str(data_masked) == """\
tensor([[0., 1., 2.],
        [3., 4., 5.],
        [6., 0., 0.],
        [0., 0., 0.],
        [0., 0., 0.]], dtype=torch.float64, grad_fn=<MulBackward0>)"""
    assert str(data.grad) == """\
tensor([[1., 1., 1.],
        [1., 1., 1.],
        [1., 0., 0.],
        [0., 0., 0.],
        [0., 0., 0.]], dtype=torch.float64)"""


def reshape_is_not_transpose():
    x = torch.tensor([[1, 2, 3, 4],
                      [5, 6, 7, 8]])
    shape0 = x.shape
    x2 = x.reshape(shape0[1], shape0[0])
    x3 = x.transpose(0, 1)
    print(f"x2: {x2}\nx3: {x3}")
    assert x2.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert str(x3) == "tensor([[1, 5],\n        [2, 6],\n        [3, 7],\n        [4, 8]])"


class MyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_layer = nn.Sequential(nn.Conv2d(27, 4, 6, 1, padding=2), nn.ReLU())
        self.action_mlp_layer = nn.Sequential(nn.Linear(1, 32), nn.ReLU(),
                                              nn.Linear(32, 32), nn.ReLU())


def dtypes_of_layers(net):
    return [str(next(layer.parameters()).dtype) for layer in (net.conv_layer, net.action_mlp_layer)]


def to():
    mynet = MyNet()
    assert dtypes_of_layers(mynet) == ["torch.float32", "torch.float32"]
    mynet.to(torch.double)
    assert dtypes_of_layers(mynet) == ["torch.float64", "torch.float64"]
    assert dtypes_of_layers(MyNet().to("cpu", torch.double)) == ["torch.float64"] * 2
    mynet.to(device="cpu:1")
    assert next(mynet.parameters()).device.type == "cpu"

    a = torch.arange(3)
    a.to(torch.float64)
    assert a.dtype == torch.int64
    a = a.to(torch.float64)
    assert a.dtype == torch.float64


def main():
    torch.manual_seed(0)
    linear()
    convolution()
    flatten()
    dropout()
    seeds()
    masks()
    reshape_is_not_transpose()
    to()


if __name__ == "__main__":
    main()
