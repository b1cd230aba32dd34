"""Replays for all sizes: a call of a known form on sizes that it never had.

A replay (recall.py) holds for the layouts of one call. Calls that differ in sizes alone are of one
`Kind`. When a kind comes with new sizes in turn after turn, one call is traced on numbers that
remember how they were computed (compiler/sizes.py). The text of that replay serves all sizes that
answer alike; what is new for each is its constants: layouts, signatures, numbers.

    kind      = what is asked of arguments but their sizes;  values = those sizes, in order
    pattern   = the text, steps that make its constants, and for which sizes they hold
    replay    = pattern.instance(values): what a trace on these sizes would have written
"""
from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from itertools import count
from types import FunctionType, ModuleType
from typing import NamedTuple

import numpy as np

from .. import config
from ..compiler.sizes import Fit, Number, Trace as Following, varying
from ..dtypes import dtype
from ..layout import FreeLayout, Layout, Size, form_of as layout_form, layout, packed
from ..ops import promote
from ..prims.table import Gradient, Primitive
from ..random import Draws, Generator
from ..tensor import Tensor
from ..trace import record
from ..trace.graph import expand
from ..trace.record import Compound, Signature, compound, pending
from .node import AccumulateGrad, Saved

TURNS = 3           # flushes between which a kind must have come with new sizes
REMEMBERED = 8      # sizes by which a kind tells what varies
PATTERNS = 16       # of one kind
KINDS = 64          # of one function
CHECKED = 2         # instances that are compared with a trace of the call itself
SIZE = object()     # where a form has one
NUMBERS = (bool, int, float, complex, np.generic)
ATOMS = (type(None), bool, int, float, complex, str, dtype, type, Primitive, Generator)


class Shared(Exception):
    """An argument whose memory others see: not for replays."""


# -- forms ------------------------------------------------------------------------------------------
def form_of(key, values: list) -> tuple:
    """What a call goes by without its sizes, which are added to `values`: the two together tell keys apart."""
    form = []
    add = form.append
    for part in key:
        kind = part.__class__
        if kind is Layout:
            told = part.form or layout_form(part)
            add(told[0])
            values += told[1]
        elif kind is int:
            add(SIZE)                           # (None, 2) is not (2, None)
            values.append(part)
        elif kind is tuple or kind is Size:
            add((kind, len(part)))
            add(form_of(part, values))
        elif isinstance(part, Tensor):
            raise Shared
        elif isinstance(part, NUMBERS):
            add((kind, repr(part)))             # True is not 1.0, and 0.0 not -0.0
        else:
            add(part)
    return tuple(form)


def retold(v, numbers, layouts: list):
    """The argument with other sizes; places stand for its tensors, whose layouts are added to `layouts`."""
    kind = type(v)
    if isinstance(v, Tensor) or kind is Saved:
        layouts.append(retold(v.layout, numbers, layouts))
        return Place(len(layouts) - 1)
    if kind is int:
        return next(numbers)
    if kind is Layout:
        shape = tuple([next(numbers) for _ in v.shape])
        return packed(shape) if v is packed(v.shape) else layout(shape, [next(numbers) for _ in v.strides])
    if isinstance(v, (tuple, list)):
        parts = [retold(part, numbers, layouts) for part in v]
        return rebuilt(v, parts)
    if kind is dict:
        return {name: retold(part, numbers, layouts) for name, part in v.items()}
    return v


def rebuilt(v, parts: list):
    """A sequence of other parts; the same one if they are the same."""
    if all(map(operator.is_, v, parts)):
        return v
    if any(type(part) is Place for part in parts):
        return parts
    return v._make(parts) if hasattr(v, "_make") else type(v)(parts)


def placed(v, at=None):
    """The argument with places in the place of tensors."""
    at = count() if at is None else at
    kind = type(v)
    if isinstance(v, Tensor) or kind is Saved:
        return Place(next(at))
    if isinstance(v, (tuple, list)):
        parts = [placed(part, at) for part in v]
        return rebuilt(v, parts)
    if kind is dict:
        return {name: placed(part, at) for name, part in v.items()}
    return v


def filled(v, tensors):
    """The argument with tensors again."""
    if type(v) is Place:
        return tensors[v]
    return [filled(x, tensors) for x in v] if type(v) is list and any(type(x) is Place for x in v) else v


class Place(int):
    """Which of the tensors an argument is."""


