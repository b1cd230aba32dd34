"""torch.utils and the small modules round it: the same programs under PyTorch and rushlight."""
import collections
import gc
import hashlib
import importlib
import io
import pickle
import subprocess
import sys
import contextlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight                # noqa: E402

Point = collections.namedtuple("Point", "a b")


def room(T, name):
    return importlib.import_module(f"{T.__name__}.{name}")


def refused(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None


TREE = {"a": [1, (2, 3)], "b": Point(4, 5), "c": collections.OrderedDict(x=None), "d": collections.deque([6], maxlen=3),
        "e": collections.defaultdict(int, {"q": 7})}


def trees(T):
    p = room(T, "utils._pytree")
    leaves, spec = p.tree_flatten(TREE)
    return leaves, repr(spec), repr(p.tree_structure(1)), spec.num_leaves, spec.num_nodes, spec.num_children, spec.type, \
        p.tree_unflatten(leaves, spec) == TREE, p.tree_map(lambda x, y: x + y, [1, (2,)], [3, (4,)]), \
        p.tree_map_only(int, lambda x: -x, [1, "a", (2.5, 3)]), p.tree_leaves([[1], 2], is_leaf=lambda x: x == [1]), \
        [p.keystr(k) for k, _ in p.tree_leaves_with_path(TREE)], p.tree_all(bool, [1, [0]]), p.tree_any(bool, [1, [0]]), \
        p.tree_map_with_path(lambda k, x: p.keystr(k), {"a": [1, 2]}), spec == p.tree_structure(TREE), \
        refused(lambda: p.tree_unflatten([1], spec)), refused(lambda: p.tree_map(lambda x, y: x, [1, 2], [3])), \
        refused(lambda: p.register_pytree_node(list, None, None)), \
        p.treespec_loads(p.treespec_dumps(p.tree_structure({"a": [1, (2,)]}))) == p.tree_structure({"a": [1, (2,)]})


def own_containers(T):
    p = room(T, "utils._pytree")

    class Pair:
        def __init__(self, x, y, name):
            self.x, self.y, self.name = x, y, name
    p.register_pytree_node(Pair, lambda q: ([q.x, q.y], q.name), lambda xs, name: Pair(*xs, name),
                           flatten_with_keys_fn=lambda q: ([(p.GetAttrKey("x"), q.x), (p.GetAttrKey("y"), q.y)], q.name))
    doubled = p.tree_map(lambda x: x * 2, [Pair(1, 2, "n")])[0]
    mapped = T.func.vmap(lambda q: q.x + q.y)(Pair(T.ones(3), T.ones(3), "n"))
    return doubled.x, doubled.y, doubled.name, mapped.tolist(), [p.keystr(k) for k, _ in p.tree_leaves_with_path(Pair(1, 2, "n"))]


def flops(T):
    counter = room(T, "utils.flop_counter").FlopCounterMode
    F, found = T.nn.functional, []
    r = lambda *size: T.ones(size).requires_grad_()
    model = T.nn.Sequential(T.nn.Conv2d(3, 8, 3), T.nn.ReLU(), T.nn.Flatten(), T.nn.Linear(8 * 36, 10))
    programs = [lambda: model(T.ones(2, 3, 8, 8)).sum().backward(), lambda: T.einsum("bij,bjk->bik", r(2, 3, 4), r(2, 4, 5)),
                lambda: r(3) @ r(3), lambda: r(3, 4) @ r(4), lambda: T.nn.Linear(4, 5)(r(2, 3, 4)).sum().backward(),
                lambda: (r(2, 3, 4) @ r(4, 5)).sum().backward(), lambda: r(2, 2, 3, 4) @ r(2, 2, 4, 5),
                lambda: F.conv_transpose2d(r(1, 2, 4, 4), r(2, 3, 3, 3)).sum().backward(),
                lambda: F.conv2d(r(1, 4, 6, 6), r(8, 2, 3, 3), groups=2).sum().backward(),
                lambda: T.nn.Linear(4, 5, bias=False)(r(3, 4)).sum().backward()]
    for program in programs:
        with counter(display=False) as mode:
            program()
        found.append((mode.get_total_flops(), {m: {str(k): n for k, n in c.items()} for m, c in mode.get_flop_counts().items() if c}))
    mha = T.nn.MultiheadAttention(8, 2)
    with counter(display=False) as mode:
        mha(r(5, 2, 8), r(5, 2, 8), r(5, 2, 8))[0].sum().backward()
    return found, mode.get_total_flops()


def weak(T):
    w = room(T, "utils.weak")
    x, y = T.ones(1), T.ones(1)
    d = w.WeakIdKeyDictionary()
    d[x], d[y] = 1, 2
    found = [d[x], d[y], len(d), x in d, T.ones(1) in d]
    del y
    gc.collect()
    return found, len(d), list(d.values()), w.WeakIdRef(x) == w.WeakIdRef(x)


def swapped(T):
    a, b = T.ones(2), T.zeros(3, requires_grad=True)
    a.note = "a"
    kept = a
    T.utils.swap_tensors(a, b)
    return kept.tolist(), kept.requires_grad, b.tolist(), b.note, hasattr(a, "note")


def collation(T):
    c = room(T, "utils.data._utils.collate")

    class Own:
        def __init__(self, n):
            self.n = n
    c.default_collate_fn_map[Own] = lambda batch, *, collate_fn_map=None: [o.n for o in batch]
    batch = c.default_collate([{"x": T.ones(2), "n": 1, "o": Own(3)}] * 2)
    return batch["x"].shape, batch["n"].tolist(), batch["o"], \
        c.collate([1, 2], collate_fn_map={int: lambda b, *, collate_fn_map=None: sum(b)})


def small_rooms(T):
    flat = T._utils._flatten_dense_tensors([T.ones(2, 2), T.zeros(3)])
    return flat.tolist(), [t.tolist() for t in T._utils._unflatten_dense_tensors(flat, [T.ones(2, 2), T.zeros(3)])], \
        T.__version__ >= (2, 0), T.__version__ > "1.13", T.__version__ < "3", isinstance(T.__version__, str), \
        isinstance(T.ones(2, 2).max(0), room(T, "return_types").max), isinstance(T.linalg.qr(T.eye(2)), T.return_types.linalg_qr), \
        room(T, "functional").einsum is not None, isinstance(1, room(T, "types").Number), \
        T.xpu.is_available(), T.mps.device_count(), T.backends.cuda.math_sdp_enabled(), refused(lambda: T.cuda.nvtx.range_push("a")), \
        room(T, "utils.dlpack").from_dlpack(room(T, "utils.dlpack").to_dlpack(T.ones(2))).tolist()


def hub(T, folder):
    (folder / "hubconf.py").write_text("dependencies = ['numpy']\ndef tiny(n=1):\n    'A list.'\n    return [0] * n\n")
    h = room(T, "hub")
    saved = io.BytesIO()
    T.save({"w": T.ones(2)}, saved)
    data = saved.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"w-{digest[:8]}.pth").write_bytes(data)
    url = (folder / f"w-{digest[:8]}.pth").as_uri()
    with contextlib.redirect_stderr(io.StringIO()):
        state = h.load_state_dict_from_url(url, str(folder / "kept"), check_hash=True)
        h.download_url_to_file(url, str(folder / "copy"), digest[:8], progress=False)
        wrong = refused(lambda: h.download_url_to_file(url, str(folder / "wrong"), "00", progress=False))
    return h.load(str(folder), "tiny", source="local", n=2), state["w"].tolist(), (folder / "copy").read_bytes() == data, wrong, (folder / "wrong").exists(), \
        refused(lambda: h.load(str(folder), "none", source="local"))


