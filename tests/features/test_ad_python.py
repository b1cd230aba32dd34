"""AD: what Python and NumPy give to programs around tensors, tried with tensors where they meet."""
import argparse
import copy
import json
import os
import re
import subprocess
import sys
import threading
from abc import ABC, abstractmethod

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def parser():
    made = argparse.ArgumentParser()
    made.add_argument("square", help="the number to square", type=int)
    made.add_argument("-a", "--abc")
    made.add_argument("--lr", type=float, default=0.1)
    made.add_argument("--quiet", action="store_true")
    made.add_argument("--mode", choices=["train", "test"])
    made.add_argument("-v", action="count")
    return made


def test_ad01_argparse(capsys):
    args = parser().parse_args(["4"])
    assert vars(args)["square"] == args.square == 4 and torch.full((2,), args.square).tolist() == [4, 4]
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    assert "the number to square" in capsys.readouterr().out


def test_ad02_positional_argument(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([])
    assert "the following arguments are required: square" in capsys.readouterr().err


def test_ad03_optional_argument():
    assert parser().parse_args(["4"]).abc is None and parser().parse_args(["4"]).lr == 0.1
    assert parser().parse_args(["4", "-a", "x"]).abc == parser().parse_args(["4", "--abc", "x"]).abc == "x"


def test_ad04_flag():
    assert parser().parse_args(["4", "--quiet"]).quiet is True and parser().parse_args(["4"]).quiet is False


def test_ad05_choices(capsys):
    assert parser().parse_args(["4", "--mode", "test"]).mode == "test"
    with pytest.raises(SystemExit):
        parser().parse_args(["4", "--mode", "other"])
    assert "invalid choice: 'other'" in capsys.readouterr().err
    with pytest.raises(TypeError, match="choice"):
        parser().add_argument("--some", choice=["a"])


def test_ad06_counter():
    assert [parser().parse_args(["4", *flags]).v for flags in ([], ["-v"], ["-vv"])] == [None, 1, 2]


def run(tmp_path, program, *arguments):
    """A program under `rushlight run`, and what it printed."""
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(path), *arguments], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": ROOT}, check=True)
    return done.stdout.split()


def test_ad07_argv(tmp_path):
    program = "import sys, torch\nprint(*sys.argv[1:], int(sys.argv[1]) * torch.ones(1, dtype=torch.int64).item(), torch.__name__)"
    assert run(tmp_path, program, "4", "--quiet") == ["4", "--quiet", "4", "rushlight"]


def test_ad08_property():
    class Net(nn.Module):
        @property
        def width(self):
            return self.layer.out_features

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 5)
    assert Net().width == 5
    with pytest.raises(AttributeError):
        Net().width = 4


def test_ad09_abstract_method():
    class Base(nn.Module, ABC):
        @abstractmethod
        def encode(self, x):
            """What a subclass is to define."""

    class Doubling(Base):
        def encode(self, x):
            return 2 * x
    with pytest.raises(TypeError, match="abstract"):
        Base()
    assert Doubling().encode(torch.ones(1)) == 2


def test_ad10_sorted():
    y = [("a", 1, 3.0), ("b", 2, 1.0), ("c", 0, 2.0)]
    assert [row[0] for row in sorted(y, key=lambda i: i[2])] == ["b", "c", "a"]
    assert [row[0] for row in sorted(y, key=lambda i: i[1], reverse=True)] == ["b", "a", "c"]
    losses = {"first": torch.tensor(2.0), "second": torch.tensor(1.0)}
    assert [name for name, _ in sorted(losses.items(), key=lambda item: item[1])] == ["second", "first"]


def test_ad11_items():
    state = nn.Linear(2, 3).state_dict()
    assert {name: tuple(x.shape) for name, x in state.items()} == {"weight": (3, 2), "bias": (3,)}


def test_ad12_zip():
    assert list(zip([1, 2, 3], [1, 2, 3])) == [(1, 1), (2, 2), (3, 3)]
    assert [(int(x), name) for x, name in zip(torch.arange(5), "ab")] == [(0, "a"), (1, "b")]


def test_ad13_copies():
    net = nn.Sequential(nn.Linear(2, 2))
    same, shallow, deep = net, copy.copy(net), copy.deepcopy(net)
    with torch.no_grad():
        net[0].weight.zero_()
    assert same is net and shallow is not net and shallow[0] is net[0]
    assert deep[0].weight.abs().sum() > 0 and isinstance(deep[0].weight, nn.Parameter)
    x = torch.ones(2)
    near, far = copy.copy(x), copy.deepcopy(x)
    x[0] = 5
    assert near[0] == 5 and far[0] == 1


