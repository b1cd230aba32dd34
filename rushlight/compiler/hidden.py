"""What a mask hides from a chain: columns that may be left out because all in them is an exact zero.

Each value of the chain's rows is followed through the parts, at a column that the mask hides: a
score that is -inf there becomes a weight of 0, which adds nothing to any sum. If every fold and
product finds such a value, the columns behind the last visible one need not be computed. That
numbers of rows (a maximum, a sum) are finite is taken for granted here: where one is not, no element
of its row is, and the kernel looks at the first one of each row that is multiplied (`probes`).
"""
from __future__ import annotations

import math

from .. import dtypes
from ..cpu.chain import ADDED, FALSE_HIDES, TRUE_HIDES, Mask
from ..cpu.chain_products import BLOCK_SLOT
from ..layout import view
from ..trace.graph import Vertex
from .chains import Chain, is_value
from .kernel import Scalar

ANY, FINITE, LOW, ZERO, ROW = "any", "finite", "-inf", "zero", "row"
NEUTRAL = {"amax": LOW, "sum": ZERO}        # what adds nothing to such a fold
RULES = {
    ("sub", LOW, ROW): LOW, ("exp", LOW): ZERO, ("div", ZERO, ROW): ZERO,
    ("mul", ZERO, ZERO): ZERO, ("mul", ZERO, FINITE): ZERO, ("mul", FINITE, ZERO): ZERO,
    ("mul", ZERO, ROW): ZERO, ("mul", ROW, ZERO): ZERO, ("mul", FINITE, FINITE): FINITE,
    ("sub", FINITE, ROW): FINITE, ("sub", FINITE, FINITE): FINITE, ("add", FINITE, FINITE): FINITE,
    ("add", ZERO, ZERO): ZERO, ("neg", ZERO): ZERO, ("div", ZERO, FINITE): ZERO,
}


def hiding(calls) -> Mask:
    """The mask that ends a chain's columns, if all its values allow that."""
    return Hiding(calls).mask()


