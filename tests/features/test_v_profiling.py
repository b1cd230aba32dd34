"""Rows V of the notes' features: profiling, timing and devices."""
import cProfile
import pstats
import time

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.profiler import ProfilerActivity, profile
from rushlight.utils.accounts import memory_report


def test_v01_profile_of_a_program():
    model, x = nn.Linear(16, 16), torch.ones(4, 16)
    with cProfile.Profile() as python:
        model(x).sum().item()
    assert any("linear" in name for _, _, name in pstats.Stats(python).stats)
    with profile(activities=[ProfilerActivity.CPU]) as ours:
        model(x).sum().item()
    assert "matmul" in ours.key_averages().table(sort_by="cpu_time_total")


def test_v02_synchronize_waits_for_queued_work():
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.cuda.synchronize()
    y = torch.rand(600, 600) @ torch.rand(600, 600)
    torch.cpu.synchronize()
    assert y.storage.node.buffer is not None    # the product has been computed
    start = time.perf_counter()
    y.sum().item()
    assert time.perf_counter() > start


def test_v03_data_between_devices():
    x = torch.ones(2)
    assert x.cpu() is x and x.to("cpu") is x
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        x.cuda()


def test_v04_strings_of_devices():
    assert [(d.type, d.index) for d in map(torch.device, ("cpu", "cpu:1", "cuda:0"))] == [
        ("cpu", None), ("cpu", 1), ("cuda", 0)]


def test_v05_no_gpu_is_counted():
    assert torch.cuda.device_count() == 0 and torch.cuda.is_available() is False
    assert list(range(torch.cuda.device_count())) == []


@pytest.mark.skip(reason="nvidia-smi and top are programs of the system")
def test_v06_watching_the_machine():
    """`nvidia-smi`, `top`."""


@pytest.mark.skip(reason="rushlight computes on the CPU only")
def test_v07_use_of_a_gpu_for_speed():
    """AlexNet on a GPU."""


def test_v08_what_memory_is_static_and_what_is_dynamic():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        model(torch.ones(8, 64)).sum().backward()
        optimizer.step()
    report = memory_report(model, optimizer, step)
    size = 4 * (64 * 64 + 64 + 64 + 1)
    assert report.parameters.bytes == report.gradients.bytes == size
    assert report.optimizer_state.bytes >= 2 * size and report.activations.bytes > 0 and report.peak > size
