"""From a generator's words to samples with PyTorch's values: compositions of primitives.

A sampler is a function (shape, dtype, generator, ...) -> packed tensor. Factories return what it
makes; in-place forms write it in the order in which the tensor lies in memory, as PyTorch does.
"""
from __future__ import annotations

import math

import numpy as np

from .. import dtypes, storage as storages
from .. import ops as o
from .. import random as streams
from ..autograd.grad_mode import no_grad
from ..autograd.inplace import assign
from ..autograd.node import attach, taping
from ..autograd.recall import recalled
from ..dtypes import bfloat16, float16, float32, float64, int64
from ..layout import expand
from ..prims.reduce import cumsum
from ..prims.rng import drawn
from ..prims.table import Gradient
from ..tensor import Tensor
from ..trace.record import pending
from .create import check_place, empty_like, filled, finished, lacks_values, place_of, sizes, zeros_like
from .index import count_before
from .pointwise import ceil, exp, into, log, log1p, tan, where
from .promote import output_order
from .shape import broadcast_shapes

HALVES = (float16, bfloat16)
BLOCK_NORMALS = {float16: streams.HalfNormals, bfloat16: streams.HalfNormals,
                 float64: streams.DoubleNormals}
MASK21, MASK24, MASK32 = (1 << 21) - 1, (1 << 24) - 1, (1 << 32) - 1
WIDE = 1 << 28          # ranges from here on take two words to a number
NORMAL_MINIMUM = 16     # smaller tensors take PyTorch's path of paired normals
PERMUTATION_MAXIMUM = (1 << 32) // 20
DIGITS = {float16: 11, bfloat16: 8, float32: 24, float64: 53}
C_NAMES = {"float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float",
           "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
           "float64": "double", "uint8": "unsigned char", "int8": "signed char", "int16": "short",
           "int32": "int", "int64": "long", "bool": "bool"}
NAMES = {"float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double",
         "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
         "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
         "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"}

LONG_NAMES = C_NAMES | {"int64": "long int", "int16": "short int"}


# -- words to uniform numbers ----------------------------------------------------------------------

def take(generator, n: int, draws=streams.WORDS) -> Tensor:
    """A tensor [n] of the next n numbers of a kind from `generator` (None: the default one)."""
    if generator is not None and not isinstance(generator, streams.Generator):
        raise TypeError("argument 'generator' must be torch.Generator, not "
                        f"{type(generator).__name__}")
    return drawn(generator or streams.default_generator, n, draws)


def singles(shape, generator) -> Tensor:
    """float32 in [0, 1): the low 24 bits of a word."""
    words = take(generator, math.prod(shape))
    return ((words & MASK24).to(float32) * 2.0**-24).view(shape)


def numerators(shape, generator) -> Tensor:
    """int64 in [0, 2**53): the low 53 bits of two words, high word first."""
    pairs = take(generator, math.prod(shape), streams.WORD_PAIRS).view(shape)
    return (pairs & MASK21) << 32 | pairs >> 32 & MASK32


def doubles(shape, generator) -> Tensor:
    """float64 in [0, 1), in steps of 2**-53."""
    return numerators(shape, generator).to(float64) * 2.0**-53


def parts(sampler, shape, dtype, *args) -> Tensor:
    """Complex samples: pairs of real ones."""
    from .complex import view_as_complex
    return view_as_complex(sampler((*shape, 2), dtype.to_real(), *args)).clone()


def uniform_values(shape, dtype, generator, low=0.0, high=1.0) -> Tensor:
    if dtype.is_complex:
        return parts(uniform_values, shape, dtype, generator, low, high)
    if dtype is float64:
        u = doubles(shape, generator)
        return affine(u, high - low, low)
    u = singles(shape, generator)
    if dtype is float32 and (low, high) == (0, 1):
        return u
    low, high = float(np.float32(low)), float(np.float32(high))
    span = float(np.float32(high) - np.float32(low))
    scaled = (u.to(float64) * span + low).to(float32).to(dtype)     # as if fused: rounded once
    return scaled if dtype is float32 else _below(scaled, low, high)


