"""The note "Pytorch" (2022): stacking, saving, batch normalisation, cross-validation, TensorBoard.

    rushlight run examples/notes/pytorch_notes.py

Everything in it that is code, with the outputs it states asserted. Left out: training in several
processes, since torch.distributed does not exist in rushlight yet.
"""
import argparse
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Variable
from torch.utils.data import TensorDataset, random_split
from torch.utils.tensorboard import SummaryWriter


@contextmanager
def raises(kind, words):
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


def command_line():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args(["--lr", "0.5"])
    assert vars(args) == {"lr": 0.5} and len(sys.argv) >= 1


class Shape(ABC):
    @property
    @abstractmethod
    def area(self):
        """A method that is used like an attribute; a subclass has to have it."""


class Square(Shape):
    @property
    def area(self):
        return 4


def abstract_methods():
    with raises(TypeError, "abstract"):
        Shape()
    assert Square().area == 4


def stack_and_permute():
    first = torch.tensor([[1, 2, 3],
                          [4, 5, 6],
                          [7, 8, 9]])
    second = 10 * first
    for dim, text in enumerate(("[2, 3, 3]", "[3, 2, 3]", "[3, 3, 2]")):
        shape = torch.stack((first, second), dim=dim).shape
        print(shape)
        assert str(shape) == f"torch.Size({text})"
    with raises(IndexError, "Dimension out of range (expected to be in range of [-3, 2], but got 3)"):
        torch.stack((first, second), dim=3)
    with raises(RuntimeError, "stack expects each tensor to be equal size, but got [2, 3] at entry 0"):
        torch.stack((torch.ones(2, 3), torch.ones(2, 4)))

    x = np.arange(24).reshape(2, 3, 4)
    assert np.transpose(x, (2, 0, 1)).tolist() == torch.from_numpy(x).permute(2, 0, 1).tolist()


def variables():
    x = Variable(torch.ones(1), requires_grad=True)
    assert type(x) is torch.Tensor and x.requires_grad
    assert not x.data.requires_grad and x.data.data_ptr() == x.data_ptr()
    assert x.cpu().device.type == "cpu"


def interpolate():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    assert F.interpolate(x, scale_factor=2)[0, 0, 0].tolist() == [0, 0, 1, 1]
    corners = F.interpolate(x, size=4, mode="bilinear", align_corners=True)[0, 0]
    torch.testing.assert_close(corners[0], torch.tensor([0, 1 / 3, 2 / 3, 1]))
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        assert F.interpolate(x, size=(3, 5), mode=mode).shape == (1, 1, 3, 5)
    assert F.interpolate(torch.rand(1, 1, 4), size=8, mode="linear").shape == (1, 1, 8)
    assert F.interpolate(torch.rand(1, 1, 2, 2, 2), size=3, mode="trilinear").shape[2:] == (3, 3, 3)
    with raises(NotImplementedError, "Got 3D input, but bilinear mode needs 4D input"):
        F.interpolate(torch.rand(1, 1, 4), size=8, mode="bilinear")
    with raises(ValueError, "align_corners option can only be set with the interpolating modes"):
        F.interpolate(x, size=4, mode="nearest", align_corners=True)
    with raises(ValueError, "only one of size or scale_factor should be defined"):
        F.interpolate(x, size=4, scale_factor=2)
    with raises(ValueError, "either size or scale_factor should be defined"):
        F.interpolate(x)


def saving(folder):
    file = os.path.join(folder, "tensor.pt")
    torch.save(torch.tensor([1., 2.]), file)
    assert str(torch.load(file)) == "tensor([1., 2.])"

    bn = torch.nn.BatchNorm1d(3, track_running_stats=True)
    assert str(list(bn.named_parameters())) == (
        "[('weight', Parameter containing:\ntensor([1., 1., 1.], requires_grad=True)), "
        "('bias', Parameter containing:\ntensor([0., 0., 0.], requires_grad=True))]")
    assert str(list(bn.named_buffers())) == (
        "[('running_mean', tensor([0., 0., 0.])), ('running_var', tensor([1., 1., 1.])), "
        "('num_batches_tracked', tensor(0))]")
    assert str(dict(bn.state_dict())) == (
        "{'weight': tensor([1., 1., 1.]), 'bias': tensor([0., 0., 0.]), "
        "'running_mean': tensor([0., 0., 0.]), 'running_var': tensor([1., 1., 1.]), "
        "'num_batches_tracked': tensor(0)}")

    file = os.path.join(folder, "bn.pt")
    torch.save(bn.state_dict(), file)
    new_bn = torch.nn.BatchNorm1d(3, track_running_stats=True)
    matched = new_bn.load_state_dict(torch.load(file))
    print(matched)
    assert str(matched) == "<All keys matched successfully>"
    with raises(RuntimeError, "Error(s) in loading state_dict for BatchNorm1d"):
        nn.BatchNorm1d(4).load_state_dict(torch.load(file))


