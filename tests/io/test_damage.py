"""Samples of `python -m tests.io.damage` and `tests.io.kills`: damaged files, and processes killed while they save."""
import os

import pytest

from tests.io import damage, kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="files are read in forked processes")
def test_damaged_files_are_read_as_they_were_or_refused(monkeypatch):
    monkeypatch.setattr(damage, "SECONDS", 10.0)        # a suite is no place to measure in
    monkeypatch.setattr(damage, "PATIENCE", 300)
    wrong, counts = damage.run_batch(range(400), 7, damage.originals())
    assert not wrong
    assert sum(counts.values()) == 400 and {verdict for _, verdict in counts} == {"read", "refused"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a forked process is killed")
def test_killed_in_saving():
    assert kills.run(12, seed=1) > 0
