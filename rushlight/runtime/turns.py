"""A call in turns: one command that runs a kernel again and again, each turn shared by the pool.

The kernel's first word is the number of the turn. A turn begins when the one before has ended, as
if each were a command of its own; so a recurrence is one command, and nothing waits in a barrier.
"""
from __future__ import annotations

from functools import cache

from ..compiler.kernel import Call, Code
from . import threads

HEADER = 5              # words before the kernel's own

TURNS = threads.FORK_JOIN + """
define void @rushlight_turns(ptr %args, i64 %lo, i64 %hi) nounwind {
entry:
  %cell.of = load ptr, ptr %args
  %cell = call ptr %cell.of()
  %pool = load atomic ptr, ptr %cell acquire, align 8
  %kernel.at = getelementptr i8, ptr %args, i64 8
  %kernel = load ptr, ptr %kernel.at
  %units.at = getelementptr i8, ptr %args, i64 16
  %units = load i64, ptr %units.at
  %grain.at = getelementptr i8, ptr %args, i64 24
  %grain = load i64, ptr %grain.at
  %turns.at = getelementptr i8, ptr %args, i64 32
  %turns = load i64, ptr %turns.at
  %turn.at = getelementptr i8, ptr %args, i64 40
  br label %look
look:
  %turn = phi i64 [0, %entry], [%next, %run]
  %more = icmp slt i64 %turn, %turns
  br i1 %more, label %run, label %leave
run:
  store i64 %turn, ptr %turn.at
  call void @fork_join(ptr %pool, ptr %kernel, ptr %turn.at, i64 %units, i64 %grain)
  %next = add i64 %turn, 1
  br label %look
leave:
  ret void
}
"""


@cache
def turns_code() -> Code:
    """The kernel that runs another one in turns."""
    return Code("rushlight_turns", threads.native(TURNS))


def in_turns(call: Call, turns: int) -> Call:
    """The same call `turns` times, its first word counting them."""
    head = (threads.CELL, call.code, call.units, call.grain, turns)
    return call._replace(code=turns_code(), words=(*head, *call.words), units=1, grain=1,
                         flops=turns * call.flops, bytes=turns * call.bytes)
