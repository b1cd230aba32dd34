"""Small kernels side by side: which ones, in which order, and that no bit changes."""
import numpy as np
import pytest

import rushlight as T
from rushlight.compiler import abreast, plan as planning
from rushlight.compiler.abreast import by_depth, joined, parted
from rushlight.compiler.kernel import Call, Code, Ref
from rushlight.compiler.lower import ARENA, INPUT, OUTPUT, Program, Slot

from .graphs import through_all

CODE = Code("none", "")


def data(*shape):
    x = T.tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    x.tolist()
    return x


def call(reads, writes, work=abreast.GRAIN):
    words = tuple(Ref(n) for n in (*reads, *writes))
    return Call(CODE, words, 1, 1, "", 0, 0, work, tuple(range(len(reads), len(words))))


def program(donors=(), leaves=()):
    """Slots 1 to 3 show inputs, 4 to 6 are outputs, the others lie in the arena."""
    slots = [Slot("block", 0)] + [Slot(INPUT, 0, n) for n in range(3)] + [Slot(OUTPUT, 8) for _ in range(3)] \
        + [Slot(ARENA, 8) for _ in range(4)]
    return Program([], slots, [], [], dict(donors), [4] * 3, list(leaves or range(3)), [], 16)


def depths(calls, of):
    levels = by_depth(calls, of)
    return [next(d for d, level in enumerate(levels) if any(c is member for member in level)) for c in calls]


def test_who_reads_waits_for_who_writes():
    calls = [call([1], [7]), call([2], [8]), call([7], [9]), call([7, 8], [4]), call([9], [5]), call([3], [6])]
    assert depths(calls, program()) == [0, 0, 1, 1, 2, 0]


def test_who_writes_waits_for_who_reads_and_who_wrote():
    calls = [call([7], [4]), call([1], [7]), call([2], [7]), call([7], [5])]
    assert depths(calls, program()) == [0, 1, 2, 3]


def test_memory_that_is_taken_over_is_that_of_the_input():
    """Output 4 takes over leaf 0, which slots 1 and 3 show."""
    calls = [call([1], [7]), call([2], [4]), call([3], [5])]
    assert depths(calls, program(donors={4: 0}, leaves=[0, 1, 0])) == [0, 1, 2]
    assert depths(calls, program(donors={4: 0}, leaves=[0, 1, 2])) == [0, 1, 0]


def test_few_elements_and_what_may_fail_stay_as_they_are():
    small = [call([1], [7], 100), call([2], [8], 100)]
    assert joined(small, program()) == small
    large = [call([1], [7]), call([2], [8], abreast.GRAIN + 1), call([3], [9])]
    assert parted(large, program()) == large
    assert len(joined([call([1], [7]), call([2], [8])], program())) == 1


def test_updates_of_many_tensors_are_one_call():
    xs, ys = [data(1000 + n) for n in range(40)], [data(1000 + n) for n in range(40)]
    steps = through_all(lambda: [x.mul(y).add(1.0) for x, y in zip(xs, ys)]).steps
    assert len(steps) == 1 and steps[0].units == 40 and 1 < steps[0].grain < 40


def norms_and_updates(threads, seed):
    T.set_num_threads(threads)
    rng = np.random.default_rng(seed)
    ws = [T.tensor(rng.normal(size=n).astype(np.float32)) for n in (100, 9000, 20, 16384, 5000, 30000, 7000, 8000) * 3]
    gs = [T.tensor(rng.normal(size=w.shape).astype(np.float32)) for w in ws]
    T.cpu.synchronize()
    norm = T.stack([(g * g).sum().sqrt() for g in gs]).sum()
    for w, before, g in zip(ws, [*ws[1:], ws[0]], gs):
        w.sub_(g / norm * before[:1])           # reads what its neighbour overwrites
    return [w.numpy().tobytes() for w in ws]


def test_no_bit_depends_on_it(monkeypatch):
    found = norms_and_updates(1, 3), norms_and_updates(2, 3), norms_and_updates(3, 3)
    planning.forget()
    monkeypatch.setattr(abreast, "pays", lambda calls: False)
    alone = norms_and_updates(1, 3)
    planning.forget()
    assert all(other == alone for other in found)


@pytest.fixture(autouse=True)
def threads():
    before = T.get_num_threads()
    yield
    T.set_num_threads(before)


def test_an_index_out_of_range_changes_nothing():
    xs, table, at = [data(9000) for _ in range(6)], data(9000), T.tensor([5, 9001])
    before = [x.tolist() for x in xs]
    for x in xs[:3]:
        x.add_(1.0)
    bad = table[at]
    for x in xs[3:]:
        x.add_(1.0)
    with pytest.raises(IndexError):
        bad.tolist()
    del bad
    for x, old in zip(xs, before):
        np.testing.assert_array_equal(x.numpy(), np.array(old, np.float32) + 1)
