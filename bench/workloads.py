"""The ten training programs in PyTorch and in rushlight, by turns, each run in its own process.

A loss that differs from PyTorch's by more than ALLOWED (relative, at steps 0 and 3) is a failure.
"""
from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

from .programs import PROGRAMS
from .report import ROOT, Table

ONE = os.path.join(ROOT, "bench", "one.py")
ALLOWED = {"resnet": 2e-4}      # PyTorch differs from itself by 7e-5 there
USUALLY_ALLOWED = 1e-4
TIMEOUT = 240
HEADER = ("workload", "rushlight", "PyTorch", "ratio", "first, cold", "first, cached", "PyTorch first",
          "memory, MiB", "PyTorch memory", "loss difference 0, 3")


def measure(options) -> tuple[list[Table], bool]:
    """The table of all programs, and whether all losses are right."""
    rows, ratios, good = [], [], True
    names = options.only.split(",") if options.only else list(PROGRAMS)
    for name in [n for n in names if n in PROGRAMS]:
        row, ratio, right = program(name, options)
        print("  ".join(cell for cell in row if cell), flush=True)
        rows.append(row)
        ratios += [ratio] if ratio else []
        good &= right
    table = Table("", HEADER, rows, summary(ratios, len(rows)))
    print(f"\n{table}\n")
    return [table], good


def summary(ratios, count) -> str:
    if not ratios:
        return ""
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return (f"Geometric mean of the ratios {mean:.3f} over {len(ratios)} of {count} programs, "
            f"worst {max(ratios):.2f}; below 1, rushlight is faster.")


def program(name, options):
    """(row, ratio or None, whether the losses are right) of one program."""
    theirs = {mode: [] for mode in options.modes.split(",")} if options.torch_python else {}
    ours, cold = [], []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(options.repeat):
            for mode, runs in theirs.items():
                runs.append(run(options.torch_python, "torch", name, options, mode == "compile"))
            if not cold:
                cold.append(run(sys.executable, "rushlight", name, options, seconds=0, cache=cache))
            ours.append(run(sys.executable, "rushlight", name, options, cache=cache))
    failed = next((r["error"] for r in ours if "error" in r), None)
    if failed:
        return (name, "failed: " + failed, *[""] * (len(HEADER) - 2)), None, False
    return judged(name, cold[0], ours, [r for r in theirs.values() if "error" not in r[0]])


def judged(name, cold, ours, theirs):
    first, step = median(ours, "first_s"), median(ours, "step_ms")
    row = [name, f"{step:.3f} ms", "", "", f"{cold['first_s']:.2f} s", f"{first:.2f} s", "",
           f"{median(ours, 'rss_mib'):.0f}", "", ""]
    if not theirs:
        return tuple(row), None, True
    fastest = min(theirs, key=lambda runs: median(runs, "step_ms"))
    theirs_step = median(fastest, "step_ms")
    differences = [relative(ours[0][key], fastest[0][key]) for key in ("loss0", "loss3")]
    right = max(differences) <= ALLOWED.get(name, USUALLY_ALLOWED)
    row[2:4] = f"{theirs_step:.3f} ms", f"{step / theirs_step:.2f}"
    row[6], row[8] = f"{median(fastest, 'first_s'):.2f} s", f"{median(fastest, 'rss_mib'):.0f}"
    row[9] = " ".join(f"{d:.0e}" for d in differences) + ("" if right else " WRONG")
    return tuple(row), step / theirs_step, right


def run(python, library, name, options, compiled=False, seconds=None, cache=None) -> dict:
    """What bench/one.py says, or {"error": the last line of its complaint}."""
    command = [python, ONE, library, name, "--threads", str(options.threads),
               "--seconds", str(options.seconds if seconds is None else seconds)]
    env = os.environ | ({"RUSHLIGHT_CACHE": cache} if cache else {})
    try:
        done = subprocess.run(command + ["--compile"] * compiled, capture_output=True, text=True,
                              timeout=TIMEOUT, env=env)
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {TIMEOUT} s"}
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:160]}


def median(runs, key) -> float:
    return statistics.median(r[key] for r in runs if "error" not in r)


def relative(a, b) -> float:
    return abs(a - b) / max(abs(b), 1e-12)
