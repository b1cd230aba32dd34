"""Graphs that differ only in which of their sizes are equal.

Layouts of a graph may be equal because the program makes them so, or because data does: as many boxes of
one class as of another. A *likeness* says of each place of a graph which class of equal things stands there.
What is told apart by any graph of a kind is told apart in all of them (`apart`); so a recipe that was made with
two sizes apart serves those in which they happen to be equal (`Retelling`).
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..layout import layout
from .form import SIZES, Layout, told_of
from .graph import seen_operands
from .record import Compound, Signature


class Likeness:
    """Classes, numbered as they are met: of each application's signature, of each layout that these are made of, of
    each look at an input."""

    __slots__ = ("signatures", "layouts", "inputs")

    def __init__(self, signatures: tuple, layouts: tuple, inputs: tuple):
        self.signatures, self.layouts, self.inputs = signatures, layouts, inputs

    def classes(self) -> tuple[tuple, tuple, tuple]:
        return self.signatures, self.layouts, self.inputs

    def apart(self, other: Likeness) -> Likeness:
        """What is the same in both."""
        return Likeness(*(numbered(zip(a, b)) for a, b in zip(self.classes(), other.classes())))

    def is_finer(self, other: Likeness) -> bool:
        """Whether all that is the same here is the same there."""
        return all(len(set(zip(a, b))) == 1 + max(a, default=-1) for a, b in zip(self.classes(), other.classes()))


def numbered(things: Iterable) -> tuple:
    """The class of each thing: equal ones have the same number."""
    numbers: dict = {}
    return tuple([numbers.setdefault(thing, len(numbers)) for thing in things])


class Sketch:
    """What a description is without its sizes, without which of these are the same, and however it is bundled.

    `kinds` of the applications; `wiring`: where their operands come from, and which values are kept; `donated`: which leaves
    are. `lengths` and `counts`: how many of its sizes are each layout's and each signature's own.
    """

    __slots__ = ("kinds", "wiring", "donated", "lengths", "counts", "likeness")

    def __init__(self, d, form):
        *_, donated, leaves = d.key
        signatures, layouts, known, axes = [], [], {}, [l.ndim for l in form.layouts]
        self.kinds, self.wiring, self.lengths, self.counts = [], [], [], []
        self.donated = tuple([n > 0 for n in donated])
        parts, last = iter(d.key[:-2]), []
        for part in parts:
            numbers = known.get(part) or known.setdefault(part, numbers_of(part, form, axes))
            self.wire(part, parts, last, leaves)
            for whole, own in zip((self.kinds, signatures, layouts, self.lengths, self.counts), numbers):
                whole += own
            last.append(len(self.kinds) - 1)
        self.likeness = Likeness(tuple(signatures), tuple(layouts), tuple([~n for n in form.key[0] if n < 0]))

    def wire(self, part, parts, last, leaves):
        """Add where operands of a signature or a bundle come from; `last`: the applications that make earlier values."""
        given: list = []
        for source in parts:
            if type(source) is bool:
                break
            if source < 0:
                given.append(~leaves[~source])
            else:
                given.append(last[source])
                next(parts)         # an offset
        if type(part) is Compound:
            first, operands = len(self.kinds), iter(given)
            for inner in part.told[4]:
                self.wiring += [next(operands) if n is None else first + n for n in inner]
                self.wiring.append(False)
            self.wiring[-1] = source
        else:
            self.wiring += given
            self.wiring.append(source)

    def key(self) -> tuple:
        return tuple(self.kinds), tuple(self.wiring), self.donated


def numbers_of(part, form, axes) -> tuple:
    """(kinds, numbers of the signatures, of their layouts, lengths, counts) of a signature or a bundle in a form; `axes`: how
    many its layouts have."""
    signatures = part.told[1] if type(part) is Compound else (part,)
    numbers, told = [form.signatures[sig] for sig in signatures], [told_of(sig) for sig in signatures]
    layouts = [l for n in numbers for l in form.made_of[n]]
    return ([kind for kind, *_ in told], numbers, layouts, [2 * axes[l] for l in layouts],
            [len(sizes) for _, _, sizes, _ in told])


class Retelling:
    """How the sizes of graphs of one likeness are told in the terms of a finer one."""

    __slots__ = ("take", "tail", "inputs", "shift")

    def __init__(self, coarse: Likeness, fine: Likeness, lengths: Sequence[int], counts: Sequence[int]):
        self.take, self.tail = [], 0
        for few, many, sizes in ((coarse.layouts, fine.layouts, lengths), (coarse.signatures, fine.signatures, counts)):
            ends = list(accumulate(firsts(sizes, few), initial=self.tail))
            self.tail = ends[-1]
            for k in firsts(few, many):
                self.take += range(ends[k], ends[k + 1])
        self.shift = len(self.take) - self.tail
        self.inputs = firsts(coarse.inputs, fine.inputs)

    def values(self, values: Sequence[int]) -> tuple:
        return (*[values[k] for k in self.take], *values[self.tail:])

    def form(self, form) -> Told:
        places = form.places_of_offsets
        return Told(self.values(form.values), [form.merged[k] for k in self.inputs], [k + self.shift for k in form.chosen],
                    range(places.start + self.shift, places.stop + self.shift))


class Told(NamedTuple):
    """What a form says, in the terms of a likeness."""

    values: tuple
    merged: Sequence[int]
    chosen: list
    places_of_offsets: range


def firsts(things: Sequence, classes: Sequence[int]) -> list:
    """What stands at the first place of each class."""
    first = dict(zip(reversed(classes), range(len(classes) - 1, -1, -1)))
    return [things[first[k]] for k in range(len(first))]


class Retold:
    """The applications of a description with other sizes, told by a likeness: what `build` needs of them.

    Signatures of the applications, offsets of operands that are made here, bytes of donated leaves, the number of the input
    at each look at one, the leaf of each input.
    """

    __slots__ = ("signatures", "offsets", "donated", "inputs", "leaves")

    def __init__(self, d, likeness: Likeness, values):
        numbers, steps = iter(values), list(d.nodes)
        seen = [told_of(step.sig)[1] for step in steps]
        kinds = firsts([l for layouts in seen for l in layouts], likeness.layouts)
        made = [layout(taken(numbers, l.shape), taken(numbers, l.strides)) for l in kinds]
        layouts = map(made.__getitem__, likeness.layouts)
        of_steps = [taken(layouts, of) for of in seen]
        twins = [with_layouts(step.sig, iter(of), numbers)
                 for step, of in zip(firsts(steps, likeness.signatures), firsts(of_steps, likeness.signatures))]
        self.signatures = [twins[k] for k in likeness.signatures]
        looks = [source for step in steps for source, *_ in seen_operands(step)]
        self.offsets = taken(numbers, [source for source in looks if source.buffer is None])
        self.donated, self.inputs = list(numbers), likeness.inputs
        found = {source: k for k, source in enumerate(d.leaves)}
        self.leaves = firsts([found[source] for source in looks if source.buffer is not None], likeness.inputs)


def with_layouts(sig, layouts, numbers) -> Signature:
    """A signature with other layouts, in the order of `told_of`, and other sizes."""
    twin = Signature.__new__(Signature)
    twin.prim, twin.dtypes, twin.dtype = sig.prim, sig.dtypes, sig.dtype
    twin.layouts = tuple([l and next(layouts) for l in sig.layouts])
    twin.out = twin.result = next(layouts)
    twin.shape, twin.numel = twin.out.shape, twin.out.numel
    twin.params = {}
    for name, value in sig.params.items():
        if isinstance(value, Layout):
            value = next(layouts)
        elif name in SIZES:
            value = taken(numbers, value) if isinstance(value, (tuple, list)) else next(numbers)
        twin.params[name] = value
    return twin


def taken(things, like) -> tuple:
    """As many of an iterator's things."""
    return tuple([next(things) for _ in like])
