"""Plots: data as plotly's traces."""
from __future__ import annotations

import json
from numbers import Number

import numpy as np

from ..as_array import as_array
from .connection import Connection
from .options import checked, hex_colours, layout, numbers, without_none

HEAD = 0.33     # of an arrow's length are its head and half of the head's width
GROWS = ("appendRow", "appendColumn", "prependRow", "prependColumn")


def ensure(holds, message: str) -> None:
    if not holds:
        raise AssertionError(message)


class Charts(Connection):
    """Lines, points, bars, boxes, maps and surfaces."""

    def _draw(self, data, win, env, opts, is_3d=False):
        return self._send({"data": data, "win": win, "eid": env, "layout": layout(opts, is_3d),
                           "opts": opts})

    # -- lines and points ------------------------------------------------------------------------
    def line(self, Y, X=None, win=None, env=None, opts=None, update=None, name=None):
        """Lines through points.

        Args:
            Y: (n,) or (n, lines).
            X: (n,) or as Y; by default from 0 to 1, when appending further on as the line goes.
            update: "append", "replace" or "remove" (the line `name` of a window).
        """
        if update == "remove":
            return self.scatter(None, None, win, env, opts, update, name)
        Y = as_array(Y)
        ensure(Y.ndim in (1, 2), "Y should have 1 or 2 dim")
        ensure(Y.shape[-1] > 0, "must plot one line at least")
        X = self._places(len(Y), win, env, update, name) if X is None else as_array(X)
        ensure(X.ndim in (1, 2), "X should have 1 or 2 dim")
        if Y.ndim == 2 and X.ndim == 1:
            X = np.repeat(X[:, None], Y.shape[1], axis=1)
        ensure(X.shape == Y.shape, "X and Y should be the same shape")
        opts = checked(opts)
        opts.setdefault("markers", False)
        opts.setdefault("fillarea", False)
        opts["mode"] = "lines+markers" if opts["markers"] else "lines"
        points = np.column_stack((X.ravel(order="F"), Y.ravel(order="F")))
        labels = None if Y.ndim == 1 else np.repeat(np.arange(1, Y.shape[1] + 1), len(Y))
        return self.scatter(points, labels, win, env, opts, update, name)

    def _places(self, n, win, env, update, name):
        """Where points stand that come without X."""
        if update is None:
            return np.linspace(0, 1, n)
        known = self._known_places(win, env, name) if update == "append" else None
        ensure(known, "must specify x-values for line update")
        step = known[-1] - known[-2] if len(known) > 1 else 1
        return known[-1] + step * np.arange(1, n + 1)

    def _known_places(self, win, env, name):
        """The X of a line that the server shows."""
        if win is None or self.offline or not self.send or not self.win_exists(win, env):
            return None
        traces = json.loads(self.get_window_data(win, env))["content"]["data"]
        return next((t["x"] for t in traces if name in (None, t.get("name"))), None)

    def scatter(self, X, Y=None, win=None, env=None, opts=None, update=None, name=None):
        """Points.

        Args:
            X: (n, 2) or (n, 3); with `name`, (n,) and Y (n,) are the coordinates.
            Y: (n,) labels from 1 on, a colour each.
            update: "append", "replace" or "remove" (the points `name` of a window).
        """
        if update == "remove":
            return self._remove(win, env, opts, name)
        if update is not None:
            ensure(win is not None, "Must define a window to update")
            if update == "append" and self.send and not self.offline and self.win_exists(win, env) is False:
                update = None
        X, Y = as_array(X), None if Y is None else as_array(Y)
        if name and X.ndim == 1:
            ensure(Y is not None and Y.shape == X.shape, "X and Y should have same shape")
            X, Y = np.column_stack((X, Y)), None
        ensure(X.ndim == 2, "X should have two dims")
        ensure(X.shape[1] in (2, 3), "X should have 2 or 3 cols")
        labels = self._labels(X, Y, name)
        opts = self._marked(opts)
        data = traces(X, labels, opts, name)
        for used in ("markercolor", "linecolor", "dash"):
            opts.pop(used, None)
        msg = {"data": data, "win": win, "eid": env, "opts": opts,
               "layout": layout(opts, X.shape[1] == 3) if update is None else {}}
        if update is None:
            return self._send(msg)
        return self._send({**msg, "name": name, "append": update == "append"}, "update")

    def _remove(self, win, env, opts, name):
        ensure(win is not None, "Must define a window to update")
        ensure(name is not None, "A trace must be specified for deletion")
        ensure(opts is None, "Opts cannot be updated on trace deletion")
        return self._send({"data": [], "name": name, "delete": True, "win": win, "eid": env}, "update")

    def _labels(self, X, Y, name):
        if Y is None:
            return np.ones(len(X), int)
        Y = np.ravel(Y)
        ensure(len(X) == len(Y), "sizes of X and Y should match")
        ensure((np.mod(Y, 1) == 0).all(), "labels should be integers")
        ensure(Y.min() >= 1, "labels are assumed to be at least 1")
        ensure(name is None or (Y == Y[0]).all(),
               "name should not be specified with multiple labels or lines")
        return Y.astype(int)

    def _marked(self, opts):
        opts = checked(opts)
        opts.setdefault("mode", "markers" if opts.get("textlabels") is None else "markers+text")
        for name, value in (("markersymbol", "dot"), ("markersize", 10), ("markerborderwidth", 0.5)):
            opts.setdefault(name, value)
        return opts

    def stem(self, X, Y=None, win=None, env=None, opts=None):
        """Vertical lines from 0 to X (n,) or (n, series), at Y."""
        X = as_columns(X)
        Y = np.arange(1, len(X) + 1) if Y is None else as_array(Y)
        Y = np.broadcast_to(Y.reshape(len(Y), -1), X.shape)
        nothing = np.full(X.shape, np.nan)
        x = np.stack((Y, Y, nothing), 1).reshape(-1, X.shape[1])
        y = np.stack((np.zeros(X.shape), X, nothing), 1).reshape(-1, X.shape[1])
        labels = np.tile(np.arange(1, X.shape[1] + 1), len(x))
        return self.scatter(np.column_stack((x.ravel(), y.ravel())), labels, win, env,
                            {**(opts or {}), "mode": "lines"})

    def quiver(self, X, Y, gridX=None, gridY=None, win=None, env=None, opts=None):
        """Arrows (X, Y), each (rows, columns), that begin at gridX, gridY, by default at their indices.

        Options of its own: normalize (the length of the longest arrow), arrowheads (True).
        """
        X, Y = as_array(X), as_array(Y)
        ensure(X.ndim == 2, "X should be two-dimensional")
        ensure(X.shape == Y.shape, "X and Y should have the same size")
        starts = [given if grid is None else as_array(grid)
                  for given, grid in zip(np.indices(X.shape), (gridX, gridY))]
        for name, grid in zip("XY", starts):
            ensure(grid.shape == X.shape, f"{name} and grid{name} should have the same size")
        opts = {**checked(opts), "mode": "lines"}
        longest = opts.get("normalize")
        if longest:
            ensure(isinstance(longest, Number) and longest > 0, "opts.normalize should be positive number")
            scale = longest / np.hypot(X, Y).max()
            X, Y = X * scale, Y * scale
        lines = arrows(X, Y, *starts, opts.setdefault("arrowheads", True))
        return self.scatter(lines, win=win, env=env, opts=opts)

    def dual_axis_lines(self, X=None, Y1=None, Y2=None, opts=None, win=None, env=None):
        """Two lines Y1 and Y2 (n,) over X (n,), each with an axis of its own.

        Options of its own: name_y1, name_y2, color_title_y1, color_tick_y1, color_title_y2, color_tick_y2, side
        (of the second axis), showlegend, top, bottom, left, right (margins).
        """
        X, Y1, Y2 = as_array(X), as_array(Y1), as_array(Y2)
        for name, Y in (("Y1", Y1), ("Y2", Y2)):
            ensure(X.shape == Y.shape, f"values of X and {name} are not in proper shape")
        opts = dict(opts or {})
        names = opts.get("name_y1", "Y1 axis"), opts.get("name_y2", "Y2 axis")
        first, second = ({"x": numbers(X), "y": numbers(Y), "name": name, "type": "scatter"}
                         for Y, name in zip((Y1, Y2), names))
        made = two_axes(names, opts)
        opts.setdefault("height", 300)
        opts.setdefault("width", 500)
        return self._send({"data": [first, {**second, "yaxis": "y2"}], "win": win, "eid": env, "layout": made,
                           "opts": opts})

    def plotlyplot(self, figure, win=None, env=None):
        """A plotly figure, or its dictionary."""
        made = json.loads(figure.to_json()) if hasattr(figure, "to_json") else dict(figure)
        title = made["layout"].get("title")
        opts = {} if title is None else {"title": title.get("text", title) if isinstance(title, dict) else title}
        return self._send({"data": made["data"], "layout": made["layout"], "win": win, "eid": env, "opts": opts})

    def update_window_opts(self, win, opts, env=None):
        """Other options for a window, the same data."""
        opts = checked(opts)
        return self._send({"win": win, "eid": env, "layout": layout(opts), "opts": opts}, "update")

    # -- bars and boxes --------------------------------------------------------------------------
    def bar(self, X, Y=None, win=None, env=None, opts=None):
        """Bars of heights X, (n,) or (n, series), at Y (n,)."""
        opts = checked(opts)
        X = as_columns(X, is_row=opts.get("legend") is not None and np.squeeze(as_array(X)).ndim == 1)
        Y = np.arange(1, len(X) + 1) if Y is None else np.squeeze(as_array(Y)).reshape(-1)
        ensure(len(X) == len(Y), "sizes of X and Y should match")
        names = opts.get("rownames")
        ensure(names is None or len(names) == len(X), "number of row names should match number of rows in X")
        legend = self._legend(opts, X, "number of legend labels must match number of columns in X")
        opts.setdefault("stacked", False)
        places = Y.tolist() if names is None else names
        data = [without_none({"y": numbers(column), "x": places, "type": "bar", "name": label})
                for column, label in zip(X.T, legend)]
        return self._draw(data, win, env, opts)

    def _legend(self, opts, X, message):
        legend = opts.get("legend")
        ensure(legend is None or len(legend) == X.shape[1], message)
        return legend or [None] * X.shape[1]

    def histogram(self, X, win=None, env=None, opts=None):
        """How many of X (n,) fall into each of `opts["numbins"]` bins."""
        X = np.squeeze(as_array(X))
        ensure(X.ndim == 1, "X should be one-dimensional")
        opts = checked(opts)
        bins = opts.setdefault("numbins", min(30, len(X)))
        counts = np.histogram(X, bins)[0]
        return self.bar(counts, np.linspace(X.min(), X.max(), bins), win, env, opts)

    def boxplot(self, X, win=None, env=None, opts=None):
        """A box for each column of X, (n,) or (n, boxes)."""
        X, opts = as_columns(X), checked(opts)
        legend = self._legend(opts, X, "number of legend labels must match number of columns")
        data = [{"y": numbers(column), "type": "box", "name": label or f"column {k}"}
                for k, (column, label) in enumerate(zip(X.T, legend))]
        return self._draw(data, win, env, opts)

    def pie(self, X, win=None, env=None, opts=None):
        """Shares of a whole."""
        X, opts = np.squeeze(as_array(X)), checked(opts)
        ensure(X.ndim == 1, "X should be one-dimensional")
        ensure((X >= 0).all(), "X cannot contain negative values")
        return self._draw([{"values": numbers(X), "labels": opts.get("legend"), "type": "pie"}], win,
                          env, opts)

    def sunburst(self, labels, parents, values=None, win=None, env=None, opts=None):
        """Rings of parts: each label lies round the label that is its parent, "" for those in the middle.

        Options of its own: size and font_color (of texts), opacity, marker_width.
        """
        labels, parents, opts = as_array(labels).tolist(), as_array(parents).tolist(), checked(opts)
        ensure(len(labels) == len(parents), "length of parents and labels should be equal")
        made = {"labels": labels, "parents": parents, "type": "sunburst",
                "outsidetextfont": {"size": opts.get("size"), "color": opts.get("font_color")},
                "leaf": {"opacity": opts.get("opacity")}, "marker": {"line": {"width": opts.get("marker_width")}}}
        if values is not None:
            values = np.squeeze(as_array(values))
            ensure(values.ndim == 1, "values should be one-dimensional")
            ensure(len(values) == len(labels), "length of values should be equal to lenght of labels and parents")
            made["values"] = numbers(values)
        return self._draw([without_none(made)], win, env, opts)

    # -- maps and surfaces -----------------------------------------------------------------------
    def heatmap(self, X, win=None, env=None, update=None, opts=None):
        """The values X (rows, columns) as colours.

        Args:
            update: "replace", "remove", "appendRow", "appendColumn", "prependRow", "prependColumn".
        """
        ensure(update in (None, "replace", "remove", *GROWS), f"heatmap cannot be updated by {update!r}: it "
               f"takes 'replace', 'remove', {', '.join(map(repr, GROWS))}")
        if update == "remove":
            return self._send({"data": [], "delete": True, "win": win, "eid": env}, "update")
        X, opts = as_array(X), checked(opts)
        ensure(X.ndim == 2, "data should be two-dimensional")
        for name, n in (("columnnames", X.shape[1]), ("rownames", X.shape[0])):
            ensure(opts.get(name) is None or len(opts[name]) == n, f"number of {name} should match X")
        opts.setdefault("colormap", "Viridis")
        msg = {"data": heat(X, opts), "win": win, "eid": env, "opts": opts,
               "layout": layout(opts) if update is None else {}}
        if update is None:
            return self._send(msg)
        return self._send({**msg, "append": update in GROWS, "updateDir": update}, "update")

    def surf(self, X, win=None, env=None, opts=None):
        """The heights X (rows, columns) as a surface in space."""
        return self._heights("surface", X, win, env, opts)

    def contour(self, X, win=None, env=None, opts=None):
        """The heights X (rows, columns) as lines of equal height."""
        return self._heights("contour", X, win, env, opts)

    def _heights(self, kind, X, win, env, opts):
        X, opts = np.squeeze(as_array(X)), checked(opts)
        ensure(X.ndim == 2, "X should be two-dimensional")
        opts["xmin"], opts["xmax"] = float(opts.get("xmin", X.min())), float(opts.get("xmax", X.max()))
        opts.setdefault("colormap", "Viridis")
        data = [{"z": numbers(X), "cmin": opts["xmin"], "cmax": opts["xmax"], "type": kind,
                 "colorscale": opts["colormap"]}]
        return self._draw(data, win, env, opts, is_3d=kind == "surface")

    def mesh(self, X, Y=None, win=None, env=None, opts=None):
        """Triangles Y (m, 3) of points X (n, 2) or (n, 3)."""
        X, opts = as_array(X), checked(opts)
        ensure(X.ndim == 2 and X.shape[1] in (2, 3), "X must have 2 dimensions and 2 or 3 columns")
        made = dict(zip("xyz", X.T.tolist()))
        if Y is not None:
            made.update(zip("ijk", as_array(Y).T.tolist()))
        made.update(color=opts.get("color"), opacity=opts.get("opacity"),
                    type="mesh3d" if X.shape[1] == 3 else "mesh")
        return self._draw([made], win, env, opts)


