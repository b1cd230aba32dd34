"""Recipes on disk: a second process makes no passes, and the same bits."""
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight as torch
from rushlight.compiler import plan, recipe, stored
from rushlight.compiler.sizes import Number

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
import rushlight as torch
from rushlight.compiler import recipe
passes, plain = [], recipe.compile_graph
recipe.compile_graph = lambda graph: passes.append(graph) or plain(graph)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.LayerNorm(9), torch.nn.GELU(), torch.nn.Linear(9, 3))
optimizer = torch.optim.Adam(net.parameters(), 0.01)
words = torch.nn.Embedding(20, 6)
for n in map(int, sys.argv[1:]):
    x = words(torch.arange(n) % 20)
    loss = torch.nn.functional.cross_entropy(net(x), torch.arange(n) % 3)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(loss.item().hex(), torch.randn(n, 3).median().item().hex(), file=sys.stderr)
print(len(passes))
"""


RECURRENT = """
import rushlight as torch
torch.manual_seed(0)
net = torch.nn.LSTM(6, 40)
net(torch.randn(9, 20, 6))[0].sum().backward()
print(0)
print(net.weight_hh_l0.grad.numpy().tobytes().hex(), file=__import__("sys").stderr)
"""


def run(folder, *sizes, program=PROGRAM, **env):
    env = os.environ | {"PYTHONPATH": str(ROOT), "RUSHLIGHT_CACHE": str(folder), "RUSHLIGHT_RECIPES": "on"} | env
    done = subprocess.run([sys.executable, "-c", program, *map(str, sizes)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def test_a_second_process_makes_no_passes_and_the_same_bits(tmp_path):
    sizes = 10, 10, 17, 30, 40
    without, expected = run(tmp_path, *sizes, RUSHLIGHT_RECIPES="off")
    first, got = run(tmp_path, *sizes)
    second, again = run(tmp_path, *sizes)
    assert first == without > 0 == second
    assert expected == got == again


def test_calls_in_turns_find_the_pool_of_the_next_process(tmp_path):
    found = [run(tmp_path, program=RECURRENT, RUSHLIGHT_THREADS=threads)[1] for threads in ("2", "2", "1", "1")]
    assert len(set(found)) == 1


def test_a_traced_recipe_serves_other_sizes_of_the_next_process(tmp_path):
    run(tmp_path, 20, 20, 20, 25, 31, 33, 37, 41, 43)
    _, expected = run(tmp_path, 20, 20, 20, 29, 39, 42, RUSHLIGHT_RECIPES="off")
    made, got = run(tmp_path, 20, 20, 20, 29, 39, 42)
    assert made <= 2 and expected == got


@pytest.mark.parametrize("damage", ["cut", "gone", "foreign"])
def test_what_was_damaged_is_made_again(tmp_path, damage):
    _, expected = run(tmp_path, 10, 12)
    for n, path in enumerate(sorted(tmp_path.glob("*.o"))):
        if n % 3 == 0 and damage == "gone":
            path.unlink()
        elif n % 3 == 0 and damage == "cut":
            path.write_bytes(path.read_bytes()[:-5])
        elif damage == "foreign":
            path.write_bytes(b"something else")
    made, got = run(tmp_path, 10, 12)
    assert got == expected and made > 0
    assert run(tmp_path, 10, 12) == (0, expected)


def test_another_compiler_finds_nothing(tmp_path, monkeypatch):
    shelf = stored.Shelf.__new__(stored.Shelf)
    shelf.name = "family"
    before = shelf.key("range 0")
    monkeypatch.setattr(stored, "sources", lambda: "others")
    assert shelf.key("range 0") != before


def test_parameters_without_a_name_are_not_kept():
    with pytest.raises(stored.Unnamed):
        stored.told("fn", len)
    assert stored.told("a", (1, 1.0, True)) != stored.told("a", (1, 1, 1))


def test_a_recipe_is_packed_without_its_trace(monkeypatch):
    made, original = [], recipe.trace
    monkeypatch.setattr(recipe, "trace", lambda *args: made.append(original(*args)) or made[-1])
    plan.forget()
    for n in (33, 35, 37, 39, 41):
        torch.ones(n, 7).softmax(0).sum(1).tolist()
    monkeypatch.setattr(Number, "__reduce_ex__", lambda *args: pytest.fail("a number of a trace is packed"))
    assert made and all(len(pickle.dumps(r)) < 100_000 for r in made)
