"""Groups in running order -> calls over slots; the borders between kernels become memory.

A slot is a piece of memory with a number: an input, an output, or a place in the arena. What one
group leaves for another gets a slot; what stays inside a group lives in registers.
"""
from __future__ import annotations

from math import prod
from typing import NamedTuple

from ..layout import packed_strides
from ..trace.graph import Input, Use, Vertex
from .chain_calls import chain_calls
from .group import Group, Groups, has_body
from .kernel import Ref, Scalar
from .repeat import keep, lowered, remember, repeat, roles_of
from .rows import RowGroup
from .schedule import Access, LoopGroup, contract_calls, copy_calls
from .sizes import matches, times

BLOCK, ARENA, INPUT, OUTPUT, LEAF, SHIFTED = "block", "arena", "input", "output", "leaf", "shifted"


class Slot:
    """kind says where the memory is: `offset` in the arena, input or output or leaf `number`.

    A shifted slot is the slot `target` from where input `number` stands in its leaf: a write into
    part of a realised storage, whose offset is known only when the plan is bound.
    """

    __slots__ = ("kind", "nbytes", "number", "offset", "first", "last", "target")

    def __init__(self, kind, nbytes, number=0, target=None):
        self.kind, self.nbytes, self.number = kind, nbytes, number
        self.offset, self.first, self.last, self.target = 0, None, None, target


class Host(NamedTuple):
    """A step that Python runs: node `number` by its NumPy meaning, on arrays over slots."""
    number: int
    operands: tuple         # Refs of tensors, None where a scalar comes
    out: Ref
    scalars: tuple
    extra: int | None       # which ticket a random draw uses
    note: str


class Check(NamedTuple):
    """What an index check that failed is about: which node, which axis."""
    number: int
    axis: int


class Program(NamedTuple):
    """Everything a plan needs: steps in order, slots, checks, outputs."""
    steps: list
    slots: list
    checks: list
    outputs: list           # (node number, slot number)
    donors: dict            # output slot -> leaf whose buffer it takes over
    inputs: list            # Input -> itemsize
    leaves: list            # Input -> leaf
    scalar_refs: list       # (scalar number, dtype, byte offset in the block)
    block_bytes: int


def lower(groups: Groups) -> Program:
    """Groups to calls."""
    return Builder(groups).program()


def upstream(v, group) -> list:
    """The vertices of a group, those first that v is made of, the nearest in front: what v replaces is likely there."""
    found, inside = [v], set(group.vertices)
    for w in found:
        found += [s for use in w.uses if (s := use.source) in inside and s not in found]
    return found + [w for w in group.vertices if w not in set(found)]


