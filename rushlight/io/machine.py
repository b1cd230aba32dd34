"""Pickle as data: a machine for the opcodes of pickle that can call only what it was given.

A pickle is a program. This machine runs the part of its language that describes data: numbers,
strings, containers, references, and calls of the constructors in a table. A name that is not in the
table stops it. Lengths are checked against what is there, so that a short file cannot ask for much.
"""
from __future__ import annotations

import pickle
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError

MAX_DEPTH = 500         # of containers that are open at the same time
MAX_KEY_DEPTH = 16      # of tuples in a key: hashing recurses in C
MAX_ALIKE = 50          # keys that differ and have one hash: whoever looks one up compares it with all of them
MAX_INT_BYTES = 4096
PYTHON_2 = "__builtin__"    # what pickles up to protocol 2 call the module builtins
PLAIN_KEYS = (str, bytes, int, float, complex, type(None))


class Global:
    """A name that a pickle has looked up, before anybody calls it."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value) -> None:
        self.name, self.value = name, value


class Constructor:
    """What calling a global does: a function that checks its own arguments.

    `means` is what the name stands for where it is data; `new` is what NEWOBJ does.
    """

    __slots__ = ("function", "means", "new")

    def __init__(self, function: Callable, means=None, new: Callable | None = None) -> None:
        self.function = function
        self.means = function if means is None else means
        self.new = function if new is None else new


class Keys:
    """Lets pass what can be a key and costs no more than its place in the file.

    A tuple of tuples that are all the same is short in a file and endless to hash; numbers and tuples
    can be chosen so that all have one hash.
    """

    def __init__(self) -> None:
        self.left, self.alike = 10_000, {}

    def __call__(self, key):
        self.count(key, 0)
        if isinstance(key, (tuple, frozenset, complex)) or isinstance(key, int) and not -2**60 < key < 2**60:
            same = self.alike.setdefault(hash(key), [])
            if key not in same:
                same.append(key)
            if len(same) > MAX_ALIKE:
                raise UnpicklingError("keys are chosen to have one hash")
        return key

    def count(self, key, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > MAX_KEY_DEPTH:
            raise UnpicklingError(f"keys are too large, or one is nested more than {MAX_KEY_DEPTH} deep")
        if isinstance(key, (tuple, frozenset)):
            for item in key:
                self.count(item, depth + 1)
        elif not isinstance(key, PLAIN_KEYS) and type(key).__module__.partition(".")[0] == "builtins":
            raise UnpicklingError(f"a {type(key).__name__} cannot be a key")


class Machine:
    """Runs one pickle.

    Args:
        data: the pickle; bytes after its STOP are left alone, `position` tells where they start.
        find: name -> Constructor or a value; raises UnpicklingError for what it does not know. Its `keys`
            are what lets keys pass.
        load_storage: what to do with a persistent id.
    """

    def __init__(self, data: bytes, find: Callable, load_storage: Callable, position: int = 0):
        self.data, self.position = memoryview(data), position
        self.find, self.load_storage, self.keys = find, load_storage, find.keys
        self.keys.left += 4 * len(data)
        self.stack, self.marks, self.memo = [], [], {}

    def run(self):
        """The object that the pickle describes."""
        try:
            while True:
                opcode = self.byte()
                if opcode == STOP:
                    return unwrapped(self.stack.pop())
                STEPS.get(opcode, unknown_opcode)(self)
        except (IndexError, KeyError, ValueError, TypeError, struct.error, RecursionError) as error:
            raise UnpicklingError(f"the pickle is damaged: {type(error).__name__}: {str(error)[:200]} "
                                  f"at byte {self.position}") from None

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise UnpicklingError("pickle data was truncated")
        taken, self.position = self.data[self.position:end], end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, form: struct.Struct):
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        rest = bytes(self.data[self.position:self.position + 1024])
        end = rest.find(b"\n")
        if end < 0:
            raise UnpicklingError("pickle data was truncated, or a name is too long")
        self.position += end + 1
        return rest[:end].decode("utf-8")

    def push(self, value) -> None:
        self.stack.append(value)

    def pop(self):
        return unwrapped(self.stack.pop())

    def pop_mark(self) -> list:
        items = [unwrapped(item) for item in self.stack]
        self.stack = self.marks.pop()
        return items

    def mark(self) -> None:
        if len(self.marks) >= MAX_DEPTH:
            raise UnpicklingError(f"containers are nested more than {MAX_DEPTH} deep")
        self.marks.append(self.stack)
        self.stack = []

    def look_up(self, module: str, name: str) -> None:
        full = f"{'builtins' if module == PYTHON_2 else module}.{name}"
        self.push(Global(full, self.find(full)))

    def call(self, way: str) -> None:
        """The pickle asks for `target(*arguments)`."""
        arguments, target = self.pop(), self.stack.pop()
        if not (isinstance(target, Global) and isinstance(target.value, Constructor)):
            raise UnpicklingError(f"cannot call {describe(target)}: it is no allowed constructor")
        if type(arguments) is not tuple:
            raise UnpicklingError(f"the arguments of {target.name} are no tuple")
        try:
            self.push(getattr(target.value, way)(*arguments))
        except (TypeError, ValueError, AttributeError, OverflowError, MemoryError, RuntimeError) as error:
            raise UnpicklingError(f"{target.name}: {str(error)[:500]}") from None

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise UnpicklingError(f"can only append to lists, not to {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise UnpicklingError(f"can only set items of dicts, not of {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.keys(key)] = value

    def add_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise UnpicklingError(f"can only add to sets, not to {type(target).__name__}")
        target.update(map(self.keys, items))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if type(target) is OrderedDict:
            if type(state) is not dict or not all(type(key) is str for key in state):
                raise UnpicklingError("the state of an OrderedDict is no dict of names")
            target.__dict__.update(state)
        elif getattr(self.find, "may_build", lambda kind: False)(type(target)):
            set_state(target, state)
        else:
            raise UnpicklingError(f"cannot set the state of a {type(target).__name__}")


def unwrapped(value):
    """What a pickle means by a name that stands where data is expected."""
    if not isinstance(value, Global):
        return value
    return value.value.means if isinstance(value.value, Constructor) else value.value


def describe(value) -> str:
    return value.name if isinstance(value, Global) else f"a {type(value).__name__}"


def set_state(target, state) -> None:
    """pickle's BUILD for an object of a class that the user allows."""
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    target.__dict__.update(state or {})
    for name, value in (slots or {}).items():
        setattr(target, name, value)


