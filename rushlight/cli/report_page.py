"""The page of `rushlight report`: curves as SVG, pictures and sounds inside it, a few lines of script.

The page is complete as it is written; the script only smooths anew, hides runs and sorts the table.
"""
from __future__ import annotations

import json
import math
from base64 import b64encode
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f", "#6a3d9a")
ON_DARK = ("#4aa8e0", "#ff8c42", "#2dc99a", "#e0a3c5", "#e6b93c", "#9ad5f5", "#a8a8a8", "#b494dd")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 240, 56, 22, 8
MOST = 1000             # points of a curve that are drawn
SHOWN = 6               # steps of a picture or histogram that are shown
CHARTS = "Curves", "Histograms"     # sections that are laid out as a grid
BINS = 40               # parts of the axis of a histogram


def palette(text, faint, page, panel, border, grid, colours) -> str:
    """The colours of the page as CSS variables."""
    named = {"text": text, "faint": faint, "page": page, "panel": panel, "border": border, "grid": grid,
             **{f"run{k}": c for k, c in enumerate(colours)}}
    return ":root{" + "".join(f"--{name}:{value};" for name, value in named.items()) + "}"


STYLE = f"""
{palette("#222", "#555", "#fff", "#f7f7f7", "#ddd", "#e4e4e4", COLOURS)}
@media(prefers-color-scheme:dark){{
{palette("#ddd", "#aaa", "#17191c", "#202327", "#3a3f45", "#33383e", ON_DARK)}
:root{{color-scheme:dark}}}}
""" + """
body{font:14px system-ui,sans-serif;margin:0 1.5em 1.5em;color:var(--text);background:var(--page)}
section>div{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;max-width:100%}
section>.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr))}
.charts svg{width:100%;height:auto;display:block}
figcaption{font-weight:600;margin:.3em 0;overflow-wrap:anywhere}svg text{font-size:10px;fill:var(--faint)}
svg{background:var(--panel);border:1px solid var(--border);box-sizing:border-box}svg line{stroke:var(--grid)}
path{fill:none;stroke-width:1.6;stroke-linecap:round}path.raw{opacity:.3;stroke-width:1}path.dot{stroke-width:6}
.wide{overflow-x:auto;max-width:100%}table{border-collapse:collapse}
td,th{border:1px solid var(--border);padding:.2em .6em;text-align:right}
th{cursor:pointer;background:var(--panel)}td:first-child,th:first-child{text-align:left}
pre{white-space:pre-wrap;background:var(--panel);padding:.6em;margin:.2em 0}
.bar{position:sticky;top:0;background:var(--page);padding:.7em 0;border-bottom:1px solid var(--border);z-index:1}
.bar label{margin-right:1em;white-space:nowrap}.bar label input{vertical-align:middle}
.steps{display:flex;flex-wrap:wrap;gap:.6em;align-items:end}.steps small{display:block;color:var(--faint)}
img{max-width:min(320px,100%);min-width:96px;image-rendering:pixelated;display:block}
"""

SCRIPT = """
const data = JSON.parse(document.getElementById('curves').textContent);
function smooth(ys, s) {
  let last = 0, weight = 0;
  return ys.map(y => { if (y === null) return null;
    last = last * s + (1 - s) * y; weight = weight * s + (1 - s); return last / weight; });
}
function path(xs, ys, c) {
  let d = '', pen = 'M';
  xs.forEach((x, i) => { if (ys[i] === null) { pen = 'M'; return; }
    d += pen + (c.ax + c.bx * x).toFixed(1) + ' ' + (c.ay + c.by * ys[i]).toFixed(1); pen = 'L'; });
  return d && xs.length == 1 ? d + 'h0' : d;      // a point is a line to itself
}
function redraw(s) {
  document.getElementById('shown').textContent = s.toFixed(2);
  data.forEach((chart, k) => chart.lines.forEach((line, j) => document.getElementById('c' + k + '_' + j)
    .setAttribute('d', path(line.x, smooth(line.y, s), chart))));
}
document.getElementById('smoothing').addEventListener('input', e => redraw(+e.target.value));
function show(run, is_shown) {
  document.querySelectorAll('[data-run="' + run + '"]').forEach(x => x.style.display = is_shown ? '' : 'none');
}
document.querySelectorAll('[data-toggle]').forEach(box =>
  box.addEventListener('change', () => show(box.dataset.toggle, box.checked)));
document.querySelectorAll('th').forEach(head => head.addEventListener('click', () => {
  const k = head.cellIndex, body = head.closest('table').tBodies[0], way = head.dataset.way = -(head.dataset.way || -1);
  const key = row => row.cells[k].textContent, value = row => parseFloat(key(row));
  [...body.rows].sort((a, b) => way * (isNaN(value(a) - value(b)) ? key(a).localeCompare(key(b)) : value(a) - value(b)))
    .forEach(row => body.append(row)); }));
"""


