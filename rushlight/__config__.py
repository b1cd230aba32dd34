"""torch.__config__: how the library was made."""
from __future__ import annotations


def show() -> str:
    """Versions, compiler and processor."""
    from .cli_info import facts
    return "rushlight built with:\n" + "".join(f"  - {name}: {value}\n" for name, value in facts().items())


def parallel_info() -> str:
    """Threads."""
    from .runtime.threads import available_cores, get_num_threads
    return f"rushlight parallel info:\n\tnumber of threads: {get_num_threads()}\n\tcores: {available_cores()}\n"
