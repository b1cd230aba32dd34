"""The worker pool: native threads that claim chunks of one kernel at a time.

A worker is a Python thread that never comes back from a native loop: it spins for a while, then
sleeps on a condition variable. The caller publishes a job, claims chunks like everybody else and
waits only for chunks that were claimed, so a worker that the system does not schedule costs
nothing. All of it lives in one block of memory that is never freed:

    ticket      generation << 32 | chunks not yet claimed; a claim is one compare-and-swap
    job         kernel, args, units, grain, chunks; changed only while no chunk is unclaimed
    done        chunks finished in this generation
    owner       1 while a caller uses the pool; a second caller runs alone instead

A claim reads the job before its compare-and-swap. That is sound: if the swap succeeds, a chunk of
that generation was unclaimed until then, so its caller was still inside and the job unchanged.
"""
from __future__ import annotations

import ctypes
import os
import threading
from _thread import start_new_thread

from .. import config
from ..compiler.kernel import Code
from .limits import available_cores

LINE = 128      # two cache lines: neighbours are fetched in pairs
TICKET, JOB, DONE, OWNER, STATE, MUTEX, CONDITION = (i * LINE for i in range(7))
KERNEL, ARGS, UNITS, GRAIN, CHUNKS = (JOB + 8 * i for i in range(5))
SLEEPERS, STOP, WORKERS, SPINS, ZERO = (STATE + 8 * i for i in range(5))
BLOCK = 7 * LINE

SPIN = 20_000           # pauses before a worker sleeps: about half a millisecond
SPIN_CROWDED = 200      # the same where there are more threads than cores
PATIENCE = 4_000        # pauses before a waiting caller offers its core to the system

ARM_PAUSE = "declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"
POSIX = os.name == "posix"


def get_num_threads() -> int:
    """The number of threads that run kernels, the calling one included."""
    return (config.threads.value or available_cores()) if POSIX else 1


def set_num_threads(number: int) -> None:
    """Run kernels on `number` threads from the next plan on; RuntimeError unless it is positive."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(number).__name__}")
    if number < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    config.threads.set(number)


def pool() -> int:
    """Address of the running pool's block; starts the workers where there are none."""
    return _block or _start()


def field(name: str) -> str:
    """A field of the block as LLVM text: the instruction that computes its address from %pool."""
    return f"getelementptr i8, ptr %pool, i64 {globals()[name]}"


# What both the workers and the callers do: claim chunks until none is left.
CLAIM = f"""
declare void @llvm.x86.sse2.pause()

define internal void @claim_all(ptr %pool) nounwind {{
entry:
  %kernel.at = {field("KERNEL")}
  %args.at = {field("ARGS")}
  %units.at = {field("UNITS")}
  %grain.at = {field("GRAIN")}
  %chunks.at = {field("CHUNKS")}
  %done.at = {field("DONE")}
  br label %look
look:
  %seen = load atomic i64, ptr %pool acquire, align 8
  %left = and i64 %seen, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %finished, label %try
try:
  %kernel = load atomic ptr, ptr %kernel.at monotonic, align 8
  %args = load atomic ptr, ptr %args.at monotonic, align 8
  %units = load atomic i64, ptr %units.at monotonic, align 8
  %grain = load atomic i64, ptr %grain.at monotonic, align 8
  %chunks = load atomic i64, ptr %chunks.at monotonic, align 8
  %less = sub i64 %seen, 1
  %swap = cmpxchg ptr %pool, i64 %seen, i64 %less acq_rel monotonic, align 8
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %work, label %look
work:
  %index = sub i64 %chunks, %left
  %lo = mul i64 %index, %grain
  %end = add i64 %lo, %grain
  %inside = icmp slt i64 %end, %units
  %hi = select i1 %inside, i64 %end, i64 %units
  call void %kernel(ptr %args, i64 %lo, i64 %hi)
  %before = atomicrmw add ptr %done.at, i64 1 release, align 8
  br label %look
finished:
  ret void
}}
"""

