"""Lanes picked from a few vectors by run-time numbers: what is near in memory needs no gather."""
from __future__ import annotations

from ..compiler.kernel import LANES
from .emit import SIZES, Function, Value, vector
from .features import host

SPANS = {4: 2 * LANES, 8: LANES}        # by the size of an element: from how many elements one can be picked


def pick_span(element: str) -> int:
    """From how many neighbours `pick` can take lanes on this CPU; 0: it cannot."""
    return SPANS.get(SIZES[element], 0) if host().has("avx512f") else 0


def pick(f: Function, parts: list[Value], places: Value) -> Value:
    """Lane l is element places[l] of the vectors `parts`, one behind the other."""
    element = parts[0].type.split(" x ")[1].rstrip(">")
    if SIZES[element] == 4:
        return _two_sources(f, "i32", LANES, *parts, f.cast("trunc", places, "i32"))
    whole, = parts
    halves = [f._lanes(whole, 0, LANES // 2), f._lanes(whole, LANES // 2, LANES)]
    got = [_two_sources(f, "i64", LANES // 2, *halves, f._lanes(places, at, at + LANES // 2)) for at in (0, LANES // 2)]
    return f.shuffle(*got, list(range(LANES)))


def _two_sources(f: Function, word: str, lanes: int, low: Value, high: Value, places: Value) -> Value:
    element, kind = low.type.split(" x ")[1].rstrip(">"), vector(word, lanes)
    letter = "d" if word == "i32" else "q"
    sources = [x if x.type == kind else f.cast("bitcast", x, word) for x in (low, high)]
    got = f.call(kind, f"llvm.x86.avx512.vpermi2var.{letter}.512", sources[0], places, sources[1])
    return got if element == word else f.cast("bitcast", got, element)
