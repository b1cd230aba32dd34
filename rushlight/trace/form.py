"""A description without its sizes.

Its form is which primitives on layouts of how many axes, which signatures and layouts are the same,
how operands are wired. Its sizes are a flat tuple: shape and strides of each layout, parameters that
are sizes, offsets, bytes of donated buffers.
"""
from __future__ import annotations

from itertools import count

from ..layout import Layout
from .graph import CHOSEN, choices, found_chosen
from .record import Compound, Signature

SIZES = {"shape", "size", "sizes", "n", "offset", "groups"}       # parameters that are sizes; others belong to the form


class Form:
    """The form of a description (`key`) and its sizes (`values`): the same values however its applications are bundled.

    `merged`: which input of the description each input of the graph of applications is. `starts`: where
    in their buffers inputs begin, by number and layout. `chosen`: at which places of `values` offsets stand that no key has.
    """

    __slots__ = ("key", "values", "merged", "starts", "layouts", "signatures", "made_of", "offsets", "places_of_offsets",
                 "chosen")

    def __init__(self, d):
        self.layouts: dict = {}         # -> number, in the order in which they are met
        self.signatures: dict = {}
        self.made_of: list = []         # of each signature: numbers of its layouts
        self.offsets: list = []
        pattern: list = []              # kinds of what is met, and which layouts and signatures are the same
        places: dict = {}
        wiring, (donated, leaves) = self.wire(d.key, places, pattern), d.key[-2:]
        self.chosen = self.put_chosen(d.chosen)
        self.merged = [~number for number, _ in places]
        self.starts = {place: d.inputs[~place[0]][1] for place in places}
        self.key = (tuple(wiring), tuple(pattern), tuple([n > 0 for n in donated]),
                    tuple([leaves[n] for n in self.merged]))
        values: list = []
        for l in self.layouts:
            values.extend(l.shape)          # += would ask Size, which makes a Size of all
            values.extend(l.strides)
        for sig in self.signatures:
            values += sig.told[2]
        self.values = (*values, *self.offsets, *donated)
        self.places_of_offsets = range(len(values), len(values) + len(self.offsets))
        self.chosen = [len(values) + k for k in self.chosen]

    def put_chosen(self, given: list) -> list:
        """Offsets that the key leaves out are sizes like the others; returns which they are."""
        places = [k for k, offset in enumerate(self.offsets) if offset == CHOSEN] if given else []
        for k, offset in zip(places, given, strict=True):
            self.offsets[k] = offset
        return places

    def wire(self, key, places, pattern) -> list:
        """The key with numbers in place of signatures, and without offsets; inputs are told apart by layouts, too.

        What is at a place follows from the signature before it, so numbers are not mistaken.
        """
        offsets, wiring, known = self.offsets, [], {}
        add, parts = wiring.append, iter(key[:-2])
        views = before = at = None
        for part in parts:
            kind = type(part)
            if kind is int:
                if before:
                    offsets += before[at]
                if part >= 0:
                    offsets.append(next(parts))
                else:
                    part = ~places.setdefault((part, views[at]), len(places))
                at += 1
            elif kind is bool:
                if before:
                    offsets += before[at]
            else:
                found = known.get(part)
                if found is None:
                    found = known[part] = len(known), *self.met(part, pattern)
                part, views, before = found
                at = 0
            add(part)
        return wiring

    def met(self, sig, pattern) -> tuple:
        """(how operands are seen, offsets within a bundle before each of them) of a signature that is new here."""
        if type(sig) is not Compound:
            self.number(sig, pattern)
        else:
            kind, signatures, *_ = sig.told or told_of_bundle(sig)
            pattern.append(kind)
            for inner in signatures:
                self.number(inner, pattern)
        return seen_by(sig)

    def number(self, sig, pattern) -> None:
        """Add a signature's number to the pattern and, if it is new, what it is made of."""
        signatures, layouts = self.signatures, self.layouts
        known = len(signatures)
        pattern.append(number := signatures.setdefault(sig, known))
        if number == known:
            kind, seen, *_ = told_of(sig)
            pattern.append(kind)
            self.made_of.append(numbers := [layouts.setdefault(l, len(layouts)) for l in seen])
            pattern += numbers


def owners(d) -> tuple[list, dict]:
    """Whose offsets are: (signature, operand) of each, None within bundles; and of each (input, layout), all that see it."""
    offsets, inputs, parts = [], {}, iter(d.key[:-2])
    for part in parts:
        kind = type(part)
        if kind is not int and kind is not bool:
            sig, at, (views, before) = part, 0, seen_by(part)
            continue
        if before:
            offsets += [None] * len(before[at])
        if kind is bool:
            continue
        if part >= 0:
            next(parts)
            offsets.append((sig, at))
        else:
            inputs.setdefault((part, views[at]), []).append((sig, at))
        at += 1
    return offsets, inputs


def seen_by(sig) -> tuple:
    """(how operands are seen, offsets within a bundle before each of them) of a signature that was told."""
    return sig.told[2:4] if type(sig) is Compound else (sig.told[3], None)


kinds: dict = {}                # signatures and bundles without their sizes -> a number that no other kind has
KINDS = 20000
_numbers_of_kinds = count()


def told_of(sig: Signature) -> tuple:
    """(kind, layouts, parameters that are sizes, how operands are seen) of a signature."""
    found = sig.told
    if found is None:
        layouts, sizes, params = [*sig.layouts, sig.out], [], []
        for name, value in sig.params.items():
            if isinstance(value, Layout):
                layouts.append(value)
                value = value.ndim
            elif name in SIZES:
                numbers = _numbers(value)
                sizes += numbers
                value = len(numbers)
            params.append((name, value))
        kind = sig.prim, sig.dtypes, sig.dtype, tuple([l and l.ndim for l in layouts]), tuple(params)
        found = sig.told = (number_of(kind), tuple([l for l in layouts if l]), tuple(sizes),
                            tuple([l for l in sig.layouts if l]))
        if found[0] in choices:
            found_chosen.append((sig, choices[found[0]]))
    return found


def told_of_bundle(bundle: Compound) -> tuple:
    """(kind, signatures, how operands are seen, offsets within before each of them and after the last, operands of each
    signature: the number of one before it, or None if they are given)."""
    views, before, wirings = [], [[]], []
    for sig, wiring, numbers in bundle.steps:
        for seen, w in zip(told_of(sig)[3], wiring, strict=True):
            if w is None:
                views.append(seen)
                before.append([])
            else:
                before[-1].append(w[1])
        wirings.append((tuple([w and w[0] for w in wiring]), numbers))
    signatures = tuple([sig for sig, _, _ in bundle.steps])
    bundle.told = (number_of(tuple(wirings)), signatures, tuple(views), tuple(map(tuple, before)),
                   tuple([wiring for wiring, _ in wirings]))
    return bundle.told


def number_of(kind: tuple) -> int:
    number = kinds.get(kind)
    if number is None:
        if len(kinds) > KINDS:
            kinds.clear()
            choices.clear()
        number = kinds[kind] = next(_numbers_of_kinds)
    return number


def _numbers(value) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
