"""torch.special: special functions, those of the main namespace and more."""
from . import ops as _ops
from .errors import Missing
from .ops import special as _bodies

HERE = "entr erfcx gammainc gammaincc i0 i0e i1 i1e log_ndtr log_softmax ndtr sinc softmax xlog1py"
ELSEWHERE = {"expit": "sigmoid", "gammaln": "lgamma", "psi": "digamma", "multigammaln": "mvlgamma"}
SAME = "digamma erf erfc erfinv exp2 expm1 log1p logit logsumexp polygamma round xlogy"
MISSING = """
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u
    chebyshev_polynomial_v chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he
    laguerre_polynomial_l legendre_polynomial_p modified_bessel_k0 modified_bessel_k1 ndtri
    scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t
    shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
    spherical_bessel_j0 zeta
""".split()

for _name in HERE.split():
    globals()[_name] = getattr(_bodies, _name)
for _name in SAME.split():
    globals()[_name] = getattr(_ops, _name)
for _name, _other in ELSEWHERE.items():
    globals()[_name] = getattr(_ops, _other)
modified_bessel_i0, modified_bessel_i1 = _bodies.i0, _bodies.i1


def __getattr__(name):
    if name in MISSING:
        raise Missing(f"torch.special.{name}")
    raise AttributeError(f"module 'torch.special' has no attribute {name!r}")
