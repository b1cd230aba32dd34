"""The functions of torch.special. Those that rushlight cannot compute rightly raise."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..autograd.function import differentiable
from ..autograd.node import named
from ..prims import special as p
from ..tensor import Tensor
from .pointwise import into
from .precision import rounded_once
from .promote import result_type
from .support import refuse


def _as_float(x):
    return x if x.dtype.rank >= 2 else x.to(dtypes.default)


def _placed(y, out):
    return y if out is None else into(out, y)


def _bessel(x, order, scaled, out):
    return _placed(p.bessel[order, scaled](_as_float(x)), out)


def i0(input, *, out=None):
    """The modified Bessel function of the first kind, of order 0."""
    return _bessel(input, 0, False, out)


def i0e(input, *, out=None):
    """exp(-|x|) i0(x)."""
    return _bessel(input, 0, True, out)


def i1(input, *, out=None):
    """The modified Bessel function of the first kind, of order 1."""
    return _bessel(input, 1, False, out)


def i1e(input, *, out=None):
    """exp(-|x|) i1(x)."""
    return _bessel(input, 1, True, out)


def _incomplete(a, x, upper, out):
    a, x = (v if isinstance(v, Tensor) else o.tensor(float(v)) for v in (a, x))
    dtype = dtypes.promote_types(_as_float(a).dtype, _as_float(x).dtype)
    a, x = o.broadcast_tensors(a.to(dtype), x.to(dtype))
    return _placed(_incomplete_gamma(a, x, upper=upper), out)


def _refused(g, _y, _a, _x, *, upper):
    raise RuntimeError(f"derivative for aten::special_gammainc{'c' * upper} is not implemented")


@differentiable("IgammaBackward0", vjp=(
    _refused, lambda g, _y, a, x, *, upper: g * p.incomplete_density(_y, a, x, upper=upper)))
def _incomplete_gamma(a, x, *, upper):
    return p.incomplete_gamma(a, x, upper=upper)


def gammainc(input, other, *, out=None):
    """The regularised lower incomplete gamma function P(input, other)."""
    return _incomplete(input, other, False, out)


def gammaincc(input, other, *, out=None):
    """The regularised upper incomplete gamma function Q(input, other)."""
    return _incomplete(input, other, True, out)


def erfcx(input, *, out=None):
    """exp(x^2) erfc(x)."""
    if input.dtype in (dtypes.float16, dtypes.bfloat16):
        refuse("erfcx_vml_cpu", input.dtype)
    return _placed(p.erfcx(_as_float(input)), out)


def xlog1py(input, other, *, out=None):
    """input log(1 + other); 0 where input is 0, unless other is nan."""
    kind = result_type((input, other))
    kind = kind if kind.rank == 2 else dtypes.default
    a, b = (v.to(kind) if isinstance(v, Tensor) else o.tensor(float(v), dtype=kind) for v in (input, other))
    y = a * o.log1p(b)
    return _placed(o.where((a == 0) & ~o.isnan(_as_float(b)), 0.0, y), out)


def entr(input, *, out=None):
    """-x log(x); 0 at 0, -inf below."""
    return _placed(_entr(_as_float(input)), out)


@differentiable("SpecialEntrBackward0", vjp=(lambda g, _y, x: g * -(x.log() + 1),))
@rounded_once
def _entr(x):
    y = o.where(x > 0, -x * x.log(), o.where(x == 0, 0.0, -math.inf))
    return o.where(o.isnan(x), x, y)


def ndtr(input, *, out=None):
    """The cdf of the standard normal distribution."""
    return _placed(o.erfc(_as_float(input) * -math.sqrt(0.5)) * 0.5, out)


def log_ndtr(input, *, out=None):
    """log of the cdf of the standard normal distribution, far out too."""
    x = _as_float(input)
    t = x * math.sqrt(0.5)
    low, high = o.where(x < -1, t, -1.0), o.where(x < -1, 0.0, t)
    y = o.where(x < -1, (p.erfcx(-low) / 2).log() - low * low, o.log1p(-o.erfc(high) / 2))
    return _placed(named(y, "SpecialLogNdtrBackward0"), out)


def sinc(input, *, out=None):
    """sin(pi x) / (pi x)."""
    return _placed(o.sinc(input), out)


def softmax(input, dim, *, dtype=None):
    """exp(x) / sum exp(x) over `dim`."""
    return o.softmax(input, dim, dtype=dtype)


def log_softmax(input, dim, *, dtype=None):
    """log of softmax over `dim`."""
    return o.log_softmax(input, dim, dtype=dtype)
