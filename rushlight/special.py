"""torch.special: special functions, those of the main namespace and more."""
from .ops.overridable import caught as _caught
from . import ops as _ops
from .ops import families as _families
from .ops import special as _bodies

HERE = "entr erfcx gammainc gammaincc i0 i0e i1 i1e log_ndtr log_softmax ndtr sinc softmax xlog1py"
ELSEWHERE = {"expit": "sigmoid", "gammaln": "lgamma", "psi": "digamma", "multigammaln": "mvlgamma"}
SAME = "digamma erf erfc erfinv exp2 expm1 log1p logit logsumexp polygamma round xlogy"

for _name in HERE.split():
    globals()[_name] = getattr(_bodies, _name)
for _name in SAME.split():
    globals()[_name] = getattr(_ops, _name)
for _name, _other in ELSEWHERE.items():
    globals()[_name] = getattr(_ops, _other)
modified_bessel_i0, modified_bessel_i1 = _bodies.i0, _bodies.i1
for _name in _families.FUNCTIONS:
    globals()[_name] = getattr(_families, _name)
_caught(globals())
