"""Plans: compiled graphs, found by key and bound to buffers and numbers of the moment.

Binding is one vectorised addition: every address in the args blocks is a base (an input, an
output, the arena) plus an offset known at compile time. Then runs of native steps are one call
each; host steps run between them.
"""
from __future__ import annotations

import ctypes
from collections import OrderedDict

import numpy as np

from .. import config, errors
from ..runtime import memory
from ..runtime.run import COMMAND_BYTES, run as run_native
from ..storage import is_shared
from ..trace import periods, record
from ..trace.flush import to_its_end
from ..trace.form import Form
from ..trace.graph import describe, spelled_out
from .memory import lay_out
from .recipe import families, plain_recipe, variant_of, variants
from .repeat import lowered

LIMIT = 4096                    # plans kept; the least recently used go first
BYTES = 256 << 20               # and about as much memory for all of them
FEW = 16                        # addresses or numbers that are written quicker one by one
EXACT = 1 << 53                 # whole numbers up to here are float64s
CELLS = {"float32": ctypes.c_float.from_address, "float64": ctypes.c_double.from_address,
         "int64": ctypes.c_int64.from_address, "int32": ctypes.c_int32.from_address,
         "uint32": ctypes.c_uint32.from_address}
plans: OrderedDict = OrderedDict()
held = 0                        # bytes of `plans`
hits = misses = 0
generation = 0                  # how often all plans were forgotten


observer = None                 # while a step is recorded for replay: told of each flush (replay/recording.py)
watcher = None                  # while somebody profiles: what runs goes through its hands (runtime/events.py)


def run(nodes) -> None:
    """Compute pending nodes: by a known plan, or by one compiled now.

    Ctrl-C waits for the end, unless the plan is known and could be run again.
    """
    d = describe(nodes)
    plan = known(d)
    if plan is None or not plan.may_stop or observer is not None or config.debug.value or watcher is not None:
        return to_its_end(_run_whole if watcher is None else _run_watched, (nodes, d))
    noted(d.key, plan)
    plan.execute(d)


def _run_watched(work) -> None:
    watcher.flush(_run_whole, work)


def _run_whole(work) -> None:
    nodes, d = work
    if observer is not None:
        return observer(still_plan(d) if d.chosen else plan_of(nodes, d), d)
    if config.debug.value:
        from ..runtime import profile
        profile.run(nodes, d)
    else:
        plan_of(nodes, d).execute(d)


def plan_of(nodes, d):
    """The plan of a description."""
    plan = known(d)
    if plan is None:
        return _new_plan(nodes, d)
    noted(d.key, plan)
    return plan


def known(d):
    """The plan of a description, if there is one: for chosen offsets one that they can be written into, or their own."""
    plan = plans.get(d.key)
    if not d.chosen or plan is not None and (d.chosen == plan.chosen or plan.move(d.chosen)):
        return plan
    return plans.get((*d.key, *d.chosen))


def noted(key, plan) -> None:
    """A plan that was found is the one used last."""
    global hits
    hits += 1
    if key in plans:
        plans.move_to_end(key)
    if periods.begun or periods.growing:
        periods.met_again(record.pending.first, record.pending.pieces, len(record.pending.nodes), plan)


def _new_plan(nodes, d):
    """A plan for a key that is not known; the same applications may be known in other bundles."""
    global misses
    variant, form, among_applications = named(d)
    shared = plans.get(among_applications)
    misses += shared is None
    plan = shared or made_for(d, variant, form)
    if d.chosen and plan.moves:
        if plan is shared:                  # with other descriptions
            plan = made_for(d, variant, form)
        plan.chosen = d.chosen
        keep(d.key, plan)
    else:
        for name in ((*d.key, *d.chosen), among_applications):
            keep(name, plan)
    if record.pending.pieces is not None:
        record.pending.pieces.run(plan)
    return plan


def still_plan(d):
    """A plan for the chosen offsets of a description as they are, that nobody moves: what is replayed keeps its plans."""
    variant, form, among_applications = named(d)
    plan = plans.get(among_applications)
    if plan is None:
        plan = made_for(d, variant, form)
        keep(among_applications, plan)
    return plan


def made_for(d, variant, form):
    return make(d, variant, form) if watcher is None else watcher.compile(make, d, variant, form)


