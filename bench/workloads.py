"""Training programs in PyTorch and in rushlight, by turns, each run in its own process.

Two modes of each library: as written, and with torch.compile. A ratio is to the faster of PyTorch's.
A loss that differs from PyTorch's by more than ALLOWED (relative, at steps 0 and 3) is a failure, and
so is a compiled step whose losses are not bit for bit those of the step as written.
"""
from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from typing import NamedTuple

from .further import FURTHER
from .programs import PROGRAMS
from .report import ROOT, Table

ONE = os.path.join(ROOT, "bench", "one.py")
ALLOWED = {"resnet": 2e-4}      # PyTorch differs from itself by 7e-5 there
USUALLY_ALLOWED = 1e-4
TIMEOUT = 240
IMAGES, TOKENS = (0.8, 0.5), (0.8, 0.6)
REACH_AND_AIM = {               # of the ratio as written
    "mlp_small": (1.5, 1.0), "mlp_large": TOKENS, "cnn_mnist": IMAGES, "resnet": IMAGES, "gpt": TOKENS,
    "lstm": TOKENS, "unet": IMAGES, "dcgan": IMAGES, "pointwise": (0.4, 0.2), "per_sample_grad": (0.8, 0.4)}
COMPILED = {"mlp_small": (0.15, 0.08)}      # and of the compiled step, where that is another number
STEPS = ("workload", "rushlight", "compiled", "PyTorch", "torch.compile", "ratio", "ratio, compiled",
         "reach / aim", "verdict", "loss difference 0, 3")
STARTS = ("workload", "first, cold", "first, cached", "compiled, cached", "PyTorch first", "torch.compile first",
          "memory, MiB", "compiled, MiB", "PyTorch memory", "memory ratio")


class Mode(NamedTuple):
    library: str
    compiled: bool


OURS, OURS_COMPILED, THEIRS, THEIRS_COMPILED = (
    Mode(library, compiled) for library in ("rushlight", "torch") for compiled in (False, True))


def measure(options) -> tuple[list[Table], bool]:
    """The ten programs: times, starts and memory; and whether all losses are right."""
    return measure_all(PROGRAMS, options)


def measure_further(options) -> tuple[list[Table], bool]:
    """The programs beyond the ten, in fewer and shorter processes, without PyTorch's compiler."""
    short = Namespace(**vars(options))
    short.repeat, short.seconds = max(1, options.repeat - 1), options.seconds / 2
    short.without = (THEIRS_COMPILED,)
    return measure_all(FURTHER, short)


def measure_all(programs, options) -> tuple[list[Table], bool]:
    names = options.only.split(",") if options.only else list(programs)
    found, good = [], True
    for name in [n for n in names if n in programs]:
        runs = runs_of(name, options)
        complaint = wrong(name, runs)
        good &= complaint == ""
        found.append((name, runs, complaint))
        print("  ".join(cell for cell in steps_row(*found[-1]) if cell), flush=True)
    known = "torch.compile found its kernels in a folder of earlier runs." if options.inductor_cache and \
        any(THEIRS_COMPILED in runs for _, runs, _ in found) else ""
    tables = [Table("", STEPS, [steps_row(*f) for f in found], summary(found)),
              Table("First steps and memory", STARTS, [starts_row(name, runs) for name, runs, _ in found], known)]
    print("\n" + "\n\n".join(map(str, tables)) + "\n")
    return tables, good


# -- running ----------------------------------------------------------------------------------------
def modes(options) -> list[Mode]:
    """What is run in every round, in this order."""
    kinds = [kind == "compile" for kind in options.modes.split(",")]
    all_modes = [Mode(library, kind) for library in ("torch", "rushlight") for kind in kinds]
    return [m for m in all_modes if (m.library == "rushlight" or options.torch_python)
            and m not in getattr(options, "without", ())]


def runs_of(name, options) -> dict[Mode | str, list[dict]]:
    """What each run said, by mode; `cold` is one of the first step with an empty cache of kernels."""
    with tempfile.TemporaryDirectory() as cache:
        runs = {"cold": [run(OURS, name, options, cache, seconds=0)]}
        for _ in range(options.repeat):
            for mode in modes(options):
                if is_worth_running(mode, runs):
                    runs.setdefault(mode, []).append(run(mode, name, options, cache))
    return runs


def is_worth_running(mode, runs) -> bool:
    """Not what has failed, nor PyTorch's compiler again where it makes the step slower."""
    if "error" in runs.get(mode, [{}])[-1]:
        return False
    compiled, plain = median(runs, THEIRS_COMPILED, "step_ms"), median(runs, THEIRS, "step_ms")
    return mode != THEIRS_COMPILED or None in (compiled, plain) or compiled < 1.1 * plain


def run(mode, name, options, cache, seconds=None) -> dict:
    """What bench/one.py says, or {"error": the last line of its complaint}."""
    python = options.torch_python if mode.library == "torch" else sys.executable
    command = [python, ONE, mode.library, name, "--threads", str(options.threads),
               "--seconds", str(options.seconds if seconds is None else seconds)]
    inductor = options.inductor_cache or os.path.join(cache, "inductor")
    env = os.environ | {"RUSHLIGHT_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": inductor}
    try:
        done = subprocess.run(command + ["--compile"] * mode.compiled, capture_output=True, text=True,
                              timeout=TIMEOUT, env=env)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        if options.minima:
            found["step_ms"] = found["best_ms"]
        return found
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {TIMEOUT} s"}
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:160]}


