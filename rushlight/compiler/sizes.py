"""Numbers that remember how they followed from sizes: what the passes did for one size, for others.

    trace = Trace(); n = trace.variable(17)
    n * 64 + 1          is 1089, and a step of the trace
    n < 4096            is True, and a guard: whatever was decided by it holds for sizes that answer alike

The passes run on such numbers as on any others. Afterwards `Formula.evaluate` repeats the steps for
other sizes; None where a guard fails. Where a plain number is needed (an index, a range, text), it is
given under the guard that it stays what it is. Numbers have no hash: a table would forget to ask.
"""
from __future__ import annotations

import operator
from collections.abc import Sequence
from operator import itemgetter


COMMUTES = {operator.add, operator.mul, max, min}
NEUTRAL = {operator.add: 0, operator.sub: 0, operator.mul: 1, operator.floordiv: 1, operator.lshift: 0,
           operator.rshift: 0}


class Trace:
    """What was computed from variables, in order, and what was asked about the results."""

    def __init__(self):
        self.numbers: list[Number] = []     # variables first
        self.made: dict = {}                # step -> its number: equal steps are taken once
        self.guards: dict = {}              # question -> its answer
        self.layouts: dict = {}             # layouts of such numbers: equal ones are one object here, too
        self.is_closed = False

    def variable(self, value: int) -> Number:
        return self.append(value, None)

    def close(self) -> None:
        """From now on a number that was kept somewhere is a mistake, and no stale size."""
        self.is_closed = True

    def check_open(self) -> None:
        if self.is_closed:
            raise RuntimeError("a size of a trace was kept for other sizes")

    def append(self, value, step) -> Number:
        self.check_open()
        number = Number(self, len(self.numbers), value, step)
        self.numbers.append(number)
        return number

    def compute(self, op, a, b):
        """op(a, b) as a number; a constant where it needs no size."""
        if type(b) is not Number and NEUTRAL.get(op) == b and type(b) is int:
            return a
        if type(a) is not Number and op in COMMUTES:
            a, b = b, a
            if NEUTRAL.get(op) == b and type(b) is int:
                return a
        if op is operator.mul and type(b) is int and b == 0:
            return 0
        step = op, reference(a), reference(b)
        known = self.made.get(step)
        if known is None:
            known = self.made[step] = self.append(op(plain(a), plain(b)), step)
        return known

    def ask(self, op, a, b) -> bool:
        """Whether op(a, b) holds, now and by the guard that this adds."""
        self.check_open()
        question = op, reference(a), reference(b)
        answer = self.guards.get(question)
        if answer is None:
            answer = self.guards[question] = bool(op(plain(a), plain(b)))
        return answer

    def layout(self, shape, strides, make):
        """The one layout of these numbers; what `make` makes if there is none yet."""
        key = tuple(map(reference, shape)), tuple(map(reference, strides))
        found = self.layouts.get(key)
        if found is None:
            found = self.layouts[key] = make(shape, strides)
        return found

    def formula(self, wanted: Sequence[Number]) -> Formula:
        """The steps that lead to `wanted` and to the guards."""
        needed = {number.index for number in wanted}
        needed.update(r for _, *pair in self.guards for r in pair if type(r) is int)
        for number in reversed(self.numbers):
            if number.index in needed and number.step is not None:
                needed.update(r for r in number.step[1:] if type(r) is int)
        return Formula(self, needed, wanted)


