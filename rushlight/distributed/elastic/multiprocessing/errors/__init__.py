"""How a process under torchrun tells what it has failed with."""
from __future__ import annotations

import functools
import json
import os
import time
import traceback

__all__ = ["record"]


def record(fn, error_handler=None):
    """Decorate a main function: an exception goes to the file that torchrun reads, and on."""
    @functools.wraps(fn)
    def recorded(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            write(error)
            raise
    return recorded


def write(error: Exception) -> None:
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        found = {"message": f"{type(error).__name__}: {error}",
                 "extraInfo": {"py_callstack": traceback.format_exc(), "timestamp": str(int(time.time()))}}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": found}, file)
