"""Plans: compiled graphs, found by key and bound to buffers and numbers of the moment.

Binding is one vectorised addition: every address in the args blocks is a base (an input, an
output, the arena) plus an offset known at compile time. Then runs of native steps are one call
each; host steps run between them.
"""
from __future__ import annotations

from collections import OrderedDict

import numpy as np

from .. import config, errors
from ..runtime import memory
from ..runtime.run import run as run_native
from ..trace import record
from ..trace.graph import build, describe
from .kernel import Call, Code, Ref, Scalar
from .lower import ARENA, INPUT, LEAF, OUTPUT, SHIFTED
from .pipeline import compile_graph

LIMIT = 4096                    # plans kept; the least recently used go first
plans: OrderedDict = OrderedDict()
hits = misses = 0


def run(nodes) -> None:
    """Compute pending nodes: by a known plan, or by one compiled now."""
    d = describe(nodes)
    if config.debug.value:
        from ..runtime import profile
        profile.run(nodes, d)
    else:
        plan_of(nodes, d).execute(d)


def plan_of(nodes, d):
    """The plan of a description."""
    global hits, misses
    plan = plans.get(d.key)
    if plan is None:
        misses += 1
        plan = plans[d.key] = Plan(*compile_graph(build(nodes, d)))
        if len(plans) > LIMIT:
            plans.popitem(last=False)
    else:
        hits += 1
        plans.move_to_end(d.key)
    return plan


def forget(_value=None) -> None:
    """Plans made under another setting that changes what is made of a graph are not for this one."""
    with record.lock:
        plans.clear()


config.winograd.watchers.append(forget)