def batch_normalisation():
    bn = nn.BatchNorm1d(2)
    y = bn(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    torch.testing.assert_close(y.mean(0), torch.zeros(2))
    torch.testing.assert_close(y.var(0, unbiased=False), torch.ones(2), rtol=1e-4, atol=0)
    torch.testing.assert_close(bn.running_mean, torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(bn.running_var, torch.tensor([1.1, 1.7]))
    assert bn.num_batches_tracked == 1
    with raises(ValueError, "Expected more than 1 value per channel when training"):
        nn.BatchNorm1d(3)(torch.ones(1, 3))


def contiguous():
    x = torch.arange(6).view(2, 3).t()
    assert not x.is_contiguous() and x.contiguous().is_contiguous()
    with raises(RuntimeError, "view size is not compatible with input tensor's size and stride"):
        x.view(6)
    assert x.reshape(6).tolist() == [0, 3, 1, 4, 2, 5]


def load_data():
    x = torch.randn(100, 3)
    return TensorDataset(x, x @ torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(100))


def cv_split(index, k, train):
    """Samples of all folds but one, and those of that one."""
    fold = torch.arange(len(train)) % k
    x, y = train[:]
    return (x[fold != index], y[fold != index]), (x[fold == index], y[fold == index])


def fit(data, hyper):
    """Weights of ridge regression."""
    x, y = data
    return torch.linalg.solve(x.T @ x + hyper * torch.eye(x.shape[1]), x.T @ y)


def evaluate(model, data):
    """Mean absolute error."""
    x, y = data
    return F.l1_loss(x @ model, y).item()


def cross_validation():
    train, valid, test = random_split(load_data(), [0.6, 0.2, 0.2])
    assert (len(train), len(valid), len(test)) == (60, 20, 20)
    k, scores = 5, {}
    for hyper in (0.01, 1.0, 100.0):
        metrics = [evaluate(fit(fold_train, hyper), fold_valid)
                   for fold_train, fold_valid in (cv_split(i, k, train) for i in range(k))]
        scores[hyper] = np.mean(metrics), np.std(metrics)
    best_hyper = min(scores, key=lambda hyper: scores[hyper][0])
    error = evaluate(fit(train[:], best_hyper), test[:])
    print(f"best setting {best_hyper}, error on test data {error:.3f}")
    assert best_hyper < 100 and error < 0.2


def tensorboard(folder):
    model, inputs = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)), torch.rand(2, 4)
    with SummaryWriter(os.path.join(folder, "logs/xxx")) as writer:
        writer.add_graph(model, inputs)
        for n_iter in range(10):
            writer.add_scalar("Loss/train", np.float32(1 / (n_iter + 1)), n_iter)
    [name] = os.listdir(os.path.join(folder, "logs", "xxx"))
    assert name.startswith("events.out.tfevents")
    with open(os.path.join(folder, "logs", "xxx", name), "rb") as f:
        assert f.read().count(b"Loss/train") == 10


def data_parallel():
    """Without several devices the wrapper calls the module."""
    net, device_ids = nn.Linear(4, 2), list(range(torch.cuda.device_count()))
    wrapped = nn.DataParallel(net, device_ids=device_ids or None)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    optimizer = nn.DataParallel(optimizer)
    before = net.weight.detach().clone()
    wrapped(torch.ones(3, 4)).sum().backward()
    optimizer.module.step()
    torch.testing.assert_close(net.weight.detach(), before - 0.1 * 3)
    assert wrapped.module is net and list(wrapped.state_dict())[0] == "module.weight"
    with raises(ValueError, "optimizer got an empty parameter list"):
        torch.optim.SGD([], lr=0.1)


def intersection_over_union(target, prediction):
    return (target & prediction).sum() / (target | prediction).sum()


def benchmarks():
    target, prediction = torch.tensor([1, 1, 1, 0]) > 0, torch.tensor([0, 1, 1, 1]) > 0
    assert intersection_over_union(target, prediction) == 0.5
    cc = torch.corrcoef(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]))[0, 1]
    assert abs(cc - 0.98198) < 1e-5
    assert nn.L1Loss()(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 3.0])) == 1.5


def timing():
    """Operations are only queued when they return, so a clock has to wait for them."""
    synchronize = torch.cuda.synchronize if torch.cuda.is_available() else torch.cpu.synchronize
    model, x = nn.Linear(100, 100), torch.rand(100, 100)
    synchronize()
    start = time.perf_counter()
    model(x)
    synchronize()
    assert time.perf_counter() > start


def batched_products():
    res = torch.bmm(torch.randn(10, 3, 4), torch.randn(10, 4, 5))
    assert str(res.size()) == "torch.Size([10, 3, 5])"
    out = torch.empty(10, 3, 5)
    assert torch.bmm(torch.ones(10, 3, 4), torch.ones(10, 4, 5), out=out) is out and out[0, 0, 0] == 4
    with raises(RuntimeError, "batch1 must be a 3D tensor"):
        torch.bmm(torch.ones(3, 4), torch.ones(10, 4, 5))
    with raises(RuntimeError, "to be: [9, 4] but got: [10, 4]"):
        torch.bmm(torch.ones(9, 3, 4), torch.ones(10, 4, 5))


def main():
    torch.manual_seed(0)
    command_line()
    abstract_methods()
    stack_and_permute()
    variables()
    interpolate()
    batch_normalisation()
    contiguous()
    cross_validation()
    with tempfile.TemporaryDirectory() as folder:
        saving(folder)
        tensorboard(folder)
    data_parallel()
    benchmarks()
    timing()
    batched_products()


if __name__ == "__main__":
    main()
