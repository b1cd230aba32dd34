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
    for name, content in (("names", coverage()), ("refusals", refusals()), ("primitives", primitives())):
        text = replace(text, name, content)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
