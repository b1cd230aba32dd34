"""Replacing a piece of a graph wherever it stands."""
from __future__ import annotations

from typing import NamedTuple

from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_arg


class Match(NamedTuple):
    """Where a pattern was found: its last node, and nodes by those of the pattern."""
    anchor: Node
    nodes_map: dict


def replace_pattern(gm: GraphModule, pattern, replacement) -> list[Match]:
    """Put `replacement` wherever `pattern` stands, both functions, modules or graphs of the same arguments.

    What the pattern computes must not be used elsewhere, its result excepted. Pieces that overlap are replaced from the front.
    """
    wanted, instead = _graph_of(pattern), _graph_of(replacement)
    end, found, taken = wanted.output_node().args[0], [], set()
    for node in list(gm.graph.nodes):
        places: dict = {}
        if _fits(end, node, places) and _is_closed(wanted, end, places) and not taken & _inner(places):
            taken |= _inner(places)
            found.append(Match(node, places))
    changed: dict = {}      # results of earlier replacements
    for match in found:
        _replace(gm.graph, wanted, instead, match, changed)
    gm.recompile()
    return found


def _graph_of(x) -> Graph:
    from ._symbolic_trace import Tracer
    return x if isinstance(x, Graph) else x.graph if isinstance(x, GraphModule) else Tracer().trace(x)


def _fits(p, n, places: dict) -> bool:
    """Whether the pattern's node and what it reads stand here; `places` notes where."""
    if not isinstance(p, Node) or not isinstance(n, Node):
        return _same(p, n, places)
    if p in places:
        return places[p] is n
    if p.op != "placeholder" and (p.op != n.op or p.target != n.target or len(p.args) != len(n.args)
                                  or p.kwargs.keys() != n.kwargs.keys()):
        return False
    places[p] = n
    return p.op == "placeholder" or _same(p.args, n.args, places) and \
        all(_same(v, n.kwargs[k], places) for k, v in p.kwargs.items())


def _same(p, n, places) -> bool:
    """Whether arguments fit."""
    if isinstance(p, Node):
        if p.op == "placeholder" and not isinstance(n, Node):
            return places.setdefault(p, n) == n
        return _fits(p, n, places) if isinstance(n, Node) else False
    if isinstance(p, (tuple, list)):
        return type(p) is type(n) and len(p) == len(n) and all(_same(a, b, places) for a, b in zip(p, n))
    if isinstance(p, dict):
        return isinstance(n, dict) and p.keys() == n.keys() and all(_same(v, n[k], places) for k, v in p.items())
    if isinstance(p, slice):
        return isinstance(n, slice) and _same((p.start, p.stop, p.step), (n.start, n.stop, n.step), places)
    return type(p) is type(n) and p == n


def _inner(places) -> set:
    """The nodes that a match replaces."""
    return {n for p, n in places.items() if p.op != "placeholder"}


def _is_closed(wanted, end, places) -> bool:
    inner = _inner(places)
    return all(set(places[p].users) <= inner for p in wanted.nodes if p in places and p.op != "placeholder" and p is not end)


def _replace(graph, wanted, instead, match, changed):
    given = [changed.get(n, n) if isinstance(n, Node) else n for n in
             (match.nodes_map.get(p) for p in wanted.find_nodes(op="placeholder"))]
    values = dict(zip(instead.find_nodes(op="placeholder"), given))
    with graph.inserting_before(match.anchor):
        for node in instead.nodes:
            if node.op not in ("placeholder", "output"):
                values[node] = graph.node_copy(node, lambda n: values[n])
    result = map_arg(instead.output_node().args[0], lambda n: values[n])
    match.anchor.replace_all_uses_with(result)
    changed[match.anchor] = result
    for node in reversed([match.nodes_map[p] for p in wanted.nodes if p in match.nodes_map and p.op != "placeholder"]):
        if not node.users and not node._erased:
            graph.erase_node(node)
