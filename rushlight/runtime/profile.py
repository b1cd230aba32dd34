"""Where time is told: the ladder of RUSHLIGHT_DEBUG, and the same round a block, `debug(3)`.

    1   flushes: hit or miss of the plan cache, why a miss, how long it took
    2   the plan's kernels, each run and timed alone: milliseconds, GFLOP/s, GB/s
    3   a new plan's groups, and why each ended where it did
    4   a new plan's loop nests and epilogues (kernel IR)
    5   LLVM IR of kernels that this process has not seen yet (cpu/jit.py prints it)
    6   their assembly (likewise)

Everything goes to stderr. What levels 3 and 4 show is worked out by running the passes once more
on the side, so that the compiler itself carries nothing for it.
"""
from __future__ import annotations

import os
import sys
from itertools import count
from time import perf_counter

from .. import config
from ..compiler import group as grouping
from ..compiler import plan as planning
from ..compiler.lower import Builder, describe_step
from ..compiler.pipeline import PASSES
from ..layout import view
from ..trace.graph import build, spelled_out
from ..trace.record import Compound, Signature, line_of

NEIGHBOURS = 64         # plans that a new key is compared with, the latest first
COMMAND_BYTES = 32
_flushes = count(1)


def say(text: str) -> None:
    print(text, file=sys.stderr)


def run(nodes, d) -> None:
    """Run pending nodes as plan.run does, and say what happens."""
    e = spelled_out(d)
    known = planning.plans.get(d.key) or planning.plans.get(planning.named(d)[-1])
    why = "" if known is not None else reason(d.key)
    started = perf_counter()
    plan = planning.plan_of(nodes, d)
    compiled = perf_counter()
    making = how_made(e.nodes, e) if config.debug.value >= 3 and known is None else []
    began = perf_counter()
    times = Times()
    plan.execute(d, times if config.debug.value >= 2 else None)
    ran = perf_counter()
    say("\n".join([headline(nodes, d, plan, why, compiled - started, ran - began), *making]))
    if config.debug.value >= 2:
        times.show(plan)


def headline(nodes, d, plan, why, compiling, running) -> str:
    cached = f"new plan ({why}) in {1e3 * compiling:.1f} ms" if why else "known plan"
    steps = len(plan.recipe.steps)
    return (f"flush {next(_flushes)} of {span(nodes)}: {len(nodes)} nodes -> {steps} steps, {len(d.outputs)} outputs, "
            f"arena {plan.arena_bytes} bytes; {cached}, ran {1e3 * running:.3f} ms")


def span(nodes) -> str:
    """The source lines of the first and the last node."""
    first, last = line(nodes[0].where), line(nodes[-1].where)
    return first if first == last else f"{first} to {last}"


def line(where) -> str:
    return "?" if where is None else f"{os.path.basename(where[0].co_filename)}:{line_of(where)}"


# -- level 1: why a plan was not found --------------------------------------------------------------
def reason(key: tuple) -> str:
    """What tells this key from the nearest plan's."""
    nearest, common = None, -1
    described = (k for k in reversed(planning.plans) if type(k[0]) is not tuple)
    for other, _ in zip(described, range(NEIGHBOURS)):
        n = shared_length(key, other)
        if n > common:
            nearest, common = other, n
    if nearest is None:
        return "the first"
    if common in (len(key), len(nearest)):
        return "longer than any" if common == len(nearest) else "shorter than any"
    return difference(key, nearest, common)


def shared_length(a: tuple, b: tuple) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def difference(key, other, at) -> str:
    """Words for the first place where two keys differ; see trace/graph.py `describe` for their form."""
    new, old = key[at], other[at]
    number = sum(isinstance(part, (Signature, Compound)) for part in key[:at + 1]) - 1
    if isinstance(new, (Signature, Compound)) and isinstance(old, (Signature, Compound)):
        return f"node {number} is {unlike(new, old)}"
    if isinstance(new, bool) and isinstance(old, bool):
        return f"node {number} is {'now' if new else 'no longer'} seen from outside"
    if isinstance(new, tuple) and isinstance(old, tuple):
        return "other inputs are seen for the last time" if at == len(key) - 2 else "its inputs lie in memory otherwise"
    return f"node {number} reads another operand"


