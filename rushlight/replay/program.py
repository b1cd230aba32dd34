"""A program: what recordings of a function agreed on, run again without the function.

A replay evaluates the guard, writes what changed into the words of its plans (nothing, if all
buffers are where they were), runs them natively, and puts new values where the function would have
put them. Parameters and states of optimisers are written in place by the plan; a gradient or a
result is given new memory only if somebody still holds that of the last replay.
"""
from __future__ import annotations


import ctypes
from ctypes import memmove
from sys import getrefcount as count

import numpy as np

from ..runtime import memory
from ..storage import Storage
from ..tensor import Tensor, wrap
from ..trace import record
from ..trace.flush import flush, leaf, to_its_end
from .guard import Guard
from .recording import ARGUMENT, CONSTANT, MADE, STATE, Known, Number, Shown
from .traced import At

KEPT_ARENA = 1 << 20        # bytes up to which a program keeps its arena between replays
COPIED = 1 << 16            # bytes up to which a new value is copied to where the old one was: nothing moves then


class Line:
    """Stands for a recorded node where an error names its line."""

    __slots__ = ("sig", "where", "__weakref__")

    def __init__(self, sig, where):
        self.sig, self.where = sig, where


class Value:
    """A buffer where a plan expects a realised node."""

    __slots__ = ("buffer",)

    def __init__(self, buffer):
        self.buffer = buffer


class Binding:
    """What a plan is bound to: the part of a Description that it looks at when it runs."""

    __slots__ = ("nodes", "leaves", "inputs", "scalars", "extras", "outputs")


class Step:
    """One plan of a program with all that stays from replay to replay."""

    def __init__(self, segment):
        self.segment, self.plan = segment, segment.plan
        self.d = d = Binding()
        d.nodes = [Line(*line) for line in segment.lines]
        d.inputs, d.scalars, d.extras, d.outputs = list(segment.inputs), list(segment.numbers), (), ()
        self.traced = [(k, at) for k, at in enumerate(segment.numbers) if type(at) is At]
        self.offsets = [(k, leaf, offset, segment.sources[leaf].number)
                        for k, (leaf, offset) in enumerate(segment.inputs) if segment.sources[leaf].kind == ARGUMENT]
        self.recipe = recipe = self.plan.recipe
        slots = recipe.output_slots
        self.donors = {k: recipe.donors[slot] for k, slot in enumerate(slots) if slot in recipe.donors}
        self.own = [k for k in range(len(slots)) if k not in self.donors]
        self.slot_of = dict(recipe.kept)
        self.outputs: list = [None] * len(slots)
        self.arena = self.bases = self.written = self.held = None
        self.put_numbers = number_writer(self.plan, segment.numbers)

    def in_place(self, k) -> int | None:
        """The leaf whose memory output k takes over."""
        return self.donors.get(self.slot_of[k])

    def run(self, leaves, values, tickets, given):
        """Run on these leaves; `outputs` holds the buffers of the results."""
        plan, d = self.plan, self.d
        d.leaves = leaves
        for k, leaf_, offset, n in self.offsets:
            d.inputs[k] = (leaf_, offset + given[n].offset)
        if self.segment.tickets:
            d.extras = [tickets[n] for n in self.segment.tickets]
        self.bind([n.buffer for n in leaves])
        if self.traced:
            self.put_numbers(values)
        if len(plan.segments) > 1 or d.extras:
            plan.walk(self.bases, d)
        elif plan.segments:
            plan.words[0] = 0
            plan.run_segment(plan.segments[0], self.bases, d)

    def bind(self, buffers):
        """Write the addresses, unless the words hold them from the last replay."""
        plan, outputs = self.plan, self.outputs
        for k, leaf_ in self.donors.items():
            outputs[k] = buffers[leaf_]
        for k in self.own:
            if outputs[k] is None:
                outputs[k] = memory.allocate(plan.nbytes[self.recipe.output_slots[k]])
        if self.arena is None and plan.arena_bytes:
            self.arena = memory.allocate(plan.arena_bytes)
        now = [self.arena, *buffers, *outputs, *self.d.inputs] if self.offsets else [self.arena, *buffers, *outputs]
        if plan.bound is not self or now != self.written:
            self.bases, self.held = plan.bind(self.d, self.arena, outputs)
            plan.set_numbers([0 if type(x) is At else x for x in self.segment.numbers])
            plan.bound, self.written = (None, None) if self.held else (self, now)

    def let_go(self):
        """After a replay: large memory goes back to the allocator, which gives it out again at the same place."""
        for k in self.donors:
            self.outputs[k] = None
        if self.plan.arena_bytes > KEPT_ARENA:
            self.arena = self.written = None