# -- judging ----------------------------------------------------------------------------------------
def good_runs(runs, mode) -> list[dict]:
    return [r for r in runs.get(mode, ()) if "error" not in r]


def median(runs, mode, key) -> float | None:
    numbers = [r[key] for r in good_runs(runs, mode)]
    return statistics.median(numbers) if numbers else None


def reference(runs) -> Mode | None:
    """PyTorch's faster mode."""
    theirs = [m for m in (THEIRS, THEIRS_COMPILED) if good_runs(runs, m)]
    return min(theirs, key=lambda m: median(runs, m, "step_ms"), default=None)


def ratio(runs, mode, key="step_ms") -> float | None:
    theirs = reference(runs)
    ours = median(runs, mode, key)
    return ours / median(runs, theirs, key) if theirs and ours else None


def wrong(name, runs) -> str:
    """What is wrong with our runs; an empty string if nothing is."""
    error = next((r["error"] for m in (OURS, OURS_COMPILED) for r in runs.get(m, ()) if "error" in r), None)
    if error:
        return "failed: " + error
    plain, compiled = good_runs(runs, OURS), good_runs(runs, OURS_COMPILED)
    if len({(r["loss0"], r["loss3"]) for r in plain + compiled}) > 1:
        return "WRONG: other losses compiled than as written, or from run to run"
    if max(differences(runs), default=0) > ALLOWED.get(name, USUALLY_ALLOWED):
        return "WRONG: losses differ from PyTorch's"
    return ""


def differences(runs) -> list[float]:
    """Relative, at steps 0 and 3, from PyTorch as written."""
    ours, theirs = good_runs(runs, OURS) or good_runs(runs, OURS_COMPILED), good_runs(runs, THEIRS)
    if not ours or not theirs:
        return []
    return [relative(ours[0][key], theirs[0][key]) for key in ("loss0", "loss3")]


def relative(a, b) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return 0.0 if str(a) == str(b) else math.inf
    return abs(a - b) / max(abs(b), 1e-12)


def verdict(name, runs) -> str:
    """Whether the better of what the targets speak of is reached."""
    targets = [(ratio(runs, OURS), REACH_AND_AIM.get(name)), (ratio(runs, OURS_COMPILED), COMPILED.get(name))]
    words = []
    for found, goal in targets:
        if found and goal:
            words.append("aim" if found <= goal[1] else "reached" if found <= goal[0] else "missed")
    return ", ".join(words)


# -- showing ----------------------------------------------------------------------------------------
def steps_row(name, runs, complaint) -> tuple[str, ...]:
    times = [unit(median(runs, m, "step_ms"), ".3f", " ms")
             for m in (OURS, OURS_COMPILED, THEIRS, THEIRS_COMPILED)]
    if runs.get(THEIRS_COMPILED) and not times[3]:
        times[3] = "fails"
    goals = ", ".join(f"{reach} / {aim}" for reach, aim in filter(None, (REACH_AND_AIM.get(name), COMPILED.get(name))))
    losses = complaint or " ".join(f"{d:.0e}" for d in differences(runs))
    return (name, *times, unit(ratio(runs, OURS), ".2f"), unit(ratio(runs, OURS_COMPILED), ".2f"),
            goals, verdict(name, runs), losses)


def starts_row(name, runs) -> tuple[str, ...]:
    firsts = [(m, key) for m, key in (("cold", "first_s"), (OURS, "first_s"), (OURS_COMPILED, "first_s"),
                                      (THEIRS, "first_s"))]
    seconds = [unit(median(runs, m, key), ".2f", " s") for m, key in firsts]
    slow = good_runs(runs, THEIRS_COMPILED)
    memory = [median(runs, m, "rss_mib") for m in (OURS, OURS_COMPILED, THEIRS)]
    share = memory[0] / memory[2] if memory[0] and memory[2] else None
    return (name, *seconds, unit(slow[0]["first_s"] if slow else None, ".2f", " s"),
            *[unit(m, ".0f") for m in memory], unit(share, ".2f"))


def unit(number, form, name="") -> str:
    return "" if number is None else f"{number:{form}}{name}"


def summary(found) -> str:
    """Geometric means of both ratios."""
    lines = []
    for mode, words in ((OURS, "as written"), (OURS_COMPILED, "compiled")):
        ratios = [r for _, runs, _ in found if (r := ratio(runs, mode))]
        if ratios:
            mean = math.exp(statistics.fmean(map(math.log, ratios)))
            lines.append(f"{words}: geometric mean of the ratios {mean:.3f} over {len(ratios)} of {len(found)} "
                         f"programs, worst {max(ratios):.2f}")
    return "; ".join(lines)[:1].upper() + "; ".join(lines)[1:] + "." * bool(lines)