def named(d) -> tuple:
    """(variant, form, the key of its applications) of a description."""
    form = Form(d)
    variant = variant_of(d, form)
    return variant, form, ((spelled_out(d).key if variant is None else (variant, form.values)), *form.merged)


def is_watched() -> bool:
    """Whether steps are told or checked: then the passes run always."""
    return bool(config.debug.value or config.check.value or config.show.value)


def keep(key, plan) -> None:
    """Remember a plan; the least recently used ones make room."""
    global held
    before = plans.pop(key, None)
    if before is not None:
        held -= before.size(key)
    held = (held if plans else 0) + plan.size(key)
    plans[key] = plan
    while len(plans) > LIMIT or held > BYTES and len(plans) > 1:
        oldest, gone = plans.popitem(last=False)
        held -= gone.size(oldest)


def make(d, variant, form) -> Plan:
    """A plan for a new description."""
    if variant is not None and not is_watched():
        return Plan(*variant.recipe(d, form))
    e = spelled_out(d)
    return Plan(plain_recipe(e.nodes, e), (), form)


def forget(_value=None) -> None:
    """Plans made under another setting that changes what is made of a graph are not for this one."""
    global generation
    with record.lock:
        generation += 1
        plans.clear()
        variants.clear()
        families.clear()
        lowered.clear()


config.winograd.watchers.append(forget)


