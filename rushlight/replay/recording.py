"""One call of a function, watched: what it read, which plans ran, and what it left behind.

The function runs as ever; its flushes are noted (compiler/plan.py `observer`). Each buffer that a plan read
is traced back to its source: an argument, a tensor that can be reached (a state), an
earlier plan of the call, or a constant. What is different afterwards is noted as well: new values
of states, tensors that now stand at places (`p.grad`), Python floats (step counters). Two recordings that
agree in all of this make a program (program.py).
"""
from __future__ import annotations

import gc
from typing import NamedTuple
from weakref import ref

import numpy as np

from .. import random, storage as storages
from ..ops import casting
from ..autograd.node import RELEASED
from ..compiler import plan as plans
from ..ops.layouts import Unstrided
from ..tensor import Tensor
from ..trace import record
from ..trace.flush import flush
from .traced import At, Tape, Traced, plain
from .watch import Watch
from .world import ATOMS, MISSING, Unfit, World

ARGUMENT, STATE, MADE, CONSTANT = "argument", "state", "made", "constant"


class Source(NamedTuple):
    """Where a value comes from: the n-th argument, state, constant, or output n of a segment."""
    kind: str
    number: int
    segment: int = 0


class Segment(NamedTuple):
    """One flush: its plan and where everything comes from that it is bound to."""
    plan: object
    sources: tuple          # of its leaves
    inputs: tuple           # (leaf, offset), that of an argument's leaf from where the argument begins
    numbers: tuple          # plain, or At on the tape
    tickets: tuple          # numbers of reservations
    lines: tuple            # (signature, line) of its nodes
    donated: tuple


class Shown(NamedTuple):
    """A tensor made by the call: how it is made again."""
    storage: int            # which of the new storages, or -1
    known: object           # else the Source of its storage
    layout: object
    offset: int
    requires_grad: bool
    grad_fn: object


class Known(NamedTuple):
    """A tensor that was there before, as such."""
    source: Source


class Number(NamedTuple):
    """A float of the tape."""
    at: int


class Read(NamedTuple):
    """A number that the call read: where from, and after which segment."""
    source: Source
    offset: int
    dtype: object
    segment: int


class Arguments:
    """A call's arguments, flat: tensors, floats and other values with the expressions that find them."""

    def __init__(self, args, kwargs):
        self.tensors, self.floats, self.others, self.containers = [], [], [], []
        self.open("a", args)
        self.open("k", kwargs)

    def open(self, at, x):
        if isinstance(x, Tensor) and not isinstance(x, Unstrided):
            self.tensors.append((at, x))
        elif type(x) is float:
            self.floats.append((at, x))
        elif isinstance(x, (tuple, list)):
            self.containers.append((at, type(x), len(x)))
            for k, item in enumerate(x):
                self.open(f"{at}[{k}]", item)
        elif type(x) is dict and all(type(key) is str for key in x):
            self.containers.append((at, dict, len(x)))
            for key, item in x.items():
                self.open(f"{at}[{key!r}]", item)
        else:
            self.others.append((at, x))

    def objects(self) -> list:
        return [(x, at) for at, x in self.others if not isinstance(x, ATOMS)]


def with_floats(x, floats):
    """The same arguments with floats replaced in order."""
    if type(x) is float:
        return next(floats)
    if type(x) in (tuple, list):
        return type(x)([with_floats(item, floats) for item in x])
    if isinstance(x, tuple):
        return type(x)(*[with_floats(item, floats) for item in x])
    if type(x) is dict:
        return {key: with_floats(item, floats) for key, item in x.items()}
    return x


