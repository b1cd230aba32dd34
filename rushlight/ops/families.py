"""Families of torch.special: orthogonal polynomials, Bessel functions, zeta, ndtri."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..autograd.function import differentiable
from ..prims import families as p
from ..tensor import Tensor
from .pointwise import into
from .promote import result_type

FUNCTIONS: list[str] = []


def _as_float(x):
    x = x if isinstance(x, Tensor) else o.tensor(x)
    return x if x.dtype.rank >= 2 else x.to(dtypes.default)


def _together(a, b):
    """Two arguments, broadcast, in their common floating point dtype."""
    pair = [x if isinstance(x, Tensor) else o.tensor(x, dtype=dtypes.float64 if isinstance(x, float) else None)
            for x in (a, b)]
    tensors = [x for x in (a, b) if isinstance(x, Tensor)]
    dtype = _as_float(o.zeros(0, dtype=result_type((a, b)))).dtype if tensors else dtypes.default
    return o.broadcast_tensors(*(x.to(dtype) for x in pair))


def _placed(y, out):
    return y if out is None else into(out, y)


def _without_derivative(name, arity, body):
    """A function whose derivative PyTorch does not have either."""
    def refused(g, *_, **__):
        raise RuntimeError(f"derivative for aten::special_{name} is not implemented")
    title = "Special" + "".join(w.capitalize() for w in name.split("_")) + "Backward0"
    return differentiable(title, vjp=(refused,) * arity)(body)


def _public(name, doc, op, prepare, arity):
    def one(input, *, out=None):
        return _placed(op(prepare(input)), out)

    def two(input, other, *, out=None):
        return _placed(op(*prepare(input, other)), out)
    function = one if arity == 1 else two
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    globals()[name] = function
    FUNCTIONS.append(name)


def _polynomials():
    names = {f"chebyshev_polynomial_{k}": k for k in "tuvw"}
    names |= {"hermite_polynomial_h": "h", "hermite_polynomial_he": "he", "laguerre_polynomial_l": "l",
              "legendre_polynomial_p": "p"}
    for name, kind in names.items():
        body = _without_derivative(name, 2, lambda x, n, kind=kind: p.polynomial(x, n, kind=kind))
        _public(name, f"{name}(input, n): the polynomial of degree n at input; 0 for negative n.", body, _together, 2)
    for kind in "tuvw":
        name = f"shifted_chebyshev_polynomial_{kind}"
        body = _without_derivative(name, 2, lambda x, n, kind=kind: p.polynomial(2 * x - 1, n, kind=kind))
        _public(name, f"chebyshev_polynomial_{kind}(2 input - 1, n).", body, _together, 2)


def _bessels():
    for order in (0, 1):
        kinds = {f"bessel_j{order}": (p.bessel_j, {}, "first kind"), f"bessel_y{order}": (p.bessel_y, {}, "second kind"),
                 f"modified_bessel_k{order}": (p.bessel_k, {"scaled": False}, "second kind, modified"),
                 f"scaled_modified_bessel_k{order}": (p.bessel_k, {"scaled": True}, "second kind, modified, times exp(x)")}
        for name, (prim, how, kind) in kinds.items():
            body = _without_derivative(name, 1, lambda x, prim=prim, how=how, order=order: prim(x, order=order, **how))
            _public(name, f"The Bessel function of order {order} of the {kind}.", body, _as_float, 1)


_polynomials()
_bessels()
_public("spherical_bessel_j0", "sin(x) / x.",
        _without_derivative("spherical_bessel_j0", 1, lambda x: o.sinc(x / math.pi)), _as_float, 1)


_public("airy_ai", "Airy's function Ai, which solves y'' = x y and falls off on the right.",
        _without_derivative("airy_ai", 1, lambda x: p.airy_ai(x)), _as_float, 1)


def _refused_exponent(g, *_):
    raise RuntimeError("derivative for aten::special_zeta is not implemented")


@differentiable("SpecialZetaBackward0", vjp=(_refused_exponent, lambda g, _y, s, q: g * -s * zeta(s + 1, q)))
def _zeta(s, q):
    return p.zeta(s, q)


def zeta(input, other, *, out=None):
    """Hurwitz' zeta function: the sum of (k + other) ** -input over k = 0, 1, ..."""
    return _placed(_zeta(*_together(input, other)), out)


@differentiable("SpecialNdtriBackward0", vjp=(lambda g, y, _p: g * math.sqrt(2 * math.pi) * (y * y / 2).exp(),))
def _ndtri(x):
    return p.ndtri(x)


def ndtri(input, *, out=None):
    """The x at which the standard normal distribution's cdf is input."""
    return _placed(_ndtri(_as_float(input)), out)


FUNCTIONS += ["zeta", "ndtri"]
