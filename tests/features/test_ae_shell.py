"""AE: shell and repository habits; most are tools outside of the framework."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.skip(reason="a tool outside of the framework, which needs an ordinary Python environment only")
def test_ae01_conda():
    """Environments."""


@pytest.mark.skip(reason="a tool outside of the framework")
def test_ae02_tmux():
    """Sessions that survive a closed terminal."""


@pytest.mark.skip(reason="a tool outside of the framework")
def test_ae03_git_repository():
    """git init, git remote add."""


@pytest.mark.skip(reason="a tool outside of the framework")
def test_ae04_git_commit():
    """git add, git commit, git push."""


def test_ae05_environment_of_the_shell():
    """What a profile script sets is seen by what it starts, and by the framework in it."""
    code = "import rushlight; print(rushlight.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"RUSHLIGHT_THREADS": "1", "PYTHONPATH": ROOT})
    assert done.stdout.split() == ["1"]


def test_ae06_tensorboard_from_the_shell(tmp_path):
    """What `tensorboard --logdir` is given: a folder of event files."""
    from rushlight.utils.tensorboard import SummaryWriter
    with SummaryWriter(tmp_path / "runs") as writer:
        writer.add_scalar("loss", 1.0, 0)
    assert any("tfevents" in name for name in os.listdir(tmp_path / "runs"))
