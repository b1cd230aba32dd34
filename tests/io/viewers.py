"""What this project writes, opened in the real viewers: TensorBoard's server, visdom's server, a browser.

    python -m tests.io.viewers FOLDER

Writes a run of every kind to FOLDER/run, starts TensorBoard's and visdom's own servers on loopback (those that are
installed), asks them for everything that was written, makes the report, and takes screenshots of what a browser
shows of TensorBoard and of the report, if there is a Chromium.
"""
from __future__ import annotations

import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import rushlight as torch
from rushlight.__main__ import main as command
from rushlight.utils.tensorboard import SummaryWriter
from rushlight.utils.visdom import Visdom

PATIENCE = 120          # seconds for a server to start
VISDOM = """
from visdom.server.run_server import start_server
start_server(port={port}, base_url='', env_path={folder!r}, bind_local=True)
"""
TENSORBOARD = """
import sys
from tensorboard import main
sys.argv[1:] = ['--logdir', {folder!r}, '--port', '{port}', '--host', '127.0.0.1', '--load_fast=false',
                '--reload_interval', '1']
main.run_main()
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def served(code: str, folder):
    """The address of a server, which is stopped afterwards."""
    port = free_port()
    running = subprocess.Popen([sys.executable, "-c", code.format(port=port, folder=str(folder))],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, running)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(30)


def wait_for(port: int, process) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not start")


def asked(address: str, path: str, **query):
    """What a server answers: JSON, or bytes."""
    text = f"{address}/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
    with urllib.request.urlopen(text, timeout=60) as reply:
        data = reply.read()
    try:
        return json.loads(data)
    except ValueError:
        return data


# -- TensorBoard ---------------------------------------------------------------------------------
def write_run(folder) -> None:
    """Something of every kind."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    with SummaryWriter(folder) as w:
        for k in range(50):
            w.add_scalar("loss/train", math.exp(-k / 15) + 0.05 * math.sin(k), k)
            w.add_scalar("loss/test", math.exp(-k / 20) + 0.1, k)
            w.add_scalars("both", {"a": k / 50, "b": 1 - k / 50}, k)
            w.add_histogram("weights", torch.linspace(-1, 1, 200) * (1 + k / 25), k)
        colours = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, n) for n in (32, 48)], indexing="ij"))
        w.add_image("picture", torch.cat([colours, torch.zeros(1, 32, 48)]), 1)
        w.add_images("pictures", torch.rand(4, 3, 16, 16), 1)
        w.add_audio("tone", torch.sin(torch.arange(8000) / 5), 1, sample_rate=8000)
        w.add_text("note", "a **bold** word", 1)
        w.add_graph(model, torch.ones(2, 3))
        w.add_embedding(torch.rand(6, 4), list("abcdef"), global_step=1, tag="points")
        w.add_pr_curve("pr", torch.tensor([1, 0, 1, 1]), torch.tensor([0.9, 0.8, 0.6, 0.2]), 1)
        w.add_hparams({"lr": 0.1, "name": "sgd"}, {"accuracy": 0.75}, run_name="trial")
        w.add_mesh("mesh", torch.rand(1, 5, 3), faces=torch.tensor([[[0, 1, 2], [2, 3, 4]]]), global_step=1)
        w.add_custom_scalars({"mine": {"losses": ["Multiline", ["loss/train", "loss/test"]]}})
        for optional in (add_video, add_figure):
            optional(w)


def add_video(w) -> None:
    if find_spec("PIL"):
        w.add_video("video", torch.rand(1, 4, 3, 8, 8), 1)


def add_figure(w) -> None:
    if find_spec("matplotlib"):
        from matplotlib.figure import Figure
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([1, 3, 2])
        w.add_figure("figure", figure, 1)


def check_tensorboard(address: str) -> list[str]:
    """Asks for everything that `write_run` wrote; what was found, a line each."""
    runs = wait_for_runs(address)
    loss = asked(address, "data/plugin/scalars/scalars", run=".", tag="loss/train")
    assert len(loss) == 50 and loss[7][1] == 7 and math.isclose(loss[0][2], 1, rel_tol=1e-6)
    bins = asked(address, "data/plugin/histograms/histograms", run=".", tag="weights")
    assert len(bins) == 50 and math.isclose(sum(b[2] for b in bins[0][2]), 200, abs_tol=1)
    picture, = asked(address, "data/plugin/images/images", run=".", tag="picture", sample=0)
    file = asked(address, "data/plugin/images/individualImage?" + picture["query"])
    assert file.startswith(b"\x89PNG") and struct.unpack(">II", file[16:24]) == (48, 32)
    sound, = asked(address, "data/plugin/audio/audio", run=".", tag="tone", sample=0)
    assert asked(address, "data/plugin/audio/individualAudio?" + sound["query"]).startswith(b"RIFF")
    text, = asked(address, "data/plugin/text/text", run=".", tag="note/text_summary")
    assert "<strong>bold</strong>" in text["text"]
    graph = asked(address, "data/plugin/graphs/graph", run=".")
    assert b"Sequential/Linear[0]" in graph
    points = asked(address, "data/plugin/projector/info", run=".")
    assert points["embeddings"][0]["tensorName"] == "points:00001"
    curve = asked(address, "data/plugin/pr_curves/pr_curves", run=".", tag="pr")["."]
    assert (curve[0]["precision"][0], curve[0]["recall"][0]) == (0.75, 1)
    layout = asked(address, "data/plugin/custom_scalars/layout")
    assert layout["category"][0]["title"] == "mine"
    mesh = asked(address, "data/plugin/mesh/meshes", run=".", tag="mesh", sample=0)
    assert len(mesh) == 2
    trials = asked_for_trials(address)
    assert [t["hparams"]["lr"] for t in trials] == [0.1]
    return [f"runs: {', '.join(sorted(runs))}", "scalars, histograms, images, audio, text, graphs, projector, pr_curves, "
            "custom_scalars, mesh, hparams: as written"]


