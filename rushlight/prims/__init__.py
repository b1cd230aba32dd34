"""The table of primitives, by class: the heart of the system."""
from . import contract, host, index, pointwise, reduce, rng
from .table import PRIMITIVES as PRIMITIVES

__all__ = ["PRIMITIVES", "contract", "host", "index", "pointwise", "reduce", "rng"]
