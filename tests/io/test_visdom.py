"""The visdom client: what it sends, against a server that takes notes and, where it is installed, visdom's own."""
from __future__ import annotations

import base64
import io
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.visdom import Visdom


class Notes(BaseHTTPRequestHandler):
    """Answers with the window's name, and remembers what was asked."""

    def do_POST(self):
        msg = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, msg))
        found = self.server.answers.get(self.path, msg.get("win") or "")
        self.send_response(200)
        if self.path == "/":
            self.send_header("Set-Cookie", "user_password=secret; Path=/")
        self.server.cookies.append(self.headers.get("Cookie"))
        self.end_headers()
        self.wfile.write(found.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
    found.asked, found.answers, found.cookies, found.daemon_threads = [], {}, [], True
    threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def client(server, **options):
    return Visdom("http://127.0.0.1", port=server.server_port, **options)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def message(draw):
    """What a client would send."""
    msg, endpoint = draw(Visdom(send=False))
    return json.loads(json.dumps(msg, default=lambda x: x.tolist())), endpoint


# -- the protocol --------------------------------------------------------------------------------
def test_windows_and_environments(server):
    viz = client(server, env="train")
    server.answers.update({"/win_exists": "true", "/env_state": '["main", "train"]', "/save": '["main"]',
                           "/win_data": '{"content": 1}', "/win_hash": "a" * 32})
    win = viz.text("hello <b>you</b>")
    assert win.startswith("window_")
    assert viz.text("more", win=win, env="other", append=True) == win
    assert viz.win_exists(win) is True and viz.check_connection()
    assert viz.get_env_list() == ["main", "train"] and viz.save(["main"]) == '["main"]'
    assert viz.get_window_data(win) == '{"content": 1}' and viz.win_hash(win) == "a" * 32
    viz.close(win)
    viz.fork_env("main", "copy")
    viz.delete_env("copy")
    (first, _), (drawn, text), (updated, more), *rest = server.asked
    assert first == "/env/train" and (drawn, updated) == ("/events", "/update")
    assert text == {"data": [{"content": "hello <b>you</b>", "type": "text"}], "win": win, "eid": "train", "opts": {}}
    assert more["eid"] == "other"
    assert [path for path, _ in rest] == ["/win_exists", "/win_exists", "/env_state", "/save", "/win_data", "/win_hash",
                                          "/close", "/fork_env", "/delete_env"]
    assert rest[3][1]["data"] == ["main"] and rest[6][1] == {"win": win, "eid": "train"}
    with pytest.raises(AssertionError, match="envs should be a list"):
        viz.save("main")


def test_lines_and_their_updates(server):
    viz = client(server)
    server.answers["/win_exists"] = "true"
    x = torch.linspace(0, 1, 3, requires_grad=True)
    win = viz.line(Y=x * 2, X=x, opts=dict(title="y = 2x", xlabel="x"))
    msg = server.asked[-1][1]
    trace, = msg["data"]
    assert trace["x"] == [0, 0.5, 1] and trace["y"] == [0, 1, 2] and trace["mode"] == "lines"
    assert msg["layout"]["title"] == "y = 2x" and msg["layout"]["xaxis"]["title"] == "x"
    viz.line(Y=np.array([7.0]), X=np.array([2.0]), win=win, update="append", name="1")
    path, msg = server.asked[-1]
    assert path == "/update" and msg["append"] is True and msg["name"] == "1" and msg["layout"] == {}
    assert (msg["data"][0]["x"], msg["data"][0]["y"]) == ([2.0], [7.0])
    server.answers["/win_data"] = json.dumps({"content": {"data": [{"name": "1", "x": [0.0, 0.5]}]}})
    viz.line(Y=torch.rand(2), win=win, update="append")             # goes on as the line did
    assert server.asked[-1][1]["data"][0]["x"] == [1.0, 1.5]
    viz.line(None, win=win, update="remove", name="1")
    assert server.asked[-1][1]["delete"] is True
    server.answers["/win_exists"] = "false"
    viz.line(Y=[1.0, 2.0], X=[0, 1], win="new", update="append")    # makes the window
    assert server.asked[-1][0] == "/events" and server.asked[-1][1]["win"] == "new"
    with pytest.raises(AssertionError, match="must specify x-values"):
        viz.line(Y=[1.0], win="new", update="append")


def test_several_lines_and_labelled_points():
    msg, endpoint = message(lambda v: v.line(torch.tensor([[1.0, 2], [3, 4]]), opts={"legend": ["a", "b"]}))
    assert endpoint == "events" and [t["name"] for t in msg["data"]] == ["a", "b"]
    assert [t["y"] for t in msg["data"]] == [[1, 3], [2, 4]] and msg["layout"]["showlegend"] is True
    points = torch.tensor([[0.0, 1], [2, 3], [4, float("nan")]])
    msg, _ = message(lambda v: v.scatter(points, torch.tensor([1, 2, 2]), opts={
        "markercolor": torch.tensor([[255, 0, 0], [0, 0, 255]]), "textlabels": ["p", "q", "r"]}))
    one, two = msg["data"]
    assert (one["x"], one["y"], two["x"], two["y"]) == ([0], [1], [2, 4], [3, None])
    assert one["marker"]["color"] == ["#ff0000"] and two["marker"]["color"] == ["#0000ff"] * 2
    assert two["text"] == ["q", "r"] and two["mode"] == "markers+text"
    msg, _ = message(lambda v: v.scatter(torch.rand(4, 3)))
    assert msg["data"][0]["type"] == "scatter3d" and "zaxis" not in msg["layout"] and len(msg["data"][0]["z"]) == 4
    with pytest.raises(AssertionError, match="2 or 3 cols"):
        message(lambda v: v.scatter(torch.rand(4, 4)))


def test_bars_histograms_maps():
    msg, _ = message(lambda v: v.bar(torch.tensor([1.0, 3, 2]), opts={"rownames": ["a", "b", "c"]}))
    assert msg["data"] == [{"y": [1, 3, 2], "x": ["a", "b", "c"], "type": "bar"}]
    msg, _ = message(lambda v: v.bar(torch.ones(2, 3), opts={"legend": ["a", "b", "c"], "stacked": True}))
    assert [t["name"] for t in msg["data"]] == ["a", "b", "c"] and msg["layout"]["barmode"] == "stack"
    msg, _ = message(lambda v: v.histogram(torch.tensor([0.0, 0.1, 1.0]), opts={"numbins": 2}))
    assert msg["data"][0]["y"] == [2, 1]
    msg, _ = message(lambda v: v.heatmap(torch.tensor([[1.0, float("nan")]]), opts={"nancolor": "red"}))
    assert msg["data"][0]["colorscale"] == [[0, "red"], [1, "red"]] and msg["data"][1]["z"] == [[1, None]]
    msg, endpoint = message(lambda v: v.heatmap(torch.ones(1, 2), win="w", update="appendRow"))
    assert endpoint == "update" and msg["append"] is True and msg["updateDir"] == "appendRow"
    msg, _ = message(lambda v: v.surf(torch.ones(2, 3)))
    assert msg["data"][0]["type"] == "surface" and "zaxis" in msg["layout"].get("scene", {}) or "scene" in msg["layout"]
    with pytest.raises(AssertionError, match="title should be a string"):
        message(lambda v: v.bar([1, 2], opts={"title": ["x"]}))


def pixels_of(msg):
    Image = pytest.importorskip("PIL.Image")
    kind, data = msg["data"][0]["content"]["src"].split(",")
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_pictures():
    x = torch.zeros(3, 4, 5)
    x[0] = 1
    msg, _ = message(lambda v: v.image(x, opts={"caption": "red"}))
    kind, pixels = pixels_of(msg)
    assert kind == "data:image/png;base64" and pixels.shape == (4, 5, 3) and pixels[0, 0].tolist() == [255, 0, 0]
    assert (msg["opts"]["width"], msg["opts"]["height"]) == (5, 4) and msg["data"][0]["content"]["caption"] == "red"
    batch = torch.arange(5, dtype=torch.float32).reshape(5, 1, 1, 1).expand(5, 1, 2, 2) / 4
    _, pixels = pixels_of(message(lambda v: v.images(batch, nrow=3, padding=1))[0])
    assert pixels.shape == (8, 12, 3) and pixels[1, 1, 0] == 0 and pixels[0, 0, 0] == 255
    assert pixels[1, 5, 0] == 63 and pixels[5, 5, 0] == 255 and pixels[5, 1, 0] == 191
    kind, _ = pixels_of(message(lambda v: v.image(x, opts={"jpgquality": 80}))[0])
    assert kind == "data:image/jpeg;base64"


def test_arrows_rings_and_two_axes():
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[4.0, 1.0]])
    trace, = message(lambda v: v.quiver(x, y, opts={"arrowheads": False, "normalize": 1.0}))[0]["data"]
    assert trace["mode"] == "lines" and trace["x"] == pytest.approx([0, 0.6, None, 0, 0, None])
    assert trace["y"] == pytest.approx([0, 0.8, None, 1, 1.2, None])
    trace, = message(lambda v: v.quiver(x, y, gridX=x, gridY=y))[0]["data"]
    assert trace["x"][:3] == [3, 6, None] and len(trace["x"]) == 2 * 3 + 2 * 4 and trace["x"][7] == 6
    with pytest.raises(AssertionError, match="X and gridX should have the same size"):
        message(lambda v: v.quiver(x, y, gridX=torch.ones(2, 2)))
    msg, _ = message(lambda v: v.sunburst(["all", "a", "b"], ["", "all", "all"], torch.tensor([3, 1, 2])))
    assert msg["data"][0]["type"] == "sunburst" and msg["data"][0]["values"] == [3, 1, 2]
    msg, _ = message(lambda v: v.dual_axis_lines(x[0], y[0], x[0], opts={"name_y2": "second"}))
    assert msg["layout"]["yaxis2"]["title"] == "second" and msg["data"][1]["yaxis"] == "y2"
    msg, _ = message(lambda v: v.plotlyplot({"data": [{"y": np.ones(2)}], "layout": {"title": {"text": "t"}}}))
    assert msg["opts"] == {"title": "t"} and msg["data"] == [{"y": [1, 1]}]


