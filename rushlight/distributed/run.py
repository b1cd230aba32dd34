"""torchrun: start a program in several processes, and start all again when one fails.

    rushlight torchrun --nproc-per-node 4 train.py --epochs 10      `import torch` is rushlight in it
    python -m rushlight.distributed.run --nproc-per-node 4 train.py

Each process finds RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in its environment.
"""
from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

SETTLE = 0.5        # seconds after the first failure in which others count as failed with it
GRACE = 10.0        # seconds that processes have to end when they are told to


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("torchrun", description="Start a program in several processes.", allow_abbrev=False)
    p.add_argument("--nproc-per-node", "--nproc_per_node", default="1", help="processes here: a number, auto or cpu")
    p.add_argument("--nnodes", default="1", help="machines; one torchrun runs on each")
    p.add_argument("--node-rank", "--node_rank", type=int, default=0, help="which machine this is")
    p.add_argument("--standalone", action="store_true", help="one machine, any free port")
    p.add_argument("--max-restarts", "--max_restarts", type=int, default=0,
                   help="how often all processes are started again after one has failed")
    p.add_argument("--master-addr", "--master_addr", default="127.0.0.1", help="the machine of rank 0")
    p.add_argument("--master-port", "--master_port", type=int, default=None, help="a free port there")
    p.add_argument("--monitor-interval", "--monitor_interval", type=float, default=0.1,
                   help="seconds between looks at the processes")
    p.add_argument("--role", default="default", help="a name for the processes")
    p.add_argument("--rdzv-id", "--rdzv_id", default="none", help="a name for the job")
    p.add_argument("--rdzv-backend", "--rdzv_backend", default="static", choices=("static", "c10d"),
                   help="accepted; machines meet at the master's address")
    p.add_argument("--rdzv-endpoint", "--rdzv_endpoint", default="", help="HOST[:PORT] of the master")
    p.add_argument("-m", "--module", action="store_true", help="the program is a module")
    p.add_argument("--no-python", "--no_python", action="store_true", help="the program is no Python program")
    p.add_argument("training_script", help="the program")
    p.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return p


def main(args: list[str] | None = None) -> None:
    """Run the command line; SystemExit with 1 where processes have failed for good."""
    found = parser().parse_args(args)
    run(found)


def run(args: argparse.Namespace) -> None:
    """Start the processes until all of one round end well."""
    job = Job(args)
    for attempt in range(job.restarts + 1):
        failure = Round(job, attempt).wait()
        if failure is None:
            return
        again = f"; all start again ({attempt + 1} of {job.restarts})" if attempt < job.restarts else ""
        print(f"torchrun: {failure}{again}", file=sys.stderr, flush=True)
    sys.exit(1)


class Job:
    """What the command line asks for."""

    def __init__(self, args):
        self.here, self.nodes = processes_here(args.nproc_per_node), nodes(args.nnodes)
        self.node, self.restarts, self.pause = args.node_rank, args.max_restarts, args.monitor_interval
        self.role, self.id = args.role, str(uuid.uuid4()) if args.standalone else args.rdzv_id
        self.host, self.port = args.master_addr, args.master_port
        if args.rdzv_endpoint and not args.standalone:
            host, _, port = args.rdzv_endpoint.partition(":")
            self.host, self.port = host, int(port or 0) or self.port
        self.port = None if args.standalone else self.port or (29500 if self.nodes > 1 else None)
        self.command = command(args)
        if self.nodes > 1 and self.restarts:
            raise NotImplementedError("torchrun: --max-restarts with several machines")
        if not 0 <= self.node < self.nodes:
            raise SystemExit(f"torchrun: --node-rank {self.node} of --nnodes {self.nodes}")

    def environment(self, local: int, port: int, attempt: int, errors: str) -> dict[str, str]:
        rank, size = self.node * self.here + local, self.nodes * self.here
        found = {
            "LOCAL_RANK": local, "RANK": rank, "GROUP_RANK": self.node, "ROLE_RANK": rank, "ROLE_NAME": self.role,
            "LOCAL_WORLD_SIZE": self.here, "WORLD_SIZE": size, "GROUP_WORLD_SIZE": self.nodes,
            "ROLE_WORLD_SIZE": size, "MASTER_ADDR": self.host, "MASTER_PORT": port,
            "TORCHELASTIC_RESTART_COUNT": attempt, "TORCHELASTIC_MAX_RESTARTS": self.restarts,
            "TORCHELASTIC_RUN_ID": self.id, "TORCHELASTIC_ERROR_FILE": errors,
        }
        threads = {} if self.here == 1 else {"OMP_NUM_THREADS": "1", "RUSHLIGHT_THREADS": "1"}
        return {**threads, **os.environ, **{name: str(value) for name, value in found.items()}}