class Plan:
    """A recipe with its sizes: args blocks, a table of commands, an arena; fixed for the plan's life."""

    def __init__(self, recipe, sizes, form):
        """`form`: of the description, as it is told to the recipe."""
        self.recipe = recipe
        numbers = np.array(sizes, np.int64)
        self.nbytes = recipe.nbytes.bind(numbers).tolist()
        self.offsets, self.arena_bytes = lay_out(recipe.arena, self.nbytes)
        self.words = recipe.take_words(numbers)
        self.address = self.words.__array_interface__["data"][0]
        self.words[recipe.own_places] = self.address + recipe.own_offsets
        self.host_bases, self.host_slots = recipe.host_bases.tolist(), recipe.host_slots.tolist()
        self.commands = np.stack([recipe.addresses, self.address + 8 * recipe.starts, recipe.units.bind(numbers),
                                  recipe.grains.bind(numbers)], 1)
        first = self.commands.__array_interface__["data"][0]
        self.segments = [[first + COMMAND_BYTES * s[0], s[1]] if type(s) is list else s for s in recipe.segments]
        self.cells = memoryview(self.words)
        self.place(numbers)
        self.few_numbers = self.number_cells()
        self.merged = form.merged           # inputs of the description by those of the recipe
        self.moves = self.what_moves(form)  # (sizes of the form, where chosen offsets stand among them)
        self.chosen: list = []              # what they are now
        self.may_stop = not recipe.donors and all(type(s) is list for s in recipe.segments)
        self.sources = None
        self.output_bytes = None if recipe.donors else [self.nbytes[slot] for slot in recipe.output_slots]
        self.host_signatures: dict = {}
        self.bound = None       # whose buffers the words hold, if that is known (replay/program.py)

    def place(self, numbers) -> None:
        """What is added to which base: where in a slot each address points."""
        recipe, base = self.recipe, np.zeros(len(self.nbytes), np.int64)
        base[list(self.offsets)] = list(self.offsets.values())
        self.addends = recipe.offsets.bind(numbers) + base[recipe.slots]
        self.host_addends = (recipe.host_offsets.bind(numbers) + base[recipe.host_slots]).tolist()
        self.few_places = len(recipe.places) <= FEW and list(zip(*map(
            np.ndarray.tolist, (recipe.places, recipe.which, self.addends))))

    def what_moves(self, form):
        """None unless it was made by a formula in which all chosen offsets vary."""
        recipe = self.recipe
        if not form.chosen or recipe.formula is None or not recipe.fit.varies(form.chosen):
            return None
        return list(form.values), form.chosen

    def move(self, chosen) -> bool:
        """Write other chosen offsets into the words; False if they ask for another plan."""
        if self.moves is None:
            return False
        values, places = self.moves
        for place, offset in zip(places, chosen):
            values[place] = offset
        sizes = self.recipe.sizes(tuple(values))
        if sizes is None:
            return False
        numbers, recipe = np.array(sizes, np.int64), self.recipe
        if recipe.nbytes.bind(numbers).tolist() != self.nbytes:
            return False
        recipe.words.write(numbers, self.words)
        recipe.units.write(numbers, self.commands[:, 2])
        recipe.grains.write(numbers, self.commands[:, 3])
        self.place(numbers)
        self.chosen, self.bound = chosen, None
        return True

    def size(self, key) -> int:
        """About how many bytes it takes to keep this plan under a key."""
        own = 8 * (len(self.words) + self.commands.size + 2 * len(self.addends)) + 100 * len(self.nbytes) + 20 * len(key)
        return own + (0 if self.recipe.formula else self.recipe.size)

    def execute(self, d, watch=None) -> None:
        """Run on the buffers and numbers of one description; outputs are handed over only at the end.

        `watch` is called in place of `run_segment` (runtime/profile.py).
        """
        arena = memory.allocate(self.arena_bytes) if self.arena_bytes else None
        outputs = self.take_over(d)
        bases, _held = self.bind(d, arena, outputs)
        self.set_numbers(d.scalars)
        self.walk(bases, d, watch)
        for k, slot in self.recipe.kept:
            d.outputs[k].buffer = outputs[slot]

    def bind(self, d, arena, outputs) -> tuple:
        """Write every address into the words; the list of bases, and buffers to hold on to meanwhile."""
        recipe = self.recipe
        bases = [arena.address if arena is not None else 0]
        bases += [b.address for b in outputs]
        held, inputs, leaves = [], d.inputs, d.leaves
        for number, itemsize in self.sources or self.find_sources():
            leaf, offset = inputs[number]
            buffer = leaves[leaf].buffer
            if buffer.shared and not buffer.has_slack:
                held.append(buffer := _with_slack(leaves[leaf]))
            bases.append(buffer.address + offset * itemsize if offset else buffer.address)
        if recipe.whole_leaves or recipe.shifted:
            self.bind_leaves(d, bases)
        self.bound = None
        if self.few_places is False:
            self.words[recipe.places] = np.array(bases, np.int64)[recipe.which] + self.addends
        else:
            for place, which, addend in self.few_places:
                self.cells[place] = bases[which] + addend
        return bases, held

    def find_sources(self) -> list:
        """Which input of a description each input slot shows, and the bytes of its elements."""
        sizes, merged = self.recipe.itemsizes, self.merged
        self.sources = [(merged[number], sizes[number]) for _, number in self.recipe.inputs]
        return self.sources

    def bind_leaves(self, d, bases) -> None:
        """Add where memory begins that is written to as a whole, and where in it inputs stand."""
        recipe = self.recipe
        bases += [d.leaves[leaf].buffer.address for _, leaf in recipe.whole_leaves]
        for _, number, target in recipe.shifted:
            base = bases[recipe.bases[target]] + self.offsets.get(target, 0)
            bases.append(base + d.inputs[self.merged[number]][1] * recipe.itemsizes[number])

    def number_cells(self):
        """Where numbers stand as objects of ctypes; None if they are many or not all of a kind that ctypes knows."""
        places = self.recipe.scalar_places
        if sum(len(numbers) for *_, numbers in places) > FEW or any(d.name not in CELLS for d, *_ in places):
            return None
        return [(CELLS[d.name](self.address + 8 * int(k)), n) for d, at, numbers in places for k, n in zip(at, numbers)]

    def set_numbers(self, scalars) -> None:
        """Write the Python numbers of the moment into the words."""
        try:
            for cell, n in self.few_numbers:
                number = scalars[n]
                if number.__class__ is not float and not -EXACT < number < EXACT:
                    return self.set_any_numbers(scalars)
                cell.value = number
        except TypeError:       # there is no list, or a number is of another kind than the operation computes in
            self.set_any_numbers(scalars)

    def set_any_numbers(self, scalars) -> None:
        for dtype, at, numbers in self.recipe.scalar_places:
            self.words[at] = scalar_bits([scalars[n] for n in numbers], dtype)

    def walk(self, bases, d, watch=None) -> None:
        """Run what is bound."""
        self.cells[0] = 0
        for segment in self.segments:
            if watch is None:
                self.run_segment(segment, bases, d)
            else:
                watch(self, segment, bases, d)

    def run_segment(self, segment, bases, d, watched=True) -> None:
        if watcher is not None and watched:
            return watcher.segment(self, segment, bases, d)
        if type(segment) is not list:
            return self.run_host(segment, bases, d)
        run_native(segment[0], segment[1], self.address)
        if self.cells[0]:
            self.fail(d)

    def take_over(self, d) -> list:
        """Memory for each output: that of an input that it replaces, or new."""
        if self.output_bytes is not None:
            return [memory.allocate(n) for n in self.output_bytes]
        leaf_of, leaves, nbytes = self.recipe.donors.get, d.leaves, self.nbytes
        return [memory.allocate(nbytes[slot]) if (leaf := leaf_of(slot)) is None else leaves[leaf].buffer
                for slot in self.recipe.output_slots]

    def address_of(self, place, bases) -> int:
        """Where what host steps touch as number `place` is."""
        base = bases[self.host_bases[place]] if self.host_slots[place] else self.address
        return base + self.host_addends[place]

    def host_signature(self, step, d):
        """Of what a host step does: the same in all descriptions of this plan, whose steps take long to tell one by one."""
        sig = self.host_signatures.get(step.number)
        if sig is None:
            sig = self.host_signatures[step.number] = d.nodes[step.number].sig
        return sig

    def run_host(self, step, bases, d):
        out = self.address_of(step.out, bases)
        if step.extra is not None:
            return d.extras[step.extra].draw_into(out)
        sig, scalars = self.host_signature(step, d), iter(step.scalars)
        arrays = [np.asarray(d.scalars[next(scalars)]).astype(dt.numpy) if place is None else
                  array_at(self.address_of(place, bases), dt, layout.shape, layout.strides)
                  for place, layout, dt in zip(step.operands, sig.layouts, sig.dtypes)]
        try:
            result = sig.prim.reference(*arrays, **sig.params)
        except (IndexError, RuntimeError) as error:
            raise errors.blame(error, d.nodes[step.number]) from None
        if sig.numel:
            array_at(out, sig.dtype, sig.shape, None)[...] = np.asarray(result).reshape(sig.shape)

    def fail(self, d):
        """Raise what an index check reported; the line is that of this recording, not of the plan's first."""
        check = self.recipe.checks[int(self.words[0]) - 1]
        node, index = d.nodes[check.number], int(self.words[1])
        params, prim = node.sig.params, node.sig.prim
        if prim.failure is not None:
            raise errors.blame(prim.failure(index, node.sig.layouts[0].ndim, **params), node)
        size = params["size"][check.axis] if "size" in params else node.sig.shape[check.axis]
        raise errors.blame(errors.index_error(params["error"], index, check.axis, size), node)


