"""Running a plan: one native call that walks a table of commands.

A command is four 8-byte words: address of the kernel, address of its args block, units, grain.
"""
from __future__ import annotations

import ctypes
import functools

from ..compiler.kernel import Code
from . import threads

WORDS = 4               # per command
COMMAND_BYTES = 8 * WORDS

WALK = Code("rushlight_walk", threads.FORK_JOIN + f"""
define i64 @rushlight_walk(ptr %pool, ptr %commands, i64 %count, ptr %flag.or.null) nounwind {{
entry:
  %zero = {threads.field("ZERO")}
  %flagless = icmp eq ptr %flag.or.null, null
  %flag = select i1 %flagless, ptr %zero, ptr %flag.or.null
  br label %look
look:
  %index = phi i64 [0, %entry], [%next, %command]
  %at = phi ptr [%commands, %entry], [%after, %command]
  %more = icmp slt i64 %index, %count
  br i1 %more, label %check, label %leave
check:
  %stop = load atomic i64, ptr %flag monotonic, align 8
  %go = icmp eq i64 %stop, 0
  br i1 %go, label %command, label %leave
command:
  %kernel = load ptr, ptr %at
  %args.at = getelementptr i8, ptr %at, i64 8
  %args = load ptr, ptr %args.at
  %units.at = getelementptr i8, ptr %at, i64 16
  %units = load i64, ptr %units.at
  %grain.at = getelementptr i8, ptr %at, i64 24
  %grain = load i64, ptr %grain.at
  call void @fork_join(ptr %pool, ptr %kernel, ptr %args, i64 %units, i64 %grain)
  %next = add i64 %index, 1
  %after = getelementptr i8, ptr %at, i64 {COMMAND_BYTES}
  br label %look
leave:
  ret i64 %index
}}
""")

_walk = None


def run(commands_address: int, count: int, flag_address: int = 0) -> int:
    """Run `count` commands in order; the index of the first one that did not run, else `count`.

    The i64 at `flag_address` is looked at before each command; nonzero ends the walk.
    Everything that the table and its args blocks point to must be kept alive by the caller.
    """
    return (_walk or _bind())(threads._block or threads.pool(), commands_address, count,
                              flag_address)


def run_alone(kernel: int, args: tuple[int, ...], units: int, grain: int) -> None:
    """Run one kernel outside of any plan; `args` are the words of its block."""
    words = _block_of(WORDS + len(args))(kernel, 0, units, grain, *args)
    at = ctypes.addressof(words)
    words[1] = at + COMMAND_BYTES
    run(at, 1)


@functools.cache
def _block_of(count: int) -> type:
    return ctypes.c_uint64 * count


def _bind():
    global _walk
    from ..cpu import jit
    word = ctypes.c_void_p
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, word, word, ctypes.c_int64, word)
    _walk = signature(jit.address(Code(WALK.symbol, threads.native(WALK.ir))))
    return _walk
