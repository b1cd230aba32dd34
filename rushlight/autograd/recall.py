"""Calls that come again: what a call of a composition records and tapes, kept as a function.

What an operation records depends on the layouts, dtypes and parameters of its arguments, not on their
values. So the second call with the same ones is traced on placeholders, which have no values, and
from then on a function that was generated from the trace makes the nodes, storages, tensors and
tape entries at once: no checks, no promotion, no frames in between.

    trace of layer_norm     nodes, what they read, tape entries, which node each result shows
    replay(x0, x1, x2)      the same with the arguments' storages in the placeholders' places

What looks at a value, reads what is neither an argument nor made by the call, or cannot be told from
its result is refused and called as it is. Gradient rules are replayed in the same way (`pull`).
"""
from __future__ import annotations

import functools
import inspect
import sys
import types
import warnings
from collections import Counter
from operator import attrgetter
from typing import NamedTuple
from weakref import ref

from .. import storage as storages
from ..layout import extent
from ..prims.table import Memo, memos
from ..storage import Storage
from ..tensor import Tensor, wrap
from ..trace import record
from ..trace.record import Node, Signature, compound, pend, pending, user_line
from . import node as tape
from .grad_mode import mode
from .node import RELEASED, AccumulateGrad, Saved, is_tracked, join_parts
from .sized import Call, filled, placed, replay_for

MEMO_LIMIT = 1024           # calls remembered of one function
FLAGS_LIMIT = 64            # sets of flags that they are remembered for
FEW_KINDS = 8               # of calls of one function, before ...
PATIENCE = 6                # calls of one kind that are made as they are, at most
PLACEHOLDER = Signature.__new__(Signature)      # of a value that is not there
PLACEHOLDER.prim = None
paused: list = []           # while there is something in it calls are made as they are
REFUSED = 0                 # in place of a replay: to be called as it is


LASTING = 1024              # tables kept of each function
TABLE = 1 << 17             # elements of one that is kept
tables: dict = {}           # tensors that every call of a kind reads, by the node that holds their values


def lasting(fn):
    """A table, a list of tensors without history that fn makes of numbers, is made once; replays read it, too."""
    memo: dict = {}

    @functools.wraps(fn)
    def call(*args):
        found = memo.get(args)
        if found is None:
            inference, mode.inference = mode.inference, False       # it outlives this call
            try:
                found = fn(*args)
            finally:
                mode.inference = inference
            if len(memo) < LASTING and not paused and pending.capture is None and sum(x.numel() for x in found) < TABLE:
                memo[args] = found
                tables.update((x.storage.node, x) for x in found)
        return found
    return call


class Refused(Exception):
    """This call cannot be told from a trace."""


def forget() -> None:
    """What was remembered held under another setting (the default dtype)."""
    for memo in memos:
        memo.clear()


def nobody():
    """The owner of a node that no storage shows."""


# -- tracing ---------------------------------------------------------------------------------------
class Draw(NamedTuple):
    """A reservation of random numbers to be made at each replay."""
    generator: object
    n: int
    draws: object


class Tracing:
    """Stands where a vmap's capture does while a call is traced."""

    is_vmap = False

    def __init__(self):
        self.reserved = 0

    def reserve(self, *how) -> Draw:
        self.reserved += 1
        return Draw(*how)

    def runnable(self):
        raise Refused


class Trace:
    """What one call on placeholders has recorded, written and returned.

    `numbers` are floats that will be given at each replay: in nodes they are told by identity.
    """

    def __init__(self, fn, inputs, numbers=(), layouts=None):
        self.numbers = numbers          # kept, so that their identities stay theirs
        self.given = {id(x): i for i, x in enumerate(numbers)}
        self.inputs = [_placeholder(x, l) for x, l in zip(inputs, layouts or [x.layout for x in inputs])]
        self.homes = {x.storage.node: i for i, x in enumerate(self.inputs)}
        self.input_storages = {x.storage: i for i, x in enumerate(self.inputs)}
        tracing = Tracing()
        with record.lock:
            before = pending.nodes, pending.first, pending.limit, pending.again, pending.capture, storages.written
            writes, line = len(storages.overwritten), record.override
            pending.nodes, pending.limit, pending.capture, storages.written = [], sys.maxsize, tracing, []
            record.override = line or ("", 0)
            try:
                with warnings.catch_warnings(record=True) as heard:
                    warnings.simplefilter("always")
                    self.result = fn(*self.inputs, *numbers)
                self.nodes = [n for r in pending.nodes if (n := r()) is not None]
                self.written = Counter(s for s, _ in storages.written if s in self.input_storages)
            finally:
                pending.nodes, pending.first, pending.limit, pending.again, pending.capture, storages.written = before
                del storages.overwritten[writes:]
                record.override = line
        drawn = sum(n.extra is not None for n in self.nodes)
        if heard or drawn != tracing.reserved:          # to be said each time; to be skipped in the stream
            raise Refused
        self.number = {n: j for j, n in enumerate(self.nodes)}


    def constants(self) -> list:
        """The signatures and numbers of all nodes, with places for numbers that are given."""
        return [(n.sig, [("given", self.given[id(x)]) if id(x) in self.given else (type(x), str(x)) for x in n.scalars])
                for n in self.nodes]