WORKER = Code("rushlight_worker", CLAIM + f"""
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)

define internal i1 @is_idle(ptr %pool) nounwind {{
  %seen = load atomic i64, ptr %pool seq_cst, align 8
  %left = and i64 %seen, 4294967295
  %none = icmp eq i64 %left, 0
  ret i1 %none
}}

define internal void @sleep(ptr %pool) nounwind {{
entry:
  %mutex = {field("MUTEX")}
  %condition = {field("CONDITION")}
  %sleepers = {field("SLEEPERS")}
  %stop.at = {field("STOP")}
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %more = atomicrmw add ptr %sleepers, i64 1 seq_cst, align 8
  %idle = call i1 @is_idle(ptr %pool)
  %stop = load atomic i64, ptr %stop.at seq_cst, align 8
  %go = icmp eq i64 %stop, 0
  %rest = and i1 %idle, %go
  br i1 %rest, label %wait, label %leave
wait:
  %woken = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %leave
leave:
  %fewer = atomicrmw sub ptr %sleepers, i64 1 seq_cst, align 8
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}}

define void @rushlight_worker(ptr %pool) nounwind {{
entry:
  %stop.at = {field("STOP")}
  %spins.at = {field("SPINS")}
  %limit = load i64, ptr %spins.at
  br label %look
look:
  %spins = phi i64 [0, %entry], [0, %busy], [%next, %pause], [0, %doze]
  %idle = call i1 @is_idle(ptr %pool)
  br i1 %idle, label %wait, label %busy
busy:
  call void @claim_all(ptr %pool)
  br label %look
wait:
  %stop = load atomic i64, ptr %stop.at monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  br i1 %stopped, label %leave, label %stay
stay:
  %next = add i64 %spins, 1
  %tired = icmp sgt i64 %next, %limit
  br i1 %tired, label %doze, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  br label %look
doze:
  call void @sleep(ptr %pool)
  br label %look
leave:
  ret void
}}
""")

# Run one kernel over [0, units): alone where it is small or the pool is taken, else with the pool.
FORK_JOIN = CLAIM + f"""
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()

define internal void @wake(ptr %pool) nounwind noinline {{
  %mutex = {field("MUTEX")}
  %condition = {field("CONDITION")}
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %woken = call i32 @pthread_cond_broadcast(ptr %condition)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}}

define internal void @publish(ptr %pool, ptr %kernel, ptr %args, i64 %units, i64 %grain,
                              i64 %chunks) nounwind {{
entry:
  %kernel.at = {field("KERNEL")}
  %args.at = {field("ARGS")}
  %units.at = {field("UNITS")}
  %grain.at = {field("GRAIN")}
  %chunks.at = {field("CHUNKS")}
  %done.at = {field("DONE")}
  %sleepers.at = {field("SLEEPERS")}
  store atomic ptr %kernel, ptr %kernel.at monotonic, align 8
  store atomic ptr %args, ptr %args.at monotonic, align 8
  store atomic i64 %units, ptr %units.at monotonic, align 8
  store atomic i64 %grain, ptr %grain.at monotonic, align 8
  store atomic i64 %chunks, ptr %chunks.at monotonic, align 8
  store atomic i64 0, ptr %done.at monotonic, align 8
  %last = load atomic i64, ptr %pool monotonic, align 8
  %generation = add i64 %last, 4294967296
  %ticket = or i64 %generation, %chunks
  store atomic i64 %ticket, ptr %pool seq_cst, align 8
  %sleepers = load atomic i64, ptr %sleepers.at seq_cst, align 8
  %asleep = icmp ne i64 %sleepers, 0
  br i1 %asleep, label %rouse, label %leave
rouse:
  call void @wake(ptr %pool)
  br label %leave
leave:
  ret void
}}

define internal void @wait_done(ptr %pool, i64 %chunks) nounwind {{
entry:
  %done.at = {field("DONE")}
  br label %look
look:
  %spins = phi i64 [0, %entry], [%next, %pause], [%next, %yield]
  %done = load atomic i64, ptr %done.at acquire, align 8
  %all = icmp eq i64 %done, %chunks
  br i1 %all, label %leave, label %stay
stay:
  %next = add i64 %spins, 1
  %tired = icmp ugt i64 %next, {PATIENCE}
  br i1 %tired, label %yield, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  br label %look
yield:
  %yielded = call i32 @sched_yield()
  br label %look
leave:
  ret void
}}

define internal void @fork_join(ptr %pool, ptr %kernel, ptr %args, i64 %units,
                                i64 %wish) nounwind {{
entry:
  %small = icmp sle i64 %units, %wish
  br i1 %small, label %alone, label %large
large:
  %positive = icmp sgt i64 %wish, 1
  %grain = select i1 %positive, i64 %wish, i64 1
  %up = add i64 %units, %grain
  %up.1 = sub i64 %up, 1
  %chunks = udiv i64 %up.1, %grain
  %countable = icmp ult i64 %chunks, 4294967296
  %workers.at = {field("WORKERS")}
  %workers = load i64, ptr %workers.at
  %company = icmp ne i64 %workers, 0
  %wanted = and i1 %countable, %company
  br i1 %wanted, label %ask, label %alone
ask:
  %owner.at = {field("OWNER")}
  %swap = cmpxchg ptr %owner.at, i64 0, i64 1 acquire monotonic, align 8
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %together, label %alone
together:
  call void @publish(ptr %pool, ptr %kernel, ptr %args, i64 %units, i64 %grain, i64 %chunks)
  call void @claim_all(ptr %pool)
  call void @wait_done(ptr %pool, i64 %chunks)
  store atomic i64 0, ptr %owner.at release, align 8
  ret void
alone:
  %work = icmp sgt i64 %units, 0
  br i1 %work, label %run, label %leave
run:
  call void %kernel(ptr %args, i64 0, i64 %units)
  ret void
leave:
  ret void
}}
"""

