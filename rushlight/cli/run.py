"""`rushlight run`: start Python on a PyTorch program, with rushlight under PyTorch's name.

The program gets a fresh interpreter in place of this process, not a frame below ours. So argv,
sys.path, `__main__`, tracebacks, exit status and signals are Python's own.
"""
from __future__ import annotations

import os
import subprocess
import sys

from rushlight import impersonate

USAGE = "usage: rushlight run SCRIPT [ARGS...]\n       rushlight run -m MODULE [ARGS...]"


class UsageError(Exception):
    """The command line makes no sense; the message says why in one line."""


def run(arguments: list[str]) -> int:
    program = check(arguments)
    return become([sys.executable, *interpreter_flags(), *program])


def check(arguments: list[str]) -> list[str]:
    """The arguments for Python, or a UsageError."""
    if not arguments:
        raise UsageError("run: which script?\n" + USAGE)
    first = arguments[0]
    if first == "-m":
        return check_module(arguments)
    if first.startswith("-") and first != "-":
        raise UsageError(f"run: unknown option {first}\n" + USAGE)
    return check_script(arguments)


def check_module(arguments):
    if len(arguments) < 2:
        raise UsageError("run -m: which module?\n" + USAGE)
    return arguments


def check_script(arguments):
    script = arguments[0]
    if script != "-" and not os.path.exists(script):
        raise UsageError(f"can't open file {os.path.abspath(script)!r}: "
                         "[Errno 2] No such file or directory")
    return arguments


def interpreter_flags() -> list[str]:
    """-W, -X, -O ... that this interpreter was started with, handed on."""
    if sys.flags.ignore_environment:
        raise UsageError("run: needs PYTHONPATH, which Python's options -E and -I switch off")
    return subprocess._args_from_interpreter_flags()


def become(command: list[str]) -> int:
    """Replace this process by the command; where the system cannot, wait and pass its status on."""
    env = impersonate.environment()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(command[0], command, env)
    return subprocess.call(command, env=env)
