"""Values that TensorBoard's plugins show: curves of precision and recall, meshes, layouts, hyper-parameters.

The numbers of fields are those of the plugins' plugin_data.proto, layout.proto and api.proto.
"""
from __future__ import annotations

import json

import numpy as np

from .events import double, entry, metadata, part, strings, tensor, whole, wholes

MOST_THRESHOLDS = 127
LEAST = 1e-7            # what a precision or recall is at least divided by
VERTEX, FACE, COLOR = 1, 2, 3
STRING, BOOL, FLOAT64 = 1, 2, 3
SUCCESS = 1


# -- precision and recall ------------------------------------------------------------------------
def pr_curve(tag: str, rows, thresholds: int) -> bytes:
    """Six rows: true and false positives, true and false negatives, precision, recall."""
    about = metadata("pr_curves", whole(2, min(thresholds, MOST_THRESHOLDS)))
    return tensor(tag, np.stack([np.asarray(row, np.float32).reshape(-1) for row in rows]), about)


def counted(labels, predictions, thresholds: int, weights):
    """The rows of `pr_curve` at evenly spaced thresholds between 0 and 1."""
    n = min(thresholds, MOST_THRESHOLDS)
    bins = np.clip(np.floor(predictions.reshape(-1) * (n - 1)), 0, n - 1).astype(np.int64)
    labels = labels.reshape(-1).astype(np.float64)
    weights = np.broadcast_to(1.0 if weights is None else np.reshape(weights, -1), labels.shape)

    def at_least(of_each):
        return np.bincount(bins, of_each, n)[::-1].cumsum()[::-1]
    tp, fp = at_least(labels * weights), at_least((1 - labels) * weights)
    tn, fn = fp[0] - fp, tp[0] - tp
    return tp, fp, tn, fn, tp / np.maximum(LEAST, tp + fp), tp / np.maximum(LEAST, tp + fn)


# -- meshes --------------------------------------------------------------------------------------
def mesh(tag: str, vertices, colors, faces, config) -> list[bytes]:
    """A value for each of a mesh's arrays that is there."""
    arrays = [(k, name, x) for k, name, x in ((VERTEX, "VERTEX", vertices), (FACE, "FACE", faces),
                                              (COLOR, "COLOR", colors)) if x is not None]
    parts = sum(1 << kind for kind, _, _ in arrays)
    look = "{}" if config is None else json.dumps(config, sort_keys=True)
    return [tensor(f"{tag}_{name}", np.asarray(x, np.float32), _mesh_part(tag, kind, parts, x.shape, look))
            for kind, name, x in arrays]


def _mesh_part(tag, kind, parts, shape, look):
    if len(shape) != 3:
        raise ValueError(f"Tensor shape should be of shape BxNx3, but got {tuple(shape)}.")
    return metadata("mesh", part(2, tag) + whole(3, kind) + part(5, look) + wholes(6, shape) + whole(7, parts))


# -- layouts of charts ---------------------------------------------------------------------------
def custom_scalars(layout: dict) -> bytes:
    """{category: {chart: [kind, tags]}}; the kind is "Multiline" or "Margin"."""
    made = b"".join(part(2, part(1, name) + b"".join(part(2, _chart(title, *chart)) for title, chart in
                                                     charts.items()))
                    for name, charts in layout.items())
    return strings("custom_scalars__config__", "custom_scalars", [made], is_scalar=True)


def _chart(title, kind, tags):
    if kind != "Margin":
        return part(1, title) + part(2, b"".join(part(1, tag) for tag in tags))
    if len(tags) != 3:
        raise AssertionError("len(tags) != 3")
    series = b"".join(part(k, tag) for k, tag in enumerate(tags, 1))
    return part(1, title) + part(3, part(1, series))


# -- hyper-parameters ----------------------------------------------------------------------------
def hparams(given: dict, metrics: dict, domains: dict | None) -> list[bytes]:
    """The three values of a session: the experiment, its start, its end."""
    check_hparams(given, metrics, domains or {})
    known = {k: v for k, v in given.items() if v is not None}
    experiment = b"".join(part(4, _info(k, v, (domains or {}).get(k))) for k, v in known.items()) \
        + b"".join(part(5, part(1, part(2, tag))) for tag in metrics)
    start = b"".join(entry(1, k, _value(v)) for k, v in known.items())
    return [_session("experiment", part(2, experiment)), _session("session_start_info", part(3, start)),
            _session("session_end_info", part(4, whole(1, SUCCESS)))]


def _session(name, content):
    return part(1, f"_hparams_/{name}") + metadata("hparams", content)


def _info(name, value, domain):
    """A HParamInfo; a domain is a list of values."""
    values = b"" if domain is None else part(5, b"".join(part(1, _value(v)) for v in domain))
    return part(1, name) + whole(4, _kind(value)) + values


def _kind(value):
    return STRING if isinstance(value, str) else BOOL if isinstance(value, bool) else FLOAT64


def _value(value):
    """A value of struct.proto."""
    if isinstance(value, str):
        return part(3, value)
    return whole(4, value) if isinstance(value, bool) else double(2, float(value))


def check_hparams(given, metrics, domains) -> None:
    for what, x in (("hparam_dict", given), ("metric_dict", metrics), ("hparam_domain_discrete", domains)):
        if not isinstance(x, dict):
            raise TypeError(f"parameter: {what} should be a dictionary, nothing logged.")
    for k, values in domains.items():
        if k not in given or not isinstance(values, list) \
                or not all(isinstance(v, type(given[k])) for v in values):
            raise TypeError(f"parameter: hparam_domain_discrete[{k}] should be a list of same type as "
                            f"hparam_dict[{k}].")
    if not all(isinstance(v, (int, float, str, bool, type(None))) for v in given.values()):
        raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")
