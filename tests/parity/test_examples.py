"""The programs under examples/, the same files, give PyTorch's first losses under `rushlight run`."""
import os

import pytest

from tests.test_examples import NOTES, PROGRAMS, ROOT, losses, need_packages, run

pytest.importorskip("torch")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_first_losses_agree(name, tmp_path):
    need_packages(name)
    script = os.path.join(ROOT, "examples", f"{name}.py")
    ours = losses(run(tmp_path, "-m", "rushlight", "run", script, "--steps", "4"))
    theirs = losses(run(tmp_path, script, "--steps", "4"))
    assert len(ours) >= 4
    assert ours == pytest.approx(theirs, rel=2e-4, abs=1e-5)


NEEDED_BY_PYTORCH = {"code_toolbox": ["opacus"], "intro_to_pytorch": ["visdom", "torchvision"],
                     "pytorch_notes": ["tensorboard"], "pytorch_skills": ["tensorboard"]}


@pytest.mark.parametrize("name", NOTES)
def test_what_the_notes_state_holds_in_pytorch(name, tmp_path):
    for package in NEEDED_BY_PYTORCH.get(name, []):
        pytest.importorskip(package)
    run(tmp_path, os.path.join(ROOT, "examples", "notes", f"{name}.py"))
