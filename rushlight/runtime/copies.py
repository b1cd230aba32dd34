"""Many pieces of memory copied one behind the other by one native call."""
from __future__ import annotations

import ctypes
from array import array

from ..compiler.kernel import Code

COPY = Code("rushlight_copy_pieces", """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @rushlight_copy_pieces(ptr %to, ptr %pieces, i64 %count) nounwind {
entry:
  br label %look
look:
  %index = phi i64 [0, %entry], [%next, %piece]
  %at = phi ptr [%to, %entry], [%after, %piece]
  %more = icmp slt i64 %index, %count
  br i1 %more, label %piece, label %leave
piece:
  %from.at = getelementptr { ptr, i64 }, ptr %pieces, i64 %index
  %from = load ptr, ptr %from.at
  %size.at = getelementptr i8, ptr %from.at, i64 8
  %size = load i64, ptr %size.at
  call void @llvm.memcpy.p0.p0.i64(ptr %at, ptr %from, i64 %size, i1 false)
  %after = getelementptr i8, ptr %at, i64 %size
  %next = add i64 %index, 1
  br label %look
leave:
  ret void
}
""")

_copy = None


def copy_pieces(to: int, pieces: list[int]) -> None:
    """Copy pieces of memory to an address; `pieces` is flat: address, bytes, address, bytes, ..."""
    _run(to, array("q", pieces))


def copy_equal(to: int, addresses: list[int], size: int) -> None:
    """Copy pieces of `size` bytes each to an address."""
    words = array("q", [0, size]) * len(addresses)
    words[::2] = array("q", addresses)
    _run(to, words)


def _run(to: int, words: array) -> None:
    (_copy or _bind())(to, words.buffer_info()[0], len(words) // 2)


def _bind():
    global _copy
    from ..cpu import jit
    word = ctypes.c_void_p
    _copy = ctypes.CFUNCTYPE(None, word, word, ctypes.c_int64)(jit.address(COPY))
    return _copy
