"""In-place forms: `x.add_(y)` is x = add(x, y) written into x's memory. Made from the out-of-place ones."""
from __future__ import annotations

from importlib import import_module

from .. import dtypes, storage as storages
from ..layout import packed_strides
from ..autograd.grad_mode import mode
from ..autograd.inplace import as_it_is, assign, check_writable, overwrite
from ..autograd.node import is_tracked, named
from ..tensor import Tensor
from .interop import copy_, fill_, zero_
from .layouts import Unstrided
from .support import legacy_name

complex, digits, index, matmul, pointwise, reduce, shape, special, statistics = (import_module(f"rushlight.ops.{m}") for m in (
    "complex", "digits", "index", "matmul", "pointwise", "reduce", "shape", "special", "statistics"))

NAMES = {
    pointwise: """abs add addcdiv addcmul acos acosh asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or
        bitwise_xor ceil clamp clamp_max clamp_min clip copysign cos cosh deg2rad digamma div divide eq erf erfc erfinv
        exp exp2 expm1 floor floor_divide fmod frac ge gt hypot le lerp lgamma log log10 log1p log2 logical_and
        logical_not logical_or logical_xor logit lt masked_fill mul multiply nan_to_num ne neg negative pow rad2deg
        reciprocal relu remainder round rsqrt sigmoid sign sin sinc sinh sqrt square sub subtract tan tanh
        true_divide trunc xlogy absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_left_shift
        bitwise_right_shift fix greater greater_equal less less_equal not_equal heaviside ldexp
        mvlgamma""",
    complex: """conj_physical sgn""",
    reduce: """cumsum cumprod""",
    matmul: """addbmm addmm addmv addr baddbmm""",
    statistics: """renorm""",
    digits: """gcd lcm nextafter""",
    special: """i0""",
    index: """index_add index_copy index_fill index_reduce masked_scatter scatter scatter_add scatter_reduce tril triu""",
}


def in_place(name, op):
    """The in-place form of an operation; the result's dtype must fit x's."""
    def method(self, *args, **kwargs):
        if mode.enabled and (self._root is not None or is_tracked(self) or any(
                is_tracked(x) for x in args if isinstance(x, Tensor))):
            return taped(self, *args, **kwargs)
        y, l = op(self, *args, **kwargs), self.layout
        if y.layout is l and l.packed and y.dtype is self.dtype and not y._requires_grad and overwrite(self, y):
            return self
        return finished(self, y)

    def taped(self, *args, **kwargs):
        check_writable(self)
        if any(is_tracked(x) for x in (self, *args) if isinstance(x, Tensor)):
            old = as_it_is(self)
            return finished(self, op(old, *(old if x is self else x for x in args), **kwargs))
        return finished(self, op(self, *args, **kwargs))

    def finished(self, y):
        y = y.to_dense() if isinstance(y, Unstrided) else y
        if y.dtype.rank > self.dtype.rank and y.dtype is not dtypes.bool:
            raise RuntimeError(f"result type {legacy_name(y.dtype)} can't be cast to the desired output type "
                               f"{legacy_name(self.dtype)}")
        return assign(self, y)
    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place form of {name}."
    method.out_of_place = op
    return method


def abs_in_place(x):
    """The absolute values, where they have x's dtype."""
    if x.dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return pointwise.abs(x)


def float_power_in_place(x, exponent):
    """The power, where its dtype is x's."""
    y = pointwise.float_power(x, exponent)
    if y.dtype is not x.dtype:
        raise RuntimeError(f"the base given to float_power_ has dtype {legacy_name(x.dtype)} but the operation's result "
                           f"requires dtype {legacy_name(y.dtype)}")
    return y


METHODS = {name + "_": in_place(name, getattr(module, name)) for module, names in NAMES.items() for name in names.split()}
METHODS["abs_"] = METHODS["absolute_"] = in_place("abs", abs_in_place)
METHODS["float_power_"] = in_place("float_power", float_power_in_place)
METHODS["polygamma_"] = in_place("polygamma", lambda self, n: pointwise.polygamma(n, self))
METHODS["igamma_"] = in_place("igamma", special.gammainc)
METHODS["igammac_"] = in_place("igammac", special.gammaincc)
METHODS |= {"copy_": copy_, "fill_": fill_, "zero_": zero_, "index_put_": index.index_put_}