class Plan:
    def __init__(self, program, arena_bytes):
        self.program, self.arena_bytes = program, arena_bytes
        self.bases = self.number_bases()
        self.compiled = self.compile()
        self.lay_out_blocks()
        self.segments = self.cut()

    # -- making ----------------------------------------------------------------------------------------
    def number_bases(self) -> dict:
        """Where the base address of each slot stands in the vector of bases: arena, outputs, inputs."""
        self.output_slots = [n for n, s in enumerate(self.program.slots) if s.kind == OUTPUT]
        self.inputs = [(n, s.number) for n, s in enumerate(self.program.slots) if s.kind == INPUT]
        bases = {n: 0 for n, s in enumerate(self.program.slots) if s.kind == ARENA}
        self.whole_leaves = [(n, s.number) for n, s in enumerate(self.program.slots) if s.kind == LEAF]
        self.shifted = [(n, s.number, s.target) for n, s in enumerate(self.program.slots) if s.kind == SHIFTED]
        ordered = self.output_slots + [n for n, *_ in self.inputs + self.whole_leaves + self.shifted]
        for k, n in enumerate(ordered):
            bases[n] = 1 + k
        by_number = {n: k for k, (n, s) in enumerate(self.program.outputs)}
        self.kept = sorted((by_number[n], self.output_slots.index(s)) for n, s in self.program.outputs)
        return bases

    def compile(self) -> dict:
        """Addresses of all functions that calls are or name; together, so that they compile in parallel."""
        from ..cpu import jit
        calls = [s for s in self.program.steps if isinstance(s, Call)]
        codes = list(dict.fromkeys([c.code for c in calls] + [w for c in calls for w in c.words if isinstance(w, Code)]))
        return dict(zip(codes, jit.addresses(codes), strict=True))

    def lay_out_blocks(self):
        """One array holds the plan's block and the args block of every call; fixed for the plan's life."""
        calls = [s for s in self.program.steps if isinstance(s, Call)]
        start = self.program.block_bytes // 8
        total = start + sum(len(c.words) for c in calls)
        self.words = np.zeros(total, np.int64)
        self.address = self.words.__array_interface__["data"][0]
        self.scalar_places: dict = {}
        for number, d, at in self.program.scalar_refs:
            self.scalar_places.setdefault(d, []).append((at // 8, number))
        places, which, addends = [], [], []
        self.args = {}
        for call in calls:
            self.args[id(call)] = start
            for k, word in enumerate(call.words, start):
                if isinstance(word, Ref):
                    if word.slot == 0:
                        self.words[k] = self.address + word.offset
                    else:
                        places.append(k)
                        which.append(self.bases[word.slot])
                        addends.append(word.offset + self.program.slots[word.slot].offset)
                elif isinstance(word, Scalar):
                    self.scalar_places.setdefault(word.dtype, []).append((k, word.index))
                elif isinstance(word, Code):
                    self.words[k] = self.compiled[word]
                else:
                    self.words[k] = word
            start += len(call.words)
        self.places, self.which = np.array(places, np.intp), np.array(which, np.intp)
        self.addends = np.array(addends, np.int64)
        self.scalar_places = [(d, np.array([at for at, _ in ps], np.intp), [n for _, n in ps])
                              for d, ps in self.scalar_places.items()]

    def cut(self) -> list:
        """Runs of native calls (first command, count) and host steps between them."""
        calls = [s for s in self.program.steps if isinstance(s, Call)]
        rows = [(self.compiled[c.code], self.address + 8 * self.args[id(c)], c.units, c.grain) for c in calls]
        self.commands = np.array(rows, np.int64).reshape(-1, 4)
        base = self.commands.__array_interface__["data"][0]
        segments, at = [], 0
        for step in self.program.steps:
            if not isinstance(step, Call):
                segments.append(step)
            else:
                if segments and isinstance(segments[-1], list):
                    segments[-1][1] += 1
                else:
                    segments.append([base + 32 * at, 1])
                at += 1
        return segments

    # -- running ------------------------------------------------------------------------------------------
    def execute(self, d, watch=None) -> None:
        """Run on the buffers and numbers of one description; outputs are handed over only at the end.

        `watch` is called in place of `run_segment` (runtime/profile.py).
        """
        words = self.words
        arena = memory.allocate(self.arena_bytes) if self.arena_bytes else None
        outputs = [self.take_over(n, d) for n in self.output_slots]
        bases = [arena.address if arena is not None else 0]
        bases += [b.address for b in outputs]
        held = []
        for _, number in self.inputs:
            leaf, offset = d.inputs[number]
            buffer = d.leaves[leaf].buffer
            if buffer.shared and not buffer.has_slack:
                held.append(buffer := _with_slack(buffer))
            bases.append(buffer.address + offset * self.program.inputs[number])
        bases += [d.leaves[leaf].buffer.address for _, leaf in self.whole_leaves]
        for _, number, target in self.shifted:
            base = bases[self.bases[target]] + self.program.slots[target].offset
            bases.append(base + d.inputs[number][1] * self.program.inputs[number])
        bases = np.array(bases, np.int64)
        words[self.places] = bases[self.which] + self.addends
        for dtype, at, numbers in self.scalar_places:
            words[at] = scalar_bits([d.scalars[n] for n in numbers], dtype)
        words[0] = 0
        for segment in self.segments:
            if watch is None:
                self.run_segment(segment, bases, d)
            else:
                watch(self, segment, bases, d)
        for k, slot in self.kept:
            d.outputs[k].buffer = outputs[slot]

    def run_segment(self, segment, bases, d) -> None:
        if not isinstance(segment, list):
            return self.run_host(segment, bases, d)
        run_native(segment[0], segment[1], self.address)
        if self.words[0]:
            self.fail(d)

    def take_over(self, slot, d):
        leaf = self.program.donors.get(slot)
        if leaf is not None:
            return d.leaves[leaf].buffer
        return memory.allocate(self.program.slots[slot].nbytes)

    def address_of(self, ref, bases) -> int:
        if ref.slot == 0:
            return self.address + ref.offset
        return int(bases[self.bases[ref.slot]]) + ref.offset + self.program.slots[ref.slot].offset

    def run_host(self, step, bases, d):
        v, scalars = step.vertex, iter(step.scalars)
        if v.extra is not None:
            return d.extras[v.extra].draw_into(self.address_of(step.out, bases))
        arrays = [np.asarray(d.scalars[next(scalars)]).astype(dt.numpy) if o is None else
                  array_at(self.address_of(o[0], bases), o[1], o[2], o[3])
                  for o, dt in zip(step.operands, v.sig.dtypes)]
        try:
            result = v.prim.reference(*arrays, **v.params)
        except (IndexError, RuntimeError) as error:
            raise errors.blame(error, d.nodes[v.id]) from None
        if v.numel:
            array_at(self.address_of(step.out, bases), v.dtype, v.shape, None)[...] = np.asarray(result).reshape(v.shape)

    def fail(self, d):
        """Raise what an index check reported; the line is that of this recording, not of the plan's first."""
        check = self.program.checks[int(self.words[0]) - 1]
        v, index = check.vertex, int(self.words[1])
        size = v.params["size"][check.axis] if "size" in v.params else v.shape[check.axis]
        raise errors.blame(errors.index_error(v.params["error"], index, check.axis, size), d.nodes[v.id])


def _with_slack(buffer):
    copy = memory.allocate(buffer.nbytes)
    copy.as_numpy(np.uint8, (buffer.nbytes,))[...] = buffer.as_numpy(np.uint8, (buffer.nbytes,))
    return copy


def array_at(address, dtype, shape, strides) -> np.ndarray:
    """A NumPy view of memory that the caller keeps alive."""
    shape = tuple(shape)
    if 0 in shape:
        return np.empty(shape, dtype.numpy)
    size = dtype.itemsize
    last = sum((n - 1) * s for n, s in zip(shape, strides)) if strides is not None else np.prod(shape, dtype=int) - 1
    window = memory.Buffer.wrap(int(address), int(size * (1 + last)))
    return window.as_numpy(dtype.numpy, shape, None if strides is None else tuple(s * size for s in strides))


def scalar_bits(numbers, dtype):
    """Python numbers as words whose low bytes hold the bits of `dtype`."""
    with np.errstate(all="ignore"):
        packed = np.asarray(numbers).astype(dtype.numpy) if dtype.rank != 1 else np.array(
            [int(n) & ((1 << 8 * dtype.itemsize) - 1) for n in numbers], np.uint64)
    if packed.dtype.itemsize == 8:
        return packed.view(np.int64)
    return packed.view(f"u{packed.dtype.itemsize}").astype(np.int64)
