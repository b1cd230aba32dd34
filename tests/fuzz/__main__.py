"""python -m tests.fuzz --n 1000 --seed 0: run programs, minimise and print those that fail.

Programs run in child processes, so that a crash is told like any other failure.
"""
from __future__ import annotations

import argparse
import faulthandler
import subprocess
import sys
import time

HANG = 200      # seconds after which a program counts as hanging; where it hangs is printed


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow")
    parser.add_argument("--chunk", type=int, default=40, help="programs in one child process")
    parser.add_argument("--no-torch", action="store_true", help="do not compare with PyTorch")
    parser.add_argument("--stop", type=int, default=10, help="stop after so many failures")
    parser.add_argument("--strides", action="store_true", help="compare strides, too")
    parser.add_argument("--show", action="store_true", help="print the program of --seed and stop")
    parser.add_argument("--inline", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.show:
        return show(args.seed)
    sys.exit(1 if (work if args.inline else supervise)(args) else 0)


def show(seed):
    import rushlight

    from .programs import write
    print(write(rushlight, seed))


def work(args) -> int:
    """Programs one by one in this process."""
    import rushlight

    from .programs import write
    from .running import COMPARE, check, minimise, oracle, script, without_foreign_errors
    COMPARE["strides"] = args.strides
    torch = None if args.no_torch else oracle()
    failures = 0
    for seed in range(args.seed, args.seed + args.n):
        print(f"@{seed}", flush=True)
        faulthandler.dump_traceback_later(HANG, exit=True)
        program = write(rushlight, seed)
        if torch is not None:
            program = without_foreign_errors(torch, program)
        if check(program, torch) is None:
            continue
        failures += 1
        try:
            program, found = minimise(program, torch)
        except Exception as error:
            found = f"(not minimised: {error!r})"
        faulthandler.cancel_dump_traceback_later()
        print(f"---- seed {seed}\n{script(program)}# {found}\n----", flush=True)
        if failures >= args.stop:
            break
    faulthandler.cancel_dump_traceback_later()
    return failures


def supervise(args) -> int:
    """Children that work on chunks; one that dies is told of and followed by the next."""
    started, at, end, failures = time.time(), args.seed, args.seed + args.n, 0
    while at < end and failures < args.stop:
        n = min(args.chunk, end - at)
        command = [sys.executable, "-m", "tests.fuzz", "--inline", "--seed", str(at), "--n", str(n)]
        try:
            child = subprocess.run(command + ["--no-torch"] * args.no_torch + ["--strides"] * args.strides, capture_output=True, text=True,
                                   timeout=60 + 20 * n)
            text, code = child.stdout, child.returncode
            errors = child.stderr
        except subprocess.TimeoutExpired as late:
            text, code, errors = (late.stdout or b"").decode(), "timeout", ""
        last = max((int(line[1:]) for line in text.splitlines() if line.startswith("@")), default=at)
        said = "\n".join(line for line in text.splitlines() if not line.startswith("@"))
        if said:
            print(said, flush=True)
        failures += said.count("---- seed")
        if code not in (0, 1) or (code == 1 and not said):
            failures += 1
            print(f"---- seed {last}: the process ended with {code}\n{errors[-3000:]}\n----", flush=True)
            at = last + 1
        else:
            at += n
    print(f"{at - args.seed} programs, {failures} failures, {time.time() - started:.0f} s")
    return failures


if __name__ == "__main__":
    main()