def wait_for_runs(address: str) -> list[str]:
    """The runs, once all are loaded."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        runs = asked(address, "data/runs")
        if {".", "both_a", "both_b", "trial"} <= set(runs) and \
                "loss/train" in asked(address, "data/plugin/scalars/tags").get(".", {}):
            return runs
        time.sleep(0.2)
    raise RuntimeError(f"TensorBoard shows only {runs}")


def asked_for_trials(address: str) -> list[dict]:
    body = json.dumps({"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "startIndex": 0,
                       "sliceSize": 10}).encode()
    request = urllib.request.Request(f"{address}/data/plugin/hparams/session_groups", body,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())["sessionGroups"]


# -- visdom --------------------------------------------------------------------------------------
def check_visdom(address: str, folder: str) -> list[str]:
    """Draws something of every kind and reads it back."""
    host, port = address.rsplit(":", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        viz = Visdom(host, port=int(port), env="shown", raise_exceptions=False)
    assert viz.check_connection(PATIENCE)
    x = torch.linspace(0, 6.28, 50)
    drawn = {
        "line": viz.line(Y=x.sin(), X=x, win="line", opts={"title": "y = sin(x)"}),
        "scatter": viz.scatter(torch.stack([x, x.cos()], 1), win="scatter"),
        "bar": viz.bar(torch.tensor([3.0, 1, 2]), win="bar"),
        "histogram": viz.histogram(torch.randn(200), win="histogram"),
        "heatmap": viz.heatmap(torch.rand(4, 5), win="heatmap"),
        "images": viz.images(torch.rand(8, 1, 8, 8), nrow=4, win="images"),
        "image": viz.image(torch.rand(3, 8, 8), win="image"),
        "text": viz.text("a <b>bold</b> word", win="text"),
        "quiver": viz.quiver(torch.ones(3, 3), torch.rand(3, 3), win="quiver"),
        "network": viz.graph([(0, 1), (1, 2)], win="network"),
        "sunburst": viz.sunburst(["all", "a"], ["", "all"], win="sunburst"),
        "surface": viz.surf(torch.rand(4, 4), win="surface"),
    }
    assert all(name == win for name, win in drawn.items()), drawn
    viz.line(Y=torch.tensor([5.0]), X=torch.tensor([7.0]), win="line", update="append")
    line = json.loads(viz.get_window_data("line"))["content"]["data"][0]
    assert len(line["x"]) == 51 and line["y"][-1] == 5
    kept = json.loads(viz.get_window_data())
    assert set(drawn) <= set(kept)
    assert json.loads(viz.save(["shown"])) == ["shown"]
    with open(os.path.join(folder, "shown.json"), encoding="utf-8") as file:
        assert set(drawn) <= set(json.load(file)["jsons"])
    return [f"{', '.join(drawn)}: drawn, read back, saved to shown.json"]


# -- a browser -----------------------------------------------------------------------------------
def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def screenshot(address: str, path, seconds: int = 12) -> str:
    """What a browser without a screen shows after so many seconds of its own clock."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run([chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        f"--user-data-dir={profile}", "--window-size=1400,1600", "--hide-scrollbars",
                        f"--virtual-time-budget={1000 * seconds}", f"--screenshot={path}", address],
                       capture_output=True, timeout=180, check=True)
    with open(path, "rb") as file:
        data = file.read()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000, "the page is empty"
    return f"{path}: {len(data)} bytes"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1]).absolute()
    shutil.rmtree(out / "run", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    write_run(out / "run")
    command(["report", str(out / "run"), "-o", str(out / "report.html")])
    if chromium():
        print("report:", screenshot((out / "report.html").as_uri(), out / "report.png"))
    if find_spec("tensorboard"):
        with served(TENSORBOARD, out / "run") as address:
            print("TensorBoard:", *check_tensorboard(address), sep="\n    ")
            for page in ("timeseries", "images", "graphs", "hparams") if chromium() else ():
                print("   ", screenshot(f"{address}/?darkMode=false#{page}", out / f"tensorboard_{page}.png"))
    if find_spec("visdom"):
        (out / "visdom").mkdir(exist_ok=True)
        with served(VISDOM, out / "visdom") as address:
            print("visdom:", *check_visdom(address, str(out / "visdom")), sep="\n    ")


if __name__ == "__main__":
    main()