def test_networks():
    edges = torch.tensor([[0, 1], [2, 1], [1, 0], [0, 1]])
    msg, _ = message(lambda v: v.graph(edges, ["p", "q"], ["x", "y", "z"], opts={"scheme": "different"}))
    content = msg["data"][0]["content"]
    assert content["edges"] == [{"source": 0, "target": 1, "label": "p"}, {"source": 2, "target": 1, "label": "q"}]
    assert content["nodes"][2] == {"name": 2, "label": "z", "club": 2} and msg["opts"]["width"] == 500
    msg, _ = message(lambda v: v.graph([(0, 1), (1, 0)], opts={"directed": True}))
    assert [e["label"] for e in msg["data"][0]["content"]["edges"]] == ["0-1", "1-0"]
    with pytest.raises(RuntimeError, match="1 node is missing"):
        message(lambda v: v.graph([(0, 2)]))
    with pytest.raises(AssertionError, match="shape of edgeLabels"):
        message(lambda v: v.graph([(0, 1)], ["a", "b"]))


def test_embeddings():
    pytest.importorskip("sklearn")
    x = torch.cat([torch.zeros(6, 3), torch.full((6, 3), 9.0)]) + torch.arange(36).reshape(12, 3) % 5 / 50
    msg, _ = message(lambda v: v.embeddings(x, ["a"] * 6 + ["b"] * 6))
    found = msg["data"][0]["content"]["data"]
    assert [p["group"] for p in found] == [0] * 6 + [1] * 6 and found[7]["name"] == "Entity 7"
    places = np.array([p["position"] for p in found])
    assert np.abs(places).max() == pytest.approx(1)
    for k in range(12):                 # the nearest other point is of the same group
        far = np.abs(places - places[k]).sum(1)
        far[k] = np.inf
        assert far.argmin() // 6 == k // 6


