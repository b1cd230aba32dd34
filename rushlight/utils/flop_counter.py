"""torch.utils.flop_counter: floating point operations of products and convolutions, forward and backward.

Counted where they are recorded, by PyTorch's formulas: two for each product of a sum. Attention is the two products that it is.
"""
from __future__ import annotations

from collections import Counter, defaultdict
from math import prod

from .._ops import OpOverloadPacket, namespaces
from ..autograd.recall import paused
from ..nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from ..ops.overriding import _front
from ..overrides import TorchFunctionMode
from ..tensor import Tensor
from ..trace import record

__all__ = ["FlopCounterMode", "register_flop_formula"]
SUFFIXES = ("", "K", "M", "B", "T")
NOT_COUNTED = frozenset(("mv", "dot", "vdot", "inner", "addmv"))     # PyTorch has no formula for products with vectors
flop_registry: dict = {}


def register_flop_formula(targets, get_raw=False):
    """A decorator: the function tells the operations of calls of `targets` (entries of torch.ops) by their arguments' shapes.

    It is called with the call's arguments, shapes in place of tensors, and out_shape.
    """
    def decorate(formula):
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            flop_registry[getattr(target, "overloadpacket", target)] = formula if get_raw else _of_shapes(formula)
        return formula
    return decorate


def _of_shapes(formula):
    def call(*args, out_val=None, **kwargs):
        from ._pytree import tree_map
        shapes = tree_map(lambda x: x.shape if isinstance(x, Tensor) else x, (args, kwargs, out_val))
        return formula(*shapes[0], out_shape=shapes[2], **shapes[1])
    return call


def contraction_flops(sig) -> int:
    """Two for each product that a contraction adds up."""
    a, b = (l.shape for l in sig.layouts)
    name = sig.prim.name
    if name == "matmul":
        return 2 * sig.numel * a[-1]
    if name == "conv":
        return 2 * sig.numel * prod(b[1:])
    if name == "conv_input_grad":
        return 2 * prod(a) * prod(b[1:])
    return 2 * prod(a) * b[1] * prod(sig.shape[2:])