class Recording:
    """What one call did. `effects` says why it cannot be replayed, if it cannot."""

    def __init__(self, functions, roots, codes, names, args, kwargs):
        flush()
        self.effects: list = []
        self.tape, self.segments, self.reserved = Tape(), [], []
        self.constants, self.constant_nodes, self.reads = [], [], []
        self.arguments = Arguments(args, kwargs)
        self.args, self.kwargs = args, kwargs
        self.made, self.new, self.lines_of_reads = {}, {}, []
        self.world = self.walk(functions, roots, codes, names)
        self.find_sources()

    def walk(self, functions, roots, codes, names):
        try:
            world = World(functions, roots + self.arguments.objects(), names)
            world.read_globals(codes, lambda code: code.co_names)
            return world
        except Unfit as reason:
            self.effects.append((str(reason), None))
            return None

    # -- where values come from -------------------------------------------------------------------
    def find_sources(self):
        """Every known storage, and the nodes that are their values."""
        self.floats = {k: v.value for k, v in self.world.values.items() if type(v.value) is float} if self.world else {}
        self.states: list = []          # (tensor, path), one of each storage
        self.by_storage: dict = {}
        self.by_node: dict = {}
        for k, (_, x) in enumerate(self.arguments.tensors):
            self.add_source(x.storage, Source(ARGUMENT, k))
        for x, path in self.world.tensors.values() if self.world else ():
            if x.storage not in self.by_storage:
                self.add_source(x.storage, Source(STATE, len(self.states)))
                self.states.append((x, path))
        self.before = {s: (s.node, s.version) for s in self.by_storage}
        self.marks = [(x, at, marks(x)) for at, x in self.arguments.tensors]
        self.marks += [(x, path, marks(x)[:-1]) for x, path in (self.world.tensors.values() if self.world else ())]

    def add_source(self, storage, source):
        if storage in self.by_storage:
            self.effects.append((f"two arguments share memory ({source.kind} {source.number})", None))
        self.by_storage[storage] = source
        self.by_node.setdefault(storage.node, source)

    def storage_of(self, source):
        if source.kind == ARGUMENT:
            return self.arguments.tensors[source.number][1].storage
        return self.states[source.number][0].storage

    # -- running ----------------------------------------------------------------------------------
    def run(self, fn, traced_places, traced_arguments):
        """Call the function with the floats at these places traced; returns what it returned."""
        self.cells = [self.world.places[i] for i in traced_places if i in self.world.places] if self.world else []
        self.before_cells = [place.get() for place in self.cells]
        inputs = [self.tape.input(v) for v in self.before_cells]
        for place, value in zip(self.cells, inputs):
            place.put(value)
        given = [self.tape.input(x) if at in traced_arguments else x for at, x in self.arguments.floats]
        self.traced_arguments = [at for at, _ in self.arguments.floats if at in traced_arguments]
        floats = iter([*given])
        args, kwargs = with_floats(tuple(self.args), floats), with_floats(dict(self.kwargs), floats)
        collects = gc.isenabled()
        gc.disable()            # what a collection calls (finalisers, callbacks) is not done by the function
        try:
            with Watch(self.tape) as self.watch, _Observers(self), casting.own_cache():
                result = fn(*args, **kwargs)
            with _Observers(self):
                if not self.effects and not self.watch.effects:
                    flush()
            self.effects += self.watch.effects
            self.check_reads()
            if not self.effects:
                self.note_end(result)
        finally:
            if collects:
                gc.enable()
            self.tape.is_open = False
            self.restore()
            self.made, self.by_node, self.args, self.kwargs, self.marks = {}, {}, (), {}, []
            self.new = None
        return untraced(result)

    def restore(self):
        """Plain floats again where traced ones stood or were put."""
        for place in self.world.places.values() if self.world else ():
            value = place.get()
            if type(value) is Traced:
                place.put(plain(value))

    def on_flush(self, plan, d):
        sources = tuple(map(self.source_of, d.leaves))
        inputs = tuple([(k, offset - self.offset_of(sources[k])) for k, offset in d.inputs])
        numbers = tuple([x.at if type(x) is Traced else x for x in d.scalars])
        tickets = tuple([self.ticket_number(t) for t in d.extras])
        lines = tuple([(n.sig, n.where) for n in d.nodes])
        d.scalars = list(map(plain, d.scalars))
        plan.execute(d)
        for k, node in enumerate(d.outputs):
            self.made[node] = Source(MADE, k, len(self.segments))
        self.segments.append(Segment(plan, sources, inputs, numbers, tickets, lines, d.donated))

    def offset_of(self, source) -> int:
        """Where an argument begins in its memory: another slice of it is read there."""
        return self.arguments.tensors[source.number][1].offset if source.kind == ARGUMENT else 0

    def source_of(self, node):
        found = self.made.get(node) or self.by_node.get(node)
        if found is None:
            found = Source(CONSTANT, len(self.constants))
            buffer = node.buffer
            self.constant_nodes.append(node)
            self.constants.append(buffer.as_numpy(np.uint8, (buffer.nbytes,)).copy())
            self.by_node[node] = found
        return found

    def ticket_number(self, ticket):
        for k, (seen, *_) in enumerate(self.reserved):
            if seen() is ticket:
                return k
        self.effects.append(("uses random numbers that were reserved before", None))
        return -1

    def on_reserve(self, ticket):
        if ticket is None:
            self.effects.append(("looks at the state of a random generator, or sets it", record.user_line()))
        else:
            self.reserved.append((ref(ticket), ticket.generator, ticket.draws, ticket.count))

    def on_read(self, _storage):
        if len(self.effects) < 20:
            self.effects.append(("reads a value", record.user_line()))

    def on_item(self, x):
        """A float that the call reads: its value now, and in a replay as soon as its plan has run."""
        storages.reader = storages.item_reader = None
        try:
            value = x.item()
        finally:
            storages.reader, storages.item_reader = self.on_read, self.on_item
        source = self.made.get(x.storage.node)
        if source is None or x.dtype.name not in ("float32", "float64"):
            self.on_read(x.storage)
            return value
        self.reads.append(Read(source, x.offset, x.dtype, len(self.segments) - 1))
        self.lines_of_reads.append(record.user_line())
        return self.tape.read(value)

    # -- afterwards -------------------------------------------------------------------------------
    def note_end(self, result):
        """What the call left behind; effects that a replay could not have make it unfit."""
        self.new: dict = {}             # new storage -> number
        self.finals: list = []          # (source of a storage, source of its new value)
        self.versions: list = []
        self.stores: list = []          # (place, what stands there now)
        self.number_stores: list = []   # (place, Number or float)
        self.changed_floats: list = []  # ids of places
        try:
            self.check_marks()
            self.note_values()
            self.note_places()
            self.result = self.template(result, "the result")
            self.new_values = [self.value_of(s) for s in self.new]
            self.new_kinds = [(s.dtype, s.numel) for s in self.new]
        except Unfit as reason:
            self.effects.append((str(reason), None))

    def check_reads(self):
        """Numbers that were read may be returned or kept, but nothing in the call may hang on them."""
        late = self.tape.late
        if self.tape.decided_late or late and any(type(n) is At and n in late for s in self.segments for n in s.numbers):
            self.effects += [("reads a value and goes by it", where) for where in self.lines_of_reads]

    def check_marks(self):
        """The tensors that were there are seen, and stand on the tape, as before: only their values are others."""
        for x, path, before in self.marks:
            if any(a is not b and a != b for a, b in zip(before, marks(x))):
                raise Unfit(f"changes more of {path.replace('a[', 'argument [')} than its values")

    def note_values(self):
        for storage, (node, version) in self.before.items():
            source = self.by_storage[storage]
            if storage.node is not node:
                self.finals.append((source, self.value_of(storage)))
            if storage.version != version:
                self.versions.append((source, storage.version - version))

    def value_of(self, storage) -> Source:
        found = self.made.get(storage.node) or self.by_node.get(storage.node)
        if found is None:
            raise Unfit("ends with a tensor whose value came from outside of the recording")
        return found

    def note_places(self):
        world = self.world
        for holder, length, path in world.sizes:
            if len(holder) != length:
                raise Unfit(f"changes the length of {path}")
        for key, place in world.places.items():
            before, after = world.values[key].value, place.get()
            if after is before or _is_atom_alike(before, after):
                continue
            self.note_change(key, place, before, after, world.values[key].path)

    def note_change(self, key, place, before, after, path):
        is_float = isinstance(before, float) and isinstance(after, float)
        if is_float:
            self.changed_floats.append(key)
            self.number_stores.append((place, self.number(after)))
        elif isinstance(after, (Tensor, type(None))) and (isinstance(before, Tensor) or before is None):
            self.stores.append((place, self.template(after, path)))
        else:
            raise Unfit(f"changes {path} from Python")

    def number(self, x):
        return Number(x.at) if type(x) is Traced else x

    def template(self, x, path):
        """How a result is made again."""
        if isinstance(x, Tensor):
            return self.tensor_template(x, path)
        if type(x) is Traced:
            return Number(x.at)
        if isinstance(x, ATOMS):
            return x
        if type(x) in (list, tuple):
            return type(x)(self.template(item, path) for item in x)
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return type(x)(*[self.template(item, path) for item in x])
        if type(x) is dict:
            return {key: self.template(item, path) for key, item in x.items()}
        raise Unfit(f"has an object of type {type(x).__name__} in {path}")

    def tensor_template(self, x, path):
        for k, (_, argument) in enumerate(self.arguments.tensors):
            if x is argument:
                return Known(Source(ARGUMENT, k))
        if id(x) in self.world.tensors:
            return x
        if type(x) is not Tensor:
            raise Unfit(f"makes a {type(x).__name__}, {path}")
        if x._view_of is not None and x._view_of._requires_grad or x._requires_grad and not is_spent(x._grad_fn):
            raise Unfit(f"leaves {path} on the tape, for a backward pass outside")
        known = self.by_storage.get(x.storage)
        number = -1 if known else self.new.setdefault(x.storage, len(self.new))
        return Shown(number, known, x.layout, x.offset, x._requires_grad, x._grad_fn)

    # -- comparing --------------------------------------------------------------------------------
    def inputs_of_tape(self) -> list:
        floats = dict(self.arguments.floats)
        return [*map(plain, self.before_cells), *[floats[at] for at in self.traced_arguments]]

    def disagreement(self, later) -> str | None:
        """How a later recording did something else than this one would have done in its place."""
        if len(self.segments) != len(later.segments):
            return "another number of flushes"
        if self.reads != later.reads:
            return "other reads"
        values = self.tape.values(later.inputs_of_tape(), later.tape.reads)
        actual = later.tape.values(later.inputs_of_tape(), later.tape.reads)

        def same(a, b):
            a, b = (values[a] if type(a) is At else a), (actual[b] if type(b) is At else b)
            return type(a) is type(b) and (a == b or a != a and b != b) and str(a) == str(b)
        for a, b in zip(self.segments, later.segments):
            if a.plan is not b.plan:
                return "other operations"
            if (a.sources, a.inputs, a.tickets) != (b.sources, b.inputs, b.tickets):
                return "other operands"
            if not all(map(same, a.numbers, b.numbers)):
                return "a Python number of unknown origin"
        return self.different_end(later, same)

    def different_end(self, later, same) -> str | None:
        if any(a is b for a, b in zip(self.constant_nodes, later.constant_nodes)):
            return "it reads a tensor that cannot be reached from its code and arguments"
        if not all(map(np.array_equal, self.constants, later.constants)) or len(self.constants) != len(later.constants):
            return "other constants"
        if [_draw(r) for r in self.reserved] != [_draw(r) for r in later.reserved]:
            return "other random numbers"
        for name in ("finals", "versions", "new_values", "new_kinds"):
            if getattr(self, name) != getattr(later, name):
                return f"other {name}"
        if len(self.number_stores) != len(later.number_stores) or not all(
                a[0].id == b[0].id and same(*[At(x.at) if type(x) is Number else x for x in (a[1], b[1])])
                for a, b in zip(self.number_stores, later.number_stores)):
            return "a Python number of unknown origin"
        if [(p.id, _bare(x)) for p, x in self.stores] != [(p.id, _bare(x)) for p, x in later.stores]:
            return "other tensors left behind"
        return None if _alike(self.result, later.result) else "another result"