def affine(x: Tensor, scale: float, shift: float) -> Tensor:
    """x * scale + shift in float64, rounded once."""
    if shift == 0:
        return x if scale == 1 else x * scale
    return streams.fused(x, scale, shift)


def narrowed(x: Tensor, dtype) -> Tensor:
    """float64 in another dtype; 16-bit types by way of float32, as PyTorch rounds them."""
    return (x.to(float32) if dtype in HALVES else x).to(dtype)


def _below(x: Tensor, low: float, high: float) -> Tensor:
    """What rounding to 16 bits has brought up to `high` becomes `low`."""
    top = float(np.asarray(high).astype(x.dtype.numpy))
    return where(x == top, low, x) if high > low else x


# -- samplers --------------------------------------------------------------------------------------

def normal_values(shape, dtype, generator, mean=0.0, std=1.0, is_packed=True) -> Tensor:
    if dtype.is_complex:            # of both parts together the deviation is std
        return parts(normal_values, shape, dtype, generator, mean, std / math.sqrt(2), is_packed)
    n = math.prod(shape)
    if n < NORMAL_MINIMUM or not is_packed:
        return narrowed(affine(paired_normals(shape, generator), std, mean), dtype)
    kind = BLOCK_NORMALS.get(dtype, streams.BlockNormals)
    values = take(generator, n, kind(mean, std)).view(shape)
    return values if values.dtype is dtype else values.to(dtype)


def paired_normals(shape, generator) -> Tensor:
    return take(generator, math.prod(shape), streams.PAIRED_NORMALS).view(shape)


def integer_values(shape, dtype, generator, low: int, span: int, is_wide: bool) -> Tensor:
    """Whole numbers low .. low + span - 1."""
    n = math.prod(shape)
    if is_wide:
        return take(generator, n, streams.WideIntegers(low, span)).to(dtype).view(shape)
    return ((take(generator, n) % span).to(int64) + low).to(dtype).view(shape)


def bernoulli_values(shape, dtype, generator, p: float) -> Tensor:
    return (numerators(shape, generator) < math.ceil(p * 2.0**53)).to(dtype)    # u < p


def bernoulli_like_values(shape, dtype, generator, p: Tensor) -> Tensor:
    """One draw against each element of `p`, which has this shape."""
    u = doubles(shape, generator) if p.dtype is float64 else singles(shape, generator)
    return (u < p.to(u.dtype)).to(dtype)


def exponential_values(shape, dtype, generator, rate: float) -> Tensor:
    return narrowed(log1p(-doubles(shape, generator)) * (-1 / rate), dtype)


def geometric_values(shape, dtype, generator, p: float) -> Tensor:
    return ceil(log(doubles(shape, generator)) / math.log1p(-p)).to(dtype)


def cauchy_values(shape, dtype, generator, median: float, sigma: float) -> Tensor:
    turned = tan((doubles(shape, generator) - 0.5) * math.pi)
    return narrowed(affine(turned, sigma, median), dtype)


def log_normal_values(shape, dtype, generator, mean: float, std: float) -> Tensor:
    return narrowed(exp(affine(paired_normals(shape, generator), std, mean)), dtype)


# -- in the order of memory ------------------------------------------------------------------------

def sampled_like(x: Tensor, sampler, *args, generator=None, operand: Tensor | None = None,
                 **kwargs) -> Tensor:
    """Samples with x's shape, dtype and order of axes; `operand` is broadcast and laid along x."""
    layouts = [x.layout] if operand is None else [x.layout, expand(operand.layout, x.shape)]
    order = output_order(layouts, x.shape) or tuple(range(x.dim()))
    if operand is not None:
        args = (operand.expand(x.shape).permute(order), *args)
    shape = tuple(x.shape[d] for d in order)
    values = sampler(shape, x.dtype, generator, *args, **kwargs)
    return values.permute([order.index(d) for d in range(x.dim())])


