"""The ladder of RUSHLIGHT_DEBUG: what each level adds, and that looking changes nothing."""
import re

import pytest

import rushlight as torch
from rushlight.compiler import plan


def program(rows=3):
    x = torch.ones(rows, 20) * 0.5
    w = torch.ones(20, 5)
    y = (x @ w + 1).relu()
    return (y - y.sum(1, keepdim=True)).sum().item()


@pytest.fixture
def said(capfd):
    def run(level, times=1):
        plan.plans.clear()
        with torch.debug(level):
            results = [program() for _ in range(times)]
        assert len(set(results)) == 1
        return capfd.readouterr().err
    return run


def test_nothing_is_said_at_level_0(said):
    assert said(0) == ""


def test_level_1_tells_flushes_and_whether_a_plan_was_known(said):
    lines = [text for text in said(1, times=2).splitlines() if text.startswith("flush")]
    assert len(lines) == 2
    assert "new plan (the first)" in lines[0] and "known plan" in lines[1]
    assert all(re.search(r"test_profile.py:\d+", text) for text in lines)


def test_a_miss_is_explained_by_the_nearest_plan(capfd):
    plan.plans.clear()
    program(3)
    with torch.debug(1):
        program(4)
    assert "was full[3, 20]:float32" in capfd.readouterr().err


def test_level_2_times_each_step(said):
    text = said(2)
    assert re.search(r"\d\.\d{3} ms .*GFLOP/s.* matmul float32 3x20x5", text)


def test_level_3_says_why_a_group_ended(said):
    text = said(3)
    assert "group 0" in text and "ended before" in text and "nobody reads on" in text


def test_level_4_shows_kernel_ir(said):
    text = said(4)
    assert "body(%0: float32" in text and "fold output" in text and "with epilogue" in text


def test_looking_changes_no_result_and_no_plan(said):
    plan.plans.clear()
    quiet = program()
    keys = list(plan.plans)
    said(4)
    assert list(plan.plans) == keys
    with torch.debug(4):
        assert program() == quiet