class FlopCounterMode:
    """A context manager that counts the operations of products and convolutions in its block, by module.

    Args:
        mods: not needed, accepted.
        depth: how many levels of modules the table shows (2; None: all).
        display: print the table at the end of the block.
        custom_mapping: formulas by entries of torch.ops, as for `register_flop_formula`.
    """

    def __init__(self, mods=None, depth: int | None = 2, display: bool = True, custom_mapping: dict | None = None):
        self.depth, self.display = depth, display
        self.flop_counts: dict = defaultdict(Counter)
        self.formulas = {**flop_registry, **{getattr(k, "overloadpacket", k): _of_shapes(f)
                                             for k, f in (custom_mapping or {}).items()}}

    # -- results ---------------------------------------------------------------------------------------
    def get_total_flops(self) -> int:
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict:
        """{module: {operation: number}}; "Global" is everything."""
        return {module: dict(counts) for module, counts in self.flop_counts.items() if counts}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as text."""
        depth = self.depth if depth is None else depth
        depth = 999999 if depth is None else depth
        total, rows = self.get_total_flops(), [("Module", "FLOP", "% Total")]
        only = [m for m in self.flop_counts if m != "Global" and self.flop_counts[m]]
        whole = {m for m in only if self.flop_counts[m] == self.flop_counts["Global"]}
        modules = sorted(m for m in only if m.count(".") + 1 <= depth)
        if not whole and total or not modules:
            modules.insert(0, "Global")
        for module in modules:
            indent = " " * (bool("Global" in modules and module != "Global") + 0)
            rows.append((indent + module, *_shown(sum(self.flop_counts[module].values()), total)))
            rows += [(f"{indent}- {op}", *_shown(n, total)) for op, n in self.flop_counts[module].items()]
        if all(n < 10000 for counts in self.flop_counts.values() for n in [sum(counts.values())]):
            rows[1:] = [(name, shown.removesuffix(".000"), share) for name, shown, share in rows[1:]]
        widths = [max(len(r[i]) for r in rows) for i in range(3)]
        line = lambda r: f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}"
        return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])

    # -- counting --------------------------------------------------------------------------------------
    def __enter__(self):
        self.flop_counts.clear()
        self.stack, self.names, self.pulled, self.public = [], {}, {}, None
        self.handles = [register_module_forward_pre_hook(self._enter),
                        register_module_forward_hook(self._leave, always_call=True)]
        self.codes = [(fn, fn.__code__) for fn in (record.emit, record.record)]
        for fn, code in self.codes:
            fn.__code__ = self._counting(fn, code)
        paused.append(self)
        self.mode = _Calls(self).__enter__()
        return self

    def __exit__(self, *error):
        self.mode.__exit__()
        paused.remove(self)
        for fn, code in self.codes:
            fn.__code__ = code
        for handle in self.handles:
            handle.remove()
        if self.display and error[:1] in ((), (None,)):
            print(self.get_table(self.depth))

    def _counting(self, fn, code):
        """Code of a recording function that counts first."""
        plain = type(fn)(code, fn.__globals__, fn.__name__, fn.__defaults__)

        def call(args, kwargs):
            self._count(args[0])
            return plain(*args, **kwargs)
        return _with_guard(call)

    def _count(self, sig):
        if sig.prim is not None and sig.prim.kind == "contract":
            name = self._name(sig)
            if name:
                self.add(getattr(namespaces["aten"], name), contraction_flops(sig))

    def add(self, op: OpOverloadPacket, n: int) -> None:
        """Count n operations for the modules that run."""
        modules = self.stack if record.override is None else [m for on in self.pulled.values() for m in on]
        for module in dict.fromkeys(["Global", *modules]):
            self.flop_counts[module][op] += n

    def _name(self, sig) -> str | None:
        """The operation of PyTorch's that a contraction belongs to; None if it has no formula."""
        back = record.override is not None
        if sig.prim.name != "matmul":
            return "convolution_backward" if back else "convolution"
        a, b = sig.layouts
        is_flat = any(all(s == 0 for s in l.strides[:-2]) for l in (a, b))
        if back or self.public is None:
            return "mm" if is_flat else "bmm"
        name, args, kwargs = self.public
        if name in NOT_COUNTED or name == "matmul" and any(isinstance(x, Tensor) and x.dim() == 1 for x in args):
            return None
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        has_bias = name == "addmm" or name == "linear" and bias is not None
        return "addmm" if has_bias else "mm" if is_flat or name == "linear" else "bmm"

    # -- modules ---------------------------------------------------------------------------------------
    def _enter(self, module, args):
        if module not in self.names:
            self._learn(module, type(module).__name__)
        self.stack.append(self.names[module])
        name = tuple(self.stack)
        for x in args:
            if isinstance(x, Tensor) and x.requires_grad:
                x.register_hook(lambda g: self.pulled.pop(name, None) and None)

    def _learn(self, module, name):
        self.names[module] = name
        for child, part in module.named_children():
            self._learn(part, f"{name}.{child}")

    def _leave(self, module, args, output):
        name = tuple(self.stack)
        self.stack.pop()
        for x in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(x, Tensor) and x.requires_grad:
                x.register_hook(lambda g: self.pulled.update({name: name}))


class _Calls(TorchFunctionMode):
    """Tells a counter which public function runs."""

    def __init__(self, counter):
        self.counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        counter, kwargs = self.counter, kwargs or {}
        before, counter.public = counter.public, (getattr(func, "__name__", ""), args, kwargs)
        try:
            y = func(*args, **kwargs)
        finally:
            counter.public = before
        formula = counter.formulas.get(getattr(func, "overloadpacket", func)) if counter.formulas else None
        if formula is not None:
            counter.add(getattr(func, "overloadpacket", func), formula(*args, **kwargs, out_val=y))
        return y


def _with_guard(call):
    code = _front(0)
    return code.replace(co_consts=tuple(call if c == "guard" else c for c in code.co_consts))


def _shown(n, total) -> tuple[str, str]:
    at = max(0, min(len(SUFFIXES) - 1, (len(str(n)) - 2) // 3))
    return f"{n / 1000 ** at:.3f}{SUFFIXES[at]}", f"{n / total * 100:.2f}%" if total else "0%"
