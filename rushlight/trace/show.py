"""Graphs, groups and programs as text that a person reads: shapes, operations, source lines."""
from __future__ import annotations

import linecache
import os

from .record import line_of


def show(ir) -> str:
    """Any stage of the compiler as readable code."""
    if hasattr(ir, "vertices"):
        return show_graph(ir)
    if hasattr(ir, "groups") and hasattr(ir, "home"):
        return "\n".join(map(str, ir.ordered()))
    if hasattr(ir, "steps"):
        from ..compiler.lower import describe_step
        return "\n".join(describe_step(s) for s in ir.steps)
    return str(ir)


def show_graph(graph) -> str:
    """One line for each vertex: name: shape dtype = primitive(operands)   # file:line  source."""
    lines = [f"input{i.number}" + (" (last use)" if i.donated else "") for i in graph.inputs]
    for v in graph.vertices:
        lines.append(f"v{v.number}: {v.dtype.name}{list(v.shape)} = {v.prim.name}({_operands(v)})"
                     + ("  -> output" if v.is_output else "") + _line(v.where))
    return "\n".join(lines)


def _operands(v):
    uses = iter(v.uses)
    parts = []
    for layout in v.sig.layouts:
        if layout is None:
            parts.append("number")
            continue
        use = next(uses, None)
        if use is None:         # an illegal graph is shown, too
            parts.append("missing")
            continue
        name = f"v{use.source.number}" if hasattr(use.source, "prim") else f"input{use.source.number}"
        plain = layout.packed and not use.offset
        seen = "" if plain else f"[{list(layout.shape)} strides {list(layout.strides)} at {use.offset}]"
        parts.append(name + seen)
    params = [f"{k}={p}" for k, p in v.params.items()]
    return ", ".join(parts + params)


def _line(where):
    if where is None:
        return ""
    code, number = where[0], line_of(where)
    text = linecache.getline(code.co_filename, number).strip()
    return f"    # {os.path.basename(code.co_filename)}:{number}  {text}"