class Formula:
    """Steps and guards over one list of values: variables, constants, then a value for each step."""

    def __init__(self, trace: Trace, needed: set[int], wanted: Sequence[Number]):
        variables = [n for n in trace.numbers if n.step is None]
        steps = [n for n in trace.numbers if n.step is not None and n.index in needed]
        questions = [n.step for n in steps] + list(trace.guards)
        constants = dict.fromkeys(r for _, *pair in questions for r in pair if type(r) is not int)
        self.variables, self.constants = len(variables), [value for _, value in constants]
        places = {r: k for k, r in enumerate([*(n.index for n in variables), *constants, *(n.index for n in steps)])}
        self.steps = [(op, places[a], places[b]) for op, a, b in (n.step for n in steps)]
        known = len(variables) + len(constants)
        self.guards = sorted([(max(places[a], places[b]) + 1 - known, op, places[a], places[b], answer)
                              for (op, a, b), answer in trace.guards.items()], key=itemgetter(0))
        self.wanted = [places[n.index] for n in wanted]

    def evaluate(self, variables: Sequence[int]) -> list[int] | None:
        """The wanted numbers for other sizes, None if something must be decided anew."""
        values, steps, done = [*variables, *self.constants], self.steps, 0
        add = values.append
        try:
            for needed, op, a, b, answer in self.guards:
                if done < needed:               # a guard is asked as soon as it can be: most sizes fail early
                    for step, c, d in steps[done:needed]:
                        add(step(values[c], values[d]))
                    done = needed
                if op(values[a], values[b]) is not answer:
                    return None
            for op, a, b in steps[done:]:
                add(op(values[a], values[b]))
        except ArithmeticError:
            return None
        return [values[n] for n in self.wanted]

    def written(self) -> tuple[list[str], list[str]]:
        """The same as lines of Python for variables v0, v1, ..., and what the wanted numbers are called there."""
        n = self.variables
        names = [*(f"v{k}" for k in range(n)), *map(repr, self.constants), *(f"n{k}" for k in range(len(self.steps)))]
        lines, done, known = [], 0, n + len(self.constants)
        for needed, op, a, b, answer in [*self.guards, (len(self.steps), None, 0, 0, False)]:
            for k in range(done, needed):
                step, c, d = self.steps[k]
                lines.append(f"{names[known + k]} = {expression(step, names[c], names[d])}")
            done = max(done, needed)
            if op is not None:
                question = expression(op, names[a], names[b])
                lines.append(f"if not {question}: return None" if answer else f"if {question}: return None")
        return lines, [names[n] for n in self.wanted]


SYMBOLS = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.floordiv: "//", operator.truediv: "/",
           operator.mod: "%", operator.lshift: "<<", operator.rshift: ">>", operator.and_: "&", operator.or_: "|",
           operator.eq: "==", operator.ne: "!=", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">="}


def expression(op, a: str, b: str) -> str:
    """op(a, b) in Python."""
    symbol = SYMBOLS.get(op)
    return f"({a} {symbol} {b})" if symbol else f"{op.__name__}({a}, {b})"


class Fit:
    """Which sizes a trace was made for: those at `places` may vary, equal ones together; the others stay."""

    def __init__(self, values, places):
        self.first = [same[0] for same in places]
        moving = {place for same in places for place in same}
        self.moving = moving
        self.fixed = chosen([n for n in range(len(values)) if n not in moving])
        self.fixed_values = self.fixed(values)
        self.equal = [chosen(side) for side in zip(*[(same[0], place) for same in places for place in same[1:]])]

    def varies(self, places) -> bool:
        """Whether what stands at all of these places may vary."""
        return self.moving.issuperset(places)

    def variables(self, values) -> list[int] | None:
        """The sizes that vary; None if others do."""
        if self.fixed(values) != self.fixed_values:
            return None
        if self.equal and self.equal[0](values) != self.equal[1](values):
            return None
        return [values[n] for n in self.first]


def chosen(places) -> itemgetter:
    """What gives the values at some places."""
    return itemgetter(*places) if places else itemgetter(slice(0))


def varying(rows) -> list[list[int]]:
    """Places at which rows differ; those that are equal in every row together."""
    groups: dict = {}
    for place, values in enumerate(zip(*rows)):
        if len(set(values)) > 1:
            groups.setdefault(values, []).append(place)
    return list(groups.values())