# -- kinds ------------------------------------------------------------------------------------------
def replay_for(memo, key, call):
    """The replay of a call, if its kind is known on other sizes; else None (always, unless `config.sized`).

    key() is all that it goes by; call() is a `Call`.
    """
    if not config.sized.value:
        return None
    values: list = []
    try:
        form = form_of(key(), values)
        kind = memo.kinds.get(form)
    except (TypeError, Shared):
        return None
    if kind is None:
        if len(memo.kinds) >= KINDS:
            memo.kinds.clear()
        kind = memo.kinds[form] = Kind()
    with record.lock:           # what a trace and a check change for a while is everybody's
        return kind.replay(values, call)


class Call(NamedTuple):
    """A call that may be replayed: `write(arguments)` is it as a function of its tensors alone."""
    write: Callable
    arguments: object
    tensors: list
    depth: int
    writer: type

    def function(self):
        return self.write(placed(self.arguments))

    def traced(self, numbers):
        """The writer of its replay on other sizes."""
        layouts, rest = [], iter(numbers)
        function = self.write(retold(self.arguments, rest, layouts))
        if next(rest, None) is not None or len(layouts) != len(self.tensors):
            raise Unfit("arguments")
        return self.writer(function, self.tensors, self.depth, layouts=layouts)


class Kind:
    """Calls of one form: the sizes they had, and patterns for ranges of them."""

    __slots__ = ("seen", "patterns", "found", "missed", "turns", "tried", "turn", "is_closed")

    def __init__(self):
        self.seen: deque = deque(maxlen=REMEMBERED)
        self.patterns: list[Pattern] = []
        self.found = self.missed = self.turns = self.tried = 0
        self.turn, self.is_closed = None, False

    def replay(self, values, call):
        for pattern in self.patterns:
            try:
                made = pattern.instance(values, call)
            except Exception as error:
                if checking:
                    raise
                return self.close(error)
            if made is not None:
                self.found += 1
                if pattern is not self.patterns[0]:
                    self.patterns.remove(pattern)
                    self.patterns.insert(0, pattern)
                return made
        self.missed += 1
        if self.turn != pending.turn:
            self.turn, self.turns = pending.turn, self.turns + 1
        made = self.traced(call(), values) if self.pays() else None
        self.seen.append(tuple(values))
        return made

    def close(self, error) -> None:
        """Such calls are made as they are from now on."""
        failures.append(repr(error))
        self.patterns.clear()
        self.is_closed = True

    def pays(self) -> bool:
        tries = min(self.found + self.turns.bit_length(), PATTERNS)
        return self.seen and not self.is_closed and self.turns >= TURNS and self.tried < tries

    def traced(self, made_call, values):
        """A pattern for what varied between the sizes so far; the replay for these."""
        self.tried += 1
        rows = [*self.seen, tuple(values)]
        if rows[-1] in self.seen:
            return None
        try:
            if any(x.storage.share is not None for x in made_call.tensors):
                raise Shared
            pattern = Pattern(made_call, rows[-1], varying(rows))
            made = pattern.instance(values, lambda: made_call)
        except Exception as error:
            return self.close(error)
        if made is None or not any(pattern.fits(row) for row in self.seen):
            failures.append(f"no range: {values}")
            return None
        self.patterns.insert(0, pattern)
        return made


failures: deque = deque(maxlen=16)       # why calls have no pattern
checking = False                        # whether all instances are compared with the calls (tests)


class Unfit(Exception):
    """A constant of a replay of which nobody knows whether sizes are in it."""


class Unseen(Exception):
    """An instance that could not be compared with its call this time."""


