"""What this process may use of the machine: cores and memory, as far as the system tells."""
from __future__ import annotations

import os
from functools import cache

CGROUP = "/sys/fs/cgroup"       # a container sees its own limits there


def available_cores() -> int:
    """The number of cores that this process may use: its affinity within its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0)) or 1
    else:
        cores = os.cpu_count() or 1
    return min(cores, _quota() or cores)


@cache
def available_memory() -> int:
    """Bytes of memory of the machine, or of the container where that has less."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        machine = 8 << 30
    limit = _words("memory.max")
    return min(machine, int(limit[0])) if limit and limit[0].isdigit() else machine


@cache
def _quota() -> int:
    """Cores that the container may keep busy, rounded up; 0 without a limit."""
    words = _words("cpu.max")
    if len(words) != 2 or not words[0].isdigit():
        return 0
    return max(1, -(-int(words[0]) // int(words[1])))


def _words(name: str) -> list[str]:
    try:
        with open(os.path.join(CGROUP, name)) as file:
            return file.read().split()
    except OSError:
        return []
