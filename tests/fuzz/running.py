"""Runs a program in many ways that must agree, and says where they do not."""
from __future__ import annotations

import functools
import random
import re
import warnings
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np

import rushlight
from rushlight import config
from rushlight.autograd import recall, sized
from rushlight.trace import record

from tests.compiler.recipes import compared

from .programs import Program, namespace

TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "float16": 3e-2, "bfloat16": 1e-1}


COMPARE = {"strides": False}    # some operations lay out their results in another way than PyTorch's


class Shown(NamedTuple):
    """What one value looks like from outside."""
    value: np.ndarray
    dtype: str
    shape: tuple
    strides: tuple = ()

    def lies(self):
        """The strides that matter."""
        return [s for s, n in zip(self.strides, self.shape) if n > 1] if self.value.size else []


class Outcome(NamedTuple):
    values: dict            # name -> Shown
    raised: tuple | None    # (line number, exception)


@functools.cache
def compiled(line: str):
    return compile(line, "<fuzz>", "exec")


def execute(T, program: Program, after=None) -> Outcome:
    """Run the lines; `after` is called after each."""
    names = namespace(T, program.exact)
    T.manual_seed(0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        at = -1
        try:
            for at, line in enumerate(program.lines):
                exec(compiled(line), names)
                if after is not None:
                    after()
            at = len(program.lines)
            return Outcome(collect(T, names), None)
        except Exception as error:
            return Outcome({}, (at, error))


def collect(T, names) -> dict:
    found = {f"out[{i}]": Shown(np.asarray(x), "python", np.shape(x)) for i, x in enumerate(names["out"])}
    for name, x in names.items():
        if isinstance(x, T.Tensor):
            found[name] = show(x)
            if x.is_leaf and x.grad is not None:
                found[name + ".grad"] = show(x.grad)
        elif isinstance(x, np.ndarray):
            found[name] = Shown(x.copy(), str(x.dtype), x.shape)
    return found


def show(x) -> Shown:
    d = x.detach()
    a = d.float() if str(x.dtype) == "torch.bfloat16" else d.clone()
    return Shown(np.array(a.numpy()), str(x.dtype).split(".")[1], tuple(x.shape), tuple(x.stride()))


# -- comparing --------------------------------------------------------------------------------------
def same_bits(a: Outcome, b: Outcome):
    """None, or what differs in some bit (all nans count as one)."""
    return differs(a, b, lambda x, y, d: np.array_equal(bits(x), bits(y)))


def bits(a):
    if a.dtype.kind != "f":
        return a
    a = np.where(np.isnan(a), np.array(np.nan, a.dtype), a)
    return a.view(f"i{a.itemsize}")


def close(a: Outcome, b: Outcome, program: Program):
    """None, or what differs by more than rounding may."""
    rate = tolerance(program)
    return differs(a, b, lambda x, y, d: is_close(x, y, rate))


def tolerance(program: Program) -> float:
    """By the narrowest float that the program knows; values go from dtype to dtype."""
    if program.exact:
        return 1e-5
    text = " ".join(program.lines)
    narrow = next((d for d in ("bfloat16", "float16") if d in text), None)
    return TOLERANCE[narrow or ("float32" if "float32" in text or "rand" in text else "float64")]


def is_close(x, y, rate):
    if x.dtype.kind != "f" or y.dtype.kind != "f":
        return np.array_equal(x, y)
    return np.allclose(x, y, rtol=rate, atol=rate * max(1, np.max(np.abs(np.nan_to_num(x, posinf=0, neginf=0)), initial=0)),
                       equal_nan=True)


def differs(a: Outcome, b: Outcome, equal):
    if (a.raised is None) != (b.raised is None):
        return f"one raises: {a.raised} against {b.raised}"
    if a.raised is not None:
        same = a.raised[0] == b.raised[0] and type(a.raised[1]) is type(b.raised[1])
        return None if same else f"{a.raised} against {b.raised}"
    if a.values.keys() != b.values.keys():
        return f"names: {sorted(a.values.keys() ^ b.values.keys())}"
    for name, x in a.values.items():
        y = b.values[name]
        if (x.dtype, x.shape) != (y.dtype, y.shape):
            return f"{name}: {x.dtype}{list(x.shape)} against {y.dtype}{list(y.shape)}"
        if COMPARE["strides"] and x.lies() != y.lies():
            return f"{name}: {x.dtype}{list(x.shape)} strides {x.strides} against {y.strides}"
        if not equal(x.value, y.value, x.dtype):
            return f"{name} {x.dtype}{list(x.shape)}:\n{brief(x.value, y.value)}\nagainst\n{brief(y.value, x.value)}"
    return None


def brief(a, b):
    """The array, or of a big one what lies where it differs from the other."""
    if a.size < 80:
        return a
    at = np.argwhere(~((a == b) | (a != a) & (b != b)))[:6]
    return "; ".join(f"{list(map(int, i))}: {a[tuple(i)]!r}" for i in at)


# -- the ways ---------------------------------------------------------------------------------------
@contextmanager
def node_by_node():
    """Every recorded node is run before the next: nothing is fused with anything."""
    pending, plain = record.pending, record._at_the_ends
    before, pending.limit = pending.limit, 0
    record._at_the_ends = pending.flush
    try:
        yield
    finally:
        record._at_the_ends, pending.limit = plain, before


@contextmanager
def with_threads(n):
    before = rushlight.get_num_threads()
    rushlight.set_num_threads(n)
    try:
        yield
    finally:
        rushlight.set_num_threads(before)


WAYS = {
    "again (plans known)": lambda: ExitStack(),
    "one thread": lambda: with_threads(1),
    "four threads": lambda: with_threads(4),
    "node by node": node_by_node,
}


def flush():
    record.pending.flush()


def oracle():
    """PyTorch, if it is here."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch


def without_foreign_errors(T, program: Program) -> Program:
    """The program without the lines that PyTorch refuses."""
    while True:
        raised = execute(T, program).raised
        if raised is None:
            return program
        lines = list(program.lines)
        del lines[min(raised[0], len(lines) - 1)]      # if only looking raises, the program gets shorter
        program = program._replace(lines=lines)


def check(program: Program, torch=None, ways=WAYS) -> str | None:
    """None, or the first difference between two ways of running the program."""
    with config.backend.override("reference"):
        meaning = execute(rushlight, program)
    fused = execute(rushlight, program)
    found = close(fused, meaning, program)
    if found:
        return f"compiled differs from reference: {found}"
    if torch is not None:
        found = close(fused, execute(torch, program), program)
        if found:
            return f"compiled differs from PyTorch: {found}"
    for name, way in ways.items():
        with way():
            found = same_bits(fused, execute(rushlight, program))
        if found:
            return f"{name}: {found}"
    found = same_bits(fused, execute(rushlight, program, flush))
    return f"line by line: {found}" if found else check_sizes(program, fused)


def check_sizes(program: Program, fused: Outcome) -> str | None:
    """Recipes and replays of these sizes and of others: the plans of the passes, what the calls themselves record."""
    with compared() as faults, replayed_at_once():
        found = same_bits(fused, execute(rushlight, program))
        for other in resized(program):
            found = found or by_replays(other)
    if faults:
        return f"recipe: {faults[0]}"
    return f"by recipes and replays: {found}" if found else None


def by_replays(program: Program) -> str | None:
    """Whether replays, whatever sizes they are known from, compute what the calls do; None if the program raises."""
    replayed = execute(rushlight, program)
    if replayed.raised is None:
        with calls_as_they_are():
            return same_bits(execute(rushlight, program), replayed)
    return None


@contextmanager
def replayed_at_once():
    """Calls of a known form are replayed from their second size on, each compared with the call."""
    before = sized.TURNS, sized.checking
    sized.TURNS, sized.checking = 0, True
    try:
        with config.sized.override(True):
            yield
    finally:
        sized.TURNS, sized.checking = before


@contextmanager
def calls_as_they_are():
    recall.paused.append(True)
    try:
        yield
    finally:
        recall.paused.pop()


def resized(program: Program) -> list[Program]:
    """The program with some number, wherever it stands, higher, doubled, far higher, or one."""
    text = "\n".join(program.lines)
    numbers = sorted({int(n) for n in re.findall(r"(?<![\w.])\d+(?![\w.])", text) if 1 < int(n) < 100})
    rng = random.Random(program.seed)
    made = []
    for change in (lambda n: n + 1, lambda n: 2 * n, lambda n: n + 64, lambda n: 1, lambda n: n + 2):
        if numbers:
            old = rng.choice(numbers)
            lines = [re.sub(rf"(?<![\w.]){old}(?![\w.])", str(change(old)), line) for line in program.lines]
            made.append(program._replace(lines=lines))
    return made


# -- minimising -------------------------------------------------------------------------------------
def runnable(program: Program) -> Program:
    """The program without the lines that now raise, because what they need was dropped."""
    with config.backend.override("reference"):
        return without_foreign_errors(rushlight, program)


def minimise(program: Program, torch=None) -> tuple[Program, str]:
    """Drop lines while it still fails in the same way."""
    found = check(program, torch)
    kind = found.split(":")[0]
    size = max(len(program.lines) // 2, 1)
    while size:
        at = len(program.lines) - size
        while at > -size:
            lines = program.lines[:max(at, 0)] + program.lines[at + size:]
            smaller = runnable(program._replace(lines=lines))
            if torch is not None:
                smaller = without_foreign_errors(torch, smaller)
            now = check(smaller, torch) if len(smaller.lines) < len(program.lines) else None
            if now and now.split(":")[0] == kind:
                program, found = smaller, now
                at = min(at, len(program.lines))
            at -= size
        size //= 2
    return program, found


def script(program: Program) -> str:
    """The program as a file that runs by itself."""
    body = "\n".join(program.lines)
    return f"""import numpy as np
import rushlight as T
from tests.fuzz.programs import make as make_
F, out = T.nn.functional, []
make = lambda shape, dtype="float32", salt=0: make_(T, shape, dtype, salt, {program.exact})
T.manual_seed(0)
{body}
"""
