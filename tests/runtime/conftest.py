"""Kernels that tests of the runtime run, and tables of commands."""
import numpy as np
import pytest

from rushlight.compiler.kernel import Code
from rushlight.cpu import jit

# x[i] = x[i] * 3 + i for lo <= i < hi
AFFINE = Code("test_affine", """
define void @test_affine(ptr %args, i64 %lo, i64 %hi) {
entry:
  %x = load ptr, ptr %args
  br label %loop
loop:
  %i = phi i64 [%lo, %entry], [%next, %loop]
  %at = getelementptr i64, ptr %x, i64 %i
  %old = load i64, ptr %at
  %tripled = mul i64 %old, 3
  %new = add i64 %tripled, %i
  store i64 %new, ptr %at
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}""")

# the i64 at args[0] gets the value lo + 1
RAISE_FLAG = Code("test_raise", """
define void @test_raise(ptr %args, i64 %lo, i64 %hi) {
  %flag = load ptr, ptr %args
  %value = add i64 %lo, 1
  store atomic i64 %value, ptr %flag monotonic, align 8
  ret void
}""")


class Table:
    """A table of commands over an array; everything it points to is kept."""

    def __init__(self, size: int):
        self.data = np.zeros(size, np.int64)
        self.args = np.array([self.data.ctypes.data], np.int64)
        self.rows = []

    def add(self, units: int, grain: int, code: Code = AFFINE, args: np.ndarray | None = None):
        block = self.args if args is None else args
        self.rows.append((jit.address(code), block.ctypes.data, units, grain))
        return self

    def run(self, flag: np.ndarray | None = None) -> int:
        from rushlight.runtime.run import run
        self.words = np.array(self.rows, np.int64).reshape(-1, 4)
        return run(self.words.ctypes.data, len(self.rows), 0 if flag is None else flag.ctypes.data)


@pytest.fixture
def table():
    return Table