def _placeholder(x, l):
    """A tensor that stands for x: its place on the tape and a layout, no value."""
    storage = Storage(Node(PLACEHOLDER, (), (), None), x.storage.dtype, extent(l))
    storage.node.owner = ref(storage)
    y = wrap(Tensor, storage, l, 0)
    if type(x) is not Saved and mode.enabled and is_tracked(x):
        y._requires_grad = True
    return y


# -- generating ------------------------------------------------------------------------------------
class Writer:
    """Writes the replay of a trace as Python."""

    marks_views = True
    opening = "where = record.override or user_line({depth})",
    names = ()              # of what a replay is given besides arguments and numbers

    def __init__(self, fn, inputs, depth: int, numbers=(), layouts=None):
        self.fn, self.trace, self.depth = fn, Trace(fn, inputs, numbers, layouts), depth
        self.lines, self.constants, self.used = [], {}, set()
        self.storages: dict = {}        # storage of the trace -> its name
        self.tensors: dict = {}         # id of a result -> its name
        self.fns: dict = {}             # tape entry of the trace -> its name
        self.owners: dict = {}          # node -> names of storages that show it
        self.whole: set = set()         # arguments that must show all of their memory
        self.tracked: set = set()       # arguments whose histories are read

    def constant(self, value) -> str:
        """The name of a value that every replay uses."""
        name = self.constants.get(id(value))
        if name is None:
            name = self.constants[id(value)] = (f"c{len(self.constants)}", value)
        return name[0]

    def add(self, line: str) -> None:
        self.lines.append(line)

    def make(self, name: str, kind: str, **fields: str) -> None:
        """A new object, field by field: that is quicker than a call."""
        self.add(f"{name} = new({kind})")
        for field, value in fields.items():
            self.add(f"{name}.{field} = {value}")

    def write(self):
        """The function replay(*inputs)."""
        make = self.written()
        return make(*[value for _, value in self.constants.values()])

    def written(self):
        """What makes the replay of its constants."""
        t = self.trace
        if any(t.inputs[t.input_storages[s]]._requires_grad for s in t.written):
            raise Refused
        for fn in self.entries():
            self.entry(fn)
        text = self.result(t.result)
        for fn in self.fns:
            self.keep(fn)
        for s in t.written:
            self.owners.setdefault(s.node, []).append(self.storage(s))
        rest, self.lines = self.lines, []
        self.nodes()
        self.lines += rest
        self.own()
        self.record()
        self.add(f"return {text}")
        return self.factory()

    # -- nodes -----------------------------------------------------------------------------------
    def nodes(self):
        """A node for each value that is shown or read in several places; what leads to it alone is in its bundle."""
        nodes, number = self.trace.nodes, self.trace.number
        last_use = {}
        for j, n in enumerate(nodes):
            for source in n.operands[::2]:
                if source in number:
                    last_use[number[source]] = j
                elif source not in self.trace.homes and source not in tables:
                    raise Refused
        ends = {j for j, n in enumerate(nodes) if n in self.owners}
        ends |= {k for j, n in enumerate(nodes) if n.extra is not None for k in (j - 1, j) if k >= 0}     # alone
        ends |= {number[n.operands[0]] for n in nodes if n.sig.prim.kind == "write" and n.operands[0] in number}
        end = None
        for j in reversed(range(len(nodes))):       # a bundle is a run of nodes, so that the order stays
            if end is None or j in ends or last_use.get(j, j) > end:
                ends.add(j)
                end = j
        bundle = []
        for j in range(len(nodes)):
            bundle.append(j)
            if j in ends:
                self.bundle(bundle)
                bundle = []
        self.ends = sorted(ends)

    def bundle(self, members):
        """One node for some applications."""
        nodes, number = self.trace.nodes, self.trace.number
        place = {j: k for k, j in enumerate(members)}
        operands, scalars, steps = [], [], []
        for j in members:
            n, wiring = nodes[j], []
            for source, offset in zip(n.operands[::2], n.operands[1::2]):
                inner = place.get(number.get(source))
                wiring.append(None if inner is None else (inner, offset))
                if inner is None:
                    operands += self.operand(source, offset)
            scalars += n.scalars
            steps.append((n.sig, tuple(wiring), len(n.scalars)))
        sig = nodes[members[0]].sig if len(members) == 1 else compound(tuple(steps))
        self.node(members[-1], sig, operands, scalars)

    def operand(self, source, offset) -> list[str]:
        i = self.trace.homes.get(source)
        if i is None and source in tables:
            return [f"{self.constant(tables[source])}.storage.node", self.offset(offset)]
        if i is None:
            return [f"n{self.trace.number[source]}", self.offset(offset)]
        return [self.storage_name(i) + ".node", self.offset(offset, i)]

    def node(self, j, sig, operands, scalars):
        n, extra = self.trace.nodes[j], "None"
        if n.extra is not None:
            if type(n.extra) is not Draw:
                raise Refused
            extra = f"{self.constant(n.extra.generator)}.reserve({self.constant(n.extra.n)}, {self.constant(n.extra.draws)})"
        operands = "(" + "".join(p + ", " for p in operands) + ")"
        self.make(f"n{j}", "Node", sig=self.constant(sig), operands=operands, scalars=self.numbers(scalars), extra=extra,
                  buffer="None", where="where")

    def numbers(self, scalars) -> str:
        """The Python numbers of a node: those that were given, and constants."""
        given = self.trace.given
        if not any(id(x) in given for x in scalars):
            return self.constant(tuple(scalars))
        return "(" + "".join((f"k{given[id(x)]}" if id(x) in given else self.constant(x)) + ", " for x in scalars) + ")"

    def storage_name(self, i) -> str:
        self.used.add(i)
        return f"s{i}"

    def storage(self, s) -> str:
        """The name of a storage: an argument's, or a new one."""
        i = self.trace.input_storages.get(s)
        if i is not None:
            return self.storage_name(i)
        name = self.storages.get(s)
        if name is None:
            if s.share is not None:
                raise Refused
            name = self.storages[s] = f"t{len(self.storages)}"
            value = self.value(s.node)
            self.make(name, "Storage", node=value, dtype=self.constant(s.dtype), numel=self.constant(s.numel),
                      version=str(s.version), share="None")
            self.owners.setdefault(s.node, []).append(name)
        return name

    def value(self, node) -> str:
        if node in self.trace.number:
            return f"n{self.trace.number[node]}"
        if node in self.trace.homes:
            self.whole.add(self.trace.homes[node])
            return self.storage_name(self.trace.homes[node]) + ".node"
        raise Refused

    def offset(self, n, i=None) -> str:
        """Where something starts, from where argument i does; numbers are no part of the text."""
        parts = ([f"x{i}.offset"] if i is not None else []) + ([self.constant(n)] if n or i is None else [])
        return " + ".join(parts)

    # -- results ---------------------------------------------------------------------------------
    def result(self, y) -> str:
        if y is None or y is True or y is False:
            return repr(y)
        if isinstance(y, (tuple, list)):
            parts = "".join(self.result(p) + ", " for p in y)
            if hasattr(y, "_make"):
                return f"{self.constant(type(y)._make)}(({parts}))"
            return f"[{parts}]" if type(y) is list else f"({parts})"
        if type(y) is not Tensor:
            raise Refused
        i = next((i for i, x in enumerate(self.trace.inputs) if x is y), None)
        return self.argument(i) if i is not None else self.tensor(y)

    def argument(self, i) -> str:
        return f"x{i}"

    def tensor(self, y) -> str:
        name = self.tensors.get(id(y))
        if name is not None:
            return name
        i = self.trace.input_storages.get(y.storage)
        name = self.tensors[id(y)] = f"y{len(self.tensors)}"
        offset = self.offset(y.offset, i)
        storage = self.storage(y.storage)
        self.make(name, "Tensor", storage=storage, layout=self.constant(y.layout), offset=offset,
                  dtype=self.constant(y.dtype))
        if i is not None and self.marks_views:
            self.view(name, i, y)
        if y._requires_grad:
            self.add(f"{name}._requires_grad = True")
            if y._grad_fn is None:
                raise Refused
            self.add(f"{name}._grad_fn = {self.fns[y._grad_fn]}")
            if y._output_nr:
                self.add(f"{name}._output_nr = {y._output_nr}")
        return name

    def view(self, name, i, y):
        """A result that shows an argument's memory is a view of it."""
        if y._root is not None:
            self.add(f"{name}._root = x{i} if x{i}._root is None else x{i}._root")
        self.add(f"if x{i}._is_data: {name}._is_data = True")
        if y._view_of is not None:
            self.add(f"{name}._view_of = x{i} if x{i}._view_of is None else x{i}._view_of")
            self.add(f"{name}._view_version = s{i}.version")

    # -- the tape --------------------------------------------------------------------------------
    def entries(self) -> list:
        """Tape entries behind the results, in the order in which they were made."""
        found, todo = {}, [y._grad_fn for y in _tensors(self.trace.result) if y._grad_fn is not None]
        while todo:
            fn = todo.pop()
            if fn in found or type(fn) is AccumulateGrad:
                continue
            if fn.gradient is None or fn.hooks or fn.pre_hooks or fn.outputs != 1 or fn.saved is RELEASED:
                raise Refused
            found[fn] = fn.seq
            todo += [e[0] for e in fn.edges if e is not None]
        return sorted(found, key=found.get)

    def entry(self, fn):
        name = self.fns[fn] = f"f{len(self.fns)}"
        if any(isinstance(v, Tensor) for v in fn.params.values()):
            raise Refused
        edges = "".join(self.edge(e) + ", " for e in fn.edges)
        self.make(name, self.constant(type(fn)), gradient=self.constant(fn.gradient), params=self.constant(fn.params),
                  edges=f"[{edges}]", positions=repr(fn.positions), seq="count()", where="where",
                  token=self.constant(object()), mask="0", pre_hooks="None", hooks="None")

    def edge(self, e) -> str:
        if e is None:
            return "None"
        if type(e[0]) is AccumulateGrad:
            i = next((i for i, x in enumerate(self.trace.inputs) if x is e[0].variable), None)
            if i is None or e[2] is not self.trace.inputs[i].layout or e[3] is not self.trace.inputs[i].dtype:
                raise Refused
            kind = f"{self.constant(e[2])}, {self.constant(e[3])}"
            return f"({self.history(i)} or accumulator(x{i}), x{i}._output_nr, {kind})"
        return f"({self.fns[e[0]]}, {e[1]}, {self.constant(e[2])}, {self.constant(e[3])})"

    def history(self, i) -> str:
        """The name of the function that a tracked argument came from."""
        self.tracked.add(i)
        return f"h{i}"

    def keep(self, fn):
        """What an entry saves."""
        saved = "".join(self.saved(item, f"{self.fns[fn]}_{k}") + ", " for k, item in enumerate(fn.saved))
        self.add(f"{self.fns[fn]}.saved = ({saved})")

    def saved(self, item, name) -> str:
        """A saved value; `name` is free for it."""
        if type(item) is not Saved:
            if isinstance(item, Tensor):
                raise Refused
            return self.constant(item)
        i = self.trace.input_storages.get(item.storage)
        if i is not None:
            x = self.trace.inputs[i]
            if item.leaf is x or item.layout is x.layout and not item.offset and item.fn is None and not item.requires_grad:
                return self.argument_saved(i, item, name)
        if item.leaf is not None or i is not None and item.version:
            raise Refused
        offset = self.offset(item.offset, i)
        fn = "None" if item.fn is None else self.fns[item.fn]
        storage = self.storage(item.storage)
        version = str(item.version) if i is None else f"{storage}.version"
        self.kept(name, item, storage=storage, offset=offset, version=version, fn=fn, nr=str(item.nr), leaf="None")
        return name

    def argument_saved(self, i, item, name) -> str:
        """What `save` makes of an argument."""
        storage, fn, leaf = self.storage_name(i), "None", "None"
        if item.leaf is not None:
            fn = self.history(i)
            leaf = f"x{i} if {fn} is None else None"
        self.kept(name, item, storage=storage, offset=f"x{i}.offset", version=f"{storage}.version", fn=fn,
                  nr=f"x{i}._output_nr", leaf=leaf)
        return name

    def kept(self, name, item, **fields):
        """A saved value, like one of the trace but for some fields."""
        self.make(name, "Saved", layout=self.constant(item.layout), requires_grad=str(item.requires_grad),
                  index=str(item.index), **fields)

    # -- the end ---------------------------------------------------------------------------------
    def own(self):
        """Which storages show each node."""
        for node, names in self.owners.items():
            if node in self.trace.homes:
                for name in names:
                    self.add(f"{name}.node.add_owner({name})")
        for j in self.ends:
            names = self.owners.get(self.trace.nodes[j], [])
            refs = "".join(f"ref({name}), " for name in names)
            self.add(f"n{j}.owner = " + (f"ref({names[0]})" if len(names) == 1 else f"({refs})" if names else "nobody"))

    def record(self):
        refs = "".join(f"ref(n{j}), " for j in self.ends)
        for s, times in self.trace.written.items():
            name = self.storage(s)          # as Storage.replace does for memory that is not shared
            self.add(f"overwritten.append((ref({name}), {name}.node))")
            self.add(f"{name}.node = {self.value(s.node)}")
            self.add(f"{name}.version += {times}")
        if refs:
            self.pend(f"({refs})")

    def pend(self, refs):
        self.add(f"pend({refs}, where)")

    def factory(self):
        head = [line.format(depth=self.depth) for line in self.opening]
        head += [f"s{i} = x{i}.storage" for i in sorted(self.used)]
        head += [f"h{i} = x{i}._grad_fn if x{i}._view_of is None else grad_fn_of(x{i})" for i in sorted(self.tracked)]
        body = self.lines
        head += self.check_whole()
        if self.trace.written and self.opening:
            body, last = body[:-1], body[-1]
            body = ["with record.lock:"] + ["    " + line for line in body] + [last]
        names = [name for name, _ in self.constants.values()]      # after all lines are written
        inputs = ", ".join([*self.names, *self.arguments()])
        text = "\n".join([f"def make({', '.join(names)}):", f"    def replay({inputs}):",
                          *("        " + line for line in head + body), "    return replay"])
        return _factory(text)


    def check_whole(self) -> list[str]:
        """What is written or becomes a result's value is all of a memory: else the call is made as it is."""
        lines, written = [], {self.trace.input_storages[s] for s in self.trace.written}
        for i in sorted(self.whole | written):
            x = self.trace.inputs[i]
            if x.storage.numel != x.layout.numel:
                raise Refused
            special = f" or x{i}._is_data or s{i}.version < 0 and not mode.inference" if i in written else ""
            lines += [f"if s{i}.numel != {self.constant(x.layout.numel)} or x{i}.offset{special}:",
                      f"    return {self.instead()}"]
        return lines

    def instead(self) -> str:
        return f"{self.constant(self.fn)}({', '.join(self.arguments())})"

    def arguments(self) -> list[str]:
        return [f"x{i}" for i in range(len(self.trace.inputs))] + [f"k{i}" for i in range(len(self.trace.given))]