class Pattern:
    """A replay for a range of sizes: a function that makes its constants of sizes, or None, and puts them in."""

    def __init__(self, call, values, places):
        following, numbers = Following(), list(values)
        for same in places:
            variable = following.variable(values[same[0]])
            for place in same:
                numbers[place] = variable
        promote.is_sized = True
        try:
            writer = call.traced(numbers)
        finally:
            promote.is_sized = False
        self.fit, self.unchecked = Fit(values, places), CHECKED
        self.constants = {"put": writer.written(), "compound": compound, "layout": layout,
                          "packed": packed, "Size": Size}
        self.lines: list[str] = []
        self.wanted: list[Number] = []
        self.known: dict = {}               # id -> (name, what was met)
        self.function, self.needs_call = writer.fn, False
        got = [self.name(value) for _, value in writer.constants.values()]
        self.make = self.written(following, got)
        following.close()
        del self.lines, self.wanted, self.known, self.function

    # -- how constants follow -----------------------------------------------------------------------
    def name(self, value) -> str:
        """A constant in the text, worked out before if there is something to work out."""
        found = self.known.get(id(value))
        if found is None:
            found = self.known[id(value)] = self.named(value), value
        return found[0]

    def named(self, value) -> str:
        kind = type(value)
        if kind is Number:
            self.wanted.append(value)
            return f"w{len(self.wanted) - 1}"
        if value is self.function:
            self.needs_call = True
            return "call"
        if kind is object:
            return "object()"
        if is_free_of_sizes(value):
            return self.constant(value)
        if kind not in TEXTS:
            raise Unfit(repr(value))
        text = TEXTS[kind](self, value)
        if kind not in SHARED:
            return text
        self.lines.append(f"x{len(self.lines)} = {text}")
        return f"x{len(self.lines) - 1}"

    def constant(self, value) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def parts(self, values) -> str:
        return "(" + "".join(self.name(v) + ", " for v in values) + ")"

    def written(self, following, got: list[str]):
        """The function of variables."""
        formula = following.formula(self.wanted)
        steps, wanted = formula.written()
        numbers = [f"w{k} = {name}" for k, name in enumerate(wanted)]
        variables = "".join(f"v{k}, " for k in range(formula.variables))
        text = "\n".join([f"def make({variables}call):", "    try:", *("        " + line for line in [*steps, *numbers] or ["0"]),
                          "    except ArithmeticError:", "        return None", *("    " + line for line in self.lines),
                          f"    return put({', '.join(got)})"])
        exec(compile(text, __file__, "exec"), self.constants)
        return self.constants.pop("make")

    # -- sizes ----------------------------------------------------------------------------------------
    def instance(self, values, call):
        """The replay for these sizes, or None."""
        variables = self.fit.variables(values)
        if variables is None:
            return None
        replay = self.make(*variables, call().function() if self.needs_call else None)
        if replay is not None and (self.unchecked > 0 or checking):
            try:
                self.check(variables, call())
            except Unseen:
                return None
            self.unchecked -= 1
        return replay

    def fits(self, values) -> bool:
        variables = self.fit.variables(values)
        return variables is not None and self.make(*variables, None) is not None

    def check(self, variables, call) -> None:
        """AssertionError unless a replay records, tapes and returns what the call does."""
        from .recall import Refused, Trace
        here = self.constants
        generators = {name: Unreserved(value) for name, value in here.items() if type(value) is Generator}
        before = {name: here[name] for name in generators}
        here.update(generators)
        try:
            replay = self.make(*variables, call.function())
        finally:
            here.update(before)
        try:
            got, wanted = (told_trace(Trace(fn, call.tensors)) for fn in (replay, call.function()))
        except Refused:         # what is pending is run just now
            raise Unseen from None
        if got != wanted:
            raise AssertionError("a replay for other sizes differs: " + first_difference(got, wanted))


def is_free_of_sizes(value) -> bool:
    """Whether no number of a trace is in a constant; Unfit if that cannot be told."""
    kind = type(value)
    if kind in ATOMS or isinstance(value, (type, dtype, Primitive)):
        return True
    if isinstance(value, Gradient):
        return all(is_free_of_sizes(rule) for rule in value.rules)
    if kind is Number or kind is FreeLayout:
        return False
    if isinstance(value, Layout):
        return True
    if isinstance(value, (tuple, list)):
        return all(is_free_of_sizes(part) for part in value)
    if kind is dict:
        return all(is_free_of_sizes(part) for part in value.values())
    if kind is Signature:
        return all(is_free_of_sizes(part) for part in (value.params, value.layouts, value.out, value.result))
    if kind is Compound:
        return is_free_of_sizes(value.steps)
    if kind is Tensor:          # a table
        return type(value.layout) is Layout
    if isinstance(value, Draws):
        return all(is_free_of_sizes(part) for part in vars(value).values())
    if kind is FunctionType:
        return all(is_free_of_sizes(cell.cell_contents) for cell in value.__closure__ or ()) \
            and is_free_of_sizes([value.__defaults__ or (), value.__kwdefaults__ or {}])
    owner = getattr(value, "__self__", None)
    if isinstance(owner, ModuleType) or owner is not None and is_free_of_sizes(owner):
        return True
    raise Unfit(repr(value))


