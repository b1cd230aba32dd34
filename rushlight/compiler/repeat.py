"""Groups that look alike are lowered once: layers of a net, steps of a loop.

What lowering makes of a group follows from its signatures, from how its vertices are wired, from
which of them others need, and from which operands share a slot. So the calls of the first such group
serve the next ones, with other slots and run-time numbers in their words.
"""
from __future__ import annotations

from typing import NamedTuple

from .kernel import Call, Ref, Scalar
from .sizes import Number

KINDS = {"pointwise", "reduce", "contract"}     # what else there is looks at the graph beyond its group
LIMIT = 4096

lowered: dict = {}          # form of a group -> what is made of it


class Roles(NamedTuple):
    """A group's form, and what plays the parts in it: slots of operands from elsewhere, run-time numbers."""
    form: tuple
    slots: list
    numbers: list


class Template(NamedTuple):
    """A call whose words lack refs (place, role, offset) and numbers (place, role, dtype)."""
    call: Call
    refs: list
    scalars: list
    kept: list              # numbers in the plan's block


class Lowered(NamedTuple):
    made: list              # new slots in order: a vertex whose result it holds, or (bytes of scratch,)
    kept: list              # (role, dtype) of all numbers that got a place in the block, used or not
    templates: list[Template]


def roles_of(group, builder) -> Roles | None:
    """None where a group's calls depend on more than its form."""
    if group.kind not in ("loop", "contract"):
        return None
    inside = {v: at for at, v in enumerate(group.vertices)}
    slots: dict = {}
    numbers: dict = {}
    form = [group.kind, group.passes, group.dims, *map(told, group.space)]
    for v in group.vertices:
        if v.prim.kind not in KINDS or v in builder.slot_of:
            return None
        form += v.sig, builder.is_needed(v, group)
        form += [numbers.setdefault(n, len(numbers)) for n in v.scalars]
        for use in v.uses:
            source = use.source
            at = inside.get(source)
            if at is None:
                if builder.is_constant(source):
                    if v.prim.kind == "contract":
                        return None
                    at = "number", numbers.setdefault(source.scalars[0], len(numbers))
                else:
                    at = ~slots.setdefault(builder.ref(source, 0, use.dtype).slot, len(slots))
            form += at, told(use.offset)
    form += [(inside[v], slots[slot]) for v, slot in builder.taken.items()]
    return Roles(tuple(form), list(slots), list(numbers))


def told(n):
    """A number in a form; one that follows from sizes by which it is."""
    return ("size", n.index) if type(n) is Number else n


def remember(group, builder, roles, first, asked, calls) -> Lowered | None:
    """What was made of a group: `calls`, all slots from number `first` on, `asked` numbers in the block."""
    results = {builder.slot_of[v]: at for at, v in enumerate(group.vertices) if v in builder.slot_of}
    new = range(first, len(builder.slots))
    made = [results[n] if n in results else (builder.slots[n].nbytes,) for n in new]
    parts = {slot: k for k, slot in enumerate([*roles.slots, *new])}
    numbers = {n: k for k, n in enumerate(roles.numbers)}
    kept = {at: (numbers.get(n), d) for (n, d), at in builder.scalars.items()}
    try:
        return Lowered(made, [(numbers[n], d) for n, d in asked],
                       [template(call, parts, numbers, kept) for call in calls])
    except KeyError:
        return None         # it touches something else


def template(call, parts, numbers, kept) -> Template:
    refs, scalars, block = [], [], []
    for k, word in enumerate(call.words):
        kind = type(word)
        if kind is Scalar:
            scalars.append((k, numbers[word.index], word.dtype))
        elif kind is Ref and word.slot:
            refs.append((k, parts[word.slot], word.offset))
        elif kind is Ref and word.offset:
            block.append((k, *kept[word.offset]))
    return Template(call, refs, scalars, block)


def keep(lowered: dict, roles: Roles, made: Lowered | None) -> None:
    if len(lowered) >= LIMIT:
        lowered.clear()
    if made:
        lowered[roles.form] = made


def repeat(known: Lowered, group, builder, roles) -> list[Call]:
    """The calls of a group by those of another one of its form."""
    slots = roles.slots
    for v in builder.taken:
        builder.result(v)
    for what in known.made:
        slots.append(builder.temp(*what).slot if type(what) is tuple else builder.result(group.vertices[what]).slot)
    for part, dtype in known.kept:
        builder.scalar_ref(roles.numbers[part], dtype)
    return [filled(t, slots, roles.numbers, builder) for t in known.templates]


def filled(t: Template, slots, numbers, builder) -> Call:
    words = list(t.call.words)
    for k, part, offset in t.refs:
        words[k] = Ref(slots[part], offset)
    for k, part, dtype in t.scalars:
        words[k] = Scalar(numbers[part], dtype)
    for k, part, dtype in t.kept:
        words[k] = builder.scalar_ref(numbers[part], dtype)
    return t.call._replace(words=tuple(words))
