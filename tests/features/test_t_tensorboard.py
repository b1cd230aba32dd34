"""Rows T of the notes' features: scalars and graphs for TensorBoard."""
import re
import socket

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.utils.tensorboard import SummaryWriter
from rushlight.utils.tensorboard.reading import read_runs

ITEMS = ["Loss/train", "Loss/test", "Accuracy/train", "Accuracy/test"]


def scalars(folder):
    (run,) = read_runs([folder])
    return run.scalars


def test_t01_default_folder_is_named_by_date_and_host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ({}, {"log_dir": "logs/xxx"}, {"log_dir": "./runs/exp1"}):
        SummaryWriter(**options).close()
    (default,) = {path.name for path in (tmp_path / "runs").iterdir()} - {"exp1"}
    assert re.fullmatch(r"[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_" + re.escape(socket.gethostname()), default)
    assert list((tmp_path / "logs" / "xxx").glob("events.out.tfevents.*"))


def test_t02_scalar_has_name_value_and_step(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for n_iter, value in enumerate([1.0, np.float32(0.5), np.float64(0.25), torch.tensor(0.125)]):
            writer.add_scalar("Loss/train", value, n_iter)
    assert scalars(tmp_path)["Loss/train"] == [(0, 1), (1, 0.5), (2, 0.25), (3, 0.125)]


def test_t03_names_with_a_slash_are_groups(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for name in ITEMS:
            writer.add_scalar(name, 1.0, 0)
    assert sorted(scalars(tmp_path)) == sorted(ITEMS)


def test_t04_two_writers_on_one_folder(tmp_path):
    first, second = SummaryWriter(tmp_path), SummaryWriter(tmp_path)
    first.add_scalar("Loss/train", 1.0, 0)
    second.add_scalar("Loss/train", 2.0, 1)
    first.close(), second.close()
    assert sorted(scalars(tmp_path)["Loss/train"]) == [(0, 1), (1, 2)]


def test_t05_graph_of_a_model(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x, y):
            return self.layer(x) + y

    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(nn.Linear(3, 2), torch.ones(1, 3))
        writer.add_graph(Two(), (torch.ones(1, 3), torch.ones(1, 2)))
    (file,) = tmp_path.glob("events.out.tfevents.*")
    found = file.read_bytes()
    assert b"Two/Linear[layer]/weight" in found and b"input/input.1" in found


def test_t06_viewer_reads_the_files(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("Loss/train", 0.5, 3)
    viewer = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in viewer.Scalars("Loss/train")] == [(3, 0.5)]
