"""`rushlight info` and `rushlight cache`: what this installation is and what it keeps on disk."""
from __future__ import annotations

import platform
from collections.abc import Sequence

from . import config


def info() -> int:
    """Print versions, CPU, threads, back end and cache, a line each."""
    rows = facts()
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


def facts() -> dict[str, str]:
    """What `info` prints, by name."""
    from .runtime.threads import available_cores, get_num_threads
    from .version import __version__ as torch
    from .version import rushlight as own
    python = f"{platform.python_version()} ({platform.python_implementation()})"
    return {
        "rushlight": f"{own} (torch {torch})",
        "Python": f"{python} on {platform.system()} {platform.machine()}",
        **_compiler_facts(),
        "threads": f"{get_num_threads()} of {available_cores()} cores",
        "backend": config.backend.value,
        "cache": cache_line(),
    }


def _compiler_facts() -> dict[str, str]:
    try:
        import llvmlite

        from .cpu.features import cpu_model, host
        machine = host()
    except (ImportError, OSError) as error:     # the reference back end needs no LLVM
        return {"LLVM": f"none ({error})"}
    extras = ["FMA"] * machine.has_fma + ["bfloat16 dot"] * machine.has_bf16_dot
    return {"LLVM": f"{machine.llvm} (llvmlite {llvmlite.__version__})",
            "CPU": f"{cpu_model()} ({machine.cpu})",
            "vectors": ", ".join([f"{machine.vector_bits} bits", *extras])}


def cache_line() -> str:
    """The cache folder and its size."""
    from .compiler import cache as objects
    folder = config.cache.value
    if not folder:
        return "off"
    return f"{folder} ({megabytes(objects.size())} of {config.cache_size.value} MiB)"


def megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def cache(arguments: Sequence[str] = ()) -> int:
    """`rushlight cache` says where compiled kernels are; `--clear` deletes them."""
    if "--clear" not in arguments:
        print(cache_line())
        return 0
    from .compiler import cache as objects
    count, freed = objects.count(), objects.size()
    left = objects.clear()
    folder = config.cache.value or "no folder"
    print(f"deleted {count - left} objects, {megabytes(freed)}, from {folder}")
    if left:
        print(f"{left} objects could not be deleted")
    return 1 if left else 0