def _tensors(tree):
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from _tensors(part)


@functools.lru_cache(4096)
def _factory(text: str):
    """What makes replays of this form."""
    scope = dict(new=object.__new__, Node=Node, Storage=Storage, Tensor=Tensor, ref=ref, nobody=nobody, pend=pend,
                 record=record, user_line=user_line, mode=mode,
                 overwritten=storages.overwritten, Saved=Saved, count=tape.count, accumulator=tape.accumulator,
                 grad_fn_of=tape.grad_fn_of, apart=_apart)
    exec(compile(text, __file__, "exec"), scope)        # the file: a replay's frames are ours
    return scope["make"]


def _apart(fn, refs, where, *given):
    """A call among others that cannot be replayed, in its place among what is recorded."""
    if refs:
        pend(refs, where)
        refs.clear()
    return fn(*given)


def replay_of(fn, inputs, depth: int, writer=Writer):
    """The replay of fn(*inputs), or REFUSED."""
    try:
        return writer(fn, inputs, depth).write()
    except Exception:
        return REFUSED          # whatever is wrong is said by the call itself


# -- functions -------------------------------------------------------------------------------------
def recalled(spec: str):
    """Replay calls of a public function that came with the same kinds of arguments before.

    `spec` names the arguments that are not simply looked at by value: "x" is a tensor, "x?" a tensor or
    something else, "x*" a sequence of tensors, "x#" a number that may be a zero with a sign.
    """
    marks = {word.rstrip("?*#"): word[len(word.rstrip("?*#")):] for word in spec.split()}

    def decorate(fn):
        scope = {"front": lambda: _front(front, fn, marks, scope)}
        front = types.FunctionType(_STUB, scope)
        front = functools.wraps(fn)(front)
        front.is_cast = front.takes_numpy_names = True
        front.remade = lambda: decorate(fn)
        return front
    return decorate