def processes_here(text: str) -> int:
    if text in ("auto", "cpu"):
        return os.cpu_count() or 1
    if not text.isdecimal() or not int(text):
        raise SystemExit(f"torchrun: --nproc-per-node must be a positive number, auto or cpu, found {text}")
    return int(text)


def nodes(text: str) -> int:
    least, _, most = text.partition(":")
    if most and most != least:
        raise NotImplementedError(f"torchrun: --nnodes {text}: a number of machines that changes")
    return int(least)


def command(args) -> list[str]:
    program = [args.training_script, *args.training_script_args]
    if args.no_python:
        return program
    return [sys.executable, "-u", *(["-m"] if args.module else []), *program]


def free_port(host: str) -> int:
    with socket.socket() as door:
        door.bind((host if host in ("127.0.0.1", "localhost") else "", 0))
        return door.getsockname()[1]


class Round:
    """All processes once, from start to end."""

    def __init__(self, job: Job, attempt: int):
        self.job, self.attempt, self.processes = job, attempt, []

    def wait(self) -> str | None:
        """Run; which process has failed and how, None if none. No process is left."""
        with tempfile.TemporaryDirectory(prefix="torchrun") as folder:
            before = [(s, signal.signal(s, leave)) for s in (signal.SIGTERM, signal.SIGINT)]
            try:
                self.start(folder)
                return self.watch(folder)
            finally:
                self.stop()
                for number, handler in before:
                    signal.signal(number, handler)

    def start(self, folder):
        port = self.job.port or free_port(self.job.host)
        for local in range(self.job.here):
            environment = self.job.environment(local, port, self.attempt, error_file(folder, local))
            self.processes.append(subprocess.Popen(self.job.command, env=environment, start_new_session=True))

    def watch(self, folder):
        while True:
            codes = [process.poll() for process in self.processes]
            if any(codes):
                return self.failures(folder)
            if None not in codes:
                return None
            time.sleep(self.job.pause)

    def failures(self, folder):
        """All that have failed: those that lost a peer may end before it has."""
        time.sleep(SETTLE)
        codes = [process.poll() for process in self.processes]
        return "; ".join(self.told(folder, local, code) for local, code in enumerate(codes) if code)

    def told(self, folder, local, code):
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return (f"rank {self.job.node * self.job.here + local} (local rank {local}, pid {self.processes[local].pid}) "
                f"has failed: {how}{message(error_file(folder, local))}")

    def stop(self):
        """End those that still run, and what they have started."""
        for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
            running = [process for process in self.processes if process.poll() is None]
            for process in running:
                os.killpg(process.pid, number)
            deadline = time.monotonic() + GRACE
            for process in running:
                try:
                    process.wait(seconds and max(deadline - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    continue


def leave(number, frame):
    raise SystemExit(128 + number)


def error_file(folder, local) -> str:
    return os.path.join(folder, f"{local}.json")


def message(path: str) -> str:
    """What `record` has written about an error."""
    try:
        with open(path, encoding="utf-8") as file:
            return ": " + json.load(file)["message"]["message"]
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