def test_ad14_mutable_and_immutable():
    def change(items, x, number):
        items.append(1)
        x += 1
        number += 1
    items, x, number = [], torch.zeros(1), 0
    change(items, x, number)
    assert items == [1] and x == 1 and number == 0
    with pytest.raises(TypeError):
        torch.zeros(2, 3).shape[0] = 5


def test_ad15_iter_and_next():
    rows = iter(torch.arange(4).reshape(2, 2))
    assert next(rows).tolist() == [0, 1] and next(rows).tolist() == [2, 3] and next(rows, None) is None


def test_ad16_enumerate():
    assert [(i, x.item()) for i, x in enumerate(torch.tensor([5, 6]))] == [(0, 5), (1, 6)]
    with pytest.raises(NameError):
        eval("enumarate([1])")


def test_ad17_regular_expressions():
    line, pattern = "layer1 loss 0.25 accuracy 0.5", r"(\w+) loss ([\d.]+) accuracy ([\d.]+)"
    assert re.match(pattern, line).groups() == ("layer1", "0.25", "0.5") and re.match("loss", line) is None
    assert re.search("loss", line) and torch.tensor([float(n) for n in re.findall(r"\d+\.\d+", line)]).tolist() == [0.25, 0.5]


def test_ad18_replace():
    assert [line.replace("\n", "") for line in ["1\n", "2\n"]] == ["1", "2"]


def test_ad19_text_files(tmp_path):
    with open(tmp_path / "labels.txt", "w") as f:
        f.write("3\n1\n2\n")
    with open(tmp_path / "labels.txt") as f:
        first, rest = f.readline(), [int(line) for line in f]
    assert first == "3\n" and torch.tensor([int(first), *rest]).tolist() == [3, 1, 2]


def test_ad20_csv(tmp_path):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "table.csv").write_text("a,b\n1,2.5\n3,4.5\n")
    table = pandas.read_csv(tmp_path / "table.csv")
    assert torch.tensor(table.values).tolist() == [[1, 2.5], [3, 4.5]] and torch.tensor(table["b"].values).dtype == torch.float64


def test_ad21_json(tmp_path):
    splits = {"train": [0, 1], "test": [2]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    with open(tmp_path / "splits.json") as f:
        assert json.load(f) == splits == json.loads(json.dumps(splits))
    assert torch.arange(3)[json.loads("[0, 2]")].tolist() == [0, 2]


def test_ad22_paths(tmp_path):
    assert os.path.join("runs", "a.pt") == os.path.join("runs/", "a.pt") == f"runs{os.sep}a.pt"
    path = os.path.join(tmp_path, "a.pt")
    assert not os.path.exists(path)
    torch.save(torch.ones(1), path)
    assert os.path.exists(path)


def test_ad23_makedirs(tmp_path):
    for _ in range(2):
        os.makedirs(tmp_path / "a" / "b", exist_ok=True)
    with pytest.raises(FileExistsError):
        os.makedirs(tmp_path / "a" / "b")


def test_ad24_environment(tmp_path):
    program = "import os, torch\nos.environ['MASTER_PORT'] = '29500'\nprint(os.environ['MASTER_PORT'], os.environ['HOME'] != '')"
    assert run(tmp_path, program) == ["29500", "True"]


def test_ad25_one_interpreter_lock():
    """Threads may use tensors; each gets its own results."""
    results = {}

    def work(n):
        x = torch.arange(1000.0)
        for _ in range(20):
            x = x * 1 + n
        results[n] = x.sum().item()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: 499500.0 + 20_000 * n for n in range(4)}


def test_ad26_processes_and_threads(tmp_path):
    """A process has memory of its own, a thread has not."""
    x = torch.zeros(1)
    thread = threading.Thread(target=x.add_, args=(1,))
    thread.start()
    thread.join()
    assert x == 1 and run(tmp_path, "import torch\nx = torch.zeros(1)\nx += 5\nprint(x.item())") == ["5.0"] and x == 1


def test_ad27_astype():
    x = np.arange(3).astype(np.float32)
    assert torch.from_numpy(x).dtype == torch.float32 and torch.from_numpy(x).double().numpy().dtype == np.float64
    assert not hasattr(x, "asstype")


def test_ad28_column_stack():
    a, b = torch.tensor([1, 2]), torch.tensor([3, 4])
    assert torch.column_stack((a, b)).tolist() == [[1, 3], [2, 4]] == np.column_stack((a.numpy(), b.numpy())).tolist()
    assert torch.column_stack((a, torch.zeros(2, 2))).shape == (2, 3)


def test_ad29_one_liners():
    assert torch.tensor([i * i for i in range(1, 6)]).tolist() == [1, 4, 9, 16, 25]
    assert max(torch.tensor([1.0, -3.0, 2.0]), key=lambda x: x.abs()) == -3


@pytest.mark.skip(reason="a heading and a link, no code")
def test_ad30_web_crawler():
    """Nothing to run."""