C_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def number_writer(plan, numbers):
    """A function that writes the traced ones among a plan's numbers into its words."""
    lines, space, size = [], {}, plan.words.nbytes
    for dtype, places, which in plan.recipe.scalar_places:
        at_of = {n: numbers[n] for n in which if type(numbers[n]) is At}
        if at_of and dtype.name not in C_TYPES:
            return lambda values: plan.set_numbers([values[x] if type(x) is At else x for x in numbers])
        if at_of:
            kind = C_TYPES[dtype.name]
            space[dtype.name] = (kind * (size // ctypes.sizeof(kind))).from_address(plan.address)
            step = 8 // ctypes.sizeof(kind)
            lines += [f"    {dtype.name}[{int(k) * step}] = values[{int(at_of[n])}]"
                      for k, n in zip(places, which) if n in at_of]
    exec("def put_numbers(values):\n" + "\n".join(lines or ["    return"]), space)
    return space["put_numbers"]


class New:
    """A storage that a replay makes, and makes again in place if nobody holds it any more."""

    __slots__ = ("value", "kind", "storage", "node", "tensor", "count", "is_stored", "is_kept")

    def __init__(self, value, kind):
        self.value, self.kind = value, kind
        self.is_stored = self.is_kept = False
        self.storage = self.node = self.tensor = self.count = None

    def counts(self):
        """References to the memory and to what shows it."""
        storage, node, tensor = self.storage, self.node, self.tensor
        return (count(storage), count(node), count(node.buffer), storage.node is node, storage.share is None,
                tensor is None or (count(tensor), len(tensor.__dict__)))

    def is_free(self) -> bool:
        return self.count is not None and self.counts() == self.count

    def forget(self):
        self.storage = self.node = self.tensor = self.count = None


class Program:
    """A replayable call; `free` are the floats that may differ from replay to replay."""

    def __init__(self, recording, free):
        self.recording, self.free, self.replays = recording, set(free), 0
        r = recording
        guard = Guard(r, self.used_storages(), {place.id for place, _ in r.stores}, self.free)
        self.guard, self.moving = guard.function, [n for n, _ in guard.moving]
        self.steps = [Step(s) for s in r.segments]
        self.plan_ends()
        self.touched = [s for s in self.used_sources() if s.kind in (ARGUMENT, STATE)]
        self.number_of = {s: k for k, s in enumerate(self.touched)}
        donated = {src for s in r.segments for src, n in zip(s.sources, s.donated) if n}
        donated |= {target for target, *_ in self.copies}
        self.donated = [k for k, s in enumerate(self.touched) if s in donated]
        for step in self.steps:
            step.known = [self.number_of.get(s) for s in step.segment.sources]
            step.known = None if None in step.known else step.known
        self.new = [New(v, kind) for v, kind in zip(r.new_values, r.new_kinds)]
        self.mark_uses()
        self.gather = self.gatherer()
        self.last: list = []
        self.forget_recording()

    # -- making -----------------------------------------------------------------------------------
    def used_sources(self) -> list:
        r = self.recording
        sources = [src for s in r.segments for src in s.sources]
        sources += [s for s, _ in r.finals] + [s for s, _ in r.versions] + [v for _, v in r.finals] + list(r.new_values)
        sources += [x.source for x in r.reads]
        sources += [x.known for x in self.shown() if type(x) is Shown and x.known]
        return list(dict.fromkeys(sources))

    def used_storages(self) -> set:
        r = self.recording
        used = {r.storage_of(s) for s in self.used_sources() if s.kind in (ARGUMENT, STATE)}
        return used | {x.storage for x in self.shown() if isinstance(x, Tensor)}

    def shown(self) -> list:
        """Every tensor that the call leaves behind or returns, as a template."""
        return [x for _, x in self.recording.stores] + list(_leaves(self.recording.result))

    def plan_ends(self):
        """Which new values are in place already, and which have to be put there."""
        self.puts, self.in_place, self.copies = [], [], []
        for target, value in self.recording.finals:
            if value.kind == MADE:
                step = self.steps[value.segment]
                leaf_ = step.in_place(value.number)
                if leaf_ is not None and step.segment.sources[leaf_] == target:
                    self.in_place.append((target, value))
                    continue
                if leaf_ is None and self.may_be_copied(target, value, step):
                    self.copies.append((target, step, step.slot_of[value.number]))
                    continue
            self.puts.append((target, value))

    def may_be_copied(self, target, value, step) -> bool:
        """Whether a new value is small, nobody else's, and the old one is not needed any more."""
        r = self.recording
        others = [v for t, v in r.finals if t != target] + r.new_values
        others += [s.segment.sources[leaf_] for s in self.steps for leaf_ in s.donors.values()]     # memory taken over
        return (step.plan.nbytes[step.recipe.output_slots[step.slot_of[value.number]]] <= COPIED
                and value not in others and target not in others)

    def mark_uses(self):
        """A new storage can be made again in place if it is seen once: at a place, or in the result."""
        stored = [x.storage for _, x in self.recording.stores if type(x) is Shown and x.known is None]
        returned = {x.storage for x in _leaves(self.recording.result) if type(x) is Shown and x.known is None}
        for k, new in enumerate(self.new):
            new.is_stored = k in stored
            new.is_kept = stored.count(k) + (k in returned) == 1

    def gatherer(self):
        """A function of (given, moving) that lists the storages that the replay touches."""
        r, space, parts = self.recording, {}, []
        for k, s in enumerate(self.touched):
            if s.kind == ARGUMENT:
                parts.append(f"given[{s.number}].storage")
            elif s.number in self.moving:
                parts.append(f"moving[{self.moving.index(s.number)}].storage")
            else:
                space[f"s{k}"] = r.storage_of(s)
                parts.append(f"s{k}")
        exec(f"def gather(given, moving): return [{', '.join(parts)}]", space)
        return space["gather"]

    def forget_recording(self):
        """Keep what later recordings are compared with, not the tensors of this one."""
        r = self.recording
        r.world = r.before = r.by_storage = None
        r.constant_nodes = []
        r.states = r.states and [(None, path) for _, path in r.states]
        r.arguments.tensors = [(at, None) for at, _ in r.arguments.tensors]

    # -- running ----------------------------------------------------------------------------------
    def replay(self, given, moving, values):
        """Run; (True, result), or (False, None) if memory is not as the plans expect it, with nothing done."""
        with record.lock:
            if record.pending.nodes:
                flush()
            storages = self.gather(given, moving)
            nodes = [s.node for s in storages]
            if not self.is_fit(storages, nodes):
                return False, None
            try:
                to_its_end(self.run, (given, values, nodes))
            except Exception as error:
                error.__dict__.pop("node", None)
                self.let_go()
                raise
            self.replays += 1
            if self.recording.reads:
                values = self.recording.tape.completed(values, self.read)
            result = self.finish(given, storages, nodes, values)
            self.let_go()
            return True, result

    def is_fit(self, storages, nodes) -> bool:
        """Whether all values are there and none in memory of others; what is written to becomes nobody else's."""
        if [s for s in storages if s.share is not None]:
            return False
        if nodes != self.last:
            if [n for n in nodes if n.buffer is None]:
                return False
            self.last = nodes
        for k in self.donated:
            node = nodes[k]
            if node.buffer.shared:
                return False
            if type(node.owner) is tuple and not node.is_shown_once():
                storages[k].node = nodes[k] = copied(node, storages[k])
        return True

    def run(self, found):
        given, values, nodes = found
        r = self.recording
        tickets = [generator.reserve(count, draws) for _, generator, draws, count in r.reserved]
        for new in self.new:
            if new.value.kind != MADE:
                new.forget()
            elif not new.is_free():
                new.forget()
                step = self.steps[new.value.segment]
                if step.in_place(new.value.number) is None:
                    step.outputs[step.slot_of[new.value.number]] = None
        for _, value in self.puts:
            if value.kind == MADE:
                step = self.steps[value.segment]
                step.outputs[step.slot_of[value.number]] = None
        self.read = []
        for n, step in enumerate(self.steps):
            leaves = [nodes[k] for k in step.known] if step.known else [self.value(s, nodes) for s in step.segment.sources]
            step.run(leaves, values, tickets, given)
            self.read += [self.number_at(x, nodes) for x in r.reads if x.segment == n]
        for target, step, slot in self.copies:
            made = step.outputs[slot]
            memmove(nodes[self.number_of[target]].buffer.address, made.address, made.nbytes)

    def value(self, source, nodes):
        """A node, or what stands for one, by its source."""
        if source.kind == MADE:
            step = self.steps[source.segment]
            return Value(step.outputs[step.slot_of[source.number]])
        if source.kind == CONSTANT:
            return constant(self.recording.constants[source.number])
        return nodes[self.number_of[source]]

    def number_at(self, read, nodes) -> float:
        """A number that the call reads at this point: a later plan may write over it."""
        kind = C_TYPES[read.dtype.name]
        return kind.from_address(self.value(read.source, nodes).buffer.address + read.offset * ctypes.sizeof(kind)).value

    def let_go(self):
        for step in self.steps:
            step.let_go()

    # -- what is left behind ----------------------------------------------------------------------
    def finish(self, given, storages, nodes, values):
        r, number_of = self.recording, self.number_of
        self.put_values(storages, nodes)
        for new in self.new:
            if new.count is None and new.is_kept and not new.is_stored:
                new.count = new.counts()
        for source, more in r.versions:
            storages[number_of[source]].version += more
        for place, x in r.stores:
            self.store(place, x, given, storages, values)
        for place, x in r.number_stores:
            place.put(values[x.at] if type(x) is Number else x)
        return self.made_again(r.result, given, storages, values)

    def put_values(self, storages, nodes):
        """New storages and new values of old ones, as far as they are not there by now."""
        if not self.puts and all(new.storage is not None for new in self.new):
            return
        made = {value: nodes[self.number_of[target]] for target, value in self.in_place}
        for new in self.new:
            if new.storage is None:
                new.storage = Storage(None, *new.kind)
                new.node = new.storage.node = self.node_of(new.value, new.storage, nodes, made)
        for target, value in self.puts:
            storage = storages[self.number_of[target]]
            storage.node = self.node_of(value, storage, nodes, made)

    def store(self, place, x, given, storages, values):
        """Put a tensor where the call put one; that of the last replay stays if it is free."""
        new = self.new[x.storage] if type(x) is Shown and x.known is None else None
        if new is None or new.tensor is None or place.get() is not new.tensor:
            made = self.made_again(x, given, storages, values)
            place.put(made)
            if new is not None:
                new.tensor = made
                del made
                new.count = new.counts() if new.is_kept else None

    def node_of(self, value, storage, nodes, made):
        """The node that shows a value, with one more storage as its owner."""
        node = made.get(value) if value.kind == MADE else nodes[self.number_of[value]]
        if node is None:
            step = self.steps[value.segment]
            node = made[value] = leaf(step.outputs[step.slot_of[value.number]], storage)
        else:
            node.add_owner(storage)
        return node

    def made_again(self, x, given, storages, values):
        if type(x) is Shown:
            return self.tensor_again(x, storages)
        if type(x) is Known:
            return given[x.source.number]
        if type(x) is Number:
            return values[x.at]
        if type(x) in (list, tuple):
            return type(x)([self.made_again(item, given, storages, values) for item in x])
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return type(x)(*[self.made_again(item, given, storages, values) for item in x])
        if type(x) is dict:
            return {key: self.made_again(item, given, storages, values) for key, item in x.items()}
        return x

    def tensor_again(self, x, storages):
        storage = self.new[x.storage].storage if x.known is None else storages[self.number_of[x.known]]
        y = wrap(Tensor, storage, x.layout, x.offset)
        if x.requires_grad:
            y._requires_grad, y._grad_fn = True, x.grad_fn
        return y


def copied(node, storage):
    """A value of a storage's own, where another one shows the same: the replay is going to write to it."""
    buffer = memory.allocate(node.buffer.nbytes)
    memmove(buffer.address, node.buffer.address, node.buffer.nbytes)
    return leaf(buffer, storage)


def constant(data):
    """A copy of the bytes of a constant: a plan may take over its memory."""
    buffer = memory.allocate(data.nbytes)
    buffer.as_numpy(np.uint8, data.shape)[...] = data
    return Value(buffer)


def _leaves(x):
    """The tensors and their like in a template."""
    if type(x) in (Shown, Known) or isinstance(x, Tensor):
        yield x
    elif isinstance(x, (list, tuple)) and type(x) is not Number:
        for item in x:
            yield from _leaves(item)
    elif isinstance(x, dict):
        for item in x.values():
            yield from _leaves(item)
