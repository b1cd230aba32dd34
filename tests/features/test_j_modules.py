"""J: modules, containers, parameters, dtypes and devices."""
from types import SimpleNamespace as Config

import pytest

import rushlight as torch
from rushlight import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_layer = nn.Conv2d(1, 2, 3)
        self.linear = nn.Linear(8, 2)

    def forward(self, x):
        return self.linear(self.conv_layer(x).flatten(1))


def test_j01_subclassing():
    class Old(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            return self.layer(x)

    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 3)
    assert Net()(torch.rand(4, 1, 4, 4)).shape == (4, 2) and Old()(torch.rand(5, 2)).shape == (5, 3)
    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Forgetful()


class NetBase(nn.Module):
    """The template: convolutions, flattened, then a chain of linear layers, sized by a configuration."""

    def __init__(self, n_channels, config, name, device=None):
        super().__init__()
        self.name, f = name, config.nn.n_filters
        self.conv = nn.Sequential(nn.Conv2d(n_channels, f, 3, padding=1), nn.ReLU())
        self.mlp = nn.Sequential(nn.Linear(f * config.env.map_height * config.env.map_width, 16), nn.ReLU(), nn.Linear(16, 4), nn.ReLU())
        self.to(device)

    def forward(self, x):
        x = self.conv(x)
        return self.mlp(x.view(x.shape[0], -1))


CONFIG = Config(nn=Config(n_filters=6), env=Config(map_height=4, map_width=5))


def test_j02_customised_template():
    net = NetBase(3, CONFIG, "base")
    assert net(torch.rand(7, 3, 4, 5)).shape == (7, 4) and net.name == "base"


def test_j03_to_none_changes_nothing():
    net = NetBase(3, CONFIG, "base", device=None)
    assert net.to(None) is net and next(net.parameters()).device.type == "cpu"


def test_j04_to_dtype_is_in_place():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    weight = net[0].weight
    assert weight.dtype == torch.float32 and net.to(torch.double) is net
    assert {p.dtype for p in net.parameters()} == {torch.float64} and net[1].running_mean.dtype == torch.float64
    assert net[1].num_batches_tracked.dtype == torch.int64 and net[0].weight is weight


def test_j05_to_device_and_dtype():
    net = Net().to(torch.device("cpu"), torch.double)
    assert net.linear.bias.dtype == torch.float64
    with pytest.raises(TypeError, match="nn.Module.to only accepts floating point or complex dtypes"):
        net.to(torch.int64)


def test_j06_to_a_numbered_cpu():
    assert str(next(Net().to(device="cpu:1").parameters()).device) == "cpu"


def test_j07_parameters():
    net = Net()
    first = next(net.conv_layer.parameters())
    assert first.dtype == torch.float32 and first.device.type == "cpu" and first is net.conv_layer.weight
    assert sum(p.numel() for p in net.parameters()) == 2 * 9 + 2 + 8 * 2 + 2


def test_j08_named_parameters_and_buffers():
    norm = nn.BatchNorm1d(3)
    parameters, buffers = dict(norm.named_parameters()), dict(norm.named_buffers())
    assert str(parameters["weight"]) == "Parameter containing:\ntensor([1., 1., 1.], requires_grad=True)"
    assert parameters["bias"].tolist() == [0, 0, 0]
    assert list(buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    assert buffers["running_var"].tolist() == [1, 1, 1] and repr(buffers["num_batches_tracked"]) == "tensor(0)"


def test_j09_parameter():
    class Scale(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.a_2 = nn.Parameter(torch.ones(features))
            self.plain = torch.ones(features)
    assert [name for name, _ in Scale(3).named_parameters()] == ["a_2"] and Scale(3).a_2.requires_grad
    with pytest.raises(TypeError, match="cannot assign 'torch.FloatTensor' as parameter 'a_2'"):
        Scale(3).a_2 = torch.ones(3)


def test_j10_sequential():
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]
    net, x = nn.Sequential(*layers), torch.rand(4, 2)
    assert torch.equal(net(x), layers[2](layers[1](layers[0](x)))) and len(net) == 3 and net[-1] is layers[2]


def test_j11_module_list():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(4)])

        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x)
            return x
    net = Residual()
    assert net(torch.rand(2, 3)).shape == (2, 3) and len(list(net.parameters())) == 8
    with pytest.raises(NotImplementedError, match='is missing the required "forward" function'):
        net.layers(torch.rand(2, 3))


def test_j12_one_layer_many_times():
    layer = nn.Linear(3, 3)
    shared = nn.ModuleList([layer for _ in range(5)])
    assert len(shared) == 5 and len(list(shared.parameters())) == 2 and shared[0] is shared[4]


def test_j13_comments_begin_with_a_hash():
    with pytest.raises(SyntaxError):
        compile("x = 1 // a comment", "sample.py", "exec")
    compile("x = 1  # a comment", "sample.py", "exec")


def test_j14_everything_takes_a_minibatch():
    conv = nn.Conv2d(3, 4, 3)
    assert conv(torch.rand(5, 3, 8, 8)).shape == (5, 4, 6, 6) and conv(torch.rand(3, 8, 8)).shape == (4, 6, 6)


def test_j15_printing():
    assert str(nn.Linear(2, 2)) == "Linear(in_features=2, out_features=2, bias=True)"
    assert str(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert str(nn.Dropout()) == "Dropout(p=0.5, inplace=False)"
    assert str(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) == \
        "Sequential(\n  (0): Linear(in_features=2, out_features=2, bias=True)\n  (1): ReLU()\n)"


def test_j16_training_and_evaluation():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2))
    assert net.training and net.eval() is net and not net[0].training and not net[1].training
    assert net.train()[1].training
    x = torch.rand(4, 2)
    assert torch.equal(net.eval()[0](x), x)


def test_j17_dtype_of_layers():
    assert nn.Conv2d(1, 1, 3, dtype=torch.double).weight.dtype == torch.float64
    with pytest.raises(RuntimeError, match="mat1 and mat2 must have the same dtype, but got Float and Double"):
        nn.Linear(2, 2, dtype=torch.double)(torch.rand(3, 2))
    with pytest.raises(RuntimeError, match=r"Input type \(float\) and bias type \(double\) should be the same"):
        nn.Conv2d(1, 1, 3, dtype=torch.double)(torch.rand(1, 1, 4, 4))