class Builder:
    def __init__(self, groups: Groups):
        from ..cpu import backend
        self.backend, self.groups = backend, groups
        self.order = groups.ordered()
        self.position = {g: i for i, g in enumerate(self.order)}
        self.home = groups.home
        self.slots: list[Slot] = [Slot(BLOCK, 0)]
        self.slot_of: dict = {}
        self.calls: list = []
        self.checks: list[Check] = []
        self.donors: dict[int, int] = {}
        self.owners: dict[int, list] = {}   # slot of the arena -> the vertices whose values it holds, one after the other
        self.nest: RowGroup | None = None   # of the group at hand, if that has several passes
        self.taken: dict = {}               # vertices of the group at hand -> the slot that they take over
        self.scalars: dict = {}
        self.asked: list = []               # keys of `scalars`, since the group began
        self.users: dict = {}
        self.block_bytes = 16               # the error record: check number + 1, index
        self.error_ref = Ref(0, 0)
        self.lowered = {} if groups.graph.retold else lowered
        self.readers: dict[int, list] = {}
        for v in groups.graph.vertices:
            for use in v.uses:
                self.users.setdefault(use.source, []).append((v, use))
                if isinstance(use.source, Input):
                    self.readers.setdefault(use.source.leaf, []).append((v, use))
        self.failing = [v for v in groups.graph.vertices
                        if v in self.home and (v.prim.may_fail or self.runs_on_host(v))]
        self.last_failure = self.last_failure_but(None)

    def last_failure_but(self, v) -> int:
        """Where the last vertex other than v stands that may find a bad value."""
        return max((self.position[self.home[w]] for w in self.failing if w is not v), default=-1)

    def program(self) -> Program:
        for group in self.order:
            self.group(group)
        outputs = sorted((v.number, self.slot_of[v]) for v in self.groups.graph.vertices if v.is_output)
        inputs = [None] * len(self.groups.graph.inputs)
        for source, users in self.users.items():
            if isinstance(source, Input):
                inputs[source.number] = users[0][1].dtype.itemsize
        scalar_refs = [(n, d, at) for (n, d), at in self.scalars.items()]
        return Program(self.calls, self.slots, self.checks, outputs, self.donors, inputs,
                       [source.leaf for source in self.groups.graph.inputs], scalar_refs,
                       self.block_bytes)

    def group(self, group: Group) -> None:
        """The calls of a group, or of one that looks like it."""
        self.nest = RowGroup(group, self) if group.kind == "loop" and group.passes else None
        self.taken = self.takeovers(group)
        roles = roles_of(group, self)
        known = roles and self.lowered.get(roles.form)
        if known:
            self.calls += repeat(known, group, self, roles)
            return
        slots, calls, self.asked = len(self.slots), len(self.calls), []
        self.lower(group)
        if roles:
            keep(self.lowered, roles, remember(group, self, roles, slots, self.asked, self.calls[calls:]))

    def lower(self, group: Group) -> None:
        first = group.vertices[0]
        if group.kind == "contract":
            made = contract_calls(group, self)
        elif group.kind == "chain":
            made = chain_calls(group, self)
        elif group.kind == "loop":
            for v in group.vertices:            # what gathers and writes touch must be in memory
                if v.prim.kind in ("gather", "write"):
                    for use in v.uses if v.prim.kind == "gather" else ():
                        self.stored(use)
            made = (self.nest or LoopGroup(group, self)).calls()
        elif first.prim.name == "concat":
            made = self.concat(first)
        elif self.backend.is_native(first):
            made = self.scatter(first) if first.prim.kind == "scatter" else self.native(first)
        else:
            made = [self.host(first)]
        self.calls += made

    # -- memory -------------------------------------------------------------------------------------------
    def new_slot(self, kind, nbytes, number=0) -> int:
        self.slots.append(Slot(kind, nbytes, number))
        return len(self.slots) - 1

    def temp(self, nbytes: int) -> Ref:
        """Scratch memory; how long it lives follows from the calls that name it."""
        return Ref(self.new_slot(ARENA, nbytes))

    def ref(self, source, offset, dtype) -> Ref:
        if isinstance(source, Input) and source not in self.slot_of:
            self.slot_of[source] = self.new_slot(INPUT, 0, source.number)
        return Ref(self.slot_of[source], offset * dtype.itemsize)

    def result(self, v) -> Ref:
        """Where a vertex' value goes."""
        slot = self.slot_of.get(v)
        if slot is None and v in self.taken:
            slot = self.slot_of[v] = self.taken[v]
            self.hold(v, slot)
        elif slot is None:
            nbytes = v.numel * v.dtype.itemsize
            kind = OUTPUT if v.is_output else ARENA
            slot = self.slot_of[v] = self.new_slot(kind, nbytes, v.number)
            self.owners[slot] = [v]
            if v.is_output:
                self.donate(v, slot, nbytes)
        return Ref(slot)

    def hold(self, v, slot: int) -> None:
        """From now on the slot holds v."""
        self.owners.setdefault(slot, []).append(v)
        if v.is_output:
            self.slots[slot].kind, self.slots[slot].number = OUTPUT, v.number

    def is_needed(self, v, group) -> bool:
        return v.is_output or any(self.home.get(user) is not group for user, _ in self.users.get(v, ()))

    def scalar_ref(self, number, dtype) -> Ref:
        """A place in the plan's block that holds a run-time number."""
        key = (number, dtype)
        self.asked.append(key)
        if key not in self.scalars:
            self.scalars[key] = self.block_bytes
            self.block_bytes += 8
        return Ref(0, self.scalars[key])

    def check(self, vertex, axis) -> int:
        self.checks.append(Check(vertex.id, axis))
        return len(self.checks)

    # -- reuse ----------------------------------------------------------------------------------------------
    def takeovers(self, group) -> dict:
        """Which results of a group take over the memory of a value that nobody reads after it, element by element."""
        found: dict = {}
        for v in self.written_last(group):
            if v.prim.kind == "pointwise" and v not in self.slot_of and self.is_needed(v, group):
                slot = self.replaced(v, group, found)
                if slot is not None:
                    found[v] = slot
        return found

    def written_last(self, group) -> list:
        """The vertices of a loop or an epilogue whose elements are written when the group has read that element for good.

        Not the contraction itself: it is made of nothing that it could replace, and would take what others do.
        """
        if group.kind == "contract":
            return group.vertices[1:]
        if group.kind != "loop":
            return []
        return self.nest.stages()[-1] if self.nest else group.vertices

    def is_host(self, v) -> bool:
        """Whether steps of earlier passes wait where v will be."""
        return self.nest is not None and v in self.nest.hosts(self.nest.stages()).values()

    def replaced(self, v, group, found) -> int | None:
        """The slot of the arena that v may take over."""
        nbytes, at = v.numel * v.dtype.itemsize, self.position[group]
        for w in upstream(v, group):
            for use in w.uses:
                slot = self.slot_of.get(use.source) if isinstance(use.source, Vertex) else None
                if slot in self.owners and slot not in found.values() and self.slots[slot].kind == ARENA \
                        and use.dtype.itemsize == v.dtype.itemsize and matches(self.slots[slot].nbytes, nbytes) and nbytes \
                        and all(self.is_read_before(at, group, r) for x in self.owners[slot] for r in self.users[x]):
                    return slot
        return None

    def donate(self, v, slot, nbytes) -> None:
        """Let an output take over the memory of an input that it replaces, element by element."""
        group = self.home[v]
        at = self.position[group]
        if at <= self.last_failure or v not in self.written_last(group) or self.is_host(v):
            return
        for w in upstream(v, group):
            for use in w.uses:
                source = use.source
                if isinstance(source, Input) and matches(source.donated, nbytes) and nbytes \
                        and source.leaf not in self.donors.values() and use.dtype.itemsize == v.dtype.itemsize \
                        and all(self.is_read_before(at, group, r) for r in self.readers[source.leaf]):
                    self.donors[slot] = source.leaf
                    return

    def is_read_before(self, at, group, reader) -> bool:
        """Whether a reader is through with an element when `group`, at position `at`, overwrites it."""
        w, use = reader
        home = self.home.get(w)
        if home is group:
            return use.layout.packed and use.layout.numel == prod(group.space) and use.offset == 0 \
                and w.prim.kind in ("pointwise", "reduce")
        return home is not None and self.position[home] < at

    def write_target(self, v, offset) -> Ref:
        """The memory of a write's result: the old value's own if nobody else needs that, else a copy."""
        old = v.uses[0].source
        if self.is_constant(old) and old not in self.slot_of:
            kind = OUTPUT if v.is_output else ARENA         # of its own: what is filled first takes over no input
            slot = self.slot_of[v] = self.new_slot(kind, v.numel * v.dtype.itemsize, v.number)
            self.owners[slot] = [v]
            self.calls += self.filled(old, v)
            return Ref(slot, offset * v.dtype.itemsize)
        slot = self.slot_of[v] = self.overwritten(v, old) if self.may_overwrite(v, old) else self.copied(v, old)
        if isinstance(old, Input):
            self.slots.append(Slot(SHIFTED, 0, old.number, slot))
            return Ref(len(self.slots) - 1)
        return Ref(slot, offset * v.dtype.itemsize)

    def overwritten(self, v, old) -> int:
        if isinstance(old, Vertex):
            self.hold(v, slot := self.slot_of[old])
            return slot
        slot = self.new_slot(OUTPUT, v.numel * v.dtype.itemsize, v.number)
        self.donors[slot] = old.leaf
        return slot

    def copied(self, v, old) -> int:
        slot = self.new_slot(OUTPUT if v.is_output else ARENA, v.numel * v.dtype.itemsize, v.number)
        self.owners[slot] = [v]
        whole = Ref(self.new_slot(LEAF, 0, old.leaf)) if isinstance(old, Input) else self.ref(old, 0, v.dtype)
        self.calls += copy_calls(self, Access(whole, v.dtype, (1,)), (v.numel,), Ref(slot))
        return slot

    def may_overwrite(self, v, old) -> bool:
        group = self.home[v]
        at = self.position[group]
        dest = v.uses[0]
        readers = self.users[old] if isinstance(old, Vertex) else self.readers[old.leaf]
        if isinstance(old, Vertex):
            if old.is_output or self.is_constant(old) and old not in self.slot_of:
                return False
            if self.slots[self.slot_of[old]].kind == INPUT:
                return False
        elif not old.donated or old.donated != v.numel * v.dtype.itemsize or at <= self.last_failure_but(v) \
                or old.leaf in self.donors.values():
            return False
        for w, use in readers:
            if w is v and use is dest:
                continue
            home = self.home.get(w)
            same_place = home is group and use.layout is dest.layout and use.offset == dest.offset and \
                use.source is old and w.prim.kind == "pointwise"
            if not (same_place or home is not None and self.position[home] < at):
                return False
        return True

    # -- what is not a loop ------------------------------------------------------------------------------------
    @staticmethod
    def is_constant(source) -> bool:
        return isinstance(source, Vertex) and source.prim.name == "full" and has_body(source)

    def stored(self, use: Use) -> Use:
        """The same use, its source surely in memory."""
        source = use.source
        if self.is_constant(source) and source not in self.slot_of and source not in self.home:
            self.home[source] = fill = Group("loop", tuple(source.shape), source, -1)
            self.position[fill] = -1
            self.users.setdefault(source, []).append((None, use))
            self.calls += LoopGroup(fill, self).calls()
        return use

    def concat(self, v) -> list:
        """A copy of each operand; the small ones together in one call."""
        calls, small, start = [], [], 0
        out, dim = self.result(v), v.params["dim"]
        strides = packed_strides(v.shape)
        for use, n in zip(v.uses, v.params["sizes"]):
            if use.layout.numel:
                source = self.ref(self.stored(use).source, use.offset, use.dtype)
                place = Ref(out.slot, start * strides[dim] * v.dtype.itemsize)
                piece = self.backend.small_piece(source, use.layout, place, strides, v.dtype.itemsize)
                small += [piece] if piece else []
                if piece is None:
                    calls += copy_calls(self, Access(source, use.dtype, use.layout.strides), use.layout.shape, place, strides)
            start += n
        return calls + self.backend.copy_pieces(small)

    def scatter(self, v) -> list:
        """The old values (in place where nobody else needs them), then the source added into them."""
        dst, *others = v.uses
        for use in others:
            self.stored(use)
        views = [self.view(u) for u in others]
        checks = [self.check(v, axis) for axis, e in enumerate(v.params["coords"]) if e < 0]
        fill, before = self.scatter_target(v, dst, views, checks)
        return before + self.backend.lower_scatter(v, self.result(v), views, checks, self.error_ref, fill)

    def scatter_target(self, v, dst, views, checks):
        """(the number that the kernel itself fills the result with, calls that make the old values)."""
        source = dst.source
        if self.is_constant(source) and source not in self.slot_of:
            if self.backend.can_fill(v):
                return Scalar(source.scalars[0], v.dtype), []
            return None, self.filled(source, v)
        if dst.layout.packed and dst.offset == 0:
            if isinstance(source, Input) and self.may_overwrite(v, source):     # nothing is to be half written
                self.slot_of[v] = self.overwritten(v, source)
                return None, self.backend.check_scatter(v, views, checks, self.error_ref)
            if isinstance(source, Vertex) and v.numel == source.numel:
                self.write_target(v, 0)
                return None, []
        here = Access(self.ref(source, dst.offset, v.dtype), v.dtype, dst.layout.strides)
        return None, copy_calls(self, here, dst.layout.shape, self.result(v))

    def filled(self, source, v) -> list:
        """Calls that put a constant into the memory of v's result."""
        fill = Group("loop", (v.numel,), source, -1)
        self.slot_of[source] = self.result(v).slot
        made = LoopGroup(fill, self).calls()
        del self.slot_of[source]
        return made

    def view(self, use: Use):
        return (self.ref(use.source, use.offset, use.dtype), use.dtype, tuple(use.layout.shape), use.layout.strides)

    def native(self, v) -> list:
        """A scan, recurrence, transform, factorisation or sort."""
        views = [self.view(self.stored(u)) for u in v.uses]
        return self.backend.native(v, self.result(v), views, self.temp, lambda: (self.error_ref, self.check(v, 0)))

    def runs_on_host(self, v) -> bool:
        group = self.home.get(v)
        return group is not None and group.kind == "alone" and v.prim.kind not in ("random", "concat") \
            and not self.backend.is_native(v)

    def host(self, v) -> Host:
        operands, uses = [], iter(v.uses)
        for layout in v.sig.layouts:
            if layout is None:
                operands.append(None)
                continue
            use = next(uses)
            self.stored(use)
            operands.append(self.ref(use.source, use.offset, use.dtype))
        note = f"host {v.prim.name} {times(v.shape)}"
        return Host(v.id, tuple(operands), self.result(v), v.scalars, v.extra, note)


def describe_step(step) -> str:
    """One line on a call or host step, for RUSHLIGHT_DEBUG."""
    if hasattr(step, "units"):
        return f"{step.note}  [{step.units} units, grain {step.grain}]"
    return step.note