def test_videos_of_tensors(monkeypatch):
    video = torch.zeros(5, 16, 16, 3)
    video[..., 2] = 1                   # red, which comes last
    try:
        import av
    except ImportError:
        av = None
    if av is not None:
        msg, _ = message(lambda v: v.video(video, opts={"autoplay": True}))
        text = msg["data"][0]["content"]
        file = base64.b64decode(text.split("base64,")[1].split('"')[0])
        assert "<video controls autoplay>" in text and file[4:8] == b"ftyp"
        with av.open(io.BytesIO(file)) as opened:
            kept = [f.to_ndarray(format="rgb24") for f in opened.decode(video=0)]
        assert len(kept) == 5 and kept[0].shape == (16, 16, 3) and kept[0][8, 8, 0] > 200 > kept[0][8, 8, 2]
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.setitem(sys.modules, "av", None)
    text = message(lambda v: v.video(video.permute(0, 3, 1, 2), dim="LxCxHxW"))[0]["data"][0]["content"]
    with Image.open(io.BytesIO(base64.b64decode(text.split("base64,")[1].split('"')[0]))) as gif:
        assert gif.size == (16, 16) and gif.convert("RGB").getpixel((3, 3)) == (255, 0, 0)
    with pytest.raises(AssertionError, match="4D"):
        message(lambda v: v.video(torch.zeros(3, 4, 4)))


