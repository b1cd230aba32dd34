"""What PyTorch's CPU kernels refuse: the same programs fail, at the same line, with the same words.

Looked up where the recipe of an operation is made, so that nothing is checked on the hot path.
"""
from __future__ import annotations

import math

import numpy as np

from .. import dtypes

LEGACY = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
          "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "uint16": "UInt16",
          "uint32": "UInt32", "uint64": "UInt64", "complex64": "ComplexFloat", "complex128": "ComplexDouble"}
NOT_BOOL, WHOLE, BITS = {1, 2, 3}, {1}, {0, 1}
KERNELS = {     # primitive: PyTorch's kernel, the categories of dtypes that it takes
    "abs": ("abs_cpu", NOT_BOOL), "floor": ("floor_vml_cpu", NOT_BOOL), "ceil": ("ceil_vml_cpu", NOT_BOOL),
    "trunc": ("trunc_vml_cpu", NOT_BOOL), "round": ("round_vml_cpu", NOT_BOOL), "pow": ("pow", NOT_BOOL),
    "remainder": ("remainder_cpu", NOT_BOOL), "fmod": ("fmod_cpu", NOT_BOOL),
    "floor_divide": ("div_floor_cpu", NOT_BOOL), "trunc_divide": ("div_trunc_cpu", NOT_BOOL),
    "bitwise_and": ("bitwise_and_cpu", BITS), "bitwise_or": ("bitwise_or_cpu", BITS),
    "bitwise_xor": ("bitwise_xor_cpu", BITS), "bitwise_not": ("bitwise_not_cpu", BITS),
    "shift_left": ("lshift_cpu", WHOLE), "shift_right": ("rshift_cpu", WHOLE),
}
REAL = {    # primitive: what it says of complex operands; a kernel's name stands for "not implemented for"
    "ceil": "ceil is not supported for complex inputs", "floor": "floor is not supported for complex inputs",
    "trunc": "trunc is not supported for complex inputs",
    "sign": "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
    "signbit": "signbit is not implemented for complex tensors.", "digamma": "digamma", "trigamma": "polygamma",
    "lgamma": "lgamma_vml_cpu", "erf": "erf_vml_cpu", "erfc": "erfc_vml_cpu", "erfinv": "erfinv_vml_cpu",
    "round": "round_vml_cpu", "remainder": "remainder_cpu", "fmod": "fmod_cpu", "floor_divide": "div_floor_cpu",
    "trunc_divide": "div_trunc_cpu", "atan2": "atan2_cpu", "copysign": "copysign_cpu",
    "bessel_i0": "i0_vml_cpu", "bessel_i0e": "i0e_cpu", "bessel_i1": "i1_cpu", "bessel_i1e": "i1e_cpu",
    "amax": "max_values_cpu", "amin": "min_values_cpu", "argcummax": "cummax_cpu",
    "argcummin": "cummin_cpu",
    "lt": "lt_cpu", "le": "le_cpu", "gt": "gt_cpu", "ge": "ge_cpu",
}
ORDERED = {"maximum": "maximum not implemented for complex tensors.", "minimum": "minimum not implemented for complex tensors.",
           "argmax": "argmax(): does not support complex input", "argmin": "argmin(): does not support complex input",
           "argsort": " Sort does not support complex dtypes on CPU", "argtopk": " topk does not support complex dtypes on CPU"}


def legacy_name(d) -> str:
    """The name of a dtype in PyTorch's messages: Float, Long, Half, ..."""
    return LEGACY.get(d.name, d.name)


NATIVE = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
          "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
          "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}


def native_name(d) -> str:
    """The name of a dtype in C++, which some of PyTorch's messages give: float, long int, c10::Half, ..."""
    return NATIVE.get(d.name, d.name)


CHECKED = NATIVE | {"int64": "int64_t", "int16": "int16_t", "int8": "int8_t", "uint8": "uint8_t"}
LARGEST = {d: dtypes.finfo(d).max for d in (dtypes.float16, dtypes.bfloat16, dtypes.float32)}


def beyond(value, d) -> bool:
    """Whether a finite Python number is too large for a dtype of floats."""
    most = LARGEST.get(d)
    return most is not None and not isinstance(value, complex) and not -most <= value <= most and math.isfinite(value)


def as_element(value, d):
    """A Python number as a dtype holds it; RuntimeError if it cannot. Whole negative ones wrap around in an unsigned dtype."""
    kind = value.__class__
    if kind is int and 0 <= value < 128 and d is not dtypes.bool or kind is float and d.rank == 2 and -65504 <= value <= 65504:
        return value                # any dtype of the kind holds it
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex) and not d.is_complex:
        if value.imag:
            raise _overflow(d)
        value = value.real
    if d is dtypes.bool:
        return bool(value)
    if d.rank > 1:
        if beyond(value, d):
            raise _overflow(d)
        return value
    limits = dtypes.iinfo(d)
    if type(value) is int and limits.min == 0 > value >= -limits.max:
        return value + limits.max + 1
    if not limits.min <= value <= limits.max:
        raise _overflow(d)
    return int(value)


def _overflow(d):
    return RuntimeError(f"value cannot be converted to type {CHECKED.get(d.name, d.name)} without overflow")


def refuse(kernel: str, d) -> None:
    raise NotImplementedError(f"\"{kernel}\" not implemented for '{legacy_name(d)}'")


def need(kernel: str, d, ranks) -> None:
    """NotImplementedError unless a dtype's category is among `ranks`."""
    if d.rank not in ranks:
        refuse(kernel, d)


def check_supported(name: str, xs, dtype) -> None:
    """Raise what PyTorch raises for operands of a dtype that its kernel does not take."""
    if dtype.is_complex:
        check_real(name, dtype)
    kernel, ranks = KERNELS.get(name, (None, None))
    if kernel is not None and dtype.rank not in ranks:
        refuse(kernel, dtype)
    if name == "sub":
        check_subtraction(xs)
    elif name == "neg" and dtype is dtypes.bool:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
                           "invert a mask, use the `~` or `logical_not()` operator instead.")


def check_real(name: str, dtype) -> None:
    """What operations of real numbers say of complex ones."""
    said = REAL.get(name)
    if said is not None:
        if " " in said:
            raise NotImplementedError(said)
        refuse(said, dtype)
    if name in ORDERED:
        raise RuntimeError(ORDERED[name])


def check_subtraction(xs) -> None:
    bools = [type(x) is bool or getattr(x, "dtype", None) is dtypes.bool for x in xs]
    if all(hasattr(x, "dtype") for x in xs) and all(bools):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")
    if any(bools):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                           "invert a mask, use the `~` or `logical_not()` operator instead.")
