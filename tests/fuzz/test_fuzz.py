"""A fixed set of random programs: every way of running them must agree (see running.WAYS).

Many more: `python -m tests.fuzz --n 1000 --seed 12345`.
"""
from __future__ import annotations

import numpy as np
import pytest

import rushlight
from rushlight.trace import record
from tests.fuzz.programs import Program, write
from tests.fuzz.running import check, execute, minimise, oracle, script, without_foreign_errors

CHUNK = 10


@pytest.fixture(autouse=True)
def nothing_pending():
    record.pending.flush()


def agree(seeds, torch=None):
    for seed in seeds:
        program = write(rushlight, seed)
        if torch is not None:
            program = without_foreign_errors(torch, program)
        if check(program, torch) is not None:
            smaller, found = minimise(program, torch)
            pytest.fail(f"seed {seed}: {found}\n\n{script(smaller)}", pytrace=False)


@pytest.mark.parametrize("first", range(500000, 500150, CHUNK))
def test_ways_agree(first):
    agree(range(first, first + CHUNK))


@pytest.mark.parametrize("first", range(600000, 600080, CHUNK))
def test_pytorch_agrees(first):
    torch = oracle()
    if torch is None:
        pytest.skip("PyTorch is not here")
    agree(range(first, first + CHUNK), torch)


# -- programs that once gave something else -------------------------------------------------------------
FOUND = {
    "outputs of a dropped copy": """
a1 = make((4,), 'float64', 25)
a4 = T.arange(1, dtype=T.float64).to(T.float16)
a7 = (a1 > 1).sum(0)
a4[:, None] = a4.clone()""",
    "a sum of what is numbered": """
a1 = (T.arange(31, dtype=T.float32) * 2 + make((31,))).sum()
a2 = (T.arange(6).reshape(2, 3) + make((2, 3), 'int64')).amin(0)""",
    "empty rows": """
a1 = (make((2, 0), 'float16') * 2).sum()
a2 = F.softmax(T.ones((2, 0)).sum([1], keepdim=True), 0)
a3 = make((0, 3)).sum(0)""",
    "a cast of a view with gaps and other order": """
a1 = T.arange(12).reshape(3, 4).t()
a2 = a1[:-1] * 1.0
a3 = a1[::2] + make((2, 3), 'float64')
a1[1:] = a1[:-1] * 1""",
    "a shared value with many readers": """
a1 = make((17,))
n0 = a1.numpy()
a2 = a1 + 1
n0 += 1
a3 = a1 + 1
a1[2:5] = a2[2:5]""",
    "in-place chains on views of views": """
a1 = make((5, 6))
a2 = a1[1:4]
a3 = a2.t()[::2]
a3 += a1[0, :3].sum()
a2[0] = a3[:, 0].repeat(2)
a1 *= a2.sum()
a3.neg_()""",
}


@pytest.mark.parametrize("name", FOUND)
def test_found_before(name):
    program = Program(0, True, FOUND[name].strip().splitlines())
    assert execute(rushlight, program).raised is None
    assert check(program, oracle()) is None


def test_programs_follow_from_their_seed():
    for seed in (1, 2, 3):
        assert write(rushlight, seed) == write(rushlight, seed)


def test_minimiser_keeps_what_fails(monkeypatch):
    from tests.fuzz import running
    lines = [f"a{i} = make(({i},))" for i in range(1, 9)] + ["a9 = a3 + 1", "a10 = a9.sum()"]

    def fails(program, torch=None, ways=None):
        return "differs: a10" if any("a9.sum" in line for line in program.lines) else None
    monkeypatch.setattr(running, "check", fails)
    smaller, found = minimise(Program(0, True, lines))
    assert smaller.lines == ["a3 = make((3,))", "a9 = a3 + 1", "a10 = a9.sum()"] and found == "differs: a10"
    assert np.size(script(smaller).splitlines()) == 9


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_compiled_functions_do_what_functions_do(first):
    from .replaying import difference
    outcomes = [d for seed in range(first, first + 30) if (d := difference(rushlight, write(rushlight, seed))) is not None]
    assert [text for _, text in outcomes if text] == []
    assert sum(replays > 0 for replays, _ in outcomes) >= 4
