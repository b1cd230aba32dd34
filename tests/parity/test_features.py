"""The tests of tests/features under PyTorch itself: what they assert is what PyTorch does."""
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_rows_are_what_pytorch_does():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.parity.torch_as_rushlight", "tests/features",
               "-p", "no:cacheprovider", "--runxfail"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
