"""Rows W of the notes' features: DataParallel, which calls its module where there are no GPUs."""
import pytest

import rushlight as torch
from rushlight import nn


def test_w01_arguments_of_the_wrapper():
    net, x = nn.Linear(4, 2), torch.ones(3, 4)
    wrapped = nn.DataParallel(net, device_ids=None, output_device=None, dim=0)
    wrapped(x).sum().backward()
    assert torch.equal(net.weight.grad, torch.full((2, 4), 3.))     # in the original's parameters


def test_w02_batch_smaller_than_the_devices():
    wrapped = nn.DataParallel(nn.Linear(4, 2))
    assert wrapped(torch.ones(1, 4)).shape == (1, 2) and wrapped(torch.ones(0, 4)).shape == (0, 2)


def test_w03_without_gpus_the_module_is_called():
    net, x = nn.Linear(4, 2), torch.ones(3, 4)
    assert torch.equal(nn.DataParallel(net)(x), net(x)) and nn.DataParallel(net).device_ids == []


def test_w04_module_is_the_wrapped_object():
    net = nn.Linear(4, 2)
    assert nn.DataParallel(net).module is net


def test_w05_wrapped_optimizer():
    net = nn.Linear(4, 2)
    optimizer = nn.DataParallel(torch.optim.SGD(net.parameters(), lr=0.1))
    before = net.weight.detach().clone()
    net(torch.ones(3, 4)).sum().backward()
    optimizer.module.step()
    assert torch.allclose(net.weight, before - 0.3)


@pytest.mark.skip(reason="advice: use DistributedDataParallel (rows X)")
def test_w06_not_recommended():
    """Threads share one interpreter."""
