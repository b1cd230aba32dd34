"""python bench/one.py LIBRARY NAME [--compile] [--seconds S] [--threads N]: one program in one process.

Prints one line of JSON: seconds of import and first step, median step, losses 0 and 3, memory, and
what rushlight compiled. `--compile` is torch.compile: of the whole step in rushlight; in PyTorch of the
function from batch to loss, or of the networks (a compiled step breaks at backward there, and is slower).
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


def measured(step, seconds, wanted):
    """The times of steps: `wanted` many, or as many as come in some seconds."""
    if wanted and seconds:
        return [timed(step)[0] for _ in range(wanted)]
    end, times = time.perf_counter() + seconds, []
    while seconds and (len(times) < LEAST or (time.perf_counter() < end and len(times) < MOST)):
        times.append(timed(step)[0])
    return times


def made(torch, a):
    """The step, compiled if that is asked for."""
    from bench import further, programs
    make = (programs.PROGRAMS | further.FURTHER)[a.name]
    if not a.compile:
        return make(torch)
    if a.library == "torch" and "training" in make.__code__.co_names:
        for module in (programs, further):
            module.training = compiling_the_loss(torch, programs.training)
        return make(torch)
    step = make(torch)
    return step if a.library == "torch" and has_compiled_modules(torch, step) else torch.compile(step)


def has_compiled_modules(torch, step):
    """Whether there are networks in a step to be compiled one by one; two losses of one network break a compiled step."""
    is_network = lambda x: isinstance(x, torch.nn.Module) and any(True for _ in x.parameters())
    cells = [cell for cell in step.__closure__ or () if is_network(cell.cell_contents)]
    for cell in cells:
        cell.cell_contents = torch.compile(cell.cell_contents)
    return bool(cells)


def compiling_the_loss(torch, training):
    return lambda net, opt, loss_fn, *batch: training(net, opt, torch.compile(loss_fn), *batch)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    a = arguments()
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    started = time.perf_counter()
    torch = importlib.import_module(a.library)
    for room in ("nn", "nn.functional", "optim"):
        importlib.import_module(f"{a.library}.{room}")
    importing = time.perf_counter() - started
    facts = importlib.import_module("bench.facts").Facts() if a.library == "rushlight" else None
    if a.threads:
        torch.set_num_threads(a.threads)
    step = made(torch, a)
    built = peak_mib()
    first, loss0 = timed(step)
    seen = facts.of_first_step() if facts else {}
    loss3 = [timed(step)[1] for _ in range(3)][-1]
    from bench import further
    times = measured(step, a.seconds, further.STEPS.get(a.name))
    peak = peak_mib()
    print(json.dumps({
        "import_s": importing, "first_s": first, "loss0": loss0, "loss3": loss3,
        "step_ms": 1e3 * statistics.median(times) if times else None,
        "best_ms": 1e3 * min(times, default=0) or None,
        "rss_mib": peak, "grown_mib": peak - built, **seen, **(facts.of_steps(step) if facts else {})}))


if __name__ == "__main__":
    main()
