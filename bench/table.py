"""What a case of the operation table is."""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

IMAGE = (1024, 1024)
MAPS = (16, 64, 32, 32)


class Index(NamedTuple):
    """An int64 input with values in [0, below)."""
    shape: tuple[int, ...]
    below: int


class Of(NamedTuple):
    """An input of another dtype: numbers in [-100, 100), drawn as float64 and converted."""
    shape: tuple[int, ...]
    dtype: str


class Case(NamedTuple):
    name: str
    inputs: tuple           # shapes, Index or Of
    run: Callable           # (torch, *tensors) -> tensor
    has_gradient: bool = True


def fn(torch):
    return torch.nn.functional
