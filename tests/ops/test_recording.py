"""Operations as they are recorded: what is not run, not copied, not recorded twice, and what is refused."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight.prims import PRIMITIVES
from rushlight.trace import record
from rushlight.trace.record import pending


@pytest.fixture(autouse=True)
def nothing_pending():
    pending.flush()


def recorded(fn):
    """What fn records, in order."""
    result = fn()
    names = [n.sig.prim.name for r in pending.nodes if (n := r()) is not None and n.buffer is None]
    del result
    return names


X = torch.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3))
COUNTS = {      # program: what it records
    "views": (lambda: X.t().unsqueeze(0)[:, 1:].expand(4, -1, -1).diagonal(0, 1, 2), []),
    "number": (lambda: X + 1, ["add"]),
    "cast": (lambda: X + torch.ones(3, dtype=torch.float64), ["full", "cast", "add"]),
    "same dtype": (lambda: X.float(), []),
    "contiguous": (lambda: X.contiguous(), []),
    "transposed contiguous": (lambda: X.t().contiguous(), ["copy"]),
    "clone": (lambda: X.clone(), []),
    "reshape": (lambda: X.reshape(3, 2), []),
    "square": (lambda: X ** 2, ["mul"]),
    "sum": (lambda: X.sum(1, keepdim=True), ["sum"]),
    "mean": (lambda: X.mean(), ["sum", "div"]),
    "matmul": (lambda: X @ X.t(), ["matmul"]),
    "rows": (lambda: X[torch.tensor([1, 0])], ["gather"]),
    "zeros": (lambda: torch.zeros(5), ["full"]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_recorded(name):
    program, want = COUNTS[name]
    assert recorded(program) == want


def test_recipes_are_kept():
    before = {name: len(p.memo) for name, p in PRIMITIVES.items()}
    for step in range(5):
        (X * (1.0 + step) - X.tanh()).sum()
    first = {name: len(p.memo) for name, p in PRIMITIVES.items()}
    for step in range(5):
        (X * (7.0 + step) - X.tanh()).sum()
    assert first == {name: len(p.memo) for name, p in PRIMITIVES.items()} and first.keys() == before.keys()


def test_default_dtype_reaches_recipes():
    assert (torch.arange(3) / 2).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert (torch.arange(3) / 2).dtype is torch.float64 and torch.sigmoid(torch.arange(2)).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert (torch.arange(3) / 2).dtype is torch.float32


REFUSED = {
    "bits of floats": (lambda: X & X, NotImplementedError, "bitwise_and_cpu.*Float"),
    "bool minus bool": (lambda: (X > 0) - (X > 1), RuntimeError, "two bool tensors"),
    "minus a bool": (lambda: -(X > 0), RuntimeError, "Negation"),
    "shapes": (lambda: X + torch.ones(2), RuntimeError, "must match the size of tensor b"),
    "matrices": (lambda: X @ X, RuntimeError, r"cannot be multiplied \(2x3 and 2x3\)"),
    "view": (lambda: X.t().view(-1), RuntimeError, "not compatible"),
    "index": (lambda: X[2], IndexError, "out of bounds"),
    "dim": (lambda: X.sum(2), IndexError, "Dimension out of range"),
    "mean of whole numbers": (lambda: torch.arange(3).mean(), RuntimeError, "floating point"),
    "in place": (lambda: torch.arange(3).add_(1.5), RuntimeError, "can't be cast"),
    "out": (lambda: torch.add(X, 1, out=torch.zeros(2, 3, dtype=torch.int64)), RuntimeError, "can't be cast"),
    "foreign": (lambda: X + "a", TypeError, "unsupported operand"),
    "foreign by name": (lambda: torch.add(X, "a"), TypeError, "must be Tensor, not str"),
    "empty max": (lambda: torch.empty(0).max(), RuntimeError, "numel\\(\\) == 0"),
    "ragged": (lambda: torch.tensor([[1], [1, 2]]), ValueError, "expected sequence of length 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_call(name):
    program, exception, phrase = REFUSED[name]
    with pytest.raises(exception, match=phrase):
        program()


def test_index_errors_come_at_the_flush_with_the_line():
    y = X[torch.tensor([0, 7])]
    with pytest.raises(IndexError, match=r"index 7 is out of bounds for dimension 0 with size 2(.|\n)*test_recording"):
        y.tolist()


class Foreign:
    def __radd__(self, other):
        return "added"

    def __rmatmul__(self, other):
        return "multiplied"

    def __rpow__(self, other):
        return "raised"


def test_operators_leave_foreign_operands_to_their_class():
    assert (X + Foreign(), X @ Foreign(), X ** Foreign()) == ("added", "multiplied", "raised")


def test_shared_memory_is_read_at_the_call():
    a = np.zeros(3)
    x = torch.from_numpy(a)
    before = x + 1
    a[:] = 5
    after = x + 1
    x.mul_(2)
    assert before.tolist() == [1, 1, 1] and after.tolist() == [6, 6, 6] and a.tolist() == [10, 10, 10]


def test_clones_are_apart_for_those_who_look_at_memory():
    x = torch.arange(3.0)
    y = x.clone()
    assert x.data_ptr() != y.data_ptr()
    x.numpy()[0] = 9
    assert y.tolist() == [0, 1, 2]


def test_factories_remember_what_they_record_even_if_it_was_run_at_once(monkeypatch):
    """A cut may run a node, which then forgets its numbers, before its call returns."""
    monkeypatch.setattr(record, "LIMIT", 1)
    monkeypatch.setattr(record, "HARD_LIMIT", 1)
    for make, expected in ((lambda: torch.ones(3, 5), [[1.0] * 5] * 3), (lambda: torch.zeros(5, dtype=torch.bool), [False] * 5)):
        for _ in range(3):
            before = torch.full((4,), 2.0)
            one = make()                    # is cut
            assert one.tolist() == expected and before.tolist() == [2.0] * 4
