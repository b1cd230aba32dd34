"""No fork while another thread is in the middle of something that a child could not go on with.

A child has one thread. What another thread was about to finish (a plan, a compilation, an import)
stays half done there, and its locks are held for ever; so a fork waits for them.
"""
from __future__ import annotations

import os
import threading

recording = threading.RLock()   # held while recording and flushing (trace/record.py)
drawing = threading.RLock()     # of all random generators (random.py)
compiling = threading.RLock()   # of machine code (cpu/jit.py)

LOCKS = (recording, drawing, compiling)     # in the order in which a thread takes them


def _take() -> None:
    for lock in LOCKS:
        lock.acquire()


def _let_go() -> None:
    for lock in reversed(LOCKS):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_let_go, after_in_child=_let_go)
