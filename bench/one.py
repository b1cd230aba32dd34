"""python bench/one.py LIBRARY NAME [--compile] [--seconds S] [--threads N]: one program in one process.

Prints one line of JSON: seconds of import and first step, median step, losses 0 and 3, peak memory.
"""
import argparse
import importlib
import json
import os
import resource
import statistics
import sys
import time

LEAST, MOST = 7, 400    # steps that are timed


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("name")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0, help="0: only the first four steps")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def timed(step):
    """(seconds, loss) of one step."""
    started = time.perf_counter()
    loss = step().item()
    return time.perf_counter() - started, loss


def measured(step, seconds):
    end, times = time.perf_counter() + seconds, []
    while seconds and (len(times) < LEAST or (time.perf_counter() < end and len(times) < MOST)):
        times.append(timed(step)[0])
    return times


def main():
    a = arguments()
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    started = time.perf_counter()
    torch = importlib.import_module(a.library)
    for room in ("nn", "nn.functional", "optim"):
        importlib.import_module(f"{a.library}.{room}")
    importing = time.perf_counter() - started
    from bench.further import FURTHER
    from bench.programs import PROGRAMS
    if a.threads:
        torch.set_num_threads(a.threads)
    step = (PROGRAMS | FURTHER)[a.name](torch)
    if a.compile:
        step = torch.compile(step)
    first, loss0 = timed(step)
    loss3 = [timed(step)[1] for _ in range(3)][-1]
    times = measured(step, a.seconds)
    print(json.dumps({
        "import_s": importing, "first_s": first, "loss0": loss0, "loss3": loss3,
        "step_ms": 1e3 * statistics.median(times) if times else None,
        "best_ms": 1e3 * min(times, default=0) or None,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


main()
