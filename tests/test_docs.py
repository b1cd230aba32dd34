"""What the documents say is done here: code blocks run, commands exist, links lead somewhere, lists are current."""
import os
import re
import shlex
import subprocess
import sys

import pytest

from rushlight import config
from rushlight.compiler.pipeline import PASSES

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCS = ["README.md"] + sorted(os.path.join("docs", name) for name in os.listdir(os.path.join(ROOT, "docs"))
                              if name.endswith(".md"))
PLACES = ("rushlight/", "tests/", "docs/", "tools/", "bench/", "examples/")
RUSHLIGHT = [sys.executable, "-m", "rushlight"]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", read(name), re.S | re.M)


def call(*command, cwd=ROOT, **extra):
    env = os.environ | {"PYTHONPATH": ROOT} | extra
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_documents():
    return [name for name in DOCS if blocks(name, "python")]


@pytest.mark.parametrize("name", python_documents())
def test_code_blocks_run_one_after_the_other(name, tmp_path):
    path = tmp_path / "blocks.py"
    path.write_text("\n\n".join(blocks(name, "python")))
    call(*RUSHLIGHT, "run", str(path), cwd=tmp_path)


def test_from_scratch_runs():
    assert "loss" in call(sys.executable, os.path.join("docs", "from_scratch.py"))


# -- commands of the README ---------------------------------------------------------------------------------
def commands():
    return [line for block in blocks("README.md", "sh") for line in block.strip().splitlines()]


def named_blocks(folder):
    """Blocks that begin with a comment holding a file's name are that file."""
    for block in blocks("README.md", "python"):
        found = re.match(r"# (\w+\.py)\n", block)
        if found:
            (folder / found[1]).write_text(block)


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme(command, tmp_path):
    """make and pip are checked for what they would do; everything else is done."""
    words = shlex.split(command)
    if words[0] == "make":
        assert call("make", "--dry-run", *words[1:])
    elif words[0] == "pip":
        assert words == ["pip", "install", "."] and os.path.exists(os.path.join(ROOT, "pyproject.toml"))
    elif words[0] == "rushlight":
        named_blocks(tmp_path)
        if not os.path.exists(tmp_path / "examples"):
            os.symlink(os.path.join(ROOT, "examples"), tmp_path / "examples")
        if any("digits" in word for word in words):
            pytest.importorskip("sklearn")
            pytest.importorskip("tqdm")
        assert call(*RUSHLIGHT, *words[1:], cwd=tmp_path)
    else:
        pytest.fail(f"a command that this test does not know: {command}")


def test_commands_in_sentences_exist():
    for name in DOCS:
        for path in re.findall(r"`python ([\w/]+\.py)", read(name)):
            assert os.path.exists(os.path.join(ROOT, path)), f"{name}: {path}"
        for target in re.findall(r"`make (\w+)`", read(name)):
            assert re.search(rf"^{target}:", read("Makefile"), re.M), f"{name}: make {target}"


# -- what they point at ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DOCS)
def test_links_lead_somewhere(name):
    here = os.path.dirname(os.path.join(ROOT, name))
    for target in re.findall(r"\]\(([^)#]+)\)", read(name)):
        if "://" not in target:
            assert os.path.exists(os.path.join(here, target)), target


@pytest.mark.parametrize("name", DOCS)
def test_files_that_are_named_exist(name):
    for path in re.findall(r"`([\w./]+\.(?:py|md|toml|txt))`", read(name)):
        if path.startswith(PLACES):
            assert os.path.exists(os.path.join(ROOT, path)), path
        elif "/" in path:
            assert os.path.exists(os.path.join(ROOT, "rushlight", path)), path


def test_architecture_names_every_pass_and_constant():
    text = read("docs/architecture.md")
    for step in PASSES:
        assert f"`{step.name}`" in text, step.name
    for path, constant, value in re.findall(r"`([\w/]+\.py)` `([A-Z_]+)` = ([\d,]+)", text):
        assert re.search(rf"^{constant}\s*=\s*{value.replace(',', '_?')}\b", read(f"rushlight/{path}"), re.M), constant


