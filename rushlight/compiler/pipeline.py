"""The compiler's map: from a recorded graph to a plan, pass by pass."""
from __future__ import annotations

from typing import NamedTuple
from collections.abc import Callable

from .. import config
from .abreast import abreast
from .chains import chain
from .group import group
from .lower import lower
from .memory import lifetimes
from .rematerialise import rematerialise
from .rewalk import rewalk
from .riders import ride
from .sideways import sideways
from .simplify import dedupe, drop_copies, drop_dead, outer_products


class Pass(NamedTuple):
    run: Callable
    why: str

    @property
    def name(self) -> str:
        return self.run.__name__


PASSES = [
    Pass(drop_copies, "clones of values that nobody writes to; first, so that equal nodes show as equal"),
    Pass(outer_products, "before grouping, so that they join loops"),
    Pass(dedupe,      "equal nodes become one"),
    Pass(drop_dead,   "after dedupe, so that the losers of a merge go too"),
    Pass(rewalk,      "steps in the order of axes of the reductions that read them; needs to know all readers"),
    Pass(group,       "nodes -> kernels; the only place that decides fusion"),
    Pass(rematerialise, "after grouping: only what crosses from kernel to kernel costs memory"),
    Pass(sideways,    "rows that lie side by side are folded as columns; after rematerialise, which may add operands"),
    Pass(chain,       "kernels whose rows feed each other run a few rows at a time; needs to know what each kernel reads"),
    Pass(ride,        "sums across rows join the kernel that passes over these rows; after chains, which run a few at a time"),
    Pass(lower,       "kernels -> calls of loop nests, contractions and host functions, in running order"),
    Pass(abreast,     "small calls that do not need each other become one; needs to know whose memory is taken over"),
    Pass(lifetimes,   "needs the final order; the arena itself is laid out for each size (compiler/memory.py)"),
]   # RUSHLIGHT_SHOW=group prints what goes into and comes out of that pass; RUSHLIGHT_CHECK=1 verifies graphs


def compile_graph(graph):
    """Run all passes; the result is a program (compiler/lower.py), of which a recipe is made."""
    from ..trace.show import show
    from ..trace.verify import verify
    ir = graph
    for step in PASSES:
        wanted = config.show.value in (step.name, "all")
        if wanted:
            print(f"-- before {step.name}: {step.why}\n{show(ir)}")
        if config.check.value and ir is graph:
            verify(graph)
        ir = step.run(ir)
        if wanted:
            print(f"-- after {step.name}\n{show(ir)}")
    return ir