_STUB = (lambda *args, **kwargs: front()(*args, **kwargs)).__code__       # noqa: F821


CASTING = """
        if casting_ and mode_.casting is not None:
            return under_(self_, policy_, ({positional}), dict({keywords}))"""
SEPARATE = """
        if casting_ and mode_.casting is not None:
            here_ = memo_of_(memos_, mode_.casting)
        else:
            here_ = memo_"""
FRONT = """
def front({shown}):{renaming}
    try:{precision}
        if SAVE_HOOKS_ or pending_.capture is not None or paused_:
            return fn_({passed})
        try:
            key_ = (mode_.enabled, {key})
            found_ = here_[key_]
        except KeyError:
            found_ = met_(here_, key_, fn_, ({inputs}), dict({named}))
        except (AttributeError, TypeError, ValueError):
            return fn_({passed})
        if found_.__class__ is int:
            if found_ != 1:
                if found_:
                    here_[key_] = found_ - 1
                return fn_({passed})
            return again_(fn_, here_, key_, ({inputs}), dict({named}))
        return found_({inputs})"""      # and numpy_names.ANSWERED


def _front(front, fn, marks, scope):
    """Give the public function, at its first call, its code: one look into the memo, made for its signature."""
    from ..ops import cast_lists, casting, layouts, numpy_names, overriding
    params, memo, policy = list(inspect.signature(fn).parameters.values()), Memo(), cast_lists.policy_of(fn)
    memos.append(memo)
    given = [("*" if marks[p.name] == "*" else "") + p.name + ", " for p in params if _is_tensor(marks.get(p.name, "#"))]
    text = (FRONT + numpy_names.ANSWERED).format(
                        precision=_precision(params, policy), shown=numpy_names.shown(params), **numpy_names.by_kind(params),
                        renaming=numpy_names.renaming(params), passed=numpy_names.passed(params),
                        inputs="".join(given), key=", ".join(_key_part(p.name, marks.get(p.name)) for p in params),
                        named=", ".join(f"{p.name}={p.name}" for p in params))
    scope |= numpy_names.scope(params)
    scope |= dict(self_=front, casting_=casting.active, under_=casting.under, policy_=policy, memos_={},
                  memo_of_=_memo_of, memo_=memo, here_=memo)
    scope |= dict(fn_=layouts.by_layout(fn), mode_=mode, is_tracked_=is_tracked, pending_=pending, SAVE_HOOKS_=tape.SAVE_HOOKS,
                  paused_=paused, asked_=overriding.asked, Tensor_=Tensor, met_=_met, again_=_again, zero_=_zero,
                  unknown_=_unknown)
    exec(compile(text, __file__, "exec"), scope)
    made = scope.pop("front")
    front.__code__, front.__defaults__, front.__kwdefaults__ = made.__code__, made.__defaults__, made.__kwdefaults__
    return front


