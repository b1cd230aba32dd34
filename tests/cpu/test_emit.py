"""The emitter: folding, loops, branches, masks and gathers, symbols."""
import numpy as np
import pytest

from rushlight.cpu import probe
from rushlight.cpu.emit import Function, constant


def run(f, *arrays, hi=0):
    probe.call(f.code(), *arrays, hi=hi)


def test_integers_fold_like_machine_words():
    f = Function("fold")
    assert f.add(2, f.mul(3, 4)) == 14 and f.udiv(14, 4) == 3 and f.urem(14, 4) == 2
    assert f.sdiv(-7, 2) == -3 and f.srem(-7, 2) == -1 and f.lshr(-1, 60) == 15
    assert f.add(2 ** 63 - 1, 1) == -2 ** 63
    assert f.icmp("ult", -1, 1) is False and f.select(True, 5, 6) == 5 and f.ceil_div(17, 16) == 2
    n = f.word(0)
    assert f.add(n, 0) is n and f.mul(1, n) is n and f.mul(n, 0) == 0
    assert f.lines == []


@pytest.mark.parametrize("count", [0, 1, 16, 37])
def test_loop_carries_values(count):
    f = Function("sum")
    with f.loop(f.lo, f.hi, carried=[constant("double", 0)]) as loop:
        x = f.load("double", f.at(f.word(0, "ptr"), "double", loop.index))
        loop.next(f.fadd(loop.values[0], x))
    f.store(loop.results[0], f.word(1, "ptr"))
    x, out = np.arange(40.0), np.empty(1)
    run(f, x, out, hi=count)
    assert out[0] == x[:count].sum()


def test_loop_over_known_empty_range_does_not_run():
    f = Function("empty")
    with f.loop(5, 5) as loop:
        f.store(loop.index, f.word(0, "ptr"))
    out = np.array([-1])
    run(f, out)
    assert out[0] == -1


@pytest.mark.parametrize("flag, wanted", [(0, 7), (1, 3)])
def test_branches(flag, wanted):
    f = Function("branch")
    out = f.word(0, "ptr")
    with f.when(f.icmp("ne", f.hi, 0), otherwise=[7]) as branch:
        branch.give(f.add(f.hi, 2))
    with f.either(f.icmp("eq", f.hi, 0)) as either:
        with either.yes:
            either.give(f.mul(f.hi, 5))
        with either.no:
            either.give(10)
    f.store(branch.results[0], out)
    f.store(either.results[0], f.at(out, "i64", 1))
    got = np.zeros(2, np.int64)
    run(f, got, hi=flag)
    assert got.tolist() == [wanted, 10 * flag]


def test_branch_known_now_leaves_no_test():
    f = Function("known")
    with f.when(False, otherwise=[1]) as never:
        never.give(f.add(f.hi, 1))
    with f.when(True, otherwise=[1]) as always:
        always.give(f.add(f.hi, 1))
    assert never.results == ["1"] and len(f.lines) == 1 and always.results[0].type == "i64"


def test_repeat_runs_at_least_once():
    f = Function("collatz")
    with f.repeat([f.hi, 0]) as loop:
        n, steps = loop.values
        odd = f.icmp("ne", f.and_(n, 1), 0)
        n = f.select(odd, f.add(f.mul(n, 3), 1), f.lshr(n, 1))
        loop.again(f.icmp("ne", n, 1), n, f.add(steps, 1))
    f.store(loop.results[1], f.word(0, "ptr"))
    out = np.zeros(1, np.int64)
    run(f, out, hi=27)
    assert out[0] == 111


def test_masked_tail_touches_nothing_else():
    f = Function("tail")
    mask = f.lane_mask(f.hi)
    x = f.masked_load("float", f.word(0, "ptr"), mask, otherwise=9.0)
    f.masked_store(f.fmul(x, 2.0), f.word(1, "ptr"), mask)
    f.store(f.fold_lanes(x, f.fadd), f.word(2, "ptr"))
    x, y, total = np.arange(16, dtype=np.float32), np.full(16, -1, np.float32), np.zeros(1, np.float32)
    run(f, x, y, total, hi=5)
    assert y.tolist() == [0, 2, 4, 6, 8] + [-1] * 11 and total[0] == 10 + 11 * 9


@pytest.mark.parametrize("stride", [0, 1, 3, "word"])
@pytest.mark.parametrize("element, kind", [("float", np.float32), ("i8", np.int8), ("double", np.float64)])
def test_strided(stride, element, kind):
    f = Function("strided")
    step = f.hi if stride == "word" else stride
    f.store_strided(f.load_strided(element, f.word(0, "ptr"), step), f.word(1, "ptr"), 2)
    x, y = np.arange(64).astype(kind), np.zeros(32, kind)
    run(f, x, y, hi=2)
    step = 2 if stride == "word" else stride
    assert np.array_equal(y[::2], x[np.arange(16) * step]) and not y[1::2].any()


def test_symbol_names_the_text():
    def make(number):
        f = Function("a-name")
        f.store(f.value(number), f.word(0, "ptr"))
        return f.code()
    assert make(1) == make(1) and make(1).symbol != make(2).symbol
    assert make(1).symbol.startswith("a_name_") and f"@{make(1).symbol}(" in make(1).ir
