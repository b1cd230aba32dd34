"""`rushlight report`: our own reader of event files, and what stands on the page."""
from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

import rushlight as torch
from rushlight.__main__ import main
from rushlight.cli import report_page
from rushlight.cli.report_page import COLOURS, STYLE, page_of, smoothed, spread, thinned, ticks
from rushlight.utils.tensorboard import SummaryWriter
from rushlight.utils.tensorboard.reading import Run, event_files, read_runs


@pytest.fixture
def folder(tmp_path):
    """Two runs with everything."""
    for name, rate in (("slow", 0.1), ("fast", 0.5)):
        with SummaryWriter(tmp_path / "runs" / name) as w:
            for k in range(20):
                w.add_scalar("loss/train", math.exp(-rate * k), k)
            w.add_scalar("exact", 0.1, 1, new_style=True, double_precision=True)
            for k in range(3):
                w.add_histogram("weights", torch.linspace(-1, 1, 101) * (k + 1), k)
            w.add_image("picture", torch.rand(3, 5, 7), 2)
            w.add_text("note", f"<script>alert('{name}')</script> & more", 1)
            w.add_audio("beep", torch.linspace(-1, 1, 50), sample_rate=8000)
            w.add_hparams({"lr": rate, "kind": name, "flag": True}, {"acc": rate * 2}, run_name="trial")
    return tmp_path / "runs"


def test_reading_back(folder):
    runs = {run.name: run for run in read_runs([folder])}
    assert list(runs) == ["runs/fast", "runs/fast/trial", "runs/slow", "runs/slow/trial"]
    slow = runs["runs/slow"]
    assert [s for s, _ in slow.scalars["loss/train"]] == list(range(20))
    assert np.allclose([v for _, v in slow.scalars["loss/train"]], np.exp(-0.1 * np.arange(20)))
    assert slow.scalars["exact"] == [(1, 0.1)]
    step, h = slow.histograms["weights"][-1]
    assert step == 2 and h.counts.sum() == 101 and len(h.limits) == len(h.counts)
    assert slow.images["picture"][0][1].startswith(b"\x89PNG") and slow.sounds["beep"][0][1].startswith(b"RIFF")
    assert slow.texts["note"] == [(1, "<script>alert('slow')</script> & more")]
    assert runs["runs/slow/trial"].hparams == {"lr": 0.1, "kind": "slow", "flag": True}


def test_negative_steps_and_a_session_that_begins_again(tmp_path):
    with SummaryWriter(tmp_path / "r") as w:
        for k in (-1, 0, 1, 2):
            w.add_scalar("x", k, k)
        w.file_writer.write(b"\x3a\x02\x08\x01", 1, None)       # a session starts at step 1
        w.add_scalar("x", 10.0, 1)
    run, = read_runs([tmp_path / "r"])
    assert run.scalars["x"] == [(-1, -1), (0, 0), (1, 10)]


