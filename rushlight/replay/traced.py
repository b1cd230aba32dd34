"""Python numbers of a recorded call as formulas in the numbers that the call began with.

A learning rate or a step counter is given to the function as a `Traced`: a float that notes how
others are computed from it. What is only computed with it stays an input of the replay; where the
program compares it, the outcome is guarded; where it escapes (printed, hashed, made an int), its
value is. What reads a float without asking, as `math.sqrt` does, is found out when a second
recording with other values is compared with the first (recording.py).
"""
from __future__ import annotations

import operator
import sys

from .. import dtypes
from ..autograd import recall
from ..ops import promote
from ..optim.rounding import single

INPUT, READ = "input", "read"
ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv,
              "floordiv": operator.floordiv, "mod": operator.mod, "pow": operator.pow}
SIGNS = {"neg": operator.neg, "pos": operator.pos, "abs": abs, "single": single}
COMPARISONS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
               "eq": operator.eq, "ne": operator.ne}
OPERATIONS = {**ARITHMETIC, **SIGNS, **COMPARISONS}
SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "neg": "-",
           "pos": "+", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


class Tape:
    """Formulas in order. A formula is (operation, operands); an operand is an `At` or a plain number."""

    def __init__(self):
        self.formulas: list = []
        self.guards: list = []          # (comparison, operands, outcome)
        self.known: dict = {}
        self.late: set = set()          # formulas of numbers that the call itself read from tensors
        self.reads: list = []           # those numbers
        self.given: list = []           # those that it began with
        self.decided_late = False       # whether Python went another way, or may have, because of one
        self.is_open = True

    def input(self, value: float) -> Traced:
        self.given.append(value)
        return self.traced(value, INPUT, (len(self.formulas),))

    def read(self, value: float) -> Traced:
        """A number that the call reads from a tensor."""
        self.reads.append(value)
        return self.traced(value, READ, (len(self.formulas),))

    def traced(self, value, operation, operands):
        """The result of a formula; equal formulas are one."""
        key = (operation, *[(type(x), repr(x)) for x in operands])
        at = self.known.get(key)
        if at is None:
            at = self.known[key] = At(len(self.formulas))
            if operation == READ or any(type(x) is At and x in self.late for x in operands):
                self.late.add(at)
            self.formulas.append((operation, operands))
        made = float.__new__(Traced, value)
        made.tape, made.at = self, at
        return made

    def guard(self, comparison, operands, outcome) -> None:
        key = (comparison, *[(type(x), repr(x)) for x in operands])
        if any(type(x) is At and x in self.late for x in operands):
            self.decided_late = True
        elif key not in self.known:
            self.known[key] = len(self.guards)
            self.guards.append((comparison, operands, outcome))

    def pin_all(self) -> None:
        """Something looked at numbers without asking them: it may have been any of these."""
        inputs = iter(self.given)
        for k, (operation, _) in enumerate(self.formulas):
            if operation == INPUT:
                self.guard("eq", (At(k), next(inputs)), True)
        self.decided_late |= bool(self.late)

    def values(self, inputs, reads=()) -> list:
        """Every formula's value, from those of the inputs and reads in order; None where it has none."""
        given, values = {INPUT: iter(inputs), READ: iter(reads)}, []
        for operation, operands in self.formulas:
            if operation in given:
                values.append(next(given[operation], None))
                continue
            numbers = [values[x] if type(x) is At else x for x in operands]
            try:
                values.append(None if None in numbers else OPERATIONS[operation](*numbers))
            except ArithmeticError:
                values.append(None)
        return values

    def source(self, name, number_name) -> list[str]:
        """The formulas and guards as lines of Python; `name(at)` and `number_name(x)` name operands."""
        def spell(x):
            return name(x) if type(x) is At else number_name(x)

        lines = [f"{name(At(k))} = " + ("None" if k in self.late else _spelled(op, [spell(x) for x in xs]))
                 for k, (op, xs) in enumerate(self.formulas) if op != INPUT]
        checks = [f"({_spelled(op, [spell(x) for x in xs])}) is {outcome}" for op, xs, outcome in self.guards]
        return lines + ([f"if not ({' and '.join(checks)}): return None"] if checks else [])


    def completed(self, values, reads):
        """The values of all formulas, from those that came before the call's reads and from these."""
        given, values = iter(reads), list(values)
        for k in sorted(self.late):
            operation, operands = self.formulas[k]
            values[k] = next(given) if operation == READ else OPERATIONS[operation](
                *[values[x] if type(x) is At else x for x in operands])
        return values


