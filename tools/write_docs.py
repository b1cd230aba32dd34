"""Writes what in docs/ can be read off the code: docs/flags.md, and the lists of docs/status.md.

tools/torch_names.txt holds the public names of PyTorch 2.13 by namespace; what rushlight has of
them is looked up, not remembered. Lists stand between <!-- code:NAME --> and <!-- /code:NAME -->.
"""
from __future__ import annotations

import ast
import os
import re
import sys
import textwrap
from collections import Counter, defaultdict
from importlib import import_module

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
FLAGS = """\
# Flags

Every environment variable that rushlight reads. Written from `rushlight/config.py` by
`python tools/write_docs.py`; a test tells when it is out of date.

"""
AREAS = {        # of the 450 rows, each of which has a test in tests/features: title, number of rows
    "A": ("creation", 15), "B": ("random numbers, seeds", 20), "C": ("indexing, masks, gather, scatter", 19),
    "D": ("shapes, joining", 19), "E": ("views, strides, memory", 13),
    "F": ("broadcasting, arithmetic, reductions, nan", 21), "G": ("autograd", 20), "H": ("hooks", 9),
    "I": ("per-sample gradients, privacy", 9), "J": ("modules, containers", 17), "K": ("layers", 27),
    "L": ("convolution arithmetic", 21), "M": ("losses", 11), "N": ("attention, padding, sequences", 16),
    "O": ("sparse tensors", 7), "P": ("memory, checkpointing, mixed precision", 10),
    "Q": ("optimisers, training loop", 9), "R": ("data, transforms", 25), "S": ("serialization", 11),
    "T": ("TensorBoard", 6), "U": ("Visdom", 9), "V": ("profiling, timing, devices", 8), "W": ("DataParallel", 6),
    "X": ("distributed training", 25), "Y": ("model zoo, vision", 23), "Z": ("GANs", 7), "AA": ("metrics, selection", 9),
    "AB": ("nearest neighbours", 10), "AC": ("search without gradients", 5), "AD": ("Python and NumPy around it", 30),
    "AE": ("shell, environment", 6), "AF": ("what they rest on", 7)}
ASKED_OF = {     # names that instances have, or another class
    "torch.Tensor": "rushlight.ones(1)", "torch.autograd.Function": "rushlight.autograd.function.FunctionCtx"}


def flags() -> str:
    """docs/flags.md."""
    from rushlight import config
    return FLAGS + config.table()


# -- names -----------------------------------------------------------------------------------------------
def torch_names() -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    with open(os.path.join(ROOT, "tools", "torch_names.txt")) as lines:
        for line in lines:
            if line.startswith("["):
                namespace = names.setdefault(line.strip()[1:-1], [])
            else:
                namespace += line.split()
    return names


def resolve(namespace: str):
    """rushlight's module or class for one of PyTorch's namespaces; None if there is none."""
    parts = namespace.split(".")[1:]
    for cut in range(len(parts), -1, -1):
        try:
            found = import_module(".".join(["rushlight", *parts[:cut]]))
            for part in parts[cut:]:
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError):
            continue
    return None


def has(where, name: str) -> bool:
    try:
        getattr(where, name)
    except (AttributeError, ImportError):
        return False
    return True


def coverage() -> str:
    """How many names of each namespace are there, and which are not."""
    rows, absent, missing = ["| namespace | names |", "|---|---|"], [], []
    for namespace, names in torch_names().items():
        where = resolve(namespace)
        also = eval(ASKED_OF[namespace], {"rushlight": import_module("rushlight")}) if namespace in ASKED_OF else None
        lacking = [n for n in names if where is None or not (has(where, n) or has(also, n))]
        if len(lacking) == len(names):
            absent.append(f"`{namespace}`")
            continue
        rows.append(f"| `{namespace}` | {len(names) - len(lacking)} of {len(names)} |")
        if lacking:
            missing.append(wrapped(f"- `{namespace}` lacks: " + ", ".join(lacking)))
    nowhere = "Namespaces not there at all: " + (", ".join(absent) or "none") + "."
    return "\n\n".join(["\n".join(rows), wrapped(nowhere), "\n".join(missing)])