def fill(x: Tensor, name: str, sampler, *args, **kwargs) -> Tensor:
    """Overwrite x with samples, drawn in the order in which x lies in memory; `name` is that of the tape's entry."""
    if storages.place is not None and x.is_meta:
        return x                # no numbers are drawn for it
    if any(n > 1 and step == 0 for n, step in zip(x.shape, x.layout.strides, strict=True)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor "
                           "refers to a single memory location. Please clone() the tensor before "
                           "performing the operation.")
    with no_grad():
        values = sampled_like(x, sampler, *args, **kwargs)
    return assign(x, values, name)


def undifferentiated(y, name, *xs, rule=lambda g, *_: zeros_like(g)):
    """Samples that do not depend on their parameters by a rule: the tape has an entry for them, and gradients are zeros."""
    given = [x for x in xs if isinstance(x, Tensor)]
    return attach(y, Gradient(name, (rule,) * len(given)), given, {}) if taping(*given) else y


def refused(name):
    """The rule of what PyTorch knows no derivative of."""
    def rule(*_):
        raise RuntimeError(f"derivative for aten::{name} is not implemented")
    return rule


# -- checks ----------------------------------------------------------------------------------------

def require(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def no_more(name: str, named: dict) -> None:
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")


def is_whole(x) -> bool:
    """Whether x can stand for a Python int."""
    if isinstance(x, Tensor):
        return x.numel() == 1 and x.dtype.rank <= 1
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)


def not_implemented(kernel: str, dtype) -> NotImplementedError:
    return NotImplementedError(f'"{kernel}" not implemented for \'{NAMES[dtype.name]}\'')


def check_floating(dtype, kernel: str, ranks=(2,)) -> None:
    if dtype.rank not in ranks:
        raise not_implemented(kernel, dtype)


def check_normal(dtype, std) -> None:
    require(std >= 0, f"normal expects std >= 0.0, but found std {std:g}")
    check_floating(dtype, "normal_kernel_cpu", (2, 3))


def check_uniform(dtype, low, high) -> None:
    check_floating(dtype, "check_uniform_bounds", (2, 3))
    limit = dtypes.finfo(dtype).max
    for name, bound in (("from", low), ("to", high)):
        require(-limit <= bound <= limit, f"{name} is out of bounds for {C_NAMES[dtype.name]}")
    require(low <= high, "uniform_ expects to return a [from, to) range, but found "
                          f"from={low:g} > to={high:g}")


