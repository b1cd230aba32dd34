"""torch.linalg: dense linear algebra. The bodies are in ops/linalg.py."""
from ..ops.overridable import caught as _caught
from ..ops import linalg as _bodies
from ..ops.numpy_names import accepting as _accepting

NAMES = """
    LinAlgError cholesky cholesky_ex cond cross det diagonal eig eigh eigvals eigvalsh
    householder_product inv inv_ex ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor
    lu_factor_ex lu_solve matmul matrix_exp matrix_norm matrix_power matrix_rank multi_dot norm
    pinv qr slogdet solve solve_ex solve_triangular svd svdvals tensorinv tensorsolve vander vecdot
    vector_norm
""".split()

for _name in NAMES:
    globals()[_name] = _accepting(getattr(_bodies, _name))

__all__ = NAMES
_caught(globals())
