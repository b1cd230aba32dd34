"""The table of primitives, by class: the heart of the system."""
from . import complex, contract, exact, families, fourier, host, implicit, index, lattice, linalg, pointwise, recast, recurrent
from . import reduce, rng, special
from .table import PRIMITIVES as PRIMITIVES

__all__ = ["PRIMITIVES", "complex", "contract", "exact", "families", "fourier", "host", "implicit", "index", "lattice",
            "linalg", "pointwise", "recast", "recurrent", "reduce", "rng", "special"]