def _precision(params, policy) -> str:
    """What a function does within autocast: casts its arguments, or remembers its calls apart."""
    if not policy:
        return SEPARATE
    from ..ops.numpy_names import by_kind
    return CASTING.format(**by_kind(params))


def _memo_of(found: dict, dtype):
    """The calls remembered within autocast to a dtype."""
    memo = found.get(dtype)
    if memo is None:
        memo = found[dtype] = Memo()
        memos.append(memo)
    return memo


def _is_tensor(mark) -> bool:
    return mark is not None and "#" != mark


def _key_part(x, mark) -> str:
    """What is looked at of an argument."""
    tensor = (f"{x}.layout, {x}.dtype, {x}.storage.share, "
              f"{x}._requires_grad or {x}._view_of is not None and is_tracked_({x})")
    number = f"{x}.__class__, {x} or zero_({x})"
    if mark is None:
        return f"{x}.__class__, {x}"
    if mark == "*":
        each = tensor.replace(x + ".", "t.").replace(f"({x})", "(t)")
        return f"tuple([({each}) for t in {x}]) if {x}.__class__ is list or {x}.__class__ is tuple else unknown_()"
    return tensor if mark == "" else number if mark == "#" else f"({tensor}) if isinstance({x}, Tensor_) else ({number})"