# Where kernels that fork themselves find the block: in a module, so that it has a name on disk, too.
CELL = Code("rushlight_pool", """
@block = internal global ptr null, align 8

define ptr @rushlight_pool() nounwind {
  ret ptr @block
}
""")

_block = 0
_lock = threading.Lock()


def native(text: str) -> str:
    """LLVM text of the pool for this machine."""
    from ..cpu.features import host
    return text if host().is_x86 else for_machine(text, host().arch)


def for_machine(text: str, arch: str) -> str:
    """The text with the pause of a machine that is not x86."""
    declare, call = ARM_PAUSE if arch in ("arm64", "aarch64") else ("", "")
    return (text.replace("declare void @llvm.x86.sse2.pause()", declare)
            .replace("call void @llvm.x86.sse2.pause()", call))


def _start() -> int:
    """Make a block and its workers; where threads cannot be had, callers run alone."""
    global _block
    with _lock:
        if not _block:
            block = _new_block()
            wanted = get_num_threads() - 1
            _word(block, SPINS).value = SPIN if wanted < available_cores() else SPIN_CROWDED
            _word(block, WORKERS).value = _start_workers(block, wanted) if wanted else 0
            _cell().value = _block = block
        return _block


def _cell() -> ctypes.c_int64:
    """What holds the address of the block while a plan runs; of one that retires until the next."""
    from ..cpu import jit
    return ctypes.c_int64.from_address(ctypes.CFUNCTYPE(ctypes.c_int64)(jit.address(CELL))())


def _start_workers(block: int, wanted: int) -> int:
    from ..cpu import jit
    code = Code(WORKER.symbol, native(WORKER.ir))
    work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(jit.address(code))
    for started in range(wanted):
        try:
            start_new_thread(work, (block,))
        except RuntimeError:        # the system gives no more threads
            return started
    return wanted


def _new_block() -> int:
    memory = ctypes.create_string_buffer(BLOCK + LINE)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))    # workers outlive module teardown
    block = -(-ctypes.addressof(memory) // LINE) * LINE
    if POSIX:
        _libc("pthread_mutex_init", block + MUTEX, None)
        _libc("pthread_cond_init", block + CONDITION, None)
    return block


def _word(block: int, offset: int) -> ctypes.c_int64:
    return ctypes.c_int64.from_address(block + offset)


def _libc(name: str, *addresses: int | None) -> None:
    getattr(ctypes.CDLL(None), name)(*map(ctypes.c_void_p, addresses))


def _retire(_threads=None) -> None:
    """Let the workers go; the next plan starts new ones."""
    global _block
    with _lock:
        block, _block = _block, 0
    if block:
        _word(block, STOP).value = 1
        _libc("pthread_mutex_lock", block + MUTEX)
        _libc("pthread_cond_broadcast", block + CONDITION)
        _libc("pthread_mutex_unlock", block + MUTEX)


def _forget_in_child() -> None:
    """After a fork there are no workers, and the lock may be held by a thread that is not there."""
    global _block, _lock
    _block, _lock = 0, threading.Lock()


config.threads.watchers.append(_retire)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
