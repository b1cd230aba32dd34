"""The examples run and reach what they are for."""
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(name, *args):
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", os.path.join("examples", name), *args], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(text, pattern):
    return [float(x) for x in re.findall(pattern, text)]


def test_eight_queens():
    lines = run("hill_climbing.py").splitlines()
    assert lines[-9].endswith("> 0") and all(row.count("Q") == 1 for row in lines[-8:])


def test_tour():
    whole, greedy, annealed = numbers(run("simulated_annealing.py"), r"(?:come|climbing|annealing) +([\d.]+)")
    assert annealed <= greedy < whole


def test_cross_validation():
    pytest.importorskip("sklearn")
    text = run("cross_validation.py", "--folds", "3")
    assert len(numbers(text, r"weight decay.*AUC ([\d.]+)")) == 4
    assert numbers(text, r"once: AUC ([\d.]+)")[0] > 0.98


def test_neighbours():
    pytest.importorskip("sklearn")
    text = run("neighbours.py")
    nearest, near = numbers(text, r"accuracy ([\d.]+)")
    assert nearest > 0.95 and near > 0.85
    guessed, mean = numbers(text, r"(?:error|image) ([\d.]+)")
    assert guessed < mean / 1.5