def page_of(runs, smoothing: float = 0.6) -> str:
    """The page about runs, as `reading.read_runs` gives them."""
    charts = [Chart(k, tag, runs) for k, tag in enumerate(tags(runs, "scalars"))]
    parts = [section("Hyper-parameters", [table(runs)] if any(r.hparams for r in runs) else []),
             section("Curves", [chart.svg(smoothing) for chart in charts]),
             section("Images", pictures(runs)), section("Histograms", histograms(runs)),
             section("Texts", texts(runs)), section("Sounds", sounds(runs))]
    curves = json.dumps([chart.data() for chart in charts]).replace("<", "\\u003c")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{len(runs)} runs</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
            f"<body>{head(runs, smoothing)}{''.join(parts)}"
            f'<script type="application/json" id="curves">{curves}</script><script>{SCRIPT}</script>'
            "</body></html>\n")


def tags(runs, kind: str) -> list[str]:
    return sorted({tag for run in runs for tag in getattr(run, kind)})


def colour(k: int) -> str:
    return f"var(--run{k % len(COLOURS)})"


def head(runs, smoothing) -> str:
    boxes = "".join(f'<label style="color:{colour(k)}"><input type="checkbox" checked data-toggle="{k}">'
                    f"{escape(run.name)}</label>" for k, run in enumerate(runs))
    return (f'<div class="bar"><label>smoothing <input type="range" id="smoothing" min="0" max="0.99" '
            f'step="0.01" value="{smoothing}"> <span id="shown">{smoothing:.2f}</span></label>{boxes}</div>')


def section(title: str, parts) -> str:
    kind = ' class="charts"' if title in CHARTS else ""
    return f"<section><h2>{title}</h2><div{kind}>{''.join(parts)}</div></section>" if parts else ""


def figure(title: str, body: str, k: int | None = None) -> str:
    """A titled part of the page; with `k` it goes when that run is hidden."""
    run = "" if k is None else f' data-run="{k}"'
    return f"<figure{run}><figcaption>{escape(title)}</figcaption>{body}</figure>"


# -- curves --------------------------------------------------------------------------------------
def smoothed(ys, factor: float) -> list:
    """Exponential averages, each divided by the sum of its weights."""
    last = weight = 0.0
    made = []
    for y in ys:
        if y is not None:
            last, weight = last * factor + (1 - factor) * y, weight * factor + 1 - factor
        made.append(None if y is None else last / weight)
    return made


