"""Rows U of the notes' features: plots in the browser by Visdom."""
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.visdom import Visdom


class Notes(BaseHTTPRequestHandler):
    """Answers as a server does, and remembers what was asked."""

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, message))
        self.send_response(200)
        self.end_headers()
        answers = {"/win_exists": "true", "/save": json.dumps(message["data"] or []) if "data" in message else ""}
        self.wfile.write(answers.get(self.path, message.get("win") or "").encode())

    def log_message(self, *args):
        """Nothing is printed."""


@pytest.fixture
def viz():
    server = HTTPServer(("127.0.0.1", 0), Notes)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    client = Visdom(server="http://127.0.0.1", port=server.server_port, env="main")
    client.asked = server.asked
    yield client
    server.shutdown()
    thread.join()
    server.server_close()


def drawn(viz):
    return viz.asked[-1][1]


def test_u01_address_of_the_server():
    viz = Visdom(send=False)
    assert f"{viz.server}:{viz.port}" == "http://localhost:8097"


def test_u02_client_of_one_environment(viz):
    viz.text("x")
    assert drawn(viz)["eid"] == "main"
    viz.text("x", env="other")
    assert drawn(viz)["eid"] == "other"


def test_u03_line(viz):
    x = np.arange(0, 1, 0.25)
    viz.line(Y=np.sin(x), X=x, opts=dict(title="y = sin(x)"))
    (trace,) = drawn(viz)["data"]
    assert trace["x"] == x.tolist() and trace["y"] == np.sin(x).tolist()
    assert drawn(viz)["layout"]["title"] == "y = sin(x)"


def test_u04_scatter(viz):
    x, y = np.random.rand(100), np.random.rand(100)
    viz.scatter(X=np.column_stack((x, y)), opts=dict(title="Scatter Plot"))
    (trace,) = drawn(viz)["data"]
    assert trace["x"] == x.tolist() and trace["y"] == y.tolist() and trace["mode"] == "markers"


def test_u05_bar(viz):
    viz.bar(X=np.arange(3.0), opts=dict(title="Bar Plot"))
    assert drawn(viz)["data"][0]["type"] == "bar" and drawn(viz)["data"][0]["y"] == [0, 1, 2]


def test_u06_plots_that_grow(viz):
    for win, more in ((viz.line(Y=np.random.rand(10)), lambda **k: viz.line(Y=np.ones(1), X=[10], **k)),
                      (viz.scatter(X=np.random.rand(5, 2)), lambda **k: viz.scatter(X=np.ones((1, 2)), **k))):
        more(win=win, update="append")
        path, message = viz.asked[-1]
        assert path == "/update" and message["append"] is True and message["win"] == win


def test_u07_images_in_a_grid(viz):
    pytest.importorskip("PIL")
    win = viz.images(torch.rand(32, 1, 28, 28), nrow=16, win="mnist", opts=dict(title="mnist"))
    assert win == "mnist" and drawn(viz)["data"][0]["type"] == "image"
    assert (drawn(viz)["opts"]["width"], drawn(viz)["opts"]["height"]) == (16 * 32, 2 * 32)   # 2 pixels round each


def test_u08_saving_environments(viz):
    assert viz.save(envs=["main"]) == '["main"]'
    path, message = viz.asked[-1]
    assert path == "/save" and message["data"] == ["main"]


def test_u09_tensors_are_plot_data(viz):
    y = torch.tensor([1.0, 4.0], requires_grad=True)
    viz.line(Y=y * 2, X=torch.arange(2))
    assert drawn(viz)["data"][0]["y"] == [2, 8] and drawn(viz)["data"][0]["x"] == [0, 1]
