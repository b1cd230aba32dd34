"""Looking into the compiler: RUSHLIGHT_SHOW and RUSHLIGHT_DEBUG."""
from __future__ import annotations

import pytest

import rushlight as T
from rushlight import config
from rushlight.compiler import plan
from rushlight.compiler.pipeline import PASSES


@pytest.fixture(autouse=True)
def new_plans(monkeypatch):
    from collections import OrderedDict
    monkeypatch.setattr(plan, "plans", OrderedDict())


def program():
    x = T.arange(60.0).reshape(3, 20)
    return ((x @ T.ones(20, 4)).relu() + 1).sum(1).tolist()


@pytest.mark.parametrize("name", [p.name for p in PASSES])
def test_each_pass_can_be_shown(name, capsys):
    with config.override(show=name):
        expected = program()
    text = capsys.readouterr().out
    assert f"-- before {name}" in text and f"-- after {name}" in text and "matmul" in text
    assert expected == program()


def test_all_passes(capsys):
    with config.override(show="all"):
        program()
    text = capsys.readouterr().out
    assert all(f"-- before {p.name}: {p.why}" in text for p in PASSES)


@pytest.mark.parametrize("level", range(1, 7))
def test_levels_of_debugging(level, capfd):
    with config.override(debug=level):
        program()
        program()
    out, err = capfd.readouterr()
    text = out + err
    assert "flush" in text and "nodes" in text
    if level >= 3:
        assert "group" in text