def test_tests_that_are_named_exist():
    there = "".join(read(os.path.relpath(os.path.join(folder, name), ROOT))
                    for folder, _, names in os.walk(os.path.join(ROOT, "tests")) for name in names if name.endswith(".py"))
    for name in DOCS:
        for test in re.findall(r"`(test_\w+)`", read(name)):
            assert f"def {test}(" in there, test


# -- what is written by commands --------------------------------------------------------------------------------
def test_flags_are_current():
    assert config.table() in read("docs/flags.md"), "run `python tools/write_docs.py`"


def test_lists_can_be_written():
    sys.path.insert(0, os.path.join(ROOT, "tools"))
    try:
        import write_docs
    finally:
        sys.path.pop(0)
    for name, content in (("names", write_docs.coverage()), ("refusals", write_docs.refusals())):
        assert f"<!-- code:{name} -->\n{content}" in write_docs.replace(read("docs/status.md"), name, content)


def test_sizes_can_be_counted():
    assert "rushlight, all" in call(sys.executable, os.path.join("tools", "size.py"))
    assert "together" in call(sys.executable, os.path.join("tools", "size.py"), "--installed")


def test_readme_shows_what_was_measured(tmp_path):
    from bench import report
    lines = ["| workload | rushlight | PyTorch | ratio | memory, MiB |", "|--|--|--|--|--|",
             "| mlp_small | 1.0 ms | 2.0 ms | 0.50 | 90 |"]
    table = str(report.readme_table(lines))
    assert "mlp_small" in table and "0.50" in table and "memory" not in table
    lines += ["| workload | first, cold | PyTorch first |", "|--|--|--|", "| mlp_small | 0.3 s | 0.1 s |"]
    table = str(report.readme_table(lines))
    assert "0.3 s" in table and "0.1 s" not in table and table.count("mlp_small") == 1
    text = "a\n<!-- bench:readme -->\nold\n<!-- /bench:readme -->\nb"
    assert report.replace_block(text, "readme", table) == text.replace("old", table)


def test_readme_numbers_are_those_of_the_performance_page():
    from bench import report
    shown = report.block(read("README.md"), "readme")
    measured = [line for line in report.block(read("docs/performance.md"), "workloads").splitlines() if "|" in line]
    if shown.startswith("|"):
        assert str(report.readme_table(measured)) in shown, "run `python -m bench --readme`"


def test_a_workload_can_be_measured_without_pytorch(tmp_path):
    code = "from bench import workloads; from bench.__main__ import arguments; " \
           "options = arguments('--only mlp_small,gcn --repeat 1 --seconds 0.01'.split()); options.torch_python = None; " \
           "tables, good = workloads.measure(options); assert good and tables[0].rows; " \
           "tables, good = workloads.measure_further(options); assert good and tables[0].rows"
    assert {"mlp_small", "gcn"} <= set(call(sys.executable, "-c", code).split())


def test_wrong_losses_fail_the_benchmark():
    from bench import workloads
    ours, theirs = workloads.OURS, workloads.THEIRS
    right = {ours: [{"loss0": 1.0, "loss3": 0.5}], theirs: [{"loss0": 1.0, "loss3": 0.5000001}]}
    assert workloads.wrong("gpt", right) == ""
    assert "WRONG" in workloads.wrong("gpt", right | {theirs: [{"loss0": 1.0, "loss3": 0.51}]})
    assert "WRONG" in workloads.wrong("gpt", right | {ours: [{"loss0": 1.0, "loss3": float("nan")}]})
    assert "WRONG" in workloads.wrong("gpt", right | {workloads.OURS_COMPILED: [{"loss0": 1.0, "loss3": 0.50001}]})
    assert "failed" in workloads.wrong("gpt", right | {ours: [{"error": "RuntimeError"}]})


def test_bench_without_pytorch_prints_what_it_can(capsys):
    from bench import accuracy, costs, others
    from bench.__main__ import arguments
    options = arguments(["--only", "mlp_small", "--seconds", "0.01", "--repeat", "1"])
    options.torch_python, options.peers = None, []
    for measure in (costs.measure_memory, costs.measure_compiling):
        (table,), good = measure(options)
        assert good and len(table.rows) == 1
    assert others.measure(options) == ([], True)
    options.only = "matmul 64x64x64,var of 1e3"
    (table,), good = accuracy.measure(options)
    assert good and [row[0] for row in table.rows] == options.only.split(",")