class Number:
    """A number of a trace: `value` is what it is in this run."""

    __slots__ = ("trace", "index", "value", "step")
    __hash__ = None
    __class__ = property(lambda self: type(self.value))     # programs ask whether sizes are ints

    def __init__(self, trace, index, value, step):
        self.trace, self.index, self.value, self.step = trace, index, value, step

    def __reduce__(self):
        """On disk only its value is left: where a recipe goes by a number, it has a formula for it."""
        return int, (self.value,)

    def fixed(self):
        """Its value as a plain number, under the guard that it is that."""
        self.trace.ask(operator.eq, self, self.value)
        return self.value

    def __bool__(self):
        return self.trace.ask(operator.ne, self, 0)

    def __eq__(self, other):
        return False if other is None else self.trace.ask(operator.eq, self, other)

    def __ne__(self, other):
        return True if other is None else self.trace.ask(operator.ne, self, other)

    def __neg__(self):
        return self.trace.compute(operator.sub, 0, self)

    def __abs__(self):
        return self if self >= 0 else -self

    def __divmod__(self, other):
        return self // other, self % other

    def __index__(self):
        return operator.index(self.fixed())

    def __int__(self):
        return int(self.fixed())

    def __float__(self):
        return float(self.fixed())

    def __str__(self):
        return str(self.fixed())

    def __format__(self, spec):
        return format(self.fixed(), spec)

    def __repr__(self):
        return f"<{self.value}>"


def _method(op):
    return lambda self, other: NotImplemented if hasattr(other, "storage") else self.trace.compute(op, self, other)


def _reflected(op):
    return lambda self, other: NotImplemented if hasattr(other, "storage") else self.trace.compute(op, other, self)


def _question(op):
    return lambda self, other: self.trace.ask(op, self, other)


for _name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "lshift", "rshift", "and_", "or_"):
    _op, _plain = getattr(operator, _name), _name.rstrip("_")
    setattr(Number, f"__{_plain}__", _method(_op))
    setattr(Number, f"__r{_plain}__", _reflected(_op))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Number, f"__{_name}__", _question(getattr(operator, _name)))


def reference(n):
    """A number's index, or a constant with its type (1 is not 1.0)."""
    kind = type(n)
    if kind is Number:
        return n.index
    if kind in (int, float, bool):
        return kind, n
    raise TypeError(f"a size meets {n!r}")


def whole(n):
    """int(n); a number that may vary stays one."""
    return n if type(n) is Number else int(n)


def plain(n):
    """The value of a number, for people only: nothing may be decided by it."""
    return n.value if type(n) is Number else n


def times(shape) -> str:
    """A shape in words, for people."""
    return "x".join(str(plain(n)) for n in shape)


SLACK = 4
is_exact = False        # set by tests that compare plans number by number: recipes make what the passes would


def are_same(shape, other) -> bool:
    """Whether shapes are equal in all graphs that a trace is for, not by chance in this one: asked without a guard, where
    only an opportunity is lost."""
    if is_exact:
        return tuple(shape) == tuple(other)
    return len(shape) == len(other) and all(
        a.index == b.index if type(a) is type(b) is Number else type(a) is type(b) and a == b for a, b in zip(shape, other))


def matches(a, b) -> bool:
    """a == b, under the guard that it is so; no guard is needed where it is not, because only an opportunity is lost."""
    return (is_exact or plain(a) == plain(b)) and a == b


def is_about(n, limit) -> bool:
    """n <= limit, where both answers are right and one is faster: a trace holds for others near the limit, too."""
    if is_exact or type(n) is not Number and type(limit) is not Number:
        return n <= limit
    return n <= SLACK * limit if plain(n) <= plain(limit) else SLACK * n <= limit


def larger(a, b):
    """max(a, b) without asking which: a guard would hold for a range of sizes only."""
    if type(a) is Number or type(b) is Number:
        return (a if type(a) is Number else b).trace.compute(max, a, b)
    return a if a >= b else b


def smaller(a, b):
    """min(a, b) without asking which."""
    if type(a) is Number or type(b) is Number:
        return (a if type(a) is Number else b).trace.compute(min, a, b)
    return a if a <= b else b
