"""The programs under examples/ run in rushlight; tests/parity compares their losses with PyTorch's."""
import os
import re
import subprocess
import sys

import pytest

import rushlight

ROOT = os.path.dirname(os.path.dirname(rushlight.__file__))
PROGRAMS = ("mlp", "cnn", "vae", "gan", "char_lstm", "gru_tagger", "gpt", "transformer", "unet",
            "graph_conv", "reinforce", "actor_critic", "curve_fit", "mixed_precision")
LOSS = re.compile(r"loss (\S+)")
NEEDS = {"vae": "sklearn", "reinforce": "gymnasium", "actor_critic": "gymnasium"}


def need_packages(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])


def run(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": ROOT}, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def losses(text):
    return [float(value) for value in LOSS.findall(text)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_steps(name, tmp_path):
    need_packages(name)
    script = os.path.join(ROOT, "examples", f"{name}.py")
    printed = losses(run(tmp_path, "-m", "rushlight", "run", script, "--steps", "2"))
    assert len(printed) >= 2 and all(abs(loss) < 1e4 for loss in printed)


def test_mixed_precision_keeps_its_accuracy(tmp_path):
    script = os.path.join(ROOT, "examples", "mixed_precision.py")
    printed = run(tmp_path, "-m", "rushlight", "run", script, "--steps", "60", "--width", "128")
    single, reduced = (float(text) for text in re.findall(r"accuracy (\S+)", printed))
    assert single > 0.85 and abs(single - reduced) < 0.03


NOTES = {"code_toolbox": (), "pytorch_toolbox": (), "intro_to_pytorch": ("PIL",),
         "pytorch_notes": (), "pytorch_skills": ()}


@pytest.mark.parametrize("name", NOTES)
def test_what_the_notes_state_holds(name, tmp_path):
    for package in NOTES[name]:
        pytest.importorskip(package)
    run(tmp_path, "-m", "rushlight", "run", os.path.join(ROOT, "examples", "notes", f"{name}.py"))


def test_all_ways_to_gradients_of_samples_agree(tmp_path):
    printed = run(tmp_path, "-m", "rushlight", "run", os.path.join(ROOT, "examples", "per_sample_gradients.py"), "--batch", "6")
    differences = [float(text) for text in re.findall(r"largest difference (\S+)", printed)]
    assert len(differences) == 4 and max(differences) < 1e-6