def _layout(pattern, l) -> str:
    if l is packed(l.shape):
        return f"packed({pattern.parts(l.shape)})"
    return f"layout({pattern.parts(l.shape)}, {pattern.parts(l.strides)})"


def _sequence(pattern, value) -> str:
    parts = pattern.parts(value)
    if hasattr(value, "_make"):
        return f"{pattern.constant(value._make)}({parts})"
    return parts if type(value) is tuple else f"{type(value).__name__}({parts})"


def _dict(pattern, value) -> str:
    return "{" + "".join(f"{name!r}: {pattern.name(part)}, " for name, part in value.items()) + "}"


def _signature(pattern, sig) -> str:
    given = sig.params, sig.layouts, sig.dtypes, sig.out, sig.dtype, sig.result
    return f"{pattern.constant(sig.prim.interned)}({', '.join(map(pattern.name, given))})"


TEXTS = {FreeLayout: _layout, tuple: _sequence, Size: _sequence, list: _sequence, dict: _dict, Signature: _signature,
         Compound: lambda pattern, value: f"compound({pattern.name(value.steps)})"}
SHARED = {FreeLayout, Signature, Compound}


# -- checking ---------------------------------------------------------------------------------------
class Unreserved:
    """A generator for a replay that is only looked at."""

    def __init__(self, generator):
        self.generator = generator

    def reserve(self, n, draws):
        return pending.capture.reserve(self.generator, n, draws)


def tensors_in(tree):
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from tensors_in(part)


def needed(trace) -> list:
    """The steps that what is left depends on; draws count always."""
    steps = expand(trace.nodes)
    roots = {x.storage.node for x in tensors_in(trace.result)} | {s.node for s in trace.input_storages}
    kept: set = set()
    for step in reversed(steps):
        if step in kept or step.extra or step.is_last and step.origin in roots:
            kept.add(step)
            kept.update(step.operands[::2])
    return [step for step in steps if step in kept]


class told_trace:
    """What a trace recorded, returned and taped, as values that compare."""

    def __new__(cls, trace):
        self = object.__new__(cls)
        self.trace, steps = trace, needed(trace)
        self.places = {source: ("input", i) for source, i in trace.homes.items()}
        self.places |= {step: n for n, step in enumerate(steps)}
        self.places |= {step.origin: n for n, step in enumerate(steps) if step.is_last}
        written = [(self.place(s.node), i, s.version) for s, i in trace.input_storages.items()]
        return [*map(self.step, steps), self.of(trace.result), written]

    def place(self, source):
        return self.places.get(source, id(source))

    def step(self, s):
        drawn = s.extra and (s.extra.n, type(s.extra.draws), self.of(vars(s.extra.draws)))
        operands = [(self.place(source), offset) for source, offset in zip(s.operands[::2], s.operands[1::2])]
        return s.sig.prim, self.of(s.sig.params), s.sig.layouts, s.sig.dtypes, s.sig.out, self.of(s.scalars), drawn, operands

    def of(self, v):
        kind = type(v)
        if kind is Tensor:
            return self.tensor(v)
        if isinstance(v, (tuple, list)):
            return kind.__name__, *map(self.of, v)
        if kind is dict:
            return [(name, self.of(part)) for name, part in v.items()]
        if kind is Saved:
            return self.place(v.storage.node), v.layout, v.offset, v.version, v.nr, v.requires_grad, v.index, v.leaf is None
        return kind, (v.__code__ if kind is FunctionType else str(v) if kind is float else v)

    def tensor(self, y):
        s, is_view = y.storage, y._view_of is not None and y.storage in self.trace.input_storages
        return (self.place(s.node), y.layout, y.offset, y.dtype, s.numel, s.version, is_view, y._requires_grad,
                y._output_nr, self.history(y._grad_fn))

    def history(self, fn):
        if fn is None:
            return None
        if type(fn) is AccumulateGrad:
            return next(i for i, x in enumerate(self.trace.inputs) if x is fn.variable)
        edges = [e and (self.history(e[0]), *e[1:]) for e in fn.edges]
        return fn.name(), self.of(fn.params), fn.positions, self.of(list(fn.saved)), edges


def first_difference(a, b, path=""):
    if type(a) in (list, tuple) and type(b) is type(a) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            if x != y:
                return first_difference(x, y, f"{path}.{i}")
    return f"{path}: {a!r} against {b!r}"