PROGRAMS = (trees, own_containers, flops, weak, swapped, collation, small_rooms)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_same_answers(program):
    pytest.importorskip("tabulate") if program is flops else None
    assert program(rushlight) == program(torch)


def test_hub(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert hub(rushlight, tmp_path / "a") == hub(torch, tmp_path / "b")


def test_cond():
    branches = lambda x: x + 1, lambda x: x - 1
    assert [rushlight.cond(p, *branches, (rushlight.ones(1),)).item() for p in (True, rushlight.tensor(False))] == [2, 0]
    with pytest.raises(RuntimeError, match="Expected pred to be bool"):
        rushlight.cond(1, *branches)


def test_table_of_flops():
    pytest.importorskip("tabulate")
    texts = []
    for T in (rushlight, torch):
        model = T.nn.Sequential(T.nn.Linear(4, 8), T.nn.Linear(8, 2))
        with contextlib.redirect_stdout(io.StringIO()) as out, room(T, "utils.flop_counter").FlopCounterMode(depth=None):
            model(T.ones(3, 4))
        texts.append([line.split() for line in out.getvalue().splitlines() if "---" not in line])
    assert texts[0] == texts[1]


def test_timer_computes_what_it_times():
    from rushlight.trace import record
    from rushlight.utils import benchmark
    x = rushlight.ones(64, 64)
    one = benchmark.Timer("y @ y", "y = x + 1", globals={"x": x}, label="L", sub_label="S", description="one")
    runs = []
    flush = record.pending.flush
    measured = one.timeit(5)
    assert measured.number_per_run == 5 and measured.median > 0 and not record.pending.nodes and flush and not runs
    two = benchmark.Timer("x.sum()", globals={"x": x}, label="L", sub_label="S", description="two").adaptive_autorange(
        max_run_time=0.2)
    many = one.blocked_autorange(min_run_time=0.02)
    assert pickle.loads(pickle.dumps(many)).times == many.times and sum(many.raw_times) >= 0.02
    assert benchmark.Measurement.merge([many, many])[0].times == pytest.approx(many.times * 2)
    table = str(benchmark.Compare([many, two]))
    assert "[" in table and "one" in table and "two" in table and "Times are in" in table
    assert np.isclose(many.median, np.median(many.times))


def test_timer_runs_a_statement_whose_value_nobody_reads():
    """Twice the work takes about twice as long; a value that is dropped unread would take none."""
    from rushlight.utils import benchmark
    times = [benchmark.Timer("x @ x", globals={"x": rushlight.ones(n, n)}).blocked_autorange(min_run_time=0.05).median
             for n in (64, 512)]
    assert times[1] > 20 * times[0] / 10


def test_environment_report():
    done = subprocess.run([sys.executable, "-m", "rushlight.utils.collect_env"], capture_output=True, text=True)
    assert "numpy==" in done.stdout and "Python version" in done.stdout, done.stderr
