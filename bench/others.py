"""Four of the ten programs in plain JAX and in plain tinygrad, beside rushlight's: only times are compared.

Shapes, layers and optimisers are those of bench/programs.py; a step is one jitted function from
parameters and optimiser state to new ones. `--others-python` names a Python that has JAX, tinygrad
or both; tinygrad calls clang, or what the variable CC names.

    python bench/others.py LIBRARY NAME [--seconds S] [--threads N]         one program, one line of JSON
"""
from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys

import numpy as np

C, H, T, V, B, L = 256, 8, 128, 512, 8, 4       # of the gpt
PATIENCE = 10.0         # seconds of a first step after which one process has to do
TIMEOUT = 90
HEADER = ("workload", "rushlight", "compiled", "JAX", "tinygrad", "ratio", "JAX first", "tinygrad first")


# -- what both libraries are given --------------------------------------------------------------------
def linear(rng, i, o, bias=True):
    w = rng.uniform(-1, 1, (i, o)).astype(np.float32) / math.sqrt(i)
    return {"w": w, **({"b": np.zeros(o, np.float32)} if bias else {})}


def conv(rng, i, o, k):
    w = rng.uniform(-1, 1, (o, i, k, k)).astype(np.float32) / math.sqrt(i * k * k)
    return {"w": w, "b": np.zeros(o, np.float32)}


def norm(c):
    return {"w": np.ones(c, np.float32), "b": np.zeros(c, np.float32)}


def parameters(name):
    rng = np.random.default_rng(0)
    if name == "mlp_small":
        return [linear(rng, *s) for s in ((17, 64), (64, 64), (64, 6))]
    if name == "mlp_large":
        return [linear(rng, *s) for s in ((784, 1024), (1024, 1024), (1024, 10))]
    if name == "cnn_mnist":
        return [conv(rng, 1, 32, 3), conv(rng, 32, 64, 3), linear(rng, 9216, 128), linear(rng, 128, 10)]
    block = lambda: [norm(C), linear(rng, C, 3 * C), linear(rng, C, C), norm(C), linear(rng, C, 4 * C), linear(rng, 4 * C, C)]
    table = lambda n: {"w": rng.standard_normal((n, C)).astype(np.float32)}
    return [table(V), table(T), *[block() for _ in range(L)], norm(C), linear(rng, C, V, bias=False)]


def batch(name):
    rng = np.random.default_rng(1)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    labels = lambda n, *shape: rng.integers(0, n, shape).astype(np.int32)
    return {"mlp_small": lambda: (normal(64, 17), normal(64, 6)),
            "mlp_large": lambda: (normal(256, 784), labels(10, 256)),
            "cnn_mnist": lambda: (normal(64, 1, 28, 28), labels(10, 64)),
            "gpt": lambda: (labels(V, B, T), labels(V, B, T))}[name]()


NAMES = ("mlp_small", "mlp_large", "cnn_mnist", "gpt")


