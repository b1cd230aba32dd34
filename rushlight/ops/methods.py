"""Which operations are methods of Tensor. Read as the table of contents of the class."""
from __future__ import annotations

import numpy as np

from ..tensor import Tensor
from .. import dtypes, ops
from . import inplace, interop
from .complex import PROPERTIES
from .index import getitem, setitem
from .overriding import catching, stranger
from .pointwise import _base, _modulo_operator, _operator, _power_operator
from .shape import contiguous_format

SAME_NAME = """
    abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr adjoint all allclose amax amin aminmax any
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere as_strided asin asinh atan atan2
    atanh baddbmm bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm
    broadcast_to ceil chunk clamp clamp_max clamp_min clip clone contiguous copysign cos cosh count_nonzero cummax
    cummin cumprod cumsum deg2rad diag diag_embed diagonal diff digamma div divide dot eq equal erf erfc erfinv exp
    exp2 expand expand_as expm1 fix flatten flip fliplr flipud float_power floor floor_divide fmod frac gather ge ger
    greater greater_equal gt hypot index_add index_copy index_fill index_put index_select inner isclose isfinite isinf
    isnan isneginf isposinf isreal kron kthvalue le lerp less less_equal lgamma log log10 log1p log2 logaddexp
    logcumsumexp logical_and logical_not logical_or logical_xor logit logsumexp lt masked_fill masked_scatter
    masked_select matmul matrix_power max maximum mean median min minimum mm moveaxis movedim msort mul multiply mv
    nan_to_num nanmean nansum narrow ne neg negative nonzero norm not_equal outer permute positive pow prod rad2deg
    ravel reciprocal relu remainder repeat repeat_interleave reshape reshape_as roll rot90 round rsqrt scatter
    scatter_add scatter_reduce select sigmoid sign signbit sin sinc sinh sort split split_with_sizes sqrt square
    squeeze std sub subtract sum sum_to_size swapaxes swapdims t take take_along_dim tan tanh tensor_split tile topk trace
    transpose tril triu true_divide trunc unbind unflatten unfold unique unsqueeze var vdot view view_as where xlogy
    mode nanmedian histc quantile nanquantile cov corrcoef dist renorm cross diagflat unique_consecutive hsplit vsplit
    dsplit unsafe_chunk unsafe_split unsafe_split_with_sizes select_scatter slice_scatter diagonal_scatter softmax
    log_softmax sgn angle conj conj_physical resolve_conj resolve_neg is_conj is_neg stft istft
    fmax fmin heaviside ldexp logaddexp2 float_power mvlgamma isin
    to type cuda requires_grad_ normal_ uniform_ random_ bernoulli bernoulli_ exponential_ geometric_ cauchy_
    log_normal_ multinomial
    inverse pinverse det slogdet logdet cholesky cholesky_solve cholesky_inverse qr svd matrix_exp triangular_solve lu
    lu_solve orgqr ormqr geqrf put nonzero_static dim_order gcd lcm nextafter frexp histogram index_reduce as_strided_scatter
"""
RENAMED = {"type": "type_"}
# Methods of no memo that take numbers in many forms: not called so often that a frame more matters.
CAUGHT = frozenset("movedim moveaxis roll".split())


def swapped(op):
    """An operator with its operands swapped, for `2 - x`."""
    return lambda self, other: op(other, self)


def guarded(op):
    """A public operation as an operator: what is no operand is left to its own class."""
    def call(a, b):
        a, b = (ops.tensor(x) if isinstance(x, np.ndarray) else x for x in (a, b))
        if all(isinstance(x, (Tensor, int, float, np.generic)) for x in (a, b)):
            return op(a, b)
        found = stranger(op, (a, b), {})
        return NotImplemented if found is None else found[0]
    return call