def thinned(points) -> list:
    """At most MOST points: the least and the greatest of each stretch."""
    if len(points) <= MOST:
        return points
    kept = {0, len(points) - 1}
    size = len(points) / (MOST / 2 - 1)
    for k in range(MOST // 2 - 1):
        part = range(int(k * size), min(int((k + 1) * size), len(points)))
        known = [i for i in part if points[i][1] is not None]
        if known:
            kept |= {min(known, key=lambda i: points[i][1]), max(known, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def finite(points) -> list:
    return [(step, value if math.isfinite(value) else None) for step, value in points]


class Chart:
    """One tag's curves, one for each run that has it."""

    def __init__(self, number: int, tag: str, runs):
        self.number, self.tag = number, tag
        self.lines = [(k, run.name, thinned(finite(sorted(run.scalars[tag], key=lambda p: p[0]))))
                      for k, run in enumerate(runs) if tag in run.scalars]
        points = [p for _, _, line in self.lines for p in line]
        self.x = span([x for x, _ in points])
        self.y = span([y for _, y in points if y is not None])
        self.bx = (WIDTH - LEFT - 10) / (self.x[1] - self.x[0])
        self.by = -(HEIGHT - BOTTOM - TOP) / (self.y[1] - self.y[0])
        self.ax, self.ay = LEFT - self.bx * self.x[0], TOP - self.by * self.y[1]

    def data(self) -> dict:
        """What the script needs to draw it again."""
        return {"tag": self.tag, "ax": self.ax, "bx": self.bx, "ay": self.ay, "by": self.by,
                "lines": [{"run": name, "x": [x for x, _ in line], "y": [y for _, y in line]}
                          for _, name, line in self.lines]}

    def svg(self, smoothing: float) -> str:
        drawn = []
        for j, (k, name, line) in enumerate(self.lines):
            xs, ys = zip(*line)
            known = [y for y in ys if y is not None]
            last = f"{known[-1]:.6g}" if known else "no number"
            kind = ' class="dot"' if len(line) == 1 else ""
            drawn.append(f'<g data-run="{k}" style="stroke:{colour(k)}"><title>{escape(name)}: {last}</title>'
                         f'<path class="raw" d="{self.path(xs, ys)}"/>'
                         f'<path{kind} id="c{self.number}_{j}" d="{self.path(xs, smoothed(ys, smoothing))}"/></g>')
        return figure(self.tag, svg(self.axes() + "".join(drawn)))

    def path(self, xs, ys) -> str:
        made, pen = [], "M"
        for x, y in zip(xs, ys):
            if y is None:
                pen = "M"
                continue
            made.append(f"{pen}{self.ax + self.bx * x:.1f} {self.ay + self.by * y:.1f}")
            pen = "L"
        return "".join(made) + ("h0" if made and len(xs) == 1 else "")

    def axes(self) -> str:
        made = [f'<text x="{self.ax + self.bx * x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{x:.6g}</text>'
                for x in ticks(*self.x)]
        for y in ticks(*self.y):
            at = self.ay + self.by * y
            made.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{at:.1f}" y2="{at:.1f}"/>'
                        f'<text x="{LEFT - 4}" y="{at + 3:.1f}" text-anchor="end">{y:.4g}</text>')
        return "".join(made)


def svg(body: str) -> str:
    return f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">{body}</svg>'


def span(values) -> tuple[float, float]:
    """The least and the greatest, never the same."""
    if not values:
        return 0.0, 1.0
    least, most = min(values), max(values)
    if least == most:
        half = abs(least) / 2 or 0.5
        return least - half, most + half
    return float(least), float(most)


def ticks(least: float, most: float) -> list[float]:
    """About five round numbers in between."""
    raw = (most - least) / 6
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first = math.ceil(least / step)
    return [k * step for k in range(first, math.floor(most / step + 1e-9) + 1)]


# -- tables, texts, pictures -----------------------------------------------------------------------
def table(runs) -> str:
    """Hyper-parameters, and the last values of the curves of those runs."""
    tried = [run for run in runs if run.hparams]
    names = sorted({name for run in tried for name in run.hparams})
    metrics = tags(tried, "scalars")
    titles = "".join(f"<th>{escape(t)}</th>" for t in ("run", *names, *metrics))
    rows = "".join(f"<tr data-run=\"{k}\">{''.join(f'<td>{escape(x)}</td>' for x in row(run, names, metrics))}</tr>"
                   for k, run in enumerate(runs) if run.hparams)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'


def row(run, names, metrics):
    last = [run.scalars[tag][-1][1] if tag in run.scalars else None for tag in metrics]
    return [run.name, *(cell(run.hparams.get(name)) for name in names), *map(cell, last)]


def cell(x) -> str:
    return "" if x is None else f"{x:.6g}" if isinstance(x, float) else str(x)


def each(runs, kind):
    """(number of the run, "tag, run", its list of (step, value))."""
    for tag in tags(runs, kind):
        for k, run in enumerate(runs):
            if tag in getattr(run, kind):
                yield k, f"{tag}, {run.name}", getattr(run, kind)[tag]


def some(values) -> list:
    """At most SHOWN of them, the last one always."""
    n = len(values)
    return values if n <= SHOWN else [values[round(k * (n - 1) / (SHOWN - 1))] for k in range(SHOWN)]


def texts(runs) -> list[str]:
    return [figure(title, "".join(f"<pre>step {step}\n{escape(t)}</pre>" for step, t in values), k)
            for k, title, values in each(runs, "texts")]


def pictures(runs) -> list[str]:
    return [figure(title, in_steps((step, f'<img alt="step {step}" src="{inside(file)}">') for step, file in some(values)), k)
            for k, title, values in each(runs, "images")]


def sounds(runs) -> list[str]:
    return [figure(title, in_steps((step, f'<audio controls src="{inside(file)}"></audio>') for step, file in some(values)), k)
            for k, title, values in each(runs, "sounds")]


def in_steps(parts) -> str:
    """Things side by side, each with its step above it."""
    return f'<div class="steps">{"".join(f"<div><small>step {step}</small>{part}</div>" for step, part in parts)}</div>'


def inside(file: bytes) -> str:
    """A file as an address that holds it."""
    kinds = {b"\x89PNG": "image/png", b"GIF8": "image/gif", b"RIFF": "audio/wav"}
    kind = kinds.get(file[:4], "image/jpeg")
    return f"data:{kind};base64,{b64encode(file).decode()}"


def histograms(runs) -> list[str]:
    return [figure(f"{title}, step {values[-1][0]}" if len(values) == 1 else
                   f"{title}, steps {values[0][0]} to {values[-1][0]}", ridges(some(values), k), k)
            for k, title, values in each(runs, "histograms")]


def ridges(values, k) -> str:
    """Counts over the same axis, one below the other, the last in front."""
    bins = [bounded(h) for _, h in values]
    least, most = span([x for b in bins for left, right, _ in b for x in (left, right)])
    room = (HEIGHT - BOTTOM - TOP) / (len(values) + 1)
    drawn = "".join(ridge(step, spread(b, least, most), TOP + room * (j + 2), 1.8 * room, k)
                    for j, ((step, _), b) in enumerate(zip(values, bins)))
    marks = "".join(f'<text x="{place(x, least, most):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{x:.4g}</text>'
                    for x in ticks(least, most))
    return svg(drawn + marks)


def ridge(step, heights, floor, room, k) -> str:
    """One histogram as an outline that stands on `floor` and is `room` high."""
    tallest = max(heights) or 1
    line = "".join(f"L{place(j + 0.5, 0, BINS):.1f} {floor - room * h / tallest:.1f}" for j, h in enumerate(heights))
    return (f'<text x="{LEFT - 4}" y="{floor:.1f}" text-anchor="end">{step}</text>'
            f'<path style="fill:{colour(k)};fill-opacity:.35;stroke:{colour(k)}" '
            f'd="M{place(0, 0, BINS):.1f} {floor:.1f}{line}L{place(BINS, 0, BINS):.1f} {floor:.1f}Z">'
            f"<title>step {step}</title></path>")


def place(x, least, most) -> float:
    return LEFT + (WIDTH - LEFT - 10) * (x - least) / (most - least)


def bounded(h) -> list[tuple[float, float, float]]:
    """(left, right, count) of the bins that have both ends."""
    limits, counts = h.limits.tolist(), h.counts.tolist()
    return [(a, b, n) for a, b, n in zip(limits, limits[1:], counts[1:])
            if b > a and math.isfinite(a) and math.isfinite(b)]


def spread(bins, least, most) -> list[float]:
    """Counts of BINS parts of the axis alike: recorded bins may be as narrow as 1e-12, so densities say nothing."""
    heights, width = [0.0] * BINS, (most - least) / BINS
    for left, right, count in bins:
        first, last = ((x - least) / width for x in (left, right))
        for k in range(int(first), min(math.ceil(last), BINS)):
            heights[k] += count * (min(last, k + 1) - max(first, k)) / (last - first)
    return heights