def _with_slack(leaf):
    """A copy of a leaf's memory that vector loads may overrun; it stays the leaf's, unless others see the original."""
    buffer = leaf.buffer
    copy = memory.allocate(buffer.nbytes)
    copy.as_numpy(np.uint8, (buffer.nbytes,))[...] = buffer.as_numpy(np.uint8, (buffer.nbytes,))
    owners = leaf.owner if type(leaf.owner) is tuple else (leaf.owner,)
    storages = [s for r in owners if (s := r()) is not None]
    if not any(s.share is not None and is_shared(s) for s in storages):
        leaf.buffer = copy
        for s in storages:
            s.share = None
    return copy


def array_at(address, dtype, shape, strides) -> np.ndarray:
    """A NumPy view of memory that the caller keeps alive."""
    shape = tuple(shape)
    if 0 in shape:
        return np.empty(shape, dtype.numpy)
    size = dtype.itemsize
    last = sum((n - 1) * s for n, s in zip(shape, strides)) if strides is not None else np.prod(shape, dtype=int) - 1
    window = memory.Buffer.wrap(int(address), int(size * (1 + last)))
    return window.as_numpy(dtype.numpy, shape, None if strides is None else tuple(s * size for s in strides))


def scalar_bits(numbers, dtype):
    """Python numbers as words whose low bytes hold the bits of `dtype`."""
    with np.errstate(all="ignore"):
        packed = np.asarray(numbers).astype(dtype.numpy) if dtype.rank != 1 else np.array(
            [int(n) & ((1 << 8 * dtype.itemsize) - 1) for n in numbers], np.uint64)
    if packed.dtype.itemsize == 8:
        return packed.view(np.int64)
    return packed.view(f"u{packed.dtype.itemsize}").astype(np.int64)
