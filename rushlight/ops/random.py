"""Random tensors: the public functions and the in-place methods. How they are made: sampling.py."""
from __future__ import annotations

import numpy as np

from .. import dtypes
from .. import random as streams
from ..autograd.grad_mode import no_grad
from ..dtypes import int64
from ..tensor import Tensor
from .create import sizes, tensor
from .pointwise import into
from .sampling import (
    LONG_NAMES, NAMES, PERMUTATION_MAXIMUM, bernoulli_like_values, bernoulli_values,
    cauchy_values, check_floating, check_normal, check_permutation, check_probabilities,
    check_probability, check_uniform, check_weights, drawn_by_race, drawn_with_replacement,
    exponential_values, fill, geometric_values, integer_arguments, integer_range,
    integer_values, is_whole, like, log_normal_values, made, no_more, normal_between,
    normal_values, not_implemented, permutation_values, refused, require, size_of, undifferentiated, uniform_values,
)

# -- in the order of memory ------------------------------------------------------------------------

def normal_(input, mean=0, std=1, *, generator=None):
    """Fill with normal deviates."""
    check_normal(input.dtype, std)
    return fill(input, "NormalBackward0", normal_values, float(mean), float(std), generator=generator,
                is_packed=input.layout.packed)


def uniform_(input, from_=0, to=1, *, generator=None, **named):
    """Fill with uniform numbers from the interval [from, to)."""
    low, high = named.pop("from", from_), to
    no_more("uniform_", named)
    check_uniform(input.dtype, low, high)
    return fill(input, "UniformBackward0", uniform_values, low, high, generator=generator)


def random_(input, *bounds, generator=None, **named):
    """Fill with whole numbers: random_(to), random_(from, to), or random_(): all of the dtype."""
    bounds = (*bounds, *(named.pop(name) for name in ("from", "to") if name in named))
    no_more("random_", named)
    if len(bounds) > 2 or not all(b is None or is_whole(b) for b in bounds):
        raise TypeError("random_() received an invalid combination of arguments - got "
                        f"({', '.join(type(b).__name__ for b in bounds)})")
    dtype = input.dtype
    low, span, is_wide = integer_range(dtype, *bounds)
    name = f"RandomBackward{2 - len(bounds)}"
    return fill(input, name, integer_values, low, span, is_wide, generator=generator)


