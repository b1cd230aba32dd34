"""Options of windows, and what becomes of them in plotly's figures."""
from __future__ import annotations

import math
from numbers import Number

import numpy as np

AXIS = {"type": "type", "label": "title", "tickvals": "tickvals", "ticklabels": "ticktext",
        "tickstep": "dtick", "tick": "showticklabels", "tickfont": "tickfont"}
TEXTS = ("color", "colormap", "mode", "markersymbol")


def checked(opts) -> dict:
    """A copy of the options; an AssertionError for those that the server could not show."""
    opts = {k: v for k, v in (opts or {}).items() if not (k == "title" and v is None)}
    if isinstance(opts.get("title"), Number):
        opts["title"] = str(opts["title"])
    for name in (*TEXTS, "title"):
        check(name, opts, lambda v: isinstance(v, str), "should be a string")
    for name in ("columnnames", "rownames"):
        check(name, opts, lambda v: isinstance(v, list), "should be a list of names")
    for name, least, most in (("markersize", 0, math.inf), ("markerborderwidth", 0, math.inf),
                              ("jpgquality", 0, 100), ("opacity", 0, 1), ("fps", 0, math.inf)):
        check(name, opts, lambda v, a=least, b=most: isinstance(v, Number) and a <= v <= b,
              f"should be a number from {least} to {most}")
    return opts


def check(name, opts, is_good, what):
    value = opts.get(name)
    if value is not None and not is_good(value):
        raise AssertionError(f"{name} {what}")


def layout(opts: dict, is_3d: bool = False) -> dict:
    """A plotly layout."""
    outer = 0 if is_3d else 60
    made = {"showlegend": opts.get("showlegend", "legend" in opts), "title": opts.get("title"),
            "margin": {"l": opts.get("marginleft", outer), "r": opts.get("marginright", 60),
                       "t": opts.get("margintop", 20 if is_3d else 60),
                       "b": opts.get("marginbottom", outer)}}
    axes = {f"{a}axis": axis(a, opts) for a in ("xyz" if is_3d else "xy")}
    made.update({"scene": axes} if is_3d else axes)
    if opts.get("stacked"):
        made["barmode"] = "stack"
    made.update((opts.get("layoutopts") or {}).get("plotly", {}))
    return without_none(made)


def axis(name: str, opts: dict) -> dict | None:
    """The options that begin with the axis' letter."""
    made = {theirs: opts.get(name + ours) for ours, theirs in AXIS.items()}
    ends = opts.get(name + "tickmin"), opts.get(name + "tickmax")
    if None not in ends:
        made["range"] = list(ends)
    return None if all(v is None for v in made.values()) else made


def without_none(x):
    """Dictionaries without the entries that are None."""
    if not isinstance(x, dict):
        return x
    return {k: without_none(v) for k, v in x.items() if v is not None}


def numbers(x: np.ndarray) -> list:
    """Nested lists; None for what JSON has no number for."""
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return x.tolist()
    return np.where(np.isfinite(x), x.astype(object), None).tolist()


def hex_colours(x: np.ndarray) -> list[str]:
    """(n, 3) of 0 to 255 as #rrggbb; (n,) as blue of that opacity."""
    if (x < 0).any() or (x > 255).any() or (x != np.floor(x)).any():
        raise AssertionError("marker and line colors have to be whole numbers from 0 to 255")
    if x.ndim == 1:
        return [f"rgba(0, 0, 255, {v / 255})" for v in x.tolist()]
    return ["#{:02x}{:02x}{:02x}".format(*map(int, row)) for row in x.tolist()]
