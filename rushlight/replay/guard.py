"""The condition under which a program may be replayed, as one generated Python function.

It takes the arguments of a call and gives the tensors among them, the tensors that stand at places which
the program itself changes, and all Python numbers that the replay needs, or None if
anything that the recorded call may have read is different now.
"""
from __future__ import annotations

from itertools import count
from types import MethodType

from .. import config, dtypes, ops, random
from ..ops import casting
from ..autograd import anomaly_mode, node as tape
from ..autograd.grad_mode import mode
from ..compiler import plan as plans
from ..nn.modules import module_hooks
from ..nn.modules.module import Module
from ..optim.rounding import single
from ..ops.layouts import Unstrided
from ..tensor import Tensor
from ..trace.record import pending
from .traced import At
from .world import ATOMS, ATTRIBUTE, CELL, BASE_ITEM, base_of

LIMIT_OF_PAIRS = 6          # arguments compared one with another


def modes() -> tuple:
    """The switches that any operation may read."""
    return (mode.enabled, mode.inference, dtypes.default, config.backend.value, config.debug.value, plans.generation,
            anomaly_mode.state.enabled, bool(tape.SAVE_HOOKS), module_hooks.any_global.now, pending.capture,
            random.default_generator, ops.promote.traced, casting.settings())


def same(a, b) -> bool:
    """Whether two values of Python's own types are alike to any program."""
    return type(a) is type(b) and (a == b and (type(a) is not float or str(a) == str(b)) or a != a and b != b)


class Writer:
    """Source lines and the constants that they name."""

    def __init__(self):
        self.lines: list = []
        self.names: dict = {}           # name -> value
        self.known: dict = {}           # id -> name

    def constant(self, value) -> str:
        found = self.known.get(id(value))
        if found is None:
            found = self.known[id(value)] = f"c{len(self.names)}"
            self.names[found] = value
        return found

    def require(self, conditions):
        """Give up unless all hold; in pieces that Python's parser likes."""
        conditions = list(conditions)
        for k in range(0, len(conditions), 100):
            self.lines.append(f"if not ({' and '.join(conditions[k:k + 100])}): return None")