def test_options_are_not_changed():
    opts = {"title": "t"}
    message(lambda v: v.line([1.0, 2.0], opts=opts))
    assert opts == {"title": "t"}


def test_log_and_replay(server, tmp_path):
    log = tmp_path / "log"
    offline = Visdom(log_to_filename=log, offline=True)
    win = offline.line(torch.tensor([1.0, 2.0]), opts={"legend": ["a"]})
    offline.text("t", win="note")
    assert win.startswith("window_")
    viz = client(server)
    viz.replay_log(log)
    (_, _), (line, drawn), (_, text) = server.asked
    assert line == "/events" and drawn["win"] == win and drawn["data"][0]["y"] == [1, 2] and text["win"] == "note"


def test_what_viewers_do_is_told(server):
    met, told = [], threading.Event()

    def handler(event):
        met.append(event["event_type"])
        if len(met) == 1:
            raise ValueError("the program's own")
        told.set()

    messages = [json.dumps({"target": "w", "event_type": kind}) for kind in ("second", "first")]
    server.answers["/vis_socket_wrap"] = json.dumps({"sid": "me", "messages": [
        json.dumps({"target": "other", "event_type": "no"}), *messages, json.dumps({"command": "alive"})]})
    viz = client(server)
    viz.register_event_handler(handler, "w")
    assert told.wait(60) and met[:2] == ["first", "second"]
    listener = viz.listener
    viz.clear_event_handlers("w")
    listener.join(60)
    assert not listener.is_alive() and viz.listener is None
    asked = [msg for path, msg in server.asked if path == "/vis_socket_wrap"]
    assert asked[0] == {"message_type": "init"} and asked[1] == {"message_type": "query", "sid": "me"}
    with pytest.raises(AssertionError, match="must be a function"):
        viz.register_event_handler("x", "w")
    with pytest.raises(AssertionError, match="incoming socket"):
        client(server, use_incoming_socket=False).register_event_handler(handler, "w")


def test_login(server):
    viz = client(server, username="u", password="p")
    viz.text("x")
    assert server.asked[0][0] == "/" and server.asked[0][1]["username"] == "u" and len(server.asked[0][1]["password"]) == 64
    assert server.cookies[-1] == "user_password=secret"
    assert [path for path, _ in server.asked] == ["/", "/env/main", "/events"]


def test_without_a_server_there_is_one_warning():
    port = free_port()
    with pytest.warns(UserWarning, match="no visdom server answers at http://localhost") as met:
        viz = Visdom(port=port)
        assert viz.text("x") is False and viz.line([1.0, 2.0]) is False
        assert viz.win_exists("x") is None and viz.check_connection() is False
    assert len(met) == 1 and met[0].filename == __file__
    with pytest.raises(ConnectionError, match="Error connecting to Visdom server"):
        Visdom(port=port, raise_exceptions=True)