def test_cut_and_damaged_files_keep_what_stands_before(tmp_path):
    with SummaryWriter(tmp_path) as w:
        for k in range(4):
            w.add_scalar("x", k, k)
    path, = event_files(tmp_path)
    with open(path, "rb") as file:
        whole = file.read()
    for cut in range(len(whole)):
        with open(path, "wb") as file:
            file.write(whole[:cut])
        run = Run("r")
        run.read(path)
        found = run.scalars.get("x", [])
        assert found == [(k, k) for k in range(len(found))]
    assert len(found) == 3
    with open(path, "wb") as file:
        file.write(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    run = Run("r")
    run.read(path)
    assert len(run.scalars["x"]) == 3


def test_files_that_pytorch_wrote(tmp_path):
    pytorch = pytest.importorskip("torch")
    module = pytest.importorskip("torch.utils.tensorboard")
    with module.SummaryWriter(tmp_path / "r") as w:
        w.add_scalar("x", 1.5, 3)
        w.add_histogram("h", pytorch.linspace(0, 1, 10), 1)
        w.add_text("t", "hello", 2)
        w.add_hparams({"lr": 0.5, "n": "a"}, {"m": 1.0}, run_name="hp")
    first, second = read_runs([tmp_path / "r"])
    assert first.scalars["x"] == [(3, 1.5)] and first.texts["t"] == [(2, "hello")]
    assert first.histograms["h"][0][1].counts.sum() == 10
    assert second.hparams == {"lr": 0.5, "n": "a"} and second.scalars["m"] == [(0, 1.0)]


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.scripts, self.open = [], [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


def test_the_page(folder, tmp_path, capsys):
    out = str(tmp_path / "page.html")
    assert main(["report", str(folder), "-o", out, "--smoothing", "0.5"]) == 0
    assert capsys.readouterr().out == out + "\n"
    with open(out, encoding="utf-8") as file:
        source = file.read()
    page = Page(source)
    text = "".join(page.text)
    for word in ("runs/slow", "runs/fast", "loss/train", "weights", "note", "lr", "0.1", "kind", "True", "acc"):
        assert word in text
    assert "<script>alert('slow')</script> & more" in text and "<script>alert" not in source
    assert not re.search(r'(src|href)="(?!data:)', source) and "http" not in source     # nothing from elsewhere
    curves = json.loads(page.scripts[0])
    loss = next(c for c in curves if c["tag"] == "loss/train")
    assert [line["run"] for line in loss["lines"]] == ["runs/fast", "runs/slow"]
    assert np.allclose(loss["lines"][1]["y"], np.exp(-0.1 * np.arange(20)), atol=1e-6)
    number = curves.index(loss)
    drawn = next(a["d"] for t, a in page.tags if a.get("id") == f"c{number}_1")
    points = np.array(re.findall(r"[ML]([-\d.]+) ([-\d.]+)", drawn), float)
    values = (points[:, 1] - loss["ay"]) / loss["by"]
    assert np.allclose(values, smoothed(loss["lines"][1]["y"], 0.5), atol=0.005)
    assert sum(t == "img" and a["src"].startswith("data:image/png") for t, a in page.tags) == 2
    assert sum(t == "audio" for t, _ in page.tags) == 2
    assert all(t.isascii() for t, _ in page.tags)


def test_the_script_draws_what_is_drawn(folder, tmp_path):
    """The script's own functions give the paths that the page has from the beginning."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    runs = read_runs([folder])
    source = page_of(runs, 0.6)
    stub = tmp_path / "page.js"
    stub.write_text("const made = {}; const node = id => ({textContent: id === 'curves' ? CURVES : '', addEventListener(){},"
                    "setAttribute(name, d) { made[id] = d; }});\n"
                    "const document = {getElementById: node, querySelectorAll: () => []};\n"
                    "const CURVES = " + json.dumps(Page(source).scripts[0]) + ";\n"
                    + report_page.SCRIPT + "\nredraw(0.6); console.log(JSON.stringify(made));\n")
    made = json.loads(subprocess.run([node, stub], capture_output=True, text=True, timeout=60, check=True).stdout)
    kept = {a["id"]: a["d"] for t, a in Page(source).tags if t == "path" and "id" in a}
    assert made.pop("shown", None) is None and made.keys() == kept.keys()
    for name, d in kept.items():
        found, expected = (np.array(re.findall(r"[-\d.]+", x), float) for x in (made[name], d))
        assert np.allclose(found, expected, atol=0.11)          # a rounded tenth of a pixel


def test_smoothing_thinning_ticks():
    assert smoothed([1.0, 1.0, None, 1.0], 0.9) == pytest.approx([1, 1, None, 1])
    assert smoothed([0.0, 1.0], 0.5) == pytest.approx([0, 2 / 3])
    points = [(k, 0.0) for k in range(100_000)]
    points[51_234] = (51_234, 9.0)
    kept = thinned(points)
    assert len(kept) <= 1000 and (51_234, 9.0) in kept and kept[0] == points[0] and kept[-1] == points[-1]
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1]) and all(3 <= x <= 7 for x in ticks(3, 7))


def test_one_point_is_a_dot(tmp_path):
    with SummaryWriter(tmp_path / "r") as w:
        w.add_scalar("once", 3.0, 0)
    dot = next(a for t, a in Page(page_of(read_runs([tmp_path / "r"]))).tags if a.get("id") == "c0_0")
    assert dot["class"] == "dot" and dot["d"].endswith("h0")


def test_bins_of_any_width_are_spread_over_equal_parts():
    made = spread([(0.0, 1e-9, 5.0), (1e-9, 20.0, 20.0), (20.0, 40.0, 60.0)], 0.0, 40.0)
    assert len(made) == 40 and sum(made) == pytest.approx(85)
    assert made[0] == pytest.approx(6) and made[1] == pytest.approx(1) and made[39] == pytest.approx(3)


def test_values_that_are_no_numbers_are_gaps(tmp_path):
    with SummaryWriter(tmp_path / "r") as w:
        for k, x in enumerate([1.0, math.nan, math.inf, 2.0]):
            w.add_scalar("x", x, k)
        w.add_scalar("never", math.nan, 0)
        w.add_scalar("once", 3.0, 0)
    page = Page(page_of(read_runs([tmp_path / "r"])))
    chart = {c["tag"]: c["lines"][0]["y"] for c in json.loads(page.scripts[0])}
    assert chart == {"x": [1, None, None, 2], "never": [None], "once": [3]}
    drawn = next(a["d"] for t, a in page.tags if a.get("id") == "c2_0")
    assert drawn.count("M") == 2 and "nan" not in drawn


@pytest.mark.parametrize("arguments, words", [
    ([], "which folder"), (["no/such/folder"], "no such folder"), (["--fast"], "unknown option --fast"),
    (["-o"], "-o needs a value"), (["x", "--smoothing", "2"], "from 0 to below 1"),
])
def test_a_command_that_makes_no_sense(arguments, words, capsys):
    assert main(["report", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_event_files(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "no event files" in capsys.readouterr().err


def test_page_is_light_or_dark_and_runs_have_a_colour_in_both():
    assert "@media(prefers-color-scheme:dark)" in STYLE
    light, dark = STYLE.split("@media")
    assert all(f"--run{k}:" in part for part in (light, dark) for k in range(len(COLOURS)))
