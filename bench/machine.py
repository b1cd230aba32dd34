"""The machine that numbers were measured on, and which Pythons there are."""
from __future__ import annotations

import os
import subprocess
import sys


def threads() -> int:
    """Cores that this process may use."""
    from rushlight.runtime.limits import available_cores
    return available_cores()


def torch_python(python: str) -> str | None:
    """`python` if it has PyTorch, else None."""
    found = subprocess.run([python, "-c", "import torch; print(torch.__file__)"], capture_output=True, text=True)
    is_theirs = found.returncode == 0 and "rushlight" not in os.path.basename(os.path.dirname(found.stdout.strip()))
    return python if is_theirs else None


def has_module(python: str, name: str) -> bool:
    """Whether that Python can import it."""
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def describe(options) -> str:
    """One sentence: CPU, cores, memory, versions."""
    import llvmlite
    import numpy

    from rushlight.cpu.features import cpu_model, host
    from rushlight.version import rushlight
    machine = host()
    parts = [f"{cpu_model()} ({machine.cpu}, vectors of {machine.vector_bits} bits)",
             f"{options.threads} threads on {threads()} cores", f"{memory_gib():.0f} GiB",
             f"Python {sys.version.split()[0]}", f"NumPy {numpy.__version__}",
             f"LLVM {machine.llvm} (llvmlite {llvmlite.__version__})", f"rushlight {rushlight}"]
    if options.torch_python:
        parts.append(f"PyTorch {version_of(options.torch_python, 'torch')}")
    for name in getattr(options, "peers", ()):
        parts.append(f"{name} {version_of(options.others_python, name)}")
    return ", ".join(parts)


def version_of(python: str, name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def memory_gib() -> float:
    try:
        with open("/proc/meminfo") as lines:
            return int(next(lines).split()[1]) / 2**20
    except OSError:
        return float("nan")


def load() -> str:
    """How busy the machine was, where it tells."""
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except OSError:
        return "unknown"