def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with ones with probability p, a number or a tensor that broadcasts; zeros otherwise."""
    if isinstance(p, Tensor):
        check_probabilities(p)
        return fill(input, "BernoulliBackward1", bernoulli_like_values, operand=p, generator=generator)
    check_probability(p)
    return fill(input, "BernoulliBackward2", bernoulli_values, float(p), generator=generator)


def exponential_(input, lambd=1, *, generator=None):
    """Fill with lambd * exp(-lambd x) deviates."""
    if not input.dtype.is_floating_point:
        raise RuntimeError("Exponential distribution is a continuous probability distribution. "
                           "dtype must be a floating point but you specified "
                           f"{NAMES[input.dtype.name]}")
    require(lambd > 0, f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return fill(input, "ExponentialBackward0", exponential_values, float(lambd), generator=generator)


def geometric_(input, p, *, generator=None):
    """Fill with the number of trials up to the first success, of probability p each."""
    require(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if input.dtype is dtypes.bool or input.dtype.is_complex:
        raise not_implemented("geometric_cpu", input.dtype)
    return fill(input, "GeometricBackward0", geometric_values, float(p), generator=generator)


def cauchy_(input, median=0, sigma=1, *, generator=None):
    """Fill with Cauchy deviates."""
    require(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    if not input.dtype.is_floating_point:
        raise RuntimeError("Cauchy distribution is a continuous probability distribution. "
                           "dtype must be a floating point but you specified "
                           f"{LONG_NAMES[input.dtype.name]}")
    return fill(input, "CauchyBackward0", cauchy_values, float(median), float(sigma), generator=generator)


def log_normal_(input, mean=1, std=2, *, generator=None):
    """Fill with exponentials of normal deviates of this mean and std."""
    require(std > 0, f"log_normal_ expects std > 0.0, but found std={std:g}")
    check_floating(input.dtype, "log_normal_cpu")
    return fill(input, "LogNormalBackward0", log_normal_values, float(mean), float(std), generator=generator)


# -- factories -------------------------------------------------------------------------------------

def rand(*args, size=None, dtype=None, **options):
    """Uniform numbers from [0, 1).

    Args:
        args: the shape, as numbers or as one sequence.
        generator, out, dtype, layout, device, requires_grad, pin_memory: as for torch.rand.
    """
    check_floating(dtype or dtypes.default, "check_uniform_bounds", (2, 3))
    return made(size_of("rand", args, size), dtype, uniform_values, **options)


def randn(*args, size=None, dtype=None, **options):
    """Standard normal deviates; arguments as `rand`."""
    check_floating(dtype or dtypes.default, "normal_kernel_cpu", (2, 3))
    return made(size_of("randn", args, size), dtype, normal_values, **options)


def randint(*args, low=0, high=None, size=None, dtype=None, **options):
    """Whole numbers low .. high - 1: randint(high, size) or randint(low, high, size).

    Args:
        low, high: the bounds; numbers >= low and < high are drawn.
        size: the shape.
        generator, out, dtype (int64), layout, device, requires_grad: as for torch.randint.
    """
    low, high, size = integer_arguments(args, low, high, size)
    dtype = dtype or (int64 if options.get("out") is None else options["out"].dtype)
    low, span, is_wide = integer_range(dtype, low, high)
    return made(sizes((size,)), dtype, integer_values, low, span, is_wide, **options)


def randperm(n, *, dtype=int64, **options):
    """A random order of 0 .. n - 1, int64 unless `dtype` says otherwise."""
    if not is_whole(n):
        raise TypeError("randperm(): argument 'n' (position 1) must be int, not "
                        f"{type(n).__name__}")
    (n,) = sizes((n,))
    if n >= PERMUTATION_MAXIMUM:
        raise NotImplementedError(f"randperm: n must be below {PERMUTATION_MAXIMUM}, found {n}")
    check_permutation(n, dtype)
    return made((n,), dtype, permutation_values, **options)


# -- like another tensor ---------------------------------------------------------------------------

def rand_like(input, *, dtype=None, **options):
    """Uniform numbers from [0, 1), shaped like `input`."""
    check_floating(dtype or input.dtype, "check_uniform_bounds", (2, 3))
    return like(input, uniform_values, dtype=dtype, **options)


def randn_like(input, *, dtype=None, **options):
    """Standard normal deviates, shaped like `input`."""
    check_floating(dtype or input.dtype, "normal_kernel_cpu", (2, 3))
    return like(input, normal_values, dtype=dtype, **options)


def randint_like(input, *args, low=0, high=None, dtype=None, **options):
    """Whole numbers low .. high - 1: randint_like(x, high) or randint_like(x, low, high)."""
    low, high, _ = integer_arguments((*args, ()), low, high, None)
    return like(input, integer_values, *integer_range(dtype or input.dtype, low, high), dtype=dtype,
                **options)


# -- distributions ---------------------------------------------------------------------------------

def normal(mean=0.0, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None,
           device=None, requires_grad=False, pin_memory=False):
    """Normal deviates; `mean` and `std` are numbers (then `size` is the shape) or tensors.

    Args:
        mean, std: numbers, or tensors that broadcast.
        size: the shape, if both are numbers.
        generator, out, dtype, device, requires_grad: as for torch.normal.
    """
    if size is not None or not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() received an invalid combination of arguments - got ("
                            f"{type(mean).__name__}, {type(std).__name__}) without a size")
        check_normal(dtype or (dtypes.default if out is None else out.dtype), std)
        return made(size_of("normal", (size,)), dtype, normal_values, float(mean), float(std),
                    generator=generator, out=out, device=device, requires_grad=requires_grad)
    with no_grad():
        values = normal_between(mean, std, generator)
    if out is not None:
        return into(out, values)
    return undifferentiated(values, f"NormalBackward{isinstance(mean, Tensor) + 2 * isinstance(std, Tensor)}", mean, std)


def bernoulli(input, p=None, *, generator=None, out=None):
    """Ones with the probability that `input` holds at each place, or `p` everywhere; else zeros."""
    with no_grad():
        if p is None:
            check_probabilities(input)
            values = bernoulli_like_values(tuple(input.shape), input.dtype, generator, input)
        else:
            check_probability(p)
            values = bernoulli_values(tuple(input.shape), input.dtype, generator, float(p))
    if out is not None:
        return into(out, values)
    if p is not None:
        return undifferentiated(values, "NotImplemented", input, rule=refused("bernoulli"))
    return undifferentiated(values, "BernoulliBackward0", input)


def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """Indices drawn by weight from each row.

    Args:
        input: weights, [categories] or [rows, categories], floating, finite, not negative.
        num_samples: how many indices to draw from each row.
        replacement: whether an index may be drawn again.

    Returns:
        int64 [num_samples] or [rows, num_samples].
    """
    check_weights(input, num_samples, replacement)
    with no_grad():
        draw = drawn_with_replacement if replacement and num_samples > 1 else drawn_by_race
        values = draw(input.detach(), num_samples, generator)
    return values if out is None else into(out, values)


def poisson(input, generator=None):
    """Counts of a Poisson process; `input` holds the expected ones."""
    check_floating(input.dtype, "poisson_cpu")
    rates = input.detach().contiguous()._array().astype(np.float64)
    require(not (rates < 0).any(), "invalid Poisson rate, expected rate to be non-negative")
    source = generator or streams.default_generator
    counts = [streams.poisson(rate, source) for rate in rates.ravel().tolist()]
    with no_grad():
        values = tensor(np.array(counts, np.float64).reshape(rates.shape)).to(input.dtype)
    return undifferentiated(values, "PoissonBackward0", input)