class Guard:
    """Makes the function for one recording. `used` are the storages that its program touches."""

    def __init__(self, recording, used, stored, free):
        self.r, self.used, self.stored, self.free = recording, used, stored, free
        self.w, self.numbers_of_names = Writer(), count()
        self.moving: list = []          # numbers of states that stand where the call puts others
        self.w.require(self.argument_conditions())
        self.w.require([f"modes() == {self.w.constant(modes())}"])
        self.w.require(self.place_conditions())
        self.w.require(self.apart())
        self.numbers()
        self.function = self.compiled()

    # -- arguments --------------------------------------------------------------------------------
    def argument_conditions(self):
        w, arguments = self.w, self.r.arguments
        for at, kind, length in arguments.containers:
            yield f"type({at}) is {w.constant(kind)} and len({at}) == {length}"
        for at, x in arguments.others:
            c = w.constant(x)
            yield f"({at} is {c} or same({at}, {c}))" if isinstance(x, ATOMS) else f"{at} is {c}"
        for at, x in arguments.floats:
            yield f"type({at}) is float" if at in self.r.traced_arguments else f"same({at}, {w.constant(x)})"
        for at, x in arguments.tensors:
            yield f"type({at}) is {w.constant(type(x))} and " + self.metadata(at, x)

    def metadata(self, at, x) -> str:
        """What a program can ask of a tensor without reading it."""
        c = self.w.constant
        return (f"{at}.layout is {c(x.layout)} and {at}.dtype is {c(x.dtype)} and {at}._requires_grad is {x._requires_grad}"
                f" and {at}._grad_fn is None and ({at}._view_of is None or not {at}._view_of._requires_grad)")

    def apart(self):
        """No two arguments or moving states share memory, nor one of them with a state that stays."""
        names = [at for at, _ in self.r.arguments.tensors] + list(dict(reversed(self.moving)).values())
        if len(names) <= LIMIT_OF_PAIRS:
            for k, a in enumerate(names):
                for b in names[k + 1:]:
                    yield f"{a}.storage is not {b}.storage"
        else:
            yield f"len({{{', '.join(f'{n}.storage' for n in names)}}}) == {len(names)}"
        states = {x.storage for x, _ in self.r.states if not self.is_moving(x)}
        if states:
            c = self.w.constant(states)
            yield from (f"{n}.storage not in {c}" for n in names)
        first = dict(reversed(self.moving))
        yield from (f"{name} is {first[number]}" for number, name in self.moving if name != first[number])

    # -- places -----------------------------------------------------------------------------------
    def place_conditions(self):
        r, w = self.r, self.w
        cells = {place.id for place in r.cells}
        for holder, length, _ in r.world.sizes:
            yield f"len({w.constant(holder)}) == {length}" if length else f"not {w.constant(holder)}"
        for fields, name in r.world.absent:
            yield f"{name!r} not in {w.constant(fields)}"
        for key, place in r.world.places.items():
            if key not in cells:
                condition = self.place_condition(key, place, r.world.values[key].value)
                if condition:
                    yield condition
        for x, _ in r.states:
            if x.storage in self.used and not self.is_moving(x):
                c = w.constant(x)
                yield (f"{c}.storage is {w.constant(x.storage)} and {c}.layout is {w.constant(x.layout)} and "
                       f"{c}._requires_grad is {x._requires_grad} and {c}._grad_fn is None")

    def place_condition(self, key, place, value) -> str | None:
        at, c = self.reach(place), self.w.constant
        if isinstance(value, ATOMS):
            if value is None or isinstance(value, bool):
                return f"{at} is {value}"
            return f"({at} is {c(value)} or same({at}, {c(value)}))"
        if isinstance(value, Tensor) and not isinstance(value, Unstrided):
            return self.tensor_condition(key, place, at, value)
        if isinstance(value, MethodType):
            return f"{at} == {c(value)}"
        if isinstance(place.holder, dict) and place.key in OWN and isinstance(value, (dict, set)):
            return None         # what a module makes for itself is never another one; what it holds is looked at
        return f"{at} is {c(value)}"

    def tensor_condition(self, key, place, at, x):
        if x.storage in self.used and key not in self.stored:
            return f"{at} is {self.w.constant(x)}"
        if place.kind == ATTRIBUTE and place.key == "_grad" and x.storage not in self.used:
            return f"{at} is not None and {at}.layout is {self.w.constant(x.layout)}"
        name = f"x{next(self.numbers_of_names)}"
        condition = f"type({name} := {at}) is {self.w.constant(type(x))} and " + self.metadata(name, x)
        if x.storage in self.used:
            self.moving.append((self.r.by_storage[x.storage].number, name))
        return condition

    def is_moving(self, x) -> bool:
        return any(self.r.by_storage[x.storage].number == n for n, _ in self.moving)

    def reach(self, place) -> str:
        holder = self.w.constant(place.holder)
        if place.kind == CELL:
            return f"{holder}.cell_contents"
        if place.kind == ATTRIBUTE:
            return f"{holder}.{place.key}"
        key = repr(place.key) if type(place.key) in (str, int) else self.w.constant(place.key)
        base = base_of(place.holder)
        if type(place.holder) is base or type(place.holder).__getitem__ is base.__getitem__:
            return f"{holder}[{key}]"
        return f"{self.w.constant(BASE_ITEM[base])}({holder}, {key})"

    # -- numbers ----------------------------------------------------------------------------------
    def numbers(self):
        """Inputs, formulas and their guards; what was not seen to vary has to be what it was."""
        r, w, conditions = self.r, self.w, []
        inputs = [At(k) for k, (op, _) in enumerate(r.tape.formulas) if op == "input"]
        sources = [self.reach(p) for p in r.cells] + list(r.traced_arguments)
        keys = [p.id for p in r.cells] + list(r.traced_arguments)
        for at, source, key, value in zip(inputs, sources, keys, r.inputs_of_tape()):
            w.lines.append(f"t{int(at)} = {source}")
            conditions.append(f"type(t{int(at)}) is float")
            if key not in self.free:
                conditions.append(f"same(t{int(at)}, {w.constant(value)})")
        w.require(conditions)
        w.lines += r.tape.source(lambda at: f"t{int(at)}", w.constant)

    def compiled(self):
        w = self.w
        tensors = "".join(f"{at}, " for at, _ in self.r.arguments.tensors)
        moving = "".join(f"{name}, " for _, name in self.moving)
        numbers = "".join(f"t{k}, " for k in range(len(self.r.tape.formulas)))
        body = [*w.lines, f"return ({tensors}), ({moving}), ({numbers})"]
        text = "def guard(a, k):\n    try:\n" + "".join(f"        {line}\n" for line in body)
        text += "    except (LookupError, AttributeError, ValueError, ArithmeticError):\n        return None\n"
        space = {"modes": modes, "same": same, "single": single, **w.names}
        exec(compile(text, "<guard of a replayed function>", "exec"), space)
        self.text = text
        return space["guard"]


OWN = frozenset(Module().__dict__) - {"training"}