def unlike(new: Signature | Compound, old: Signature | Compound) -> str:
    if new.prim is None or old.prim is None:
        return f"{new}, was {old}"
    if new.prim is not old.prim:
        return f"{new.prim.name}, was {old.prim.name}"
    if new.shape != old.shape:
        return f"{new}, was {old}"
    if new.dtypes != old.dtypes:
        return f"{new.prim.name} of {names(new.dtypes)}, was of {names(old.dtypes)}"
    return f"{new.prim.name} with other {'parameters' if new.params != old.params else 'strides'}"


def names(dtypes) -> str:
    return ", ".join(d.name for d in dtypes)


# -- level 2: what each step costs ----------------------------------------------------------------------
class Times:
    """Runs a plan's segments command by command under a clock: `Plan.execute(d, Times())`."""

    def __init__(self):
        self.seconds: list[float] = []

    def __call__(self, plan, segment, bases, d) -> None:
        for part in commands(segment):
            started = perf_counter()
            plan.run_segment(part, bases, d)
            self.seconds.append(perf_counter() - started)

    def show(self, plan) -> None:
        if plan.recipe.formula is not None:
            say("    (a recipe's plan: sizes, FLOPs and bytes are those of the plan that it was made from)")
        for step, seconds in zip(plan.recipe.steps, self.seconds):
            say(f"    {1e3 * seconds:9.3f} ms {rates(step, seconds)}  {describe_step(step)}")


def commands(segment):
    """The commands of a native segment one by one; a host step is one."""
    if not isinstance(segment, list):
        return [segment]
    return [[segment[0] + COMMAND_BYTES * i, 1] for i in range(segment[1])]


def rates(step, seconds) -> str:
    """How many operations and bytes a second, as far as the kernel has counted them."""
    flops, read = (step.flops, step.bytes) if hasattr(step, "flops") else (0, 0)
    return " ".join(f"{n / seconds / 1e9:8.1f} {unit}" if n else " " * (9 + len(unit))
                    for n, unit in ((flops, "GFLOP/s"), (read, "GB/s")))


# -- levels 3 and 4: how a plan came to be ------------------------------------------------------------------
def how_made(nodes, d) -> list[str]:
    """Groups with the reason of each end; from level 4 on also the kernels in kernel IR."""
    groups = explained_groups(nodes, d)
    lines = [f"    {group}\n        {groups.why.get(group, 'nobody reads on')}" for group in groups.ordered()]
    if config.debug.value >= 4:
        builder = Builder(groups)
        builder.backend, builder.lowered = Listening(builder.backend, lines), {}
        builder.program()
    return lines


def explained_groups(nodes, d) -> Explained:
    """What `lower` gets, from groups that know why they ended."""
    ir = build(nodes, d)
    for step in PASSES:
        if step.name == "lower":
            break
        ir = Explained(ir) if step.name == "group" else step.run(ir)
    return ir


