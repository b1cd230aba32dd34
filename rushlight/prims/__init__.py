"""The table of primitives, by class: the heart of the system."""
from . import contract, exact, families, host, implicit, index, linalg, pointwise, recurrent, reduce, rng, special
from .table import PRIMITIVES as PRIMITIVES

__all__ = ["PRIMITIVES", "contract", "exact", "families", "host", "implicit", "index", "linalg",
            "pointwise", "recurrent", "reduce", "rng", "special"]
