"""Recipes: programs as arrays of numbers, of which some follow from sizes; and how sizes find theirs.

A graph that was seen in other sizes before belongs to a family. When a family has been met often
enough, the passes run once on numbers that remember how they were computed (sizes.py). From then on a new
size is a few hundred steps of arithmetic, the check that everything would be decided as it was,
and a new layout of the arena. Where a check fails the passes run again. Which sizes of a family are equal
only by chance shows as it is met (trace/likeness.py).
"""
from __future__ import annotations

import gc
from collections import OrderedDict, deque
from contextlib import contextmanager
from weakref import WeakValueDictionary

import numpy as np

from ..cpu import jit
from ..trace import periods
from ..trace.form import owners
from ..trace.graph import build, choose, spelled_out
from ..trace.likeness import Retelling, Retold, Sketch
from ..trace.record import pending
from .kernel import Call, Code, Ref, Scalar
from .lower import ARENA, INPUT, LEAF, OUTPUT, SHIFTED, Host
from .pipeline import compile_graph
from .sizes import Fit, Number, Trace, plain
from .stored import Shelf

SEEN = 2                # sizes that the passes treat before they are traced
REMEMBERED = 8          # sizes by which a family tells what varies
RECIPES = 64            # of one family
FORMS = 512

variants: OrderedDict = OrderedDict()               # key of a form -> variant of a family
families: WeakValueDictionary = WeakValueDictionary()       # key of a sketch -> family
bound = traced = 0
failures: deque = deque(maxlen=16)      # why families could not be traced


def variant_of(d, form) -> Variant | None:
    """The variant that a description belongs to: of graphs of the same applications, bundled one way or another."""
    try:
        variant = variants.get(form.key)
    except TypeError:                   # a parameter without a hash
        return None
    if variant is None:
        sketch = Sketch(d, form)
        key = sketch.key()
        family = families.get(key)
        if family is None:
            family = families[key] = Family(sketch, form)
        variant = variants[form.key] = family.variant(sketch.likeness)
        while len(variants) > FORMS:
            variants.popitem(last=False)
    else:
        variants.move_to_end(form.key)
    return variant


def plain_recipe(nodes, d) -> Recipe:
    """By the passes, for one size."""
    with no_collections():
        return Recipe(compile_graph(build(nodes, d)))