class Explained(grouping.Groups):
    """Groups that remember why a reader did not join."""

    def __init__(self, graph):
        self.why = {}           # group -> why it ended
        super().__init__(graph)

    def may_join(self, v, use, group) -> bool:
        joins = super().may_join(v, use, group)
        if not joins:
            self.why[group] = f"ended before {v}: {self.obstacle(v, use, group)}"
        return joins

    def joinable(self, v):
        found = super().joinable(v)
        if found is None:
            for group in {self.home[u.source] for u in v.uses if u.source in self.home}:
                if f"before {v}:" not in self.why.get(group, ""):
                    self.why[group] = f"ended before {v}: {v.prim.name} {self.way_of(v)}"
        return found

    def way_of(self, v) -> str:
        kind = "gather" if v.prim.kind == "gather" else grouping.kind_of(v)
        return {"contract": "is a contraction, which begins a group", "gather": "reads what is in memory"}.get(
            kind, "is no loop and stands alone")

    def obstacle(self, v, use, group) -> str:
        """The first condition of group.py that fails."""
        if group.kind == "alone":
            return "a group that is no loop takes nobody in"
        if not grouping.is_same_walk(use):
            return "it reads the value in another order"
        if self.makes_cycle(v, group):
            return "another of its operands waits for this group"
        if group.kind == "contract":
            return self.epilogue_obstacle(v, group)
        if len(group.vertices) >= grouping.GROUP_LIMIT:
            return f"the group has {grouping.GROUP_LIMIT} nodes"
        if group.dims is not None and v.prim.kind == "reduce":
            return "it folds other axes"
        if any(self.home.get(u.source) is group and u.source.prim.kind == "reduce" for u in v.uses):
            return "it needs a finished reduction of this group"
        return "it walks another shape"

    def epilogue_obstacle(self, v, group) -> str:
        if len(group.vertices) > grouping.EPILOGUE_LIMIT:
            return f"a contraction takes {grouping.EPILOGUE_LIMIT} nodes along"
        if any(view(u.layout, group.space) is None for u in v.uses):
            return "it has another shape than the contraction's result"
        return "a contraction takes only pointwise floats along"


class Listening:
    """A back end that says what it is asked for."""

    def __init__(self, backend, lines):
        self.backend, self.lines, self.heard = backend, lines, set()

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def nest(self, nest):
        return self.hear(nest, self.backend.nest(nest))

    def rows(self, nest):
        return self.hear(nest, self.backend.rows(nest))

    def hear(self, nest, code):
        if code not in self.heard:
            self.heard.add(code)
            self.lines.append(f"    {code.symbol}:\n{show_nest(nest)}")
        return code

    def contract(self, name, params, out, operands, temp, epilogue):
        shapes = " and ".join(str(list(v.shape)) for v in operands)
        self.lines.append(f"    {name} of {shapes}" + (f" with epilogue\n{show_body(epilogue.body)}" if epilogue else ""))
        return self.backend.contract(name, params, out, operands, temp, epilogue)


def show_nest(nest) -> str:
    """A loop nest: its axes, how each access moves along them, the body, what is folded."""
    lines = [f"        {getattr(nest, 'style', 'row by row')}: {nest.kept} kept axes, {nest.folded} folded"]
    for i, load in enumerate(nest.loads):
        at = f" at loads {list(load.indices)}" if load.indices else ""
        lines.append(f"        load {i}: {load.dtype.name} moving {' '.join(load.ways)}{at}")
    for stage in getattr(nest, "stages", [nest]):
        lines.append(show_body(stage.body))
        lines += [f"        fold output {f.value} by {f.op} in {f.dtype.name} into {f.out.name}" for f in stage.folds]
        if getattr(stage, "after", None) and stage.after.outputs:
            lines.append("        once for each row:\n" + show_body(stage.after))
    lines += [f"        store {i}: {s.dtype.name} moving {' '.join(s.ways)}" for i, s in enumerate(nest.stores)]
    return "\n".join(lines)


def show_body(body) -> str:
    """A straight-line body, one instruction a line."""
    n = len(body.inputs)
    lines = ["        body(" + ", ".join(f"%{i}: {d.name}" for i, d in enumerate(body.inputs)) + ")"]
    for i, instr in enumerate(body.instrs, n):
        taken = instr.literal if instr.op == "const" else ", ".join(f"%{a}" for a in instr.args)
        lines.append(f"            %{i} = {instr.op} {taken} : {instr.dtype.name}")
    lines.append("            -> " + ", ".join(f"%{o}" for o in body.outputs))
    return "\n".join(lines)
