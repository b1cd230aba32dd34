"""Complex tensors: their parts and conjugates, seen in place or made anew, and tensors made of parts."""
from __future__ import annotations

import math

from .casting import listed
from .. import dtypes
from .. import layout as L
from .. import storage as storages
from ..autograd.function import differentiable
from ..autograd.node import named
from ..prims import complex as p
from ..prims.table import Gradient
from ..tensor import Tensor
from ..trace.record import pending
from .create import full_like, zeros_like
from .layouts import Unstrided
from .pointwise import _base, atan2, clone, cos, sign, sin, where
from .promote import FOUND, elementwise, into
from .shape import recast, seen_through, select, stack, unbind
from .support import legacy_name

FLOATS = (dtypes.float32, dtypes.float64)
_conj = elementwise(p.conj)
_conj_physical = elementwise(p.conj, gradient=p.conj.gradient.named("ConjPhysicalBackward0"))
_real, _imag, _sgn, _join = (elementwise(prim) for prim in (p.real, p.imag, p.sgn, p.join))


# -- parts made anew: what gradient rules are made of, which need no memory in common ------------------------
def real_part(x):
    """The real part; a real tensor itself."""
    return _real(x) if x.dtype.is_complex else x


def imag_part(x):
    """The imaginary part of a complex tensor."""
    return _imag(x)


def times_i(x):
    """i times a real or complex tensor."""
    return x * 1j if x.dtype.is_complex else _join(zeros_like(x), x)


# -- parts in place ----------------------------------------------------------------------------------------
AS_REAL = Gradient("ViewAsRealBackward0", (lambda g, _y, _x: _join(*unbind(g, -1)),))
AS_COMPLEX = Gradient("ViewAsComplexBackward0", (lambda g, _y, _x: stack([real_part(g), imag_part(g)], -1),))


def view_as_real(input):
    """The memory of a complex tensor as (..., 2) real numbers."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if is_conj(input):
        raise RuntimeError("view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you "
                           "can view it as real, use self.resolve_conj(); however, be warned that the resulting tensor will "
                           "NOT alias the original.")
    return _as_real(input)


def _as_real(input):
    if within_vmap():
        return stack([real_part(input), imag_part(input)], -1)
    l = L.layout((*input.layout.shape, 2), (*(2 * s for s in input.layout.strides), 1))
    return recast(input, input.dtype.to_real(), l, 2 * input.offset, AS_REAL)


def view_as_complex(input):
    """The memory of (..., 2) real numbers as complex numbers."""
    if input.dtype not in FLOATS:
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but got a tensor of "
                           f"scalar type: {legacy_name(input.dtype)}")
    l, at = input.layout, input.offset
    check_pairs(l, at)
    if within_vmap():
        return _join(*unbind(input, -1))
    seen = L.layout(l.shape[:-1], tuple(s // 2 for s in l.strides[:-1]))
    return recast(input, input.dtype.to_complex(), seen, at // 2, AS_COMPLEX)


def check_pairs(l, at) -> None:
    """RuntimeError unless the last axis are pairs that lie where complex numbers may."""
    if not l.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if l.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if l.strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in l.strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if at % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")


def within_vmap() -> bool:
    """Where a tensor stands for one of a batch, its memory is not there to be seen otherwise."""
    return pending.capture is not None and hasattr(pending.capture, "values")


def real(input):
    """The real part, in place; a real tensor itself."""
    return select(_as_real(_straight(input)), -1, 0) if input.dtype.is_complex else input


def imag(input):
    """The imaginary part of a complex tensor, in place."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    parts = _as_real(_straight(input))
    return select(neg_view(parts) if is_conj(input) else parts, -1, 1)


def _straight(x):
    """The tensor that x is the conjugate of, or x itself."""
    return conj(x) if is_conj(x) else x


# -- conjugates and negatives in place ------------------------------------------------------------------------
CONJ = Gradient("ConjBackward0", (lambda g, _y, _x: conj_physical(g),))
NEG_VIEW = Gradient("NegViewBackward0", (lambda g, _y, _x: -g,))