def wrapped(text: str) -> str:
    return textwrap.fill(text, 118, subsequent_indent="  " if text.startswith("-") else "", break_on_hyphens=False)


# -- what is refused ------------------------------------------------------------------------------------
def refusals() -> str:
    """The messages of all NotImplementedErrors in the package, by file."""
    found = defaultdict(list)
    for folder, _, names in os.walk(os.path.join(ROOT, "rushlight")):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                messages = refusals_of(path)
                if messages:
                    found[os.path.relpath(path, os.path.join(ROOT, "rushlight"))] = messages
    return "\n".join(f"- `{path}`: " + "; ".join(messages) for path, messages in sorted(found.items()))


def refusals_of(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    calls = [n.exc for n in ast.walk(tree) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)
             and isinstance(n.exc.func, ast.Name) and n.exc.func.id == "NotImplementedError"]
    return list(dict.fromkeys(message(call.args[0]) for call in calls if call.args))


def message(node) -> str:
    """A message as it is written, with ... where it is filled in."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
    else:
        text = ast.literal_eval(node) if isinstance(node, ast.Constant) else "..."
    return f"\"{' '.join(text.split())}\""


# -- primitives -------------------------------------------------------------------------------------------
def primitives() -> str:
    """The table of primitives by kind."""
    import rushlight
    from rushlight.prims import PRIMITIVES
    assert rushlight
    counts = Counter(p.kind for p in PRIMITIVES.values())
    lines = [f"{len(PRIMITIVES)} primitives."]
    for kind, count in counts.most_common():
        names = ", ".join(p.name for p in PRIMITIVES.values() if p.kind == kind)
        lines.append(wrapped(f"- {kind} ({count}): {names}"))
    return "\n".join(lines)


# -- rows that were asked for ---------------------------------------------------------------------------------
def row_tests() -> dict[str, str]:
    """For each row that has a test in tests/features, whether it "holds", is to "fail" or is "apart"."""
    found: dict[str, str] = {}
    folder = os.path.join(ROOT, "tests", "features")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") if name.endswith(".py") else open(os.devnull) as file:
            tree = ast.parse(file.read())
        for function in tree.body:
            row = isinstance(function, ast.FunctionDef) and re.match(r"test_([a-z]+\d\d)_", function.name)
            if row:
                found[row[1].upper()] = verdict(function)
    return found


def verdict(function: ast.FunctionDef) -> str:
    marks = " ".join(ast.unparse(mark).split("(")[0] for mark in function.decorator_list)
    return "fail" if "mark.xfail" in marks else "apart" if re.search(r"mark\.skip\b", marks) else "holds"


def rows() -> str:
    """The count by area of what was asked for."""
    verdicts, totals = row_tests(), Counter()
    lines = ["| area | rows that hold | rows | known to fail | no code to test |", "|---|---|---|---|---|"]
    for area, (title, number) in AREAS.items():
        counts = Counter(v for row, v in verdicts.items() if row.rstrip("0123456789") == area)
        lines.append(f"| {area} {title} | {counts['holds']} | {number} | {counts['fail']} | {counts['apart']} |")
        totals += counts + Counter(rows=number)
    lines.append(f"| all | {totals['holds']} | {totals['rows']} | {totals['fail']} | {totals['apart']} |")
    return "\n".join(lines)


def replace(text: str, name: str, content: str) -> str:
    start, end = f"<!-- code:{name} -->", f"<!-- /code:{name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.S)
    if not pattern.search(text):
        raise LookupError(f"docs/status.md has no block {start}")
    return pattern.sub(lambda _: f"{start}\n{content}\n{end}", text)


def main() -> None:
    with open(os.path.join(ROOT, "docs", "flags.md"), "w", encoding="utf-8") as file:
        file.write(flags())
    path = os.path.join(ROOT, "docs", "status.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, content in (("rows", rows()), ("names", coverage()), ("refusals", refusals()), ("primitives", primitives())):
        text = replace(text, name, content)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