def _unknown():
    """Not a sequence: it may be gone once it was looked at."""
    raise TypeError


def _zero(x):
    """0.0 and -0.0 are equal and two numbers."""
    return str(x) if type(x) is float else x


def _met(memo, key, fn, inputs, arguments):
    """A call that is new: looked at, and replayed, if its kind is known on other sizes."""
    from ..ops.arguments import AT_ONCE, check_new, numbered
    check_new(fn, arguments)
    again = numbered(fn, (), arguments, AT_ONCE)
    if again is not None:
        return lambda *xs: _call(fn, again[1])()

    def call():
        return Call(functools.partial(_call, fn), arguments, [x for x in inputs if isinstance(x, Tensor)], 3, Writer)
    made = replay_for(memo, lambda: key, call)
    if made is None:
        return _note(memo, key)
    keep(memo, key, made := made if all(isinstance(x, Tensor) for x in inputs) else _picking(made, inputs))
    return made


def keep(memo, key, found) -> None:
    if len(memo) > MEMO_LIMIT:
        dict.clear(memo)
    memo[key] = found


def _note(memo, key, is_again=False) -> int:
    """A call that is new is made as it is; a key must not keep a tensor alive.

    A trace pays after a few calls, and who has made calls of many kinds may never make this one again: after more of
    them it is traced, if it does not follow on a replay (`is_again`).
    """
    for part in key:
        if isinstance(part, Tensor):
            return 0
    keep(memo, key, 1 if is_again else min(1 + len(memo) // FEW_KINDS, PATIENCE))
    return 0


def _waits(memo, key, found) -> bool:
    """Whether a call is to come more often before it is traced."""
    if type(found) is not int or found < 2:
        return False
    memo[key] = found - 1
    return True


def _again(fn, memo, key, inputs, arguments):
    """The second call of its kind: traced and, if that goes well, replayed from now on."""
    memo[key] = 0
    given = [x for x in inputs if isinstance(x, Tensor)]
    call = _call(fn, placed(arguments))
    if all(x.storage.share is None for x in given):
        made = replay_of(call, given, 3)
        if made is not REFUSED:
            memo[key] = made if len(given) == len(inputs) else _picking(made, inputs)
    return call(*given)


def _call(fn, arguments):
    """fn as a function of its tensors alone."""
    named = _named(fn)

    def call(*xs):
        return fn(*[filled(v, xs) for n, v in arguments.items() if n not in named],
                  **{n: filled(v, xs) for n, v in arguments.items() if n in named})
    return call


@functools.lru_cache(4096)
def _named(fn) -> frozenset:
    """Arguments that are given by name."""
    return frozenset(n for n, p in inspect.signature(fn).parameters.items() if p.kind is p.KEYWORD_ONLY)


def _picking(made, inputs):
    """A replay that is called with what is no tensor, too."""
    return _picker(tuple([isinstance(x, Tensor) for x in inputs]))(made)


@functools.cache
def _picker(are_tensors):
    names = [f"a{i}" for i in range(len(are_tensors))]
    kept = ", ".join(n for n, is_tensor in zip(names, are_tensors) if is_tensor)
    return eval(f"lambda made: lambda {', '.join(names)}: made({kept})")


# -- updates ---------------------------------------------------------------------------------------
_kind = attrgetter("layout", "dtype", "storage.share")


def repeated(fn):
    """fn(tensors, numbers, *flags), which writes to some of the tensors; replayed with other numbers, too.

    What fn does must follow from the flags and the kinds of the tensors; numbers are only handed on to operations.
    """
    memo: dict = {}
    memos.append(memo)

    @functools.wraps(fn)
    def call(tensors, numbers, *flags):
        if mode.enabled or paused or pending.capture is not None:
            return fn(tensors, numbers, *flags)
        try:
            key = (flags, len(numbers), *map(_kind, tensors))
        except AttributeError:              # a sparse gradient
            return fn(tensors, numbers, *flags)
        found = memo.get(key)
        if found is None:
            found = _note(memo, key)
        elif found == 1:
            if any(type(k) is not float for k in numbers):
                return fn(tensors, numbers, *flags)
            found = memo[key] = _with_numbers(fn, tensors, numbers, flags)
        elif _waits(memo, key, found):
            found = REFUSED
        return fn(tensors, numbers, *flags) if found == REFUSED else found(*tensors, *numbers)
    members: dict = {}
    memos.append(members)
    call.each = functools.partial(_each, fn, members)
    return call


class MemberWriter(Writer):
    """The replay of one of many calls: `refs` collects what they record at one place, under one lock."""

    opening, names = (), ("refs", "where")

    def pend(self, refs):
        self.add(f"refs += {refs}")

    def check_whole(self):
        lines, shares = super().check_whole(), " or ".join(f"s{i}.share is not None" for i in sorted(self.used))
        return [f"if {shares}:", f"    return {self.instead()}", *lines] if shares else lines

    def instead(self) -> str:
        return f"apart({self.constant(self.fn)}, refs, where, {', '.join(self.arguments())})"


_look = attrgetter("layout", "dtype")


def _each(fn, members, calls, *flags) -> list:
    """fn(tensors, numbers, *flags) for each pair of `calls`, with less Python between them."""
    if mode.enabled or paused or pending.capture is not None:
        return [fn(tensors, numbers, *flags) for tensors, numbers in calls]
    memo = members.get(flags)
    if memo is None:
        if len(members) >= FLAGS_LIMIT:
            members.clear()
        memo = members[flags] = {}
    refs, made, where = [], [], record.override or user_line(2)
    with record.lock:
        try:
            for tensors, numbers in calls:
                found = memo.get((len(numbers), *map(_look, tensors)))
                made.append(found(refs, where, *tensors, *numbers) if found else
                            _apart(_member, refs, where, memo, fn, tensors, numbers, flags))
        finally:
            if refs:
                pend(refs, where)
    return made


def _member(memo, fn, tensors, numbers, flags):
    """One of many calls that is not replayed yet: from the third of its kind on it is."""
    key = len(numbers), *map(_look, tensors)
    seen = memo.get(key, "never")
    if seen is None and all(type(k) is float for k in numbers):
        memo[key] = _with_numbers(fn, tensors, numbers, flags, MemberWriter)
    elif seen == "never":
        if len(memo) > MEMO_LIMIT:
            memo.clear()
        memo[key] = None
    return fn(tensors, numbers, *flags)


def _with_numbers(fn, tensors, numbers, flags, writer=Writer):
    """A replay that takes numbers, if two traces with different ones differ in nothing else."""
    n = len(tensors)
    call = lambda *given: fn(given[:n], given[n:], *flags)
    try:
        if any(x.storage.share is not None for x in tensors):       # sparse gradients have no storage
            return REFUSED
        one, two = (writer(call, tensors, 3, [k * scale for k in numbers]) for scale in (1.0, 1.0009765625))
        if one.trace.constants() != two.trace.constants():
            return REFUSED
        return one.write()
    except Exception:
        return REFUSED


# -- gradient rules --------------------------------------------------------------------------------
class RuleWriter(Writer):
    """Arguments are the gradient, a tensor, and what was saved."""

    marks_views = False

    def instead(self) -> str:
        return "None"

    def argument(self, i) -> str:
        if not i:
            return "x0"
        return self.tensor(wrap(Tensor, self.trace.inputs[i].storage, self.trace.inputs[i].layout, 0))


def pull(fn, g) -> list:
    """The gradients of fn's inputs, of their shapes and dtypes, from that of its output."""
    saved, values, key = fn.saved, [], (fn.token, fn.mask, g.layout, g.dtype)
    if mode.enabled or paused or fn.token is None or saved is RELEASED or g.storage.share is not None \
            or pending.capture is not None:
        return called(fn, g)
    for item in saved:
        if type(item) is Saved:
            storage = item.storage
            if storage.version != item.version or storage.share is not None:
                return called(fn, g)
            values.append(item)
        elif type(item) in (int, float, bool) and item:
            key += (type(item), item)
        else:
            return called(fn, g)
    if fn.token.__class__ is Signature:         # what was expanded or cast to be computed with has lost its own layout
        for e in fn.edges:
            if e is not None:
                key += e[2:]
        for item in values:
            key += (item.layout, item.storage.dtype)
    memo = fn.gradient.memo
    found = memo.get(key)
    if found is None:
        def call():
            return Call(functools.partial(_rules, fn.gradient, fn.positions), _given(fn, g), [g, *values], 0, RuleWriter)
        found = replay_for(memo, functools.partial(_rule_key, fn, g), call)
        if found is None:
            found = _note(memo, key, is_again=type(fn.token) is object)
        else:
            keep(memo, key, found)
    elif found == 1:
        rules = _rules(fn.gradient, fn.positions, placed(_given(fn, g)))
        found = memo[key] = replay_of(rules, [g, *values], 0, RuleWriter)
    elif _waits(memo, key, found):
        found = REFUSED
    return found != REFUSED and found(g, *values) or called(fn, g)


def pull_parts(fn, grads) -> list:
    """The gradient of what was shown in parts, from those of the parts; None for a part that has none."""
    memo = fn.cuts.memo
    given = [g for g in grads if g is not None]
    if mode.enabled or paused or pending.capture is not None:
        return [fn.joined(grads)]
    key = tuple([g if g is None else (g.layout, g.dtype, g.storage.share) for g in grads])
    found = memo.get(key)
    if found is None:
        found = _note(memo, key)
    elif found == 1:
        shapes, present = fn.shapes, [g is not None for g in grads]
        joined, dtype = fn.cuts.join, fn.edges[0][3]

        def call(*some):
            rest = iter(some)
            return [join_parts(joined, [next(rest) if on else None for on in present], shapes, dtype)]
        shared = any(g.storage.share is not None for g in given)
        found = memo[key] = REFUSED if shared else replay_of(call, given, 0, RuleWriter)
    elif _waits(memo, key, found):
        found = REFUSED
    return found != REFUSED and found(*given) or [fn.joined(grads)]


def called(fn, g) -> list:
    """The same by calling the rules."""
    values, rule = fn.unpack(), fn.gradient.rule
    return [None if e is None or rule(i) is None else fit(rule(i)(g, *values, **fn.params), e[2], e[3])
            for i, e in enumerate(fn.edges)]


def _given(fn, g):
    """What the rules of a tape entry are called with, and what else it goes by."""
    return [g, fn.saved, fn.params, [e and e[2:] for e in fn.edges]]


def _rule_key(fn, g) -> tuple:
    """All that the gradients go by, whatever the operation met."""
    saved = [(x.layout, x.storage.dtype) if type(x) is Saved else (type(x), x) for x in fn.saved]
    return (str(fn.positions), g.layout, g.dtype, tuple(saved), tuple(fn.params), tuple(fn.params.values()),
            tuple([e and e[2:] for e in fn.edges]))


def _rules(gradient, positions, given):
    """The rules of a tape entry as a function of the gradient and the saved tensors."""
    _, saved, params, places = given

    def call(*tensors):
        values = [None] * (len(places) + 1)
        for position, item in zip(positions, saved):
            values[position] = filled(item, tensors)
        return [None if p is None or gradient.rule(i) is None else fit(gradient.rule(i)(tensors[0], *values, **params), *p)
                for i, p in enumerate(places)]
    return call


def fit(g, layout, dtype):
    """Sum a gradient down to its input's shape and cast it to its dtype."""
    if g is None:
        return None
    if g.layout is not layout and g.shape != layout.shape:
        g = sum_to(g, layout.shape)
    return g if g.dtype is dtype else g.to(dtype)


def sum_to(g, shape):
    """Undo broadcasting: sum over the axes that `shape` lacks or has with size 1."""
    lead = g.dim() - len(shape)
    dims = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)
    return g.sum(dims, keepdim=True).reshape(shape) if dims else g.reshape(shape)
