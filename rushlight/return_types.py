"""Named tuples of operations with several results: `torch.return_types.max` is what `max(x, dim)` returns."""
from __future__ import annotations

from collections import namedtuple
from functools import cache

PAIRS = "cummax cummin kthvalue max median min mode nanmedian sort topk"
FIELDS = dict.fromkeys(PAIRS.split(), ("values", "indices")) | {name: tuple(fields.split()) for name, fields in {
    "aminmax": "min max", "frexp": "mantissa exponent", "geqrf": "a tau", "histogram": "hist bin_edges",
    "histogramdd": "hist bin_edges", "linalg_cholesky_ex": "L info", "linalg_eig": "eigenvalues eigenvectors",
    "linalg_eigh": "eigenvalues eigenvectors", "linalg_inv_ex": "inverse info", "linalg_ldl_factor": "LD pivots",
    "linalg_ldl_factor_ex": "LD pivots info", "linalg_lstsq": "solution residuals rank singular_values",
    "linalg_lu": "P L U", "linalg_lu_factor": "LU pivots", "linalg_lu_factor_ex": "LU pivots info", "linalg_qr": "Q R",
    "linalg_slogdet": "sign logabsdet", "linalg_solve_ex": "result info", "linalg_svd": "U S Vh", "lu_unpack": "P L U",
    "qr": "Q R", "slogdet": "sign logabsdet", "svd": "U S V", "triangular_solve": "solution cloned_coefficient"}.items()}


@cache
def return_type(name: str, fields: tuple[str, ...]):
    """A named tuple that prints as torch.return_types.NAME, made of its parts or of one sequence of them."""
    class Results(namedtuple(name, fields)):
        __slots__ = ()
        n_fields = n_sequence_fields = len(fields)

        def __new__(cls, *parts):
            return super().__new__(cls, *(parts[0] if len(parts) == 1 and len(fields) > 1 else parts))

        def __repr__(self):
            return f"torch.return_types.{name}(\n" + ",\n".join(f"{f}={v!r}" for f, v in zip(fields, self)) + ")"

        def __reduce__(self):
            return _again, (name, fields, tuple(self))
    Results.__name__ = Results.__qualname__ = name
    Results.__module__ = "torch.return_types"
    return Results


def _again(name, fields, parts):
    return return_type(name, fields)(*parts)


for _name, _fields in FIELDS.items():
    globals()[_name] = return_type(_name, _fields)