def checked_int(data) -> int:
    if len(data) > MAX_INT_BYTES:
        raise UnpicklingError(f"an integer of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def unknown_opcode(machine):
    machine.position -= 1
    raise UnpicklingError(f"unsupported opcode {bytes([machine.byte()])!r} "
                          f"at byte {machine.position - 1}")


def text(data) -> str:
    return str(data, "utf-8", "surrogatepass")


def tuple_of(count):
    def step(m):
        items = tuple(m.pop() for _ in range(count))
        m.push(items[::-1])
    return step


def constant(make):
    return lambda m: m.push(make())


def sized(form, convert):
    """Push what the next bytes say, their number standing before them."""
    return lambda m: m.push(convert(m.take(m.number(form))))


def drop(m):
    if m.stack:
        m.stack.pop()
    else:
        m.stack = m.marks.pop()


def stack_global(m):
    name, module = m.pop(), m.pop()
    if type(name) is not str or type(module) is not str:
        raise UnpicklingError("a global's name is no string")
    m.look_up(module, name)


def set_one(m):
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def get(m, index):
    m.push(m.memo[index])


U1, U2, U4, U8 = (struct.Struct("<" + code) for code in "BHIQ")
I4, F8 = struct.Struct("<i"), struct.Struct(">d")
STOP = pickle.STOP[0]
STEPS = {opcode[0]: step for opcode, step in [
    (pickle.PROTO,            lambda m: m.take(1)),
    (pickle.FRAME,            lambda m: m.take(8)),
    (pickle.NONE,             constant(lambda: None)),
    (pickle.NEWTRUE,          constant(lambda: True)),
    (pickle.NEWFALSE,         constant(lambda: False)),
    (pickle.EMPTY_TUPLE,      constant(tuple)),
    (pickle.EMPTY_LIST,       constant(list)),
    (pickle.EMPTY_DICT,       constant(dict)),
    (pickle.EMPTY_SET,        constant(set)),
    (pickle.BININT,           lambda m: m.push(m.number(I4))),
    (pickle.BININT1,          lambda m: m.push(m.number(U1))),
    (pickle.BININT2,          lambda m: m.push(m.number(U2))),
    (pickle.BINFLOAT,         lambda m: m.push(m.number(F8))),
    (pickle.LONG1,            sized(U1, checked_int)),
    (pickle.LONG4,            sized(U4, checked_int)),
    (pickle.BINUNICODE,       sized(U4, text)),
    (pickle.SHORT_BINUNICODE, sized(U1, text)),
    (pickle.BINUNICODE8,      sized(U8, text)),
    (pickle.SHORT_BINSTRING,  sized(U1, text)),
    (pickle.BINBYTES,         sized(U4, bytes)),
    (pickle.SHORT_BINBYTES,   sized(U1, bytes)),
    (pickle.BINBYTES8,        sized(U8, bytes)),
    (pickle.BYTEARRAY8,       sized(U8, bytearray)),
    (pickle.MARK,             lambda m: m.mark()),
    (pickle.POP,              drop),
    (pickle.POP_MARK,         lambda m: m.pop_mark()),
    (pickle.DUP,              lambda m: m.push(m.stack[-1])),
    (pickle.TUPLE,            lambda m: m.push(tuple(m.pop_mark()))),
    (pickle.TUPLE1,           tuple_of(1)),
    (pickle.TUPLE2,           tuple_of(2)),
    (pickle.TUPLE3,           tuple_of(3)),
    (pickle.LIST,             lambda m: m.push(m.pop_mark())),
    (pickle.FROZENSET,        lambda m: m.push(frozenset(map(m.keys, m.pop_mark())))),
    (pickle.APPEND,           lambda m: m.extend([m.pop()])),
    (pickle.APPENDS,          lambda m: m.extend(m.pop_mark())),
    (pickle.SETITEM,          set_one),
    (pickle.SETITEMS,         lambda m: m.set_items(m.pop_mark())),
    (pickle.ADDITEMS,         lambda m: m.add_items(m.pop_mark())),
    (pickle.GLOBAL,           lambda m: m.look_up(m.line(), m.line())),
    (pickle.STACK_GLOBAL,     stack_global),
    (pickle.REDUCE,           lambda m: m.call("function")),
    (pickle.NEWOBJ,           lambda m: m.call("new")),
    (pickle.BUILD,            lambda m: m.build()),
    (pickle.BINPERSID,        lambda m: m.push(m.load_storage(m.pop()))),
    (pickle.BINPUT,           lambda m: m.put(m.number(U1))),
    (pickle.LONG_BINPUT,      lambda m: m.put(m.number(U4))),
    (pickle.MEMOIZE,          lambda m: m.put(len(m.memo))),
    (pickle.BINGET,           lambda m: get(m, m.number(U1))),
    (pickle.LONG_BINGET,      lambda m: get(m, m.number(U4))),
]}
