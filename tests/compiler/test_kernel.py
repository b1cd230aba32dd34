"""The args block of a nest: every word has a place, every place is filled."""
from __future__ import annotations

import pytest

import rushlight as T
from rushlight import dtypes, nn
from rushlight.compiler import schedule
from rushlight.compiler.kernel import Body, Fold, Load, Nest, NestWords, Store

from tests.compiler.graphs import program_of

F = nn.functional


def places(w):
    found = [*w.sizes, w.block, w.blocks, w.fold_block, w.parts, w.error, *w.scalars]
    for pointer, strides, indices in w.loads + w.stores + w.folds + w.puts:
        found += [pointer, *strides.values(), *(n for numbers in indices for n in numbers)]
    return found


def test_every_word_is_one_thing():
    d = dtypes.float32
    nest = Nest("columns", 2, 1, (Load(d, ("s", "1", "0")), Load(d, ("0", "s", "s"), (0,), True)), (d, d),
                Body((d, d, d, d), (), (0,)), (Store(d, ("s", "1", "s"), 0),), (Fold("sum", d, d, 0, ("s", "1")),))
    w = NestWords(nest)
    assert sorted(places(w)) == list(range(w.count))


class Filled(list):
    """Remembers what was written to."""

    def __init__(self, n, needed):
        super().__init__([0] * n)
        self.written, self.needed = set(), needed

    def __setitem__(self, i, value):
        self.written.add(i)
        super().__setitem__(i, value)


class Count(int):
    def __rmul__(self, _other):
        return Filled(int(self), self.needed)


x = T.arange(120.0).reshape(4, 5, 6)
PROGRAMS = {
    "map": lambda: [(x + 1) * 2, x.transpose(0, 2) * 3],
    "rows": lambda: [x.sum(2), (x * 2).amax((1, 2)), x.argmax(2)],
    "columns": lambda: [x.sum(0), x.sum((0, 1)), x.prod(1)],
    "parts": lambda: [(T.arange(70000.0) * 1.0 + 1).reshape(700, 100).sum(0)],
    "gather": lambda: [x[T.tensor([1, 2])], x[:, T.tensor([1, 2]), T.tensor([3, 4])]],
    "write": lambda: [written()],
    "numbers": lambda: [T.arange(7) * 2 + 1],
    "softmax": lambda: [F.softmax(x, -1), F.layer_norm(x, (6,))],
}


def written():
    y = x * 2
    y[1:3, ::2] = x[0, :3]
    y[0] += 1
    return y


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_word_is_filled(name, monkeypatch):
    x.tolist()
    filled = []

    class Watched(NestWords):
        def __init__(self, nest):
            super().__init__(nest)
            spare = {n for _, _, ((_, size, check),) in self.folds for n in (size, check)}     # folds check no index
            self.count = Count(self.count)
            self.count.needed = set(range(self.count)) - spare

    def call(self, nest, fill, *args, plain=schedule.LoopGroup.call, **kwargs):
        if isinstance(fill, Filled):
            filled.append(fill)
        return plain(self, nest, fill, *args, **kwargs)
    monkeypatch.setattr(schedule, "NestWords", Watched)
    monkeypatch.setattr(schedule.LoopGroup, "call", call)
    program_of(PROGRAMS[name])
    for fill in filled:
        assert fill.written == fill.needed
    assert filled or name == "softmax"


def test_words_follow_the_structure_only():
    """The code of a nest is the same for other sizes, strides, offsets and numbers."""
    def codes(n, m, at, number):
        base = T.arange(float(n * m + 40))
        base.tolist()
        made = program_of(lambda: [base[at:at + n * m].reshape(n, m)[:, 1:] * number + 1])
        return [step.code for step in made.steps]
    assert codes(5, 7, 3, 2.0) == codes(9, 33, 11, -1.5)