class Hiding:
    def __init__(self, calls):
        self.calls, self.chain = calls, calls.chain
        self.state: dict = {}
        self.found, self.condition, self.fills, self.probes = None, None, [], []
        self.fine = True

    def mask(self) -> Mask:
        for part in self.chain.parts:
            for v in part.vertices:
                self.state[v] = self.of(v)
        for part in self.chain.columns:
            self.product(part.vertices[0])
        if not self.fine or self.found is None:
            return Mask()
        return self.found._replace(fills=tuple(self.fills), probes=tuple(self.probes))

    def of(self, v) -> str:
        if v.prim.kind == "contract":
            return self.product(v)
        if v.prim.kind == "reduce":
            self.fine &= self.operand(v.uses[0]) == NEUTRAL.get(v.prim.name)
            return ROW
        if not is_value(v, self.chain.space):
            return ROW
        self.fine &= v.prim.name != "iota" and (       # a number in a row of another length is another one
            v in self.calls.scratch or not self.calls.is_needed(v, self.calls.part[v]))
        return self.pointwise(v)

    def product(self, v) -> str:
        """A product of the rows skips what is hidden; one that makes rows is finite if its operands are."""
        multiplied = self.calls.multiplied(v)
        if multiplied is not None:
            source = v.uses[multiplied].source
            self.fine &= self.state.get(source) == ZERO and source in self.calls.scratch
            if self.fine:
                place = self.calls.scratch[source]
                self.probes.append((place.offset, int(place.slot == BLOCK_SLOT)))
            return ANY
        self.fine &= v in self.calls.scratch or not self.calls.is_needed(v, self.calls.part[v])
        looked_at = {w.uses[n].source for w, n in self.calls.tamed}
        return FINITE if all(u.source in looked_at for u in v.uses) else ANY

    def operand(self, use) -> str:
        source = use.source
        if source in self.state:
            return self.state[source]
        if not isinstance(source, Vertex):
            return ANY
        if isinstance(self.calls.home.get(source), Chain) and not is_value(source, self.chain.space):
            return ROW
        return FINITE if source.prim.name == "full" or is_draw(source) else ANY

    def pointwise(self, v) -> str:
        uses = iter(v.uses)
        operands = [None if layout is None else next(uses) for layout in v.sig.layouts]
        if v.prim.name == "where" and (known := self.chosen(v, operands)):
            return known
        if v.prim.name == "add" and self.found is None and (known := self.added(v, operands)):
            return known
        states = [FINITE if u is None else self.operand(u) for u in operands]
        if v.prim.name in ("cast", "copy"):
            return states[0]
        return RULES.get((v.prim.name, *states), ANY)

    # -- masks ------------------------------------------------------------------------------------------
    def chosen(self, v, operands) -> str | None:
        """where(mask, number, x) or where(mask, x, number), at a hidden column."""
        condition, yes, no = operands
        if condition is None or condition.dtype is not dtypes.bool:
            return None
        scalars = iter(v.scalars)
        numbers = [self.number(u, next(scalars) if u is None else None, v.dtype) for u in (yes, no)]
        inside = condition.source in self.state
        if self.found is None and not inside and (numbers[0] is None) != (numbers[1] is None):
            kind = TRUE_HIDES if numbers[0] is not None else FALSE_HIDES
            mask = self.seen(kind, condition)
            if mask is None:
                return None
            self.found, self.condition = mask, condition
            self.fills.append((numbers[kind == FALSE_HIDES], -math.inf))
            return LOW
        if self.found is None or condition != self.condition:
            return self.zero_in_both((yes, no), numbers)
        arm = 0 if self.found.kind == TRUE_HIDES else 1
        if numbers[arm] is None:
            return self.operand((yes, no)[arm])
        self.fills.append((numbers[arm], 0))
        return ZERO

    def zero_in_both(self, arms, numbers) -> str | None:
        """Whatever the condition is, if a number that is not yet known turns out to be 0."""
        if [n is None for n in numbers] not in ([True, False], [False, True]):
            return None
        if self.operand(arms[numbers[0] is not None]) != ZERO:
            return None
        self.fills.append((numbers[0] or numbers[1], 0))
        return ZERO

    def number(self, use, scalar, dtype):
        """A run-time number, as word, or None."""
        if use is not None and isinstance(use.source, Vertex) and use.source.prim.name == "full" \
                and self.calls.is_constant(use.source):
            scalar = use.source.scalars[0]
        return None if scalar is None else Scalar(scalar, dtype)

    def added(self, v, operands) -> str | None:
        """x + mask, at a column where the mask is -inf."""
        if None in operands:
            return None
        inside = [u for u in operands if u.source in self.state]
        outside = [u for u in operands if u.source not in self.state and not self.calls.is_constant(u.source)]
        if len(inside) != 1 or len(outside) != 1 or self.state[inside[0].source] not in (ANY, FINITE):
            return None
        self.found = self.seen(ADDED, outside[0])
        return self.found and LOW

    def seen(self, kind, use) -> Mask | None:
        """The mask in memory, if its columns lie side by side."""
        shape = next(v for v in self.calls.part if is_value(v, self.chain.space)).shape
        layout = use.layout if use.layout.numel == math.prod(shape) else None
        layout = layout and view(layout, (*shape,))
        if layout is None or layout.strides[-1] != 1:
            return None
        size = use.dtype.itemsize
        self.calls.stored(use)
        *batch, row, _ = (s * size for s in layout.strides)
        return Mask(kind, self.calls.ref(use.source, use.offset, use.dtype), row,
                    tuple(zip(shape[:-2], batch)))


def is_draw(v) -> bool:
    """A random mask of zeros and ones, scaled."""
    while v.prim.name in ("mul", "div", "cast", "copy") and len(v.uses) == 1:
        source = v.uses[0].source
        if not isinstance(source, Vertex):
            return False
        if v.prim.name == "cast" and source.dtype is dtypes.bool:
            return True
        v = source
    return False