def arrows(X, Y, gridX, gridY, with_heads: bool) -> np.ndarray:
    """Points (n, 2) of lines, ended by nan."""
    tips = gridX + X, gridY + Y
    nothing = np.full(X.size, np.nan)
    points = [np.stack((start.ravel(), tip.ravel(), nothing), 1).ravel() for start, tip in zip((gridX, gridY), tips)]
    if with_heads:
        aside = (X + 1e-5) * HEAD, (Y + 1e-5) * HEAD
        left = tips[0] - HEAD * (X + aside[1]), tips[1] - HEAD * (Y - aside[0])
        right = tips[0] - HEAD * (X - aside[1]), tips[1] - HEAD * (Y + aside[0])
        heads = [np.stack((*(p.ravel() for p in part), nothing), 1).ravel() for part in zip(left, tips, right)]
        points = [np.concatenate(both) for both in zip(points, heads)]
    return np.column_stack(points)


def two_axes(names, opts) -> dict:
    """The layout of `dual_axis_lines`."""
    def axis(k, colour, **more):
        fonts = {f"{part}font": {"color": opts.get(f"color_{word}_y{k}", colour)}
                 for part, word in (("title", "title"), ("tick", "tick"))}
        return {"title": names[k - 1], **fonts, **more}
    margins = {"b": "bottom", "r": "right", "t": "top", "l": "left"}
    return {"title": opts.get("title", "Example Double Y axis"), "yaxis": axis(1, "black"),
            "yaxis2": axis(2, "rgb(148, 103, 189)", overlaying="y", side=opts.get("side", "right")),
            "showlegend": opts.get("showlegend", True),
            "margin": {key: opts.get(name, 60) for key, name in margins.items()}}