# -- JAX ----------------------------------------------------------------------------------------------
def in_jax(name):
    """A function that makes one step and waits for it; returns the loss."""
    import jax
    import jax.numpy as jnp
    nn, lax, tree = jax.nn, jax.lax, jax.tree_util

    def dense(p, x):
        y = x @ p["w"]
        return y + p["b"] if "b" in p else y

    def dropout(x, rate, key):
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    def cross_entropy(logits, y):
        return -jnp.take_along_axis(nn.log_softmax(logits), y[..., None], -1).mean()

    def convolved(p, x):
        return lax.conv_general_dilated(x, p["w"], (1, 1), "VALID") + p["b"][:, None, None]

    def layer_norm(p, x):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(var + 1e-5) * p["w"] + p["b"]

    def mlp_small(p, x, y, key):
        return jnp.square(dense(p[2], jnp.tanh(dense(p[1], jnp.tanh(dense(p[0], x))))) - y).mean()

    def mlp_large(p, x, y, key):
        h = dropout(nn.relu(dense(p[0], x)), 0.5, key)
        return cross_entropy(dense(p[2], nn.relu(dense(p[1], h))), y)

    def cnn_mnist(p, x, y, key):
        a, b = jax.random.split(key)
        x = nn.relu(convolved(p[1], nn.relu(convolved(p[0], x))))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = dropout(x, 0.25, a).reshape(x.shape[0], -1)
        return cross_entropy(dense(p[3], dropout(nn.relu(dense(p[2], x)), 0.5, b)), y)

    def gpt(p, x, y, key):
        x = p[0]["w"][x] + p[1]["w"]
        keep = jnp.tril(jnp.ones((T, T), bool))
        for ln1, qkv, proj, ln2, up, down in p[2:-2]:
            q, k, v = jnp.split(dense(qkv, layer_norm(ln1, x)).reshape(B, T, 3 * H, C // H).swapaxes(1, 2), 3, 1)
            scores = jnp.where(keep, q @ k.swapaxes(-1, -2) / math.sqrt(C // H), -jnp.inf)
            x = x + dense(proj, (nn.softmax(scores) @ v).swapaxes(1, 2).reshape(B, T, C))
            x = x + dense(down, nn.gelu(dense(up, layer_norm(ln2, x)), approximate=False))
        return cross_entropy(dense(p[-1], layer_norm(p[-2], x)), y)

    def adam(p, g, s, t, lr, decay=0.0):
        m, v = (tree.tree_map(lambda a, b, r=r, n=n: r * a + (1 - r) * b**n, s[n - 1], g)
                for r, n in ((0.9, 1), (0.999, 2)))
        new = tree.tree_map(lambda p, m, v: p * (1 - lr * decay) - lr * (m / (1 - 0.9**t))
                            / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), p, m, v)
        return new, (m, v)

    def sgd(p, g, s, t):
        m = tree.tree_map(lambda m, g: 0.9 * m + g, s[0], g)
        return tree.tree_map(lambda p, m: p - 1e-2 * m, p, m), (m, s[1])

    def adadelta(p, g, s, t):
        squares = tree.tree_map(lambda a, g: 0.9 * a + 0.1 * g * g, s[0], g)
        moves = tree.tree_map(lambda g, a, d: jnp.sqrt((d + 1e-6) / (a + 1e-6)) * g, g, squares, s[1])
        return (tree.tree_map(lambda p, m: p - m, p, moves),
                (squares, tree.tree_map(lambda d, m: 0.9 * d + 0.1 * m * m, s[1], moves)))

    loss = {"mlp_small": mlp_small, "mlp_large": mlp_large, "cnn_mnist": cnn_mnist, "gpt": gpt}[name]
    update = {"mlp_small": lambda *a: adam(*a, 1e-3), "mlp_large": sgd, "cnn_mnist": adadelta,
              "gpt": lambda *a: adam(*a, 3e-4, 0.01)}[name]

    def whole(p, s, t, key, x, y):
        value, g = jax.value_and_grad(loss)(p, x, y, jax.random.fold_in(key, t))
        return value, *update(p, g, s, t + 1.0)

    jitted, p = jax.jit(whole, donate_argnums=(0, 1)), tree.tree_map(jnp.asarray, parameters(name))
    state = [p, tuple(tree.tree_map(jnp.zeros_like, p) for _ in range(2)), 0]
    key, data = jax.random.key(0), [jnp.asarray(a) for a in batch(name)]

    def step():
        value, state[0], state[1] = jitted(state[0], state[1], state[2], key, *data)
        state[2] += 1
        return float(value)
    return step


# -- tinygrad -----------------------------------------------------------------------------------------
def in_tinygrad(name):
    """The same with TinyJit and tinygrad's optimisers (Adadelta written out: it has none)."""
    from tinygrad import Context, Tensor, TinyJit, nn

    def tensors(p):
        return {k: Tensor(a).realize() for k, a in p.items()} if isinstance(p, dict) else [tensors(q) for q in p]

    def leaves(p):
        return list(p.values()) if isinstance(p, dict) else [x for q in p for x in leaves(q)]

    def dense(p, x):
        y = x @ p["w"]
        return y + p["b"] if "b" in p else y

    def layer_norm(p, x):
        return x.layernorm(eps=1e-5) * p["w"] + p["b"]

    def mlp_small(p, x, y):
        return (dense(p[2], dense(p[1], dense(p[0], x).tanh()).tanh()) - y).square().mean()

    def mlp_large(p, x, y):
        return dense(p[2], dense(p[1], dense(p[0], x).relu().dropout(0.5)).relu()).sparse_categorical_crossentropy(y)

    def cnn_mnist(p, x, y):
        x = x.conv2d(p[0]["w"], p[0]["b"]).relu().conv2d(p[1]["w"], p[1]["b"]).relu().max_pool2d((2, 2))
        x = dense(p[2], x.dropout(0.25).flatten(1)).relu().dropout(0.5)
        return dense(p[3], x).sparse_categorical_crossentropy(y)

    def gpt(p, x, y):
        x = p[0]["w"][x] + p[1]["w"]
        keep = Tensor.ones(T, T).tril()
        for ln1, qkv, proj, ln2, up, down in p[2:-2]:
            q, k, v = dense(qkv, layer_norm(ln1, x)).reshape(B, T, 3 * H, C // H).transpose(1, 2).chunk(3, 1)
            scores = (q @ k.transpose(-1, -2) / math.sqrt(C // H)).masked_fill(keep == 0, -math.inf)
            x = x + dense(proj, (scores.softmax() @ v).transpose(1, 2).reshape(B, T, C))
            h = dense(up, layer_norm(ln2, x))
            x = x + dense(down, 0.5 * h * (1 + (h / math.sqrt(2)).erf()))
        return dense(p[-1], layer_norm(p[-2], x)).flatten(0, 1).sparse_categorical_crossentropy(y.flatten())

    p = tensors(parameters(name))
    data = [Tensor(a).realize() for a in batch(name)]
    loss = {"mlp_small": mlp_small, "mlp_large": mlp_large, "cnn_mnist": cnn_mnist, "gpt": gpt}[name]
    squares, moved = ([x.zeros_like().contiguous().realize() for x in leaves(p)] for _ in range(2))
    opt = {"mlp_small": lambda q: nn.optim.Adam(q, lr=1e-3), "mlp_large": lambda q: nn.optim.SGD(q, lr=1e-2, momentum=0.9),
           "cnn_mnist": lambda q: None, "gpt": lambda q: nn.optim.AdamW(q, lr=3e-4)}[name](leaves(p))

    def adadelta():
        for x, a, d in zip(leaves(p), squares, moved):
            new = 0.9 * a + 0.1 * x.grad * x.grad
            move = ((d + 1e-6) / (new + 1e-6)).sqrt() * x.grad
            a.assign(new)
            d.assign(0.9 * d + 0.1 * move * move)
            x.assign(x.detach() - move)
            x.grad = None

    @TinyJit
    def whole():
        value = loss(p, *data)
        if opt is None:
            value.backward()
            adadelta()
            return value.realize(*leaves(p), *squares, *moved)
        opt.zero_grad()
        value.backward()
        return value.realize(*opt.schedule_step())

    def step():
        with Context(TRAINING=1):
            return whole().item()
    return step


# -- one process --------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["jax", "tinygrad"])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=0)
    a = parser.parse_args()
    if a.threads and hasattr(os, "sched_setaffinity"):      # neither has another way to say it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:a.threads])
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from bench.one import measured, peak_mib, timed
    import statistics
    step = {"jax": in_jax, "tinygrad": in_tinygrad}[a.library](a.name)
    first, loss0 = timed(lambda: Number(step()))
    loss3 = [timed(lambda: Number(step()))[1] for _ in range(3)][-1]
    times = measured(lambda: Number(step()), a.seconds)
    print(json.dumps({"first_s": first, "loss0": loss0, "loss3": loss3, "rss_mib": peak_mib(),
                      "step_ms": 1e3 * statistics.median(times), "best_ms": 1e3 * min(times)}))


class Number(float):
    """A loss that is read already."""

    def item(self):
        return float(self)


# -- the section --------------------------------------------------------------------------------------
def measure(options):
    """rushlight, JAX and tinygrad by turns; left out where neither is at hand."""
    from .report import Table
    if not options.peers:
        print("others: left out, no Python with JAX or tinygrad (--others-python names one)\n")
        return [], True
    names = [n for n in NAMES if not options.only or n in options.only.split(",")]
    rows = [row(name, options) for name in names]
    table = Table("", HEADER, rows, "Ratio: the faster of rushlight's two by the fastest of the others. Medians; each "
                  "in a process of its own, by turns. JAX and tinygrad start from other random numbers: losses are not compared.")
    print(f"{table}\n", flush=True)
    return [table], not any("failed" in cell for r in rows for cell in r[1:3])


def row(name, options) -> tuple[str, ...]:
    import tempfile

    from .workloads import OURS, OURS_COMPILED, median, run, unit
    runs: dict = {who: [] for who in (OURS, OURS_COMPILED, *options.peers)}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(max(1, options.repeat - 1)):
            for who, found in runs.items():
                if found and (found[-1].get("first_s") or PATIENCE) >= PATIENCE:
                    continue        # it failed, or takes too long to be asked again
                found.append(peer(who, name, options) if isinstance(who, str) else run(who, name, options, cache))
    steps = {who: median(runs, who, "step_ms") for who in runs}
    ours = min((steps[w] for w in (OURS, OURS_COMPILED) if steps[w]), default=None)
    theirs = min((steps[w] for w in options.peers if steps[w]), default=None)
    told = [unit(steps.get(w), ".3f", " ms") or ("failed" if w in runs else "")
            for w in (OURS, OURS_COMPILED, "jax", "tinygrad")]
    return (name, *told, unit(ours / theirs if ours and theirs else None, ".2f"),
            *[unit(median(runs, w, "first_s"), ".2f", " s") if w in runs else "" for w in ("jax", "tinygrad")])


def peer(library, name, options) -> dict:
    command = [options.others_python, os.path.abspath(__file__), library, name,
               "--seconds", str(options.seconds), "--threads", str(options.threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {TIMEOUT} s"}
    except (IndexError, ValueError):
        error = (done.stderr.strip().splitlines() or ["no output"])[-1][:160]
        print(f"{library} {name}: {error}", flush=True)
        return {"error": error}


if __name__ == "__main__":
    main()