@contextmanager
def no_collections():
    """Passes make many small objects and no cycles that matter: a tenth of their time went into looking for those."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Variant:
    """Graphs of one form: of a family, those in which the same sizes are equal."""

    __slots__ = ("family", "likeness", "retellings", "starts", "__weakref__")

    def __init__(self, family, likeness):
        self.family, self.likeness = family, likeness
        self.retellings: dict = {}      # likeness of a recipe -> how sizes are told to it
        self.starts: dict = {}          # where inputs began the last time

    def recipe(self, d, form) -> tuple:
        """(recipe, its sizes, how it is told the form) of a description: a known recipe that fits, or one made now."""
        return self.family.recipe(self, d, form)

    def told(self, form, likeness):
        """A form in the terms of a likeness; None if that takes things for the same which are not."""
        if likeness not in self.retellings:
            self.retellings[likeness] = self.retelling(likeness)
        retelling = self.retellings[likeness]
        return retelling and retelling.form(form)

    def retelling(self, likeness):
        family = self.family
        if not likeness.is_finer(self.likeness):
            return None
        return Retelling(self.likeness, likeness, family.lengths, family.counts)

    def watch_inputs(self, d, form, inputs):
        """Inputs that begin elsewhere than the time before are chosen by data."""
        if len(d.inputs) > len(d.leaves):
            for (place, start), before in zip(form.starts.items(), self.starts.values()):
                for owner in inputs[place] if start != before else ():
                    choose(*owner)
        self.starts = form.starts


class Family:
    """Graphs of one sketch: the sizes that were met, and recipes for ranges of them."""

    __slots__ = ("shelf", "variants", "likeness", "lengths", "counts", "seen", "recipes", "found", "missed", "closed",
                 "moved", "__weakref__")

    def __init__(self, sketch, form):
        self.variants: WeakValueDictionary = WeakValueDictionary()      # by their classes
        self.lengths, self.counts = sketch.lengths, sketch.counts
        self.likeness = sketch.likeness     # of all that was met: what is the same in all graphs
        self.seen: deque = deque(maxlen=REMEMBERED)
        self.shelf = Shelf(sketch, form)
        self.recipes: list[Recipe] = list(self.shelf.for_ranges())
        for recipe in self.recipes:
            self.tell_apart(recipe.likeness)
        self.found = self.missed = 0    # how often a recipe fitted, and how often none did
        self.moved: set = set()         # numbers of offsets that changed
        self.closed = False     # nothing is gained by tracing

    def variant(self, likeness) -> Variant:
        classes = likeness.classes()
        variant = self.variants.get(classes)
        if variant is None:
            variant = self.variants[classes] = Variant(self, likeness)
        return variant

    def recipe(self, variant, d, form) -> tuple:
        known = self.known(variant, form)
        if known is not None:
            return known
        self.missed += 1
        self.tell_apart(variant.likeness)
        told = variant.told(form, self.likeness)
        offsets, inputs = owners(d)
        self.watch_offsets(offsets, told)
        variant.watch_inputs(d, form, inputs)
        is_chosen = bool(d.chosen)
        d = spelled_out(d)
        if self.missed == 1:
            periods.watch(pending.first, pending.pieces, d.nodes, len(pending.nodes))
        made = self.traced(d, told) if self.pays(is_chosen) else None
        self.seen.append(told.values)
        return made or (self.made_for(variant, form.values, d), (), form)

    def known(self, variant, form) -> tuple | None:
        """What `recipe` gives, if a recipe fits."""
        global bound
        told: dict = {}
        for recipe in self.recipes:
            likeness = recipe.likeness
            if likeness not in told:
                told[likeness] = variant.told(form, likeness)
            as_told = told[likeness]
            sizes = as_told and recipe.sizes(as_told.values)
            if sizes is not None:
                self.found += 1
                bound += 1
                self.recipes.remove(recipe)
                self.recipes.insert(0, recipe)
                return recipe, sizes, as_told
        return None

    def tell_apart(self, likeness) -> None:
        """From now on what is the same here and there counts as the same."""
        if not self.likeness.is_finer(likeness):
            before, self.likeness = self.likeness, self.likeness.apart(likeness)
            again = Retelling(before, self.likeness, self.lengths, self.counts)
            self.seen = deque(map(again.values, self.seen), maxlen=REMEMBERED)

    def made_for(self, variant, values, d) -> Recipe:
        """By the passes, here or in an earlier process."""
        name = repr((*variant.likeness.classes(), values))
        recipe = self.shelf.load(name)
        if recipe is None:
            recipe = plain_recipe(d.nodes, d)
            self.shelf.store(name, recipe)
        return recipe

    def watch_offsets(self, owners, told):
        """Remember which offsets ever were others than the time before, and that data chooses them."""
        if self.seen:
            for k, (place, owner) in enumerate(zip(told.places_of_offsets, owners, strict=True)):
                if self.seen[-1][place] != told.values[place]:
                    self.moved.add(k)
                    if owner:
                        choose(*owner)
        self.moved.update([k for k, owner in enumerate(owners)
                           if owner and owner[0].chosen and owner[1] in owner[0].chosen])

    def pays(self, is_chosen) -> bool:
        """A trace takes a few times as long as the passes: there are not to be more than recipes are good for."""
        return not self.closed and self.missed > SEEN - is_chosen and \
            len(self.recipes) < min(self.found + self.missed.bit_length(), RECIPES)

    def traced(self, d, told):
        """What `recipe` gives: a recipe for what varies between the sizes that were met."""
        global traced
        groups: dict = {}           # places that were always equal are one variable
        offsets = told.places_of_offsets
        for place, values in enumerate(zip(*self.seen, told.values)):
            if place in offsets:
                if place - offsets.start in self.moved:         # offsets are chosen by data: equal ones are so by chance
                    groups[place] = [place]
            elif len(set(values)) > 1:
                groups.setdefault(values, []).append(place)
        try:
            recipe = trace(d, self.likeness, told.values, list(groups.values()))
        except (TypeError, AttributeError, LookupError, ArithmeticError) as error:
            failures.append(error)
            self.closed = True
            return None
        self.recipes.insert(0, recipe)
        self.shelf.keep_for_range(recipe)
        traced += 1
        return recipe, recipe.sizes(told.values), told


def trace(d, likeness, values, places) -> Recipe:
    """The passes on numbers that vary at `places`."""
    following = Trace()
    numbers = list(values)
    for same in places:
        variable = following.variable(values[same[0]])
        for place in same:
            numbers[place] = variable
    with no_collections():
        program = compile_graph(build(d.nodes, d, Retold(d, likeness, numbers)))
        return Recipe(program, following, values, places, likeness)


class Recipe:
    """A program as arrays; what a plan of it needs beyond them are `sizes`."""

    def __init__(self, program, following: Trace | None = None, values=(), places=(), likeness=None):
        self.steps = [Brief(s) if isinstance(s, Call) else s for s in program.steps]
        self.donors, self.checks, self.itemsizes = program.donors, program.checks, program.inputs
        self.numbers: dict[int, Number] = {}        # that follow from sizes, in the order of `sizes`
        self.number_bases(program)
        self.codes = codes_of(program)
        self.lay_out_blocks(program)
        self.take_commands(program)
        self.nbytes = self.column([s.nbytes for s in program.slots])
        self.arena = [(n, s.first, s.last) for n, s in enumerate(program.slots)
                      if s.kind == ARENA and s.first is not None]
        self.formula = following and following.formula(self.numbers.values())
        self.fit, self.likeness = Fit(values, places), likeness
        self.insert_addresses(jit.addresses(list(self.codes)))

    # -- between processes ------------------------------------------------------------------------------
    def __getstate__(self) -> dict:
        codes = [(code.symbol, jit.key_of(code)) for code in self.codes]
        return self.__dict__ | {"codes": codes, "numbers": None}

    def link(self) -> bool:
        """Put in the addresses of this process, if all machine code is there."""
        found = jit.kept(self.codes)
        if found is not None:
            self.insert_addresses(found)
        return found is not None

    def insert_addresses(self, addresses: list[int]) -> None:
        addresses = np.array(addresses, np.int64)
        self.words.known[self.code_places] = addresses[self.code_numbers]
        self.addresses = addresses[self.called]

    # -- sizes ------------------------------------------------------------------------------------------
    def sizes(self, values) -> list[int] | None:
        """The numbers for these sizes, None if something must be decided anew."""
        variables = self.fit.variables(values)
        return None if variables is None else self.formula.evaluate(variables)

    def take_words(self, sizes: np.ndarray) -> np.ndarray:
        """The args blocks of a plan; of a recipe without a formula there is only one."""
        words = self.words.bind(sizes)
        if self.formula is not None:
            return words.copy()
        self.words = None
        return words

    @property
    def size(self) -> int:
        """About how many bytes it takes to keep it."""
        return 32 * len(self.places) + 500 * len(self.steps)

    def column(self, numbers) -> Column:
        known, at, which = [], [], []
        for place, n in enumerate(numbers):
            if type(n) is Number:
                self.numbers.setdefault(n.index, n)
                at.append(place)
                which.append(n.index)
                n = 0
            known.append(n)
        order = {index: k for k, index in enumerate(self.numbers)}
        return Column(np.array(known, np.int64), np.array(at, np.intp),
                      np.array([order[index] for index in which], np.intp))

    # -- arrays -----------------------------------------------------------------------------------------
    def number_bases(self, program) -> None:
        """Where the base address of each slot stands in the vector of bases: arena, outputs, inputs."""
        slots = list(enumerate(program.slots))
        self.output_slots = [n for n, s in slots if s.kind == OUTPUT]
        self.inputs = [(n, s.number) for n, s in slots if s.kind == INPUT]
        self.whole_leaves = [(n, s.number) for n, s in slots if s.kind == LEAF]
        self.shifted = [(n, s.number, s.target) for n, s in slots if s.kind == SHIFTED]
        self.bases = {n: 0 for n, s in slots if s.kind == ARENA}
        ordered = self.output_slots + [n for n, *_ in self.inputs + self.whole_leaves + self.shifted]
        self.bases.update((n, 1 + k) for k, n in enumerate(ordered))
        by_number = {n: k for k, (n, s) in enumerate(program.outputs)}
        self.kept = sorted((by_number[n], self.output_slots.index(s)) for n, s in program.outputs)

    def lay_out_blocks(self, program) -> None:
        """One array holds the plan's block and the args block of every call."""
        words: list = [0] * (program.block_bytes // 8)
        scalars: dict = {}
        for number, d, at in program.scalar_refs:
            scalars.setdefault(d, []).append((at // 8, number))
        refs, own, named = [], [], []   # places of addresses: of slots, of the block itself, of code
        self.starts = []
        for call in program.steps:
            if not isinstance(call, Call):
                continue
            self.starts.append(len(words))
            for k, word in enumerate(call.words, len(words)):
                kind = type(word)
                if kind is Ref:
                    refs.append((k, word.slot, word.offset)) if word.slot else own.append((k, word.offset))
                    word = 0
                elif kind is Scalar:
                    scalars.setdefault(word.dtype, []).append((k, word.index))
                    word = 0
                elif kind is Code:
                    named.append((k, self.codes[word]))
                    word = 0
                words.append(word)
        self.words = self.column(words)
        self.code_places, self.code_numbers = np.array(named, np.int64).reshape(-1, 2).T
        self.own_places, self.own_offsets = np.array(own, np.int64).reshape(-1, 2).T
        self.places, self.slots = (np.array([r[n] for r in refs], np.intp) for n in (0, 1))
        self.which = np.array([self.bases[slot] for _, slot, _ in refs], np.intp)
        self.offsets = self.column([offset for *_, offset in refs])
        self.scalar_places = [(d, np.array([at for at, _ in ps], np.intp), [n for _, n in ps])
                              for d, ps in scalars.items()]

    def take_commands(self, program) -> None:
        """Runs of native calls (first command, count) and host steps between them."""
        calls = [s for s in program.steps if isinstance(s, Call)]
        self.called = np.array([self.codes[c.code] for c in calls], np.intp)
        self.starts = np.array(self.starts, np.int64)
        self.units = self.column([c.units for c in calls])
        self.grains = self.column([c.grain for c in calls])
        hosts, self.segments, at = [], [], 0
        for step in program.steps:
            if not isinstance(step, Call):
                self.segments.append(numbered(step, hosts))
                continue
            if self.segments and type(self.segments[-1]) is list:
                self.segments[-1][1] += 1
            else:
                self.segments.append([at, 1])
            at += 1
        self.host_offsets = self.column([ref.offset for ref in hosts])
        self.host_slots = np.array([ref.slot for ref in hosts], np.intp)
        self.host_bases = np.array([self.bases.get(ref.slot, 0) for ref in hosts], np.intp)


class Column:
    """Numbers, some of which follow from sizes."""

    __slots__ = ("known", "at", "which")

    def __init__(self, known, at, which):
        self.known, self.at, self.which = known, at, which

    def bind(self, sizes: np.ndarray) -> np.ndarray:
        if not len(self.at):
            return self.known
        numbers = self.known.copy()
        self.write(sizes, numbers)
        return numbers

    def write(self, sizes: np.ndarray, numbers: np.ndarray) -> None:
        """The same into an array that has the others."""
        numbers[self.at] = sizes[self.which]


def codes_of(program) -> dict:
    """All functions that calls are or name, numbered."""
    calls = [s for s in program.steps if isinstance(s, Call)]
    codes = dict.fromkeys([c.code for c in calls] + [w for c in calls for w in c.words if type(w) is Code])
    return {code: k for k, code in enumerate(codes)}


def numbered(step: Host, refs: list) -> Host:
    """A host step whose operands are numbers in a list of all that host steps touch."""
    def place(ref):
        if ref is not None:
            refs.append(ref)
            return len(refs) - 1
    return step._replace(out=place(step.out), operands=tuple(map(place, step.operands)))


class Brief:
    """What is shown of a call whose words are taken."""

    __slots__ = ("note", "units", "grain", "flops", "bytes")

    def __init__(self, call):
        self.note = call.note
        self.units, self.grain, self.flops, self.bytes = map(plain, (call.units, call.grain, call.flops, call.bytes))
