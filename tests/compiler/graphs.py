"""What the compiler makes of a few lines: graphs, groups, programs, without running them."""
from __future__ import annotations

from rushlight.compiler.group import group
from rushlight.compiler.lower import lower
from rushlight.compiler.pipeline import PASSES
from rushlight.compiler.simplify import dedupe, drop_copies, drop_dead, outer_products
from rushlight.trace import record
from rushlight.trace.graph import build, describe, spelled_out


def graph_of(program):
    """The graph of what `program()` records; what it returns is alive."""
    record.pending.flush()
    alive = program()
    nodes = [n for r in record.pending.nodes if (n := r()) is not None and n.buffer is None]
    d = spelled_out(describe(nodes))
    graph = build(d.nodes, d)
    del alive
    return graph


def simplified(program):
    return drop_dead(dedupe(outer_products(drop_copies(graph_of(program)))))


def groups_of(program):
    return group(simplified(program)).ordered()


def program_of(program):
    return lower(group(simplified(program)))


def through_all(program):
    ir = graph_of(program)
    for step in PASSES:
        ir = step.run(ir)
    return ir


def names(group_):
    return [v.prim.name for v in group_.vertices]
