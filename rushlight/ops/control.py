"""Control flow that depends on values: they are looked at, as `if` does."""
from __future__ import annotations

from ..tensor import Tensor


def cond(pred, true_fn, false_fn, operands=()):
    """true_fn(*operands) if pred, a truth value or a tensor of one, else false_fn(*operands).

    Raises:
        RuntimeError: pred is neither, an operand is no tensor, or a branch is no function.
    """
    if not isinstance(pred, (bool, Tensor)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError("Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor "
                           f"leaves, but got {operands}.")
    return true_fn(*operands) if pred else false_fn(*operands)