IN_PLACE_VIEWS = {"TBackward0": "TBackward1", "TransposeBackward0": "TransposeBackward1", "UnsqueezeBackward0":
                  "UnsqueezeBackward1", "SqueezeBackward0": "SqueezeBackward3", "SqueezeBackward1": "SqueezeBackward4",
                  "SqueezeBackward2": "SqueezeBackward5"}


def _reshaping(op, name):
    """In-place view operations: x shows its memory through another layout."""
    def method(self, *args, **kwargs):
        check_writable(self)
        y = op(self, *args, **kwargs)
        self.layout, self.offset = y.layout, y.offset
        if y._grad_fn is not None:
            named(y, IN_PLACE_VIEWS.get(type(y._grad_fn).__name__, type(y._grad_fn).__name__))
            self._grad_fn, self._output_nr = y._grad_fn, 0
        self.storage.version += 1
        return self
    method.__name__ = name + "_"
    return method


METHODS |= {n + "_": _reshaping(getattr(shape, n), n) for n in "squeeze unsqueeze t transpose swapaxes swapdims".split()}


def resize_(self, *sizes):
    """resize_: other sizes over the same storage, grown with zeros if need be."""
    from ..layout import packed
    from .create import sizes as parse
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    new, held = packed(parse(sizes)), self.storage.numel
    if self.offset + new.numel > held:
        grown = self.new_zeros(self.offset + new.numel)
        grown[:held] = self.as_strided((held,), (1,), 0)
        grown.storage.version = self.storage.version
        self.storage = grown.storage
    self.layout = new
    self.storage.version += 1
    return self


METHODS["resize_"] = resize_


def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Show the memory of another tensor: as it does, or by the offset, size and stride given."""
    source = self.new_empty(0) if source is None else source
    if source.dtype is not self.dtype:
        raise RuntimeError("Could not set tensor of type " + source.type().split(".")[-1].lower() + " to a tensor of type "
                           + self.type().split(".")[-1].lower())
    seen = source if size is None else source.as_strided(size, stride or packed_strides(size), storage_offset)
    self.storage = storages.mirrored(storages.plain(seen.storage), self.storage.is_conj, self.storage.is_neg)
    self.layout, self.offset = seen.layout, seen.offset
    return self


METHODS["set_"] = set_
FUNCTIONS = """abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_
    clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ index_put_
    ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_
    sinc_ sinh_ sqrt_ square_ conj_physical_ tan_ tanh_ trunc_ xlogy_ zero_ resize_as_ gcd_ lcm_ i0_ detach_ as_strided_
    """.split()     # which torch has as functions too


def fill_diagonal_(self, fill_value, wrap=False):
    """The main diagonal filled; of a tall matrix again after each block of rows if `wrap`."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    n, step = min(self.shape), sum(self.stride())
    self.as_strided((n,), (step,), self.offset).fill_(fill_value)
    rows, columns = self.shape[0], self.shape[-1]
    if wrap and self.dim() == 2:
        for start in range(columns + 1, rows, columns + 1):
            self[start:start + columns].fill_diagonal_(fill_value)
    return self


def resize_as_(self, other, *, memory_format=None):
    """resize_ to the sizes of another tensor."""
    return resize_(self, *other.shape)


def put_(self, at, source, accumulate=False):
    """Elements of the flat tensor at `at` replaced (or added to) by those of source."""
    return assign(self, index.put(self, at, source, accumulate))


METHODS |= {"fill_diagonal_": fill_diagonal_, "resize_as_": resize_as_, "put_": put_}


def as_strided_(self, size, stride, storage_offset=None):
    """Show the same memory by another geometry."""
    y = self.as_strided(size, stride, storage_offset)
    self.layout, self.offset = y.layout, y.offset
    if y._grad_fn is not None:
        self._grad_fn, self._output_nr = y._grad_fn, 0
    self.storage.version += 1
    return self


def apply_(self, callable):
    """Each element replaced by a Python function of it."""
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    return _by_elements(self, callable, (self,))


def map_(self, tensor, callable):
    """Each element replaced by a Python function of it and of the element of a tensor that broadcasts to self."""
    if self.requires_grad or tensor.requires_grad:
        raise RuntimeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    return _by_elements(self, callable, (self, tensor.expand(self.shape)))


def _by_elements(self, callable, xs):
    from .create import tensor as make
    values = [callable(*given) for given in zip(*(x.reshape(-1).tolist() for x in xs))]
    return copy_(self, make(values, dtype=self.dtype).reshape(self.shape)) if values else self


METHODS |= {"as_strided_": as_strided_, "apply_": apply_, "map_": map_}