def _spelled(operation, xs) -> str:
    if operation in ("abs", "single"):
        return f"{operation}({xs[0]})"
    return f"{SYMBOLS[operation]}{xs[0]}" if len(xs) == 1 else f"{xs[0]} {SYMBOLS[operation]} {xs[1]}"


class At(int):
    """The number of a formula on its tape."""


class Traced(float):
    """A float that knows its formula."""

    __slots__ = ("tape", "at")

    def pin(self):
        """The program saw this very value."""
        if self.tape.is_open:
            self.tape.guard("eq", (self.at, plain(self)), True)


def plain(x):
    """A number without its formula."""
    return float.__mul__(x, 1.0) if type(x) is Traced else x


def _operand(x, tape):
    return x.at if type(x) is Traced and x.tape is tape else plain(x)


def _noted(self, name, a, b):
    """Compute with plain numbers, and note how."""
    value = OPERATIONS[name](plain(a), plain(b))
    if type(value) is not float or not self.tape.is_open:
        for x in (a, b):
            if type(x) is Traced:
                x.pin()
        return value
    return self.tape.traced(value, name, (_operand(a, self.tape), _operand(b, self.tape)))


def _arithmetic(name):
    def forward(self, other):
        return _noted(self, name, self, other) if isinstance(other, (int, float)) else NotImplemented

    def reflected(self, other):
        return _noted(self, name, other, self) if isinstance(other, (int, float)) else NotImplemented
    return forward, reflected


def _sign(name):
    def method(self):
        value = OPERATIONS[name](plain(self))
        return self.tape.traced(value, name, (self.at,)) if self.tape.is_open else value
    return method


def _comparison(name):
    def method(self, other):
        if not isinstance(other, (int, float)):
            return NotImplemented
        outcome = OPERATIONS[name](plain(self), plain(other))
        if self.tape.is_open:
            self.tape.guard(name, (self.at, _operand(other, self.tape)), outcome)
        return outcome
    return method


def _escape(name):
    function = getattr(float, name)

    def method(self, *args):
        self.pin()
        return function(plain(self), *args)
    return method


def _bool(self):
    outcome = plain(self) != 0
    if self.tape.is_open:
        self.tape.guard("ne", (self.at, 0.0), outcome)
    return outcome


def _hash(self):
    """Its value is seen by who makes a key of it; what recalls calls is to make them instead (autograd/recall.py)."""
    if sys._getframe(1).f_code.co_filename == recall.__file__:
        raise TypeError("a traced number is no key")
    self.pin()
    return hash(plain(self))


for _name in ARITHMETIC:
    _forward, _reflected = _arithmetic(_name)
    setattr(Traced, f"__{_name}__", _forward)
    setattr(Traced, f"__r{_name}__", _reflected)
for _name in SIGNS:
    setattr(Traced, "rounded_to_float32" if _name == "single" else f"__{_name}__", _sign(_name))
for _name in COMPARISONS:
    setattr(Traced, f"__{_name}__", _comparison(_name))
for _name in ("__float__", "__int__", "__trunc__", "__floor__", "__ceil__", "__round__", "__repr__",
              "__str__", "__format__", "__divmod__", "__rdivmod__", "as_integer_ratio", "is_integer", "hex",
              "__getnewargs__"):
    setattr(Traced, _name, _escape(_name))
Traced.__bool__, Traced.__hash__ = _bool, _hash
Traced.__reduce__ = lambda self: (float, (plain(self),))
Traced.__copy__ = lambda self: self
Traced.__deepcopy__ = lambda self, _memo: self
promote.traced = Traced
dtypes.PYTHON_TYPES[Traced], dtypes.WEAK[Traced] = dtypes.float64, dtypes.WEAK[float]