class _Observers:
    """While a call is recorded: flushes, reads and random reservations are told."""

    def __init__(self, recording):
        self.recording = recording

    def __enter__(self):
        plans.observer, storages.reader = self.recording.on_flush, self.recording.on_read
        storages.item_reader, random.observer = self.recording.on_item, self.recording.on_reserve

    def __exit__(self, *_):
        plans.observer = storages.reader = storages.item_reader = random.observer = None


def marks(x) -> tuple:
    """What a tensor is beside its values; its gradient last."""
    return x.storage, x.layout, x.offset, x._requires_grad, x._grad_fn, x._hooks and len(x._hooks), x._grad


def untraced(x):
    """A result with plain floats."""
    if type(x) is Traced:
        return plain(x)
    if type(x) in (list, tuple):
        return type(x)([untraced(item) for item in x])
    if type(x) is dict:
        return {key: untraced(item) for key, item in x.items()}
    return x


def is_spent(fn) -> bool:
    """Whether a backward pass went through all of this tape, so that nobody can go through it again."""
    stack, seen, released = [fn], set(), False
    while stack:
        fn = stack.pop()
        if fn is None or fn in seen:
            continue
        seen.add(fn)
        saved = getattr(fn, "saved", ())
        if saved is not RELEASED and saved:
            return False
        released |= saved is RELEASED
        stack.extend(e[0] for e in fn.edges if e is not None)
    return released


def _is_atom_alike(a, b) -> bool:
    if a is MISSING or b is MISSING:
        return a is b
    return isinstance(a, ATOMS) and type(a) is type(b) and a == b and repr(a) == repr(b)


def _draw(reserved):
    _, generator, draws, count = reserved
    return generator, type(draws), vars(draws), count


def _bare(x):
    """A template without the tape's functions, which are others each time."""
    return x._replace(grad_fn=type(x.grad_fn)) if type(x) is Shown else id(x) if isinstance(x, Tensor) else x


def _alike(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if type(a) in (Shown,) or isinstance(a, Tensor):
        return _bare(a) == _bare(b)
    if isinstance(a, (list, tuple)) and type(a) not in (Known, Number):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    return type(a) is Number or a == b
