"""Windows that answer to their viewers: networks, and points that show what they stand for."""
from __future__ import annotations

import numpy as np

from ..as_array import as_array
from .charts import ensure
from .connection import Connection
from .options import checked


class Networks(Connection):
    """Nodes with edges, and embeddings."""

    def graph(self, edges, edgeLabels=None, nodeLabels=None, opts=None, env=None, win=None):
        """A network of nodes 0 to n - 1.

        Args:
            edges: pairs (source, target), or a tensor (m, 2); an edge that comes again is left out.
            edgeLabels, nodeLabels: a text for each, or None.

        Options of its own: directed, showVertexLabels, showEdgeLabels (all False), scheme ("same" or "different"
        colours), height, width.
        """
        opts = {"directed": False, "showVertexLabels": False, "showEdgeLabels": False, "height": 500, "width": 500,
                "scheme": "same", **checked(opts)}
        links = distinct(as_array(edges).tolist(), opts["directed"])
        nodes = sorted({node for link in links for node in link})
        check_labels(links, edgeLabels, "shape of edgeLabels does not match with the shape of links provided")
        check_labels(nodes, nodeLabels, "length of nodeLabels does not match with the length of nodes")
        check_numbered(nodes)
        club = opts["scheme"] == "different"
        content = {"nodes": [{"name": k, "label": str(k if nodeLabels is None else nodeLabels[k]),
                              **({"club": k} if club else {})} for k in nodes],
                   "edges": [{"source": a, "target": b, "label": f"{a}-{b}" if edgeLabels is None else str(edgeLabels[k])}
                             for k, (a, b) in enumerate(links)]}
        return self._send({"data": [{"content": content, "type": "network"}], "win": win, "eid": env, "opts": opts})

    def embeddings(self, features, labels, data_getter=None, data_type=None, win=None, env=None, opts=None):
        """Vectors (n, d) as points in a plane, near ones together (t-SNE, by scikit-learn).

        Args:
            labels: n names of groups, up to ten of them.
            data_getter: a function from an index to the HTML that is shown for its point; `data_type` is then "html".

        A viewer who selects a region gets its points arranged anew.
        """
        features, labels, opts = as_array(features), as_array(labels).tolist(), checked(opts)
        ensure(data_getter is None or data_type == "html", "data_type should be 'html' where there is a data_getter")

        def show(content):
            return self._send({"data": [{"content": content, "type": "embeddings"}], "win": win, "eid": env, "opts": opts})
        if self.send:
            win = show({"isLoading": True})
        shown = win is not False and show({"data": points(features, labels, range(len(features)))})
        if shown and self.use_socket:
            def answer(event):
                data = self._answer(event, features, labels, data_getter)
                if data is not None:
                    self._send({"data": data, "win": event["target"], "eid": env, "opts": opts}, "update")
            self.register_event_handler(answer, win)
        return shown

    def _answer(self, event, features, labels, data_getter) -> dict | None:
        """What the window is told when a viewer points at an entity or selects a region."""
        kind = event["event_type"]
        if kind == "EntitySelected":
            html = "<div>No preview available</div>" if data_getter is None else data_getter(int(event["idx"]))
            return {"update_type": kind, "selected": {"html": html, "entityId": event["entityId"]}}
        if kind == "RegionSelected":
            return {"update_type": kind, "points": points(features, labels, event["selectedIdxs"])}
        return None


def distinct(edges, is_directed: bool) -> list[tuple[int, int]]:
    """The edges without those that come again, in order."""
    found: dict[tuple, tuple[int, int]] = {}
    for a, b in edges:
        found.setdefault((a, b) if is_directed else (min(a, b), max(a, b)), (a, b))
    return list(found.values())


def check_labels(things, labels, message: str) -> None:
    ensure(labels is None or len(labels) == len(things), f"{message} {len(labels or ())} != {len(things)}")


def check_numbered(nodes) -> None:
    for k, node in enumerate(nodes):
        if k != node:
            raise RuntimeError(f"The nodes should be numbered from 0 to n-1 for n nodes! {k} node is missing!")


def points(features, labels, chosen) -> list[dict]:
    """The chosen vectors as points, for the window."""
    groups = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    return [{"group": groups[labels[i]], "name": f"Entity {i}", "label": labels[i], "position": place, "idx": i}
            for i, place in zip(chosen, arranged(features[list(chosen)]))]


def arranged(x: np.ndarray) -> list[list[float]]:
    """Vectors (n, d) as places from -1 to 1 in a plane (van der Maaten, Hinton 2008)."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as missing:
        raise ModuleNotFoundError("embeddings need scikit-learn: pip install scikit-learn", name="sklearn") from missing
    n = len(x)
    if n < 3:
        return [[2.0 * k - (n - 1), 0.0] for k in range(n)]
    perplexity = 50 if n >= 150 else n // 3 if n >= 21 else min(7, (n - 1) / 3)
    y = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(x.astype(np.float64))
    least, most = y.min(0), y.max(0)
    return ((y - least) / np.maximum(most - least, 1e-12) * 2 - 1).tolist()