def as_columns(X, is_row: bool = False) -> np.ndarray:
    """(n,) as one column, or as a row; (n, series) as it is."""
    X = np.squeeze(as_array(X))
    ensure(X.ndim in (0, 1, 2), "X should be one or two-dimensional")
    if X.ndim == 2:
        return X
    return X.reshape(1, -1) if is_row else X.reshape(-1, 1)


def heat(X, opts) -> list[dict]:
    """The trace of a heatmap; before it one in the colour of what is no number."""
    made = {"z": numbers(X), "x": opts.get("columnnames"), "y": opts.get("rownames"),
            "zmin": opts.get("xmin"), "zmax": opts.get("xmax"), "type": "heatmap",
            "colorscale": opts["colormap"]}
    colour = opts.get("nancolor")
    if colour is None:
        return [made]
    below = {"z": np.zeros(X.shape).tolist(), "x": made["x"], "y": made["y"], "type": "heatmap",
             "showscale": False, "colorscale": [[0, colour], [1, colour]]}
    return [below, made]


def traces(X, labels, opts, name) -> list[dict]:
    """A trace for each label."""
    kinds = np.unique(labels)
    legend = opts.get("legend")
    ensure(not legend or kinds[-1] <= len(legend),
           "largest label should not be greater than size of the legends table")
    texts = opts.get("textlabels")
    ensure(texts is None or len(texts) == len(X), "textlabels and X should have same shape")
    return [without_none(trace(X, labels, k, opts, trace_name(k, kinds, legend, name))) for k in kinds]