def times_matrix(a, b):
    """a @ b."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return ops.matmul(a, b)
    found = stranger(ops.matmul, (a, b), {})
    return NotImplemented if found is None else found[0]


OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "shift_left", "rshift": "shift_right"}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
COMMUTATIVE = {"add", "mul", "and", "or", "xor"}
NAMED_ANEW = """__eq__ __ne__ __and__ __or__ __xor__ __floordiv__ __rsub__ __rtruediv__ __rpow__ __rmod__ __rfloordiv__
    __rmatmul__ __lshift__ __rshift__ __getitem__ __setitem__"""
IN_PLACE = {"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_", "__ifloordiv__":
            "floor_divide_", "__imod__": "remainder_", "__ipow__": "pow_", "__iand__": "bitwise_and_", "__ior__":
            "bitwise_or_", "__ixor__": "bitwise_xor_"}


def inverted(x):
    """~x."""
    if x.dtype.rank > 1:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return ops.bitwise_not(x)


def where_method(self, condition, other):
    """self where condition, else other."""
    return ops.where(condition, self, other)


def attach() -> None:
    """Give Tensor its methods; called once, when the package is imported."""
    for name in SAME_NAME.split():
        if not hasattr(Tensor, name) or name in RENAMED:
            op = getattr(ops, RENAMED.get(name, name))
            setattr(Tensor, name, catching(op) if name in CAUGHT else op)
    for name, op in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _operator[op])
        setattr(Tensor, f"__r{name}__", _operator[op] if name in COMMUTATIVE else swapped(_operator[op]))
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _operator[name])
    for name, op in (("pow", _power_operator), ("mod", _modulo_operator), ("matmul", times_matrix),
                     ("floordiv", guarded(ops.floor_divide))):
        setattr(Tensor, f"__{name}__", op)
        setattr(Tensor, f"__r{name}__", swapped(op))
    for name, method in inplace.METHODS.items():
        setattr(Tensor, name, method)
    for name, op in IN_PLACE.items():
        setattr(Tensor, name, inplace.METHODS[op])
    Tensor.__getitem__, Tensor.__setitem__ = getitem, setitem
    for name in NAMED_ANEW.split():
        fn = vars(Tensor)[name]
        fn.__name__, fn.__qualname__ = name, f"Tensor.{name}"
    Tensor.where = where_method
    Tensor.__rdiv__ = Tensor.__rtruediv__
    Tensor.polygamma = lambda self, n: ops.polygamma(n, self)
    Tensor.__neg__, Tensor.__abs__ = ops.neg, _base["abs"]
    Tensor.__pos__ = ops.positive
    Tensor.__invert__ = inverted
    Tensor.T, Tensor.mT, Tensor.H = (property(f) for f in (ops.numpy_T, ops.mT, ops.H))
    for kind in ("zeros", "ones", "empty", "full", "tensor"):
        setattr(Tensor, f"new_{kind}", interop.new(kind))
    for name, dtype in CONVERSIONS.items():
        setattr(Tensor, name, _converter(name, dtype))
    for name in ("lshift", "rshift"):
        setattr(Tensor, f"__i{name}__", inplace.METHODS[f"bitwise_{'left' if name == 'lshift' else 'right'}_shift_"])
    Tensor.new = interop.new_like
    Tensor.mH = property(ops.adjoint)
    for name, part in PROPERTIES.items():
        setattr(Tensor, name, part)
    from . import special
    for name, op in (("i0", special.i0), ("igamma", special.gammainc), ("igammac", special.gammaincc)):
        setattr(Tensor, name, op)
        setattr(ops, name, op)
    Tensor.hardshrink = lambda self, lambd=0.5: _layer("hardshrink")(self, lambd)
    Tensor.prelu = lambda self, weight: _layer("prelu")(self, weight)
    Tensor.__reversed__ = lambda self: ops.flip(self, 0) if self.layout.ndim else self
    Tensor.as_subclass = lambda self, cls: interop.as_subclass(self, cls)
    Tensor.narrow_copy = lambda self, dim, start, length: ops.narrow(self, dim, start, length).clone()
    Tensor.new_empty_strided = lambda self, size, stride, dtype=None, **kw: ops.empty_strided(
        size, stride, dtype=dtype or self.dtype, **kw)
    Tensor.is_nonzero = lambda self: bool(self)
    Tensor.const_data_ptr = Tensor.data_ptr
    Tensor.cpu = lambda self, memory_format=contiguous_format: self
    for name in SPARSE.split():
        setattr(Tensor, name, _to_sparse_room(name))
    Tensor.pin_memory = lambda self, device=None: self
    Tensor.is_pinned = lambda self, device=None: False
    Tensor.is_shared, Tensor.share_memory_ = interop.is_shared, interop.share_memory_
    Tensor.type_as = lambda self, other: interop.to(self, other.dtype)
    Tensor.is_same_size = ops.is_same_size
    Tensor.is_set_to = lambda self, other: self.storage is other.storage and self.layout is other.layout


SPARSE = """to_dense to_sparse to_sparse_coo to_sparse_csr to_sparse_csc sparse_mask indices _indices is_coalesced
    coalesce values _values crow_indices col_indices ccol_indices row_indices _nnz"""


def _to_sparse_room(name):
    """A method that stands in rushlight.sparse, which is loaded when it is called."""
    def method(self, *args, **kwargs):
        from ..sparse import convert
        return convert.METHODS[name](self, *args, **kwargs)
    method.__name__ = method.__qualname__ = name
    return method


def _layer(name):
    """A function of nn.functional, which is loaded when it is called."""
    from ..nn import functional
    return getattr(functional, name)


CONVERSIONS = {"float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
               "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8,
               "byte": dtypes.uint8, "bool": dtypes.bool, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128}


def _converter(name, dtype):
    def method(self, memory_format=None):
        return ops.cast(self, dtype) if memory_format is None else interop.to(self, dtype, memory_format=memory_format)
    method.__name__ = name
    method.__doc__ = f"Converted to {dtype!r}."
    return method