def conj(input):
    """The conjugate, in place; a real tensor itself."""
    if not input.dtype.is_complex:
        return input
    if isinstance(input, Unstrided) or within_vmap():
        return _conj(input)
    return seen_through(input, storages.mirrored(input.storage, conj=True), input.layout, input.offset, CONJ)


def neg_view(input):
    """The negative, in place."""
    if within_vmap():
        return -input
    return seen_through(input, storages.mirrored(input.storage, neg=True), input.layout, input.offset, NEG_VIEW)


def conj_physical(input, *, out=None):
    """The conjugate; a real tensor itself."""
    y = _conj_physical(input) if input.dtype.is_complex else input
    return y if out is None else into(out, y, FOUND)


def resolve_conj(input):
    """The tensor itself, or a copy of one that shows conjugates."""
    return clone(input) if is_conj(input) else input


def resolve_neg(input):
    """The tensor itself, or a copy of one that shows negatives."""
    return clone(input) if is_neg(input) else input


def resolved(input):
    """The tensor itself, or a copy of one that shows its memory otherwise."""
    return clone(input) if is_conj(input) or is_neg(input) else input


def is_conj(input) -> bool:
    """Whether the tensor shows the conjugates of what its memory holds."""
    return not isinstance(input, Unstrided) and input.storage.is_conj


def is_neg(input) -> bool:
    """Whether the tensor shows the negatives of what its memory holds."""
    return not isinstance(input, Unstrided) and input.storage.is_neg


# -- polar form ------------------------------------------------------------------------------------------------
def sgn(input, *, out=None):
    """z / |z|, 0 at 0; the sign of real numbers."""
    y = _sgn(input) if input.dtype.is_complex else named(sign(input), "SgnBackward0")
    return y if out is None else into(out, y)


def angle(input, *, out=None):
    """The argument of complex numbers; pi for negative real ones, 0 for others."""
    y = _phase(input) if input.dtype.is_complex else _angle(input if input.dtype.rank == 2 else input.to(dtypes.default))
    return y if out is None else into(out, y)


def _phase_gradient(g, _y, z):
    """g i z / |z|^2."""
    size = z.abs()
    turned = _join(-g * imag_part(z), g * real_part(z))
    return where(size == 0, 0, turned / where(size == 0, 1, size * size))


@differentiable("AngleBackward0", vjp=(_phase_gradient,))
def _phase(z):
    return atan2(imag_part(z), real_part(z))


@differentiable("AngleBackward0", vjp=(lambda g, _y, _x: g * 0,))
def _angle(x):
    return where(_base["isnan"](x), x, where(_base["lt"](x, 0), full_like(x, math.pi), zeros_like(x)))


def complex(real, imag, *, out=None):
    """real + i imag, of two tensors of one dtype."""
    check_parts(real, imag)
    y = _join(real, imag)
    return y if out is None else into_complex(out, y)


def polar(abs, angle, *, out=None):
    """abs (cos(angle) + i sin(angle)), of two tensors of one dtype."""
    check_parts(abs, angle)
    y = named(_join(abs * cos(angle), abs * sin(angle)), "PolarBackward0")
    return y if out is None else into_complex(out, y)


def check_parts(a, b) -> None:
    """Two tensors of one dtype that complex numbers may be made of."""
    if any(x.dtype not in FLOATS for x in (a, b)):
        raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                           f"{legacy_name(a.dtype)} and {legacy_name(b.dtype)}")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"Expected object of scalar type {legacy_name(a.dtype)} but got scalar type "
                           f"{legacy_name(b.dtype)} for second argument")


def into_complex(out, y):
    if out.dtype is not y.dtype:
        raise RuntimeError(f"Expected object of scalar type {legacy_name(y.dtype)} but got scalar type "
                           f"{legacy_name(out.dtype)} for argument 'out'")
    return into(out, y)


def isreal(input):
    """Whether the imaginary part is zero."""
    return imag_part(input) == 0 if input.dtype.is_complex else ~zeros_like(input, dtype=dtypes.bool)


# -- properties of Tensor ----------------------------------------------------------------------------------------
def _set_part(part):
    return lambda self, value: part(self).copy_(value if isinstance(value, Tensor) else full_like(part(self), value))


PROPERTIES = {"real": property(real, _set_part(real)), "imag": property(imag, _set_part(imag))}


listed(globals())