def check_probability(p) -> None:
    require(0 <= p <= 1, f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def check_probabilities(p: Tensor) -> None:
    check_floating(p.dtype, "bernoulli_tensor_cpu_p_")
    if pending.capture is not None:         # inside of vmap there are no values to look at
        return
    values = p.detach()._array()
    require(bool(((values >= 0) & (values <= 1)).all()),
             "Expected p_in >= 0 && p_in <= 1 to be true, but got false.")


def integer_range(dtype, *bounds) -> tuple[int, int, bool]:
    """(low, how many, whether a number takes two words) of random_'s arguments."""
    if dtype.is_complex or dtype.name in ("uint16", "uint32", "uint64"):
        raise not_implemented("random_kernel_cpu", dtype)
    if not bounds:
        return 0, whole_limit(dtype) + 1, dtype in (int64, float64)
    bounds = [None if b is None else int(b) for b in bounds]
    low, high = (0, *bounds) if len(bounds) == 1 else bounds
    high = whole_limit(dtype) + 1 if high is None else high
    require(low < high, "random_ expects 'from' to be less than 'to', but got "
                         f"from={low} >= to={high}")
    check_range(dtype, low, high)
    return low, high - low, high - low >= WIDE


def whole_limit(dtype) -> int:
    """The largest whole number that random_() gives."""
    if dtype.is_floating_point:
        return 1 << DIGITS[dtype]
    return 1 if dtype is dtypes.bool else dtypes.iinfo(dtype).max


def check_range(dtype, low: int, high: int) -> None:
    if dtype is dtypes.bool:
        least, most = 0, 1
    else:
        limits = dtypes.finfo(dtype) if dtype.is_floating_point else dtypes.iinfo(dtype)
        least, most = limits.min, limits.max
    for name, bound in (("from", low), ("to - 1", high - 1)):
        require(least <= bound <= most, f"{name} is out of bounds for {C_NAMES[dtype.name]}")


# -- factories -------------------------------------------------------------------------------------

def made(shape, dtype, sampler, *args, generator=None, out=None, layout=None, device=None,
         requires_grad=False, pin_memory=False) -> Tensor:
    """What a factory gives: samples of this shape and dtype, or `out` filled with them."""
    check_place(device)
    if lacks_values(device) and out is None:
        return finished(filled(shape, 0, dtype or dtypes.default), requires_grad, device)
    if out is not None:
        return filled_out(out, shape, dtype, sampler, *args, generator=generator)
    x = _sampled(sampler, shape, dtype or dtypes.default, args) if generator is None else \
        _drawn_from(generator, sampler, shape, dtype or dtypes.default, args)
    if requires_grad and x.dtype.rank < 2:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return finished(x, requires_grad, device)


@recalled("")
def _sampled(sampler, shape, dtype, args) -> Tensor:
    """From the default generator."""
    return _drawn_from(None, sampler, shape, dtype, args)


def _drawn_from(generator, sampler, shape, dtype, args) -> Tensor:
    with no_grad():
        return sampler(shape, dtype, generator, *args)


def filled_out(out, shape, dtype, sampler, *args, generator) -> Tensor:
    if dtype not in (None, out.dtype):
        raise RuntimeError(f"dtype {NAMES[dtype.name]} does not match dtype of out parameter "
                           f"({NAMES[out.dtype.name]})")
    with no_grad():
        return into(out, sampler(shape, out.dtype, generator, *args))


def size_of(name: str, args: tuple, size=None) -> tuple[int, ...]:
    """The shape from `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`."""
    if size is None and not args:
        raise TypeError(f"{name}() received an invalid combination of arguments - got (), but "
                        "expected (tuple of ints size, ...)")
    return sizes(args if size is None else (size,))


def integer_arguments(args, low, high, size):
    """(low, high, size) however they were given."""
    given = list(args)
    size = given.pop() if given and size is None else size
    if given and high is None:
        high = given.pop()
    low = given.pop() if given else low
    if given or high is None or size is None:
        raise TypeError("randint() received an invalid combination of arguments; expected "
                        "(int high, tuple of ints size) or (int low, int high, tuple of ints size)")
    for k, (name, value) in enumerate((("low", low), ("high", high))):
        if not is_whole(value):
            position = k + 1 if len(args) > 2 else 1
            raise TypeError(f"randint(): argument '{name}' (position {position}) must be int, "
                            f"not {type(value).__name__}")
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' (position {max(len(args), 2)}) must be "
                        f"tuple of ints, not {type(size).__name__}")
    return low, high, size


def check_permutation(n: int, dtype) -> None:
    if dtype.is_floating_point:
        most = (1 << DIGITS[dtype]) + 1
        require(n <= most, f"n cannot be greater than {most} for {NAMES[dtype.name]} type.")
    elif n > dtypes.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")


def permutation_values(shape, dtype, generator) -> Tensor:
    return take(generator, shape[0], streams.PERMUTATION).to(dtype)


# -- like another tensor ---------------------------------------------------------------------------

LIKE = {uniform_values: "rand_like", normal_values: "randn_like"}