def trace_name(k, kinds, legend, name) -> str:
    if legend:
        return legend[k - 1]
    return name if len(kinds) == 1 and name is not None else str(k)


def trace(X, labels, k, opts, name) -> dict:
    of_k = labels == k
    points, dash, texts = X[of_k], opts.get("dash"), opts.get("textlabels")
    made = {axis: numbers(column) for axis, column in zip("xyz", points.T)}
    flat = "scattergl" if opts.get("webgl") else "scatter"
    made.update(
        name=name, type="scatter3d" if X.shape[1] == 3 else flat, mode=opts["mode"],
        text=None if texts is None else np.ravel(texts)[of_k].tolist(), textposition="right",
        line={"dash": None if dash is None else str(np.ravel(dash)[k - 1]), "color": line_colour(opts, k)},
        marker={"size": opts["markersize"], "symbol": opts["markersymbol"],
                "color": marker_colours(opts, of_k, k),
                "line": {"color": "#000000", "width": opts["markerborderwidth"]}},
        fill="tonexty" if opts.get("fillarea") else None)
    return {**made, **opts.get("traceopts", {}).get("plotly", {}).get(name, {})}


def line_colour(opts, k):
    return None if opts.get("linecolor") is None else hex_colours(as_array(opts["linecolor"]))[k - 1]


def marker_colours(opts, of_k, k):
    """A colour for each point, or for each label."""
    if opts.get("markercolor") is None:
        return None
    colours = hex_colours(as_array(opts["markercolor"]))
    if len(colours) == len(of_k):
        return [c for c, is_meant in zip(colours, of_k.tolist()) if is_meant]
    ensure(k <= len(colours), f"marker colors have to be of size {len(of_k)} or the number of labels")
    return [colours[k - 1]] * int(of_k.sum())
