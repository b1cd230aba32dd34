"""What this machine can do at most: multiply-adds in registers, and bytes through memory.

Both are measured with kernels of our own back end, on as many threads as asked for.
"""
from __future__ import annotations

from time import perf_counter

import numpy as np

from rushlight.compiler.kernel import Call, Code
from rushlight.cpu.features import host
from rushlight.testing.calls import Memory

SUMS = 12               # independent sums: more than the latency of a multiply-add times its ports
TURNS, UNITS = 20_000, 64
COPIED = 1 << 26        # float32 elements of the large copy: far beyond every cache
REPEAT = 12


def fma_rate(threads: int) -> float:
    """Floating-point operations a second of multiply-adds that touch no memory."""
    lanes = host().vector_bits // 32
    out = Memory()
    place = out.put(np.zeros(UNITS * lanes, np.float32))
    run = out.bind([Call(fma_kernel(lanes), (place.ref,), UNITS, 1)])
    return 2 * lanes * SUMS * TURNS * UNITS / on_threads(threads, run)


def fma_kernel(lanes: int) -> Code:
    """SUMS vectors that are multiplied and added TURNS times a unit; their sum is stored, so that they count."""
    vector, some = f"<{lanes} x float>", range(SUMS)
    heads = "\n".join(f"  %s{i} = phi {vector} [zeroinitializer, %unit], [%t{i}, %loop]" for i in some)
    steps = "\n".join(f"  %t{i} = call {vector} @llvm.fma.v{lanes}f32({vector} %x, {vector} %y, {vector} %s{i})"
                      for i in some)
    total = "\n".join(f"  %u{i} = fadd {vector} {f'%u{i - 1}' if i > 1 else '%t0'}, %t{i}" for i in some if i)
    return Code("bench_fma", f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})

define void @bench_fma(ptr %args, i64 %lo, i64 %hi) nounwind {{
entry:
  %out = load ptr, ptr %args
  br label %unit
unit:
  %number = phi i64 [%lo, %entry], [%following, %leave]
  %place = getelementptr {vector}, ptr %out, i64 %number
  %x = load {vector}, ptr %place, align 4
  %y = fadd {vector} %x, %x
  br label %loop
loop:
  %i = phi i64 [0, %unit], [%next, %loop]
{heads}
{steps}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, {TURNS}
  br i1 %more, label %loop, label %leave
leave:
{total}
  store {vector} %u{SUMS - 1}, ptr %place, align 4
  %following = add i64 %number, 1
  %unfinished = icmp slt i64 %following, %hi
  br i1 %unfinished, label %unit, label %finish
finish:
  ret void
}}
""")


def copy_rate(threads: int) -> float:
    """Bytes a second, read and written, of a negation of COPIED numbers: a copy that cannot be left out."""
    import rushlight
    x = rushlight.ones(COPIED)

    def run():
        y = x.neg()
        rushlight.cpu.synchronize()
        return y
    return 8 * COPIED / on_threads(threads, run)


def on_threads(threads: int, run) -> float:
    """The least seconds of a run."""
    import rushlight
    before = rushlight.get_num_threads()
    rushlight.set_num_threads(threads)
    try:
        run()
        return min(timed(run) for _ in range(REPEAT))
    finally:
        rushlight.set_num_threads(before)


def timed(run) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started
