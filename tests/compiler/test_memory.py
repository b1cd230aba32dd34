"""Lifetimes and the arena: what lives at the same time never shares a byte."""
from __future__ import annotations

import random

import pytest

from rushlight.compiler.kernel import Call, Code, Ref
from rushlight.compiler.lower import ARENA, INPUT, Program, Slot
from rushlight.compiler import memory
from rushlight.compiler.memory import ALIGN, SLACK, first_fit, lay_out, lifetimes

from tests.compiler.graphs import through_all


def call(slots):
    return Call(Code("none", ""), tuple(Ref(s, random.Random(s).randrange(2) * 8) for s in slots), 1, 1)


def program_of(steps, sizes, kinds=None):
    slots = [Slot("block", 0)] + [Slot(kinds[i] if kinds else ARENA, n) for i, n in enumerate(sizes)]
    return Program([call(s) for s in steps], slots, [], [], {}, [], [], [], 0)


def check(program):
    slots = lifetimes(program).slots
    arena = [(n, s.first, s.last) for n, s in enumerate(slots) if s.kind == ARENA and s.first is not None]
    offsets, total = lay_out(arena, [s.nbytes for s in slots])
    for n, _, _ in arena:
        assert offsets[n] % ALIGN == 0 and offsets[n] + slots[n].nbytes + SLACK <= total + ALIGN
    for i, (a, first, last) in enumerate(arena):
        for b, begin, end in arena[:i]:
            if first <= end and begin <= last:
                assert offsets[a] + slots[a].nbytes <= offsets[b] or offsets[b] + slots[b].nbytes <= offsets[a]
    return total


@pytest.mark.parametrize("seed", range(60))
def test_what_lives_together_does_not_overlap(seed):
    rng = random.Random(seed)
    n, length = rng.randrange(1, 40), rng.randrange(1, 60)
    sizes = [rng.choice((0, 4, 63, 64, 65, 1000, 4096, rng.randrange(1, 100000))) for _ in range(n)]
    steps = [rng.sample(range(1, n + 1), rng.randrange(1, min(n, 5) + 1)) for _ in range(length)]
    check(program_of(steps, sizes))


def test_dead_values_give_their_space():
    chain = [(i, i + 1) for i in range(1, 40)]
    assert check(program_of(chain, [10000] * 40)) <= 2 * (10000 + SLACK + ALIGN)


def test_only_the_arena_is_laid_out():
    assert check(program_of([(1, 2), (2, 3)], [5000, 5000, 5000], [INPUT, ARENA, INPUT])) < 6000


def test_unused_slots_take_nothing():
    assert check(program_of([(1,)], [100, 1 << 30])) < 1000


def test_arena_of_a_real_program():
    import rushlight as T
    x = T.ones(1000, 10)
    x.tolist()

    def program():
        y = x
        for _ in range(8):
            y = (y @ T.eye(10)).t().contiguous().t() + 1
        return [y]
    total = check(through_all(program))
    assert 0 < total <= 3 * (40000 + 2 * ALIGN) + 100000      # values and the packing of products


def random_arena(seed):
    rng = random.Random(seed)
    spans = [sorted((rng.randrange(200), rng.randrange(200))) for _ in range(rng.randrange(1, 120))]
    sizes = [rng.choice((0, 64, 1000, 1000, rng.randrange(1, 5000))) for _ in spans]
    return [(slot, *span) for slot, span in enumerate(spans)], sizes


@pytest.mark.parametrize("seed", range(20))
def test_few_and_many_slots_are_laid_out_alike(seed, monkeypatch):
    arena, sizes = random_arena(seed)
    arena = [(*span, sizes[span[0]] + SLACK) for span in arena]
    laid = []
    for few in (0, 1000):
        monkeypatch.setattr(memory, "FEW", few)
        laid.append(first_fit(arena))
    assert laid[0] == laid[1]


def test_a_small_arena_may_be_loose():
    for slots, nbytes in map(random_arena, range(20)):
        placed = [(slot, first, last, -(-(nbytes[slot] + memory.SLACK) // 64) * 64) for slot, first, last in slots]
        best = memory.first_fit(sorted(placed, key=memory.ORDERS[0]))
        if best[1] <= memory.LOOSE * memory.most_alive(placed):
            assert lay_out(slots, nbytes) == best


def test_other_orders_are_tried_where_big_slots_first_waste_memory(monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    arenas = [random_arena(seed) for seed in range(20)]
    totals = [lay_out(*a)[1] for a in arenas]
    monkeypatch.setattr(memory, "ORDERS", memory.ORDERS[:1])
    alone = [lay_out(*a)[1] for a in arenas]
    assert all(t <= a for t, a in zip(totals, alone)) and sum(totals) < sum(alone)
    for (arena, sizes), total in zip(arenas, totals):
        assert total >= max(sum(sizes[n] + SLACK for n, first, last in arena if first <= at <= last) for at in range(200))
