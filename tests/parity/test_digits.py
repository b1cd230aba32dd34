"""examples/digits.py, the same file, gives PyTorch's losses under `rushlight run`."""
import os
import re
import subprocess
import sys

import pytest

import rushlight

pytest.importorskip("torch")

ROOT = os.path.dirname(os.path.dirname(rushlight.__file__))
SCRIPT = os.path.join(ROOT, "examples", "digits.py")
NUMBER = re.compile(r"(?:^|  |valid |test )(loss|accuracy) ([0-9.]+)")


def run(folder, *command, epochs):
    env = os.environ | {"PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, *command, "--epochs", str(epochs)], cwd=folder, env=env,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def numbers(text):
    return [float(value) for _, value in NUMBER.findall(text)]


def test_the_first_epoch_agrees(tmp_path):
    ours = run(tmp_path, "-m", "rushlight", "run", SCRIPT, epochs=1)
    theirs = run(tmp_path, SCRIPT, epochs=1)
    assert "+rushlight" in ours and "+rushlight" not in theirs
    assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-4)
    assert len(numbers(ours)) == 6


def test_it_learns(tmp_path):
    ours = run(tmp_path, "-m", "rushlight", "run", SCRIPT, epochs=20)
    assert float(re.search(r"test accuracy ([0-9.]+)", ours)[1]) >= 0.97
    assert os.path.exists(tmp_path / "runs" / "digits.pt")
