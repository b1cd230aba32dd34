"""The table of primitives, by class: the heart of the system."""
from . import contract, host, index, linalg, pointwise, reduce, rng
from .table import PRIMITIVES as PRIMITIVES

__all__ = ["PRIMITIVES", "contract", "host", "index", "linalg", "pointwise", "reduce", "rng"]