def test_import_visdom_under_rushlight_run(tmp_path):
    import rushlight.impersonate as impersonate
    program = tmp_path / "p.py"
    program.write_text("import torch\nfrom visdom import Visdom\nimport visdom\n"
                       "print(visdom.Visdom(send=False).bar(torch.ones(2))[0]['data'][0]['y'], visdom.__file__)\n")
    if impersonate.is_stood_in_for("visdom"):
        done = subprocess.run([sys.executable, "-m", "rushlight", "run", program], capture_output=True, text=True,
                              timeout=120, env=impersonate.environment())
        assert done.stdout.startswith("[1.0, 1.0]") and "rushlight" in done.stdout, done.stderr


# -- visdom's own --------------------------------------------------------------------------------
def same(x, y):
    """Equal as JSON, numbers to 1e-6; our dictionaries may leave out what is None."""
    if isinstance(x, dict) and isinstance(y, dict):
        return all(same(x.get(k), y.get(k)) for k in x.keys() | y.keys())
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(same, x, y))
    if isinstance(x, float) or isinstance(y, float):
        return x == y or (x is not None and y is not None and abs(x - y) < 1e-6)
    return x == y


DRAWN = {
    "line": lambda v, t: v.line(Y=t([1.0, 2.0, 4.0]), X=t([0.0, 1.0, 2.0]), win="w", opts=dict(title="a", xlabel="x")),
    "lines": lambda v, t: v.line(Y=t([[1.0, 2.0], [3.0, 4.0]]), win="w", opts=dict(legend=["a", "b"], markers=True)),
    "default x": lambda v, t: v.line(Y=t([1.0, 2.0, 4.0]), win="w"),
    "scatter": lambda v, t: v.scatter(X=t([[0.0, 1.0], [2.0, 3.0]]), Y=t([1, 2]), win="w", opts=dict(markersize=5)),
    "space": lambda v, t: v.scatter(X=t([[0.0, 1.0, 5.0], [2.0, 3.0, 6.0]]), win="w", opts=dict(xtickmin=0, xtickmax=3)),
    "bar": lambda v, t: v.bar(X=t([3.0, 1.0]), win="w", opts=dict(rownames=["a", "b"])),
    "bars": lambda v, t: v.bar(X=t([[3.0, 1.0], [1.0, 2.0]]), win="w", opts=dict(legend=["a", "b"], stacked=True)),
    "histogram": lambda v, t: v.histogram(X=t([0.0, 0.1, 0.7, 1.0]), win="w", opts=dict(numbins=3)),
    "heatmap": lambda v, t: v.heatmap(X=t([[0.0, 1.0], [2.0, 3.0]]), win="w", opts=dict(columnnames=["a", "b"])),
    "box": lambda v, t: v.boxplot(X=t([[0.0, 1.0], [2.0, 3.0]]), win="w"),
    "surface": lambda v, t: v.surf(X=t([[0.0, 1.0], [2.0, 3.0]]), win="w"),
    "contour": lambda v, t: v.contour(X=t([[0.0, 1.0], [2.0, 3.0]]), win="w"),
    "pie": lambda v, t: v.pie(X=t([1.0, 2.0]), win="w", opts=dict(legend=["a", "b"])),
    "text": lambda v, t: v.text("hello", win="w"),
    "quiver": lambda v, t: v.quiver(t([[1.0, 2.0], [0.5, -1.0]]), t([[0.0, 1.0], [3.0, 1.0]]), win="w", opts=dict(normalize=1)),
    "plain quiver": lambda v, t: v.quiver(t([[1.0]]), t([[2.0]]), win="w", opts=dict(arrowheads=False)),
    "sunburst": lambda v, t: v.sunburst(np.array(["a", "b"]), np.array(["", "a"]), t([2.0, 1.0]), win="w",
                                        opts=dict(font_color="red")),
    "two axes": lambda v, t: v.dual_axis_lines(t([0.0, 1.0]), t([1.0, 2.0]), t([3.0, 5.0]), win="w",
                                             opts=dict(title="t", color_title_y2="blue")),
    "stem": lambda v, t: v.stem(X=t([1.0, 2.0, 0.5]), win="w"),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_same_messages_as_the_visdom_package(kind):
    visdom = pytest.importorskip("visdom")
    ours, endpoint = message(lambda v: DRAWN[kind](v, torch.tensor))
    theirs, their_endpoint = DRAWN[kind](visdom.Visdom(send=False, use_incoming_socket=False), np.array)
    theirs = json.loads(json.dumps(theirs, default=lambda x: x.tolist()).replace("NaN", "null"))
    assert endpoint == their_endpoint
    for key in theirs:
        assert same(ours[key], theirs[key]), (key, ours[key], theirs[key])


def test_with_the_real_server(tmp_path):
    pytest.importorskip("visdom.server.run_server")
    port = free_port()
    code = textwrap.dedent(f"""
        from visdom.server.run_server import start_server
        start_server(port={port}, base_url='', env_path={str(tmp_path)!r}, bind_local=True)
    """)
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            viz = Visdom("http://127.0.0.1", port=port)
        assert viz.check_connection(30)
        time.sleep(0.1)
        viz = Visdom("http://127.0.0.1", port=port, env="mine/first", raise_exceptions=True)
        win = viz.line(Y=torch.tensor([0.0, 1.0]), X=torch.tensor([0.0, 1.0]))
        viz.line(Y=torch.tensor([4.0]), X=torch.tensor([2.0]), win=win, update="append")
        viz.line(Y=torch.tensor([9.0]), win=win, update="append")
        data = json.loads(viz.get_window_data(win))["content"]["data"][0]
        assert (data["x"], data["y"]) == ([0, 1, 2, 3], [0, 1, 4, 9])
        viz.line(Y=[5.0, 6.0], X=[0, 1], win=win, update="append", name="second")
        assert [t["name"] for t in json.loads(viz.get_window_data(win))["content"]["data"]] == ["1", "second"]
        viz.text("a", win="note")
        viz.text("b", win="note", append=True)
        assert json.loads(viz.get_window_data("note"))["content"] == "a<br>b"
        viz.heatmap(torch.eye(2), win="map")
        viz.heatmap(torch.ones(1, 2), win="map", update="appendRow")
        assert json.loads(viz.get_window_data("map"))["content"]["data"][0]["z"] == [[1, 0], [0, 1], [1, 1]]
        assert viz.images(torch.rand(4, 1, 8, 8), nrow=2, win="grid") == "grid"
        assert viz.bar(torch.rand(3), win="bar") == "bar" and viz.histogram(torch.rand(30), win="h") == "h"
        assert viz.scatter(torch.rand(5, 2), win="s") == "s" and len(viz.win_hash("s")) == 32
        assert viz.win_exists("s") and not viz.win_exists("nothing")
        assert json.loads(viz.save(["mine/first"])) == ["mine_first"] and (tmp_path / "mine_first.json").exists()
        assert "main" in viz.get_env_list() and "mine_first" in viz.get_env_list()
        viz.close("s")
        assert viz.win_exists("s") is False
    finally:
        running.terminate()
        running.wait(10)


def test_the_real_client_takes_tensors_under_rushlight_run(tmp_path):
    pytest.importorskip("visdom")
    import rushlight.impersonate as impersonate
    program = tmp_path / "p.py"
    program.write_text("import torch, visdom\n"
                       "viz = visdom.Visdom(send=False, use_incoming_socket=False)\n"
                       "x = torch.linspace(0, 1, 3)\n"
                       "for msg, _ in (viz.line(Y=x, X=x), viz.scatter(X=torch.ones(3, 2)), viz.bar(X=x)):\n"
                       "    print(msg['data'][0]['y'])\n")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", program], capture_output=True, text=True,
                          timeout=120, env=impersonate.environment())
    assert done.stdout == "[0.0, 0.5, 1.0]\n[1.0, 1.0, 1.0]\n[0.0, 0.5, 1.0]\n", done.stderr