def like(input, sampler, *args, dtype=None, layout=None, device=None, requires_grad=False,
         memory_format=None, generator=None, pin_memory=False, **unknown) -> Tensor:
    """Samples with the shape of `input` and, unless told otherwise, its dtype and strides."""
    no_more(LIKE.get(sampler, "randint_like"), unknown)
    device = place_of(input, device)
    check_place(device)
    if lacks_values(device):
        return empty_like(input, dtype=dtype, memory_format=memory_format, device=device, requires_grad=requires_grad)
    with no_grad():
        empty = empty_like(input, dtype=dtype, memory_format=memory_format)
        packed = {"is_packed": empty.layout.packed} if sampler is normal_values else {}
        x = sampled_like(empty, sampler, *args, generator=generator, **packed)
        x.layout = empty.layout             # the same memory: strides of axes of one element are kept, too
    return finished(x, requires_grad, device)


# -- distributions ---------------------------------------------------------------------------------

def normal_between(mean, std, generator) -> Tensor:
    """At least one of mean and std is a tensor; the first tensor gives the dtype."""
    dtype = mean.dtype if isinstance(mean, Tensor) else std.dtype
    check_floating(dtype, "normal_kernel_cpu", (2, 3))
    if not isinstance(std, Tensor):
        check_normal(dtype, std)
        return normal_values(tuple(mean.shape), dtype, generator, 0.0, float(std)) + mean
    require(bool((std.detach()._array() >= 0).all()), "normal expects all elements of std >= 0.0")
    shape = tuple(broadcast_shapes(getattr(mean, "shape", ()), std.shape))
    return (normal_values(shape, dtype, generator) * std + mean).to(dtype)


def check_weights(weights, n, replacement) -> None:
    require(weights.dim() in (1, 2), "prob_dist must be 1 or 2 dim")
    require(weights.dtype.is_floating_point, "multinomial only supports floating-point dtypes for "
                                              f"input, got: {NAMES[weights.dtype.name]}")
    require(n > 0, "cannot sample n_sample <= 0 samples")
    require(replacement or n <= weights.shape[-1],
             "cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    values = weights.detach()._array()
    with np.errstate(all="ignore"):
        totals = values.sum(-1, dtype=np.float64)
        if values.size and values.min() >= 0 and (totals > 0).all() and np.isfinite(totals).all():
            return                              # the usual case, in two passes
    values = values.astype(np.float64)
    if replacement and n > 1:
        require(bool((values >= 0).all()),
                 "invalid multinomial distribution (encountering probability entry < 0)")
        require(bool(np.isfinite(values).all()), "invalid multinomial distribution (encountering "
                                                  "probability entry = infinity or NaN)")
    require(bool((np.isfinite(values) & (values >= 0)).all()),
             "probability tensor contains either `inf`, `nan` or element < 0")
    require(bool((values.sum(-1) > 0).all()),
             "invalid multinomial distribution (sum of probabilities <= 0)")


def drawn_by_race(weights, n: int, generator) -> Tensor:
    """Each category waits an exponential time; the first n to arrive are drawn, by weight."""
    return _race(weights, n) if generator is None else _raced(weights, n, generator)


@recalled("weights")
def _race(weights, n):
    return _raced(weights, n, None)


def _raced(weights, n, generator):
    speed = weights / sampled_like(weights, exponential_values, 1.0, generator=generator)
    return o.argmax(speed, -1, keepdim=True) if n == 1 else o.topk(speed, n)[1].contiguous()


def drawn_with_replacement(weights, n: int, generator) -> Tensor:
    """Inverts the cumulative distribution, summed in the weights' dtype (halves: float32)."""
    rows = _distributions(weights)
    return count_before(rows, doubles((len(rows), n), generator)).reshape(*weights.shape[:-1], n)


@recalled("weights")
def _distributions(weights):
    """How likely each category or one before it is, in each row."""
    rows = weights.to(float64 if weights.dtype is float64 else float32).reshape(-1, weights.shape[-1])
    sums = cumsum(rows, dim=1, wide=False)
    last = o.arange(sums.shape[1]) == sums.shape[1] - 1
    return where(last, 1.0, sums / sums[:, -1:])
