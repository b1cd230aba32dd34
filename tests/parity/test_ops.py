"""Every operation against PyTorch: values, dtypes, strides, gradients to second order, errors.

One line for an operation; what it must survive (dtypes, empty and 0-d tensors, views, broadcasting)
is written once below.
"""
from __future__ import annotations

import math
import os
import re
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tests.parity.oracle import Input, report     # noqa: E402

torch.set_num_threads(1)
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int64", "int32", "uint8", "bool")
LAYOUTS = ("packed", "transposed", "strided", "offset")


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def make(rng, shape, dtype="float32", low=-2.0, high=2.0, lies="packed"):
    if dtype == "bool":
        a = rng.random(shape) < 0.5
    elif dtype in ("int64", "int32", "uint8", "int8", "int16"):
        low, high = math.ceil(low), max(math.floor(high), math.ceil(low) + 1)
        a = rng.integers(max(low, 0) if dtype == "uint8" else low, high + 1, shape)
    else:
        a = rng.uniform(low, high, shape)
    if lies == "expanded":
        a = a[:1]
    return Input(np.asarray(a), dtype, lies)


# What differs on purpose: (test and sentence, as patterns).
ON_PURPOSE = [re.compile(s) for s in (
    r"remainder.* first \[(float|bfloat).*(NotImplemented|is not implemented)",    # 2 % x has a gradient here
    r"(remainder|floor_divide).* first \[bool\[.*ZeroDivisionError",     # values are not looked at when recording
    r"div.* first .*grad_fn DivBackward0 instead of MulBackward0",      # 2 / x is one rounding here
    r"test_operators_with_numbers\[pow.*(0 first .*nan|Scalar.cpp)",    # 0 ** x: 0, not nan; True ** x: PyTorch's bug
    r"grad raises: None instead of .*(Subtraction|not implemented)",    # we have a gradient where PyTorch has none
    r"logit.*inf",                      # the sign of a pole at -0
    r"(di|l)gamma.*inf|sinc.*nan",
    r"heaviside.* requires_grad",
    r"(var|std|logsumexp).*\{'dim': \(\)",      # PyTorch's own gradients of dim=() are infinite
    r"(sum|mean).*'dim': None.*grad_fn",
    r"nothing raised instead of TypeError: .*(invalid combination|must be int, not NoneType)",     # None for all axes
    r"keepdim' \(position 2\) must be bool",
    r"prod.*ties",                      # PyTorch: 0 for a product of nan, 0 and inf
    r"norm_0",                          # PyTorch: no gradient at all
    r"unique.* requires_grad|'_unique2'|'unique_dim'",
    r"softmax.*(2, 0|stride)",
    r"kthvalue.*out\[1\]|mode.*ties|median.* \[bool",
    r"(quantile|trapezoid|trapz|cov|combinations|repeat_interleave|unsafe_).*grad_fn",     # named by their last step
    r"renorm.*stride|cdist.*grad2|empty_like.* value",
    r"in_place\[(asinh|acosh|atanh|logical_|eq|ne|lt|le|gt|ge|bitwise).*(grad|requires_grad)",   # PyTorch's are wrong or odd
    r"in_place\[(bitwise|float_power).*(NotImplementedError|RuntimeError|float_power_ has dtype)",
    r"in_place\[logical_.*(grad|requires_grad)|in_place\[(logical|heaviside).*must be Tensor",
    r"in_place\[(atan2|copysign|hypot|xlogy).*(TypeError|RuntimeError \(result type|result type Long)",
    r"vander|_scatter\].* stride|mT\].*grad_fn",
    r"indexed_(reads|writes)\[(string|float_py|slice_str)",
    r"indexed_writes\[uint8.*masked_fill_|scatter_red\].*grad_fn",
    r"\[bool.*cross|(prelu|threshold|celu|selu).*(bool|int64)|celu.*grad_fn",
    r"indexed_(reads|writes)\[tensor_0d.*float64\[\]|indexed_writes.*dtypes match.* instead of IndexError",
    r"products.*(grad_fn|number of batches|cannot be multiplied|same dtype|same dtype, but|mv\].* float64\[\]|IndexError|must be a|scalar type|does not broadcast|addr\])",
    r"products\[(linear|chain).*|products.*bool.*nothing raised",
    r"(index_fill|pow_t|add_out_resize|mvlgamma|kron|einsum).* stride",
    r"view_dtype_same",                 # PyTorch cuts the tape there
    r"indexed_reads.* stride",          # of a permuted tensor: row-major here
)]


def none_differ(found, name=""):
    name = os.environ.get("PYTEST_CURRENT_TEST", name)
    found = [d for d in found if not any(p.search(f"{name} {d}") for p in ON_PURPOSE)]
    assert not found, f"{len(found)} differences\n" + "\n".join(found)


# -- one argument -------------------------------------------------------------------------------------------
UNARY = {   # name: (low, high)
    "abs": (-2, 2), "neg": (-2, 2), "sign": (-2, 2), "exp": (-2, 2), "exp2": (-2, 2), "expm1": (-2, 2), "log": (.1, 4),
    "log2": (.1, 4), "log10": (.1, 4), "log1p": (-.9, 4), "sqrt": (.1, 4), "rsqrt": (.1, 4), "sin": (-4, 4), "cos": (-4, 4),
    "tan": (-1, 1), "asin": (-.9, .9), "acos": (-.9, .9), "atan": (-4, 4), "sinh": (-2, 2), "cosh": (-2, 2), "tanh": (-2, 2),
    "asinh": (-4, 4), "acosh": (1.1, 4), "atanh": (-.9, .9), "erf": (-2, 2), "erfc": (-2, 2), "erfinv": (-.9, .9),
    "lgamma": (.3, 5), "digamma": (.3, 5), "sigmoid": (-4, 4), "square": (-2, 2), "reciprocal": (.3, 3), "relu": (-2, 2),
    "floor": (-3, 3), "ceil": (-3, 3), "trunc": (-3, 3), "round": (-3, 3), "frac": (-3, 3), "isnan": (-2, 2), "isinf": (-2, 2),
    "isfinite": (-2, 2), "isposinf": (-2, 2), "isneginf": (-2, 2), "signbit": (-2, 2), "logical_not": (-1, 1),
    "bitwise_not": (-5, 5), "sinc": (-2, 2), "logit": (.1, .9), "deg2rad": (-90, 90), "rad2deg": (-2, 2), "positive": (-2, 2),
    "nan_to_num": (-2, 2), "clone": (-2, 2), "detach": (-2, 2), "contiguous": (-2, 2), "isreal": (-2, 2), "absolute": (-2, 2),
    "negative": (-2, 2), "arctan": (-2, 2), "fix": (-2, 2), "sgn": (-2, 2), "softmax0": (-2, 2), "log_softmax0": (-2, 2),
    "angle": (-2, 2), "conj": (-2, 2), "real": (-2, 2),
}
SPECIAL = {
    "softmax0": lambda T, x: T.softmax(x, 0), "log_softmax0": lambda T, x: T.log_softmax(x, 0)}


def call(name):
    """The function `torch.NAME`, or the method where there is no function."""
    return SPECIAL.get(name) or (lambda T, *xs: (getattr(T, name) if hasattr(T, name) else getattr(T.Tensor, name))(*xs))


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    rng, (low, high), found = rng_of(name), UNARY[name], []
    for dtype in FLOATS + INTS:
        for shape in ((), (3, 4), (2, 0)):
            found += report(call(name), [make(rng, shape, dtype, low, high)], grads=2 if dtype == "float64" else 1)
    for lies in LAYOUTS[1:] + ("expanded",):
        found += report(call(name), [make(rng, (3, 2, 4), "float64", low, high, lies)])
    specials = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5])
    for dtype in ("float32", "float64"):
        found += report(call(name), [Input(specials, dtype)])
    none_differ(found)


# -- two arguments ------------------------------------------------------------------------------------------------
BINARY = {
    "add": (-2, 2), "sub": (-2, 2), "mul": (-2, 2), "div": (.5, 3), "pow": (.5, 3), "remainder": (1, 5), "fmod": (1, 5),
    "floor_divide": (1, 5), "maximum": (-2, 2), "minimum": (-2, 2), "fmax": (-2, 2), "fmin": (-2, 2), "atan2": (-2, 2),
    "copysign": (-2, 2), "hypot": (.5, 2), "logaddexp": (-2, 2), "logaddexp2": (-2, 2), "xlogy": (.5, 2), "eq": (-1, 1),
    "ne": (-1, 1), "lt": (-1, 1), "le": (-1, 1), "gt": (-1, 1), "ge": (-1, 1), "bitwise_and": (0, 7), "bitwise_or": (0, 7),
    "bitwise_xor": (0, 7), "bitwise_left_shift": (0, 3), "bitwise_right_shift": (0, 3), "logical_and": (-1, 1),
    "logical_or": (-1, 1), "logical_xor": (-1, 1), "isclose": (-1, 1), "rsub": (-2, 2), "multiply": (-2, 2),
    "true_divide": (.5, 2), "subtract": (-2, 2), "heaviside": (-2, 2), "float_power": (.5, 2), "max": (-2, 2), "min": (-2, 2),
}
OPERATORS = {
    "add": lambda T, a, b: a + b, "sub": lambda T, a, b: a - b, "mul": lambda T, a, b: a * b, "div": lambda T, a, b: a / b,
    "pow": lambda T, a, b: a ** b, "remainder": lambda T, a, b: a % b, "floor_divide": lambda T, a, b: a // b,
    "eq": lambda T, a, b: a == b, "ne": lambda T, a, b: a != b, "lt": lambda T, a, b: a < b, "le": lambda T, a, b: a <= b,
    "gt": lambda T, a, b: a > b, "ge": lambda T, a, b: a >= b, "bitwise_and": lambda T, a, b: a & b,
    "bitwise_or": lambda T, a, b: a | b, "bitwise_xor": lambda T, a, b: a ^ b, "bitwise_left_shift": lambda T, a, b: a << b,
    "bitwise_right_shift": lambda T, a, b: a >> b}
SHAPES2 = [((), ()), ((3, 4), (3, 4)), ((3, 4), ()), ((3, 1), (4,)), ((2, 0), (1,)), ((1, 3), (2, 1, 1))]
PAIRS = [("float32", "float32"), ("float64", "float64"), ("float16", "float16"), ("bfloat16", "float16"),
         ("bfloat16", "bfloat16"), ("float32", "float64"), ("float32", "int64"), ("int64", "float32"), ("int64", "int64"),
         ("int32", "int64"), ("uint8", "int64"), ("uint8", "uint8"), ("bool", "bool"), ("bool", "int64"), ("bool", "float32"),
         ("int8", "uint8"), ("float16", "float32")]


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    rng, (low, high), found = rng_of(name), BINARY[name], []
    for a, b in PAIRS:
        for s, t in SHAPES2 if (a, b) in (PAIRS[1], PAIRS[6]) else SHAPES2[1:3]:
            found += report(call(name), [make(rng, s, a, low, high), make(rng, t, b, low, high)],
                            grads=2 if a == b == "float64" else 1)
    for x in LAYOUTS:
        for y in LAYOUTS:
            found += report(call(name), [make(rng, (2, 3, 4), "float64", low, high, x),
                                         make(rng, (2, 3, 4), "float64", low, high, y)], grads=1)
    found += report(call(name), [make(rng, (2, 3), low=low, high=high), make(rng, (2, 4), low=low, high=high)])
    none_differ(found)


NUMBERS = (2, 3, 1, 0, 1.5, 0.5, True, -1, 2.0)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_with_numbers(name):
    rng, op, found = rng_of(name), OPERATORS[name], []
    low, high = BINARY[name]
    for number in (*NUMBERS, np.float32(1.5), np.float64(2.5), np.int64(2)):
        for dtype in FLOATS + INTS:
            x = make(rng, (3, 2), dtype, low, high)
            for swap in (False, True):
                if swap and isinstance(number, np.generic):
                    continue
                program = (lambda T, x: op(T, number, x)) if swap else (lambda T, x: op(T, x, number))
                found += [f"{number!r} {'first' if swap else 'second'} {d}" for d in
                          report(program, [x], grads=2 if dtype == "float64" else 1)]
    none_differ(found)


def test_operators_with_foreign_things():
    found = []
    x = Input(np.arange(6.0).reshape(2, 3), "float64")
    for name, op in OPERATORS.items():
        for other in (None, "a", [1, 2, 3], np.arange(3.0), object, {}):
            for swap in (False, True):
                if isinstance(other, np.ndarray) and (swap or name not in ("add", "sub", "mul", "div", "eq")):
                    continue        # PyTorch leaves most of these to NumPy, we compute them
                program = (lambda T, x: op(T, other, x)) if swap else (lambda T, x: op(T, x, other))
                found += [f"{name} {other!r} {'first' if swap else 'second'} {d}" for d in report(program, [x], grads=0)]
    none_differ(found)


# -- reductions ---------------------------------------------------------------------------------------------------
DIMS = [{}, {"dim": 0}, {"dim": -1}, {"dim": 1, "keepdim": True}, {"dim": (0, 2)}, {"dim": (0, 1), "keepdim": True}, {"dim": 5},
        {"dim": (0, 0)}, {"dim": ()}, {"dim": None}, {"dim": None, "keepdim": True}]
REDUCTIONS = ("sum mean prod var std amax amin max min all any argmax argmin logsumexp norm median nansum nanmean "
              "count_nonzero var_mean std_mean aminmax mode nanmedian").split()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    rng, found = rng_of(name), []
    for dtype in FLOATS + INTS:
        for kw in DIMS if dtype in ("float64", "int64") else DIMS[:4]:
            x = make(rng, (3, 2, 4), dtype, .3, 2)
            program = lambda T, x: getattr(T, name)(x, **kw)
            method = lambda T, x: getattr(x, name)(**kw)
            found += [f"{kw} {d}" for d in report(program, [x], grads=2 if dtype == "float64" else 1)]
            if dtype == "float64" and hasattr(torch.Tensor, name):
                found += [f"method {kw} {d}" for d in report(method, [x], grads=1)]
    for shape, kw in [((), {}), ((), {"dim": 0}), ((), {"dim": -1, "keepdim": True}), ((0,), {}), ((2, 0), {"dim": 0}),
                      ((2, 0), {"dim": 1}), ((1,), {}), ((1,), {"dim": 0})]:
        for dtype in ("float64", "int64", "bool"):
            found += [f"{kw} {d}" for d in report(lambda T, x: getattr(T, name)(x, **kw), [make(rng, shape, dtype)], grads=1)]
    for lies in LAYOUTS[1:]:
        for kw in DIMS[:4]:
            x = make(rng, (3, 2, 4), "float64", -2, 2, lies)
            found += [f"{kw} {d}" for d in report(lambda T, x: getattr(T, name)(x, **kw), [x])]
    ties = Input(np.array([[1.0, 3, 3, 2], [0, 0, 0, 0], [np.nan, 1, np.nan, 2], [np.inf, -np.inf, 1, 0]]), "float64")
    for kw in ({"dim": 1}, {"dim": 0}, {}):
        found += [f"ties {kw} {d}" for d in report(lambda T, x: getattr(T, name)(x, **kw), [ties], grads=1)]
    none_differ(found)


MORE_REDUCTIONS = {
    "sum_dtype": lambda T, x: x.sum(dtype=T.float64), "mean_dtype": lambda T, x: x.mean(dtype=T.float64),
    "sum_axis": lambda T, x: x.sum(axis=1), "mean_axis": lambda T, x: T.mean(x, axis=(0, 1)),
    "var_correction": lambda T, x: T.var(x, 1, correction=0), "var_unbiased": lambda T, x: x.var(False),
    "var_dim_unbiased": lambda T, x: x.var(1, False), "std_keepdim": lambda T, x: x.std(1, unbiased=False, keepdim=True),
    "var_2": lambda T, x: T.var(x, (0, 1), correction=2), "norm_1": lambda T, x: x.norm(1), "norm_3": lambda T, x: x.norm(3, 1),
    "norm_inf": lambda T, x: x.norm(math.inf, 1, True), "norm_0": lambda T, x: x.norm(0), "norm_fro": lambda T, x: x.norm("fro"),
    "norm_half": lambda T, x: x.norm(0.5, 0), "norm_dims": lambda T, x: T.norm(x, dim=(0, 1)),
    "cumsum": lambda T, x: x.cumsum(1), "cumsum_neg": lambda T, x: T.cumsum(x, dim=-1), "cumprod": lambda T, x: x.cumprod(0),
    "cummax": lambda T, x: T.cummax(x, 1), "cummin": lambda T, x: tuple(x.cummin(0)), "logcumsumexp": lambda T, x: x.logcumsumexp(1),
    "cumsum_dtype": lambda T, x: x.cumsum(0, dtype=T.float64), "diff": lambda T, x: x.diff(), "diff2": lambda T, x: T.diff(x, 2, 0),
    "sort": lambda T, x: T.sort(x), "sort_down": lambda T, x: x.sort(0, True), "argsort": lambda T, x: x.argsort(1, descending=True),
    "topk": lambda T, x: T.topk(x, 2), "topk_small": lambda T, x: x.topk(2, 0, largest=False), "kthvalue": lambda T, x: x.kthvalue(2),
    "topk_bad": lambda T, x: x.topk(9), "msort": lambda T, x: T.msort(x), "unique": lambda T, x: T.unique(x),
    "unique_all": lambda T, x: T.unique(x, return_inverse=True, return_counts=True), "unique_dim": lambda T, x: T.unique(x, dim=0),
    "unique_consecutive": lambda T, x: T.unique_consecutive(x.flatten().sort().values),
    "histc": lambda T, x: T.histc(x, 4, -2, 2), "quantile": lambda T, x: T.quantile(x, 0.3), "quantile_dim": lambda T, x: x.quantile(
        T.tensor([0.2, 0.5], dtype=x.dtype), 1), "trapezoid": lambda T, x: T.trapezoid(x, dx=0.5), "trapz": lambda T, x: T.trapz(x),
    "cov": lambda T, x: T.cov(x), "corrcoef": lambda T, x: T.corrcoef(x), "dist": lambda T, x: T.dist(x, x + 1),
    "renorm": lambda T, x: T.renorm(x, 2, 0, 1.0), "cumulative_trapezoid": lambda T, x: T.cumulative_trapezoid(x),
    "nanquantile": lambda T, x: T.nanquantile(x, 0.4), "logsumexp2": lambda T, x: T.logsumexp(x, (0, 1)),
    "softmax_dtype": lambda T, x: T.softmax(x, -1, dtype=T.float64), "softmax_m": lambda T, x: x.softmax(dim=-1),
    "log_softmax_m": lambda T, x: x.log_softmax(-1), "max_named": lambda T, x: x.max(dim=1).values,
    "min_named": lambda T, x: T.min(x, 1, keepdim=True).indices, "cdist": lambda T, x: T.cdist(x, x + .1),
    "std_none": lambda T, x: x.std(dim=None), "max_axis": lambda T, x: x.max(axis=1), "argmax_axis": lambda T, x: x.argmax(axis=0),
    "sum_star": lambda T, x: x.sum(0, 1), "sum_bad": lambda T, x: x.sum("a"), "mean_list": lambda T, x: x.mean([0, 1]),
    "any_tuple": lambda T, x: (x > 0).any((0, 1)), "cumsum_bad": lambda T, x: x.cumsum(4), "prod_dtype": lambda T, x: x.prod(dtype=T.float64),
    "sort_stable": lambda T, x: T.sort(x, stable=True), "sort_dim": lambda T, x: x.sort(dim=0, descending=True, stable=True),
    "argsort_stable": lambda T, x: T.argsort(x, dim=0, stable=True), "normalize": lambda T, x: x / x.norm(dim=-1, keepdim=True),
    "bincount": lambda T, x: T.bincount(x.detach().abs().long().flatten(), minlength=4),
    "searchsorted": lambda T, x: T.searchsorted(x.detach().sort(-1).values, x.detach()),
    "bucketize": lambda T, x: T.bucketize(x.detach(), T.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)),
    "mse": lambda T, x: ((x - 1) ** 2).mean(), "max_two": lambda T, x: T.max(x, x * -1),
}


@pytest.mark.parametrize("name", MORE_REDUCTIONS)
def test_more_reductions(name):
    rng, found = rng_of(name), []
    for dtype in ("float64", "float32", "int64"):
        found += report(MORE_REDUCTIONS[name], [make(rng, (3, 4), dtype)], grads=2 if dtype == "float64" else 1)
    found += report(MORE_REDUCTIONS[name], [make(rng, (3, 4), "float64", lies="transposed")])
    none_differ(found)


# -- shapes and views ----------------------------------------------------------------------------------------------
VIEWS = {
    "T": lambda T, x: x.T, "mT": lambda T, x: x.mT, "t": lambda T, x: x.t(), "transpose": lambda T, x: x.transpose(0, 1),
    "permute": lambda T, x: x.permute(1, 0), "permute_list": lambda T, x: T.permute(x, (1, -2)), "permute_bad": lambda T, x: x.permute(0, 0),
    "permute_short": lambda T, x: x.permute(0), "movedim": lambda T, x: x.movedim(0, 1), "swapaxes": lambda T, x: x.swapaxes(0, -1),
    "unsqueeze0": lambda T, x: x.unsqueeze(0), "unsqueeze1": lambda T, x: x.unsqueeze(1), "unsqueeze-1": lambda T, x: x.unsqueeze(-1),
    "unsqueeze_bad": lambda T, x: x.unsqueeze(5), "squeeze": lambda T, x: x.unsqueeze(1).squeeze(), "squeeze1": lambda T, x: x.unsqueeze(1).squeeze(1),
    "squeeze_no": lambda T, x: x.squeeze(0), "squeeze_dims": lambda T, x: x[None, :, None].squeeze((0, 2)), "expand": lambda T, x: x.expand(2, -1, -1),
    "expand_as": lambda T, x: x.expand_as(T.zeros(5, *x.shape)), "expand_bad": lambda T, x: x.expand(7, 7), "expand_short": lambda T, x: x.expand(7),
    "view": lambda T, x: x.view(2, -1), "view_flat": lambda T, x: x.view(-1), "view_bad": lambda T, x: x.view(5, 5), "view_two": lambda T, x: x.view(-1, -1),
    "view_as": lambda T, x: x.view_as(T.zeros(2, 6)), "view_tuple": lambda T, x: x.view((6, 2)), "view_size": lambda T, x: x.view(T.Size([12])),
    "reshape": lambda T, x: x.reshape(2, 6), "reshape_list": lambda T, x: T.reshape(x, [2, -1]), "reshape_same": lambda T, x: x.reshape(x.shape),
    "reshape_bad": lambda T, x: x.reshape(5, -1), "flatten": lambda T, x: x.flatten(), "flatten2": lambda T, x: x[None].flatten(1, 2),
    "flatten_bad": lambda T, x: x.flatten(1, 0), "ravel": lambda T, x: x.ravel(), "unflatten": lambda T, x: x.unflatten(-1, (2, -1)),
    "narrow": lambda T, x: x.narrow(1, 1, 2), "narrow_bad": lambda T, x: x.narrow(1, 3, 4), "select": lambda T, x: x.select(1, -1),
    "select_bad": lambda T, x: x.select(1, 9), "diagonal": lambda T, x: x.diagonal(), "diagonal1": lambda T, x: x.diagonal(1), "diagonal-1": lambda T, x: x.diagonal(-1, 1, 0),
    "unfold": lambda T, x: x.unfold(1, 2, 1), "unfold_bad": lambda T, x: x.unfold(1, 9, 1), "as_strided": lambda T, x: x.as_strided((2, 2), (1, 2)),
    "as_strided_overlap": lambda T, x: x.as_strided((3, 2), (1, 1), 1), "as_strided_bad": lambda T, x: x.as_strided((50,), (1,)),
    "split": lambda T, x: x.split(2, 1), "split_list": lambda T, x: T.split(x, [1, 3], 1), "split_bad": lambda T, x: x.split([1, 1], 1),
    "chunk": lambda T, x: x.chunk(3, 1), "chunk5": lambda T, x: x.chunk(5, -1), "chunk0": lambda T, x: x.chunk(0), "tensor_split": lambda T, x: x.tensor_split(3, 1),
    "tensor_split_at": lambda T, x: T.tensor_split(x, (1, 3), 1), "unbind": lambda T, x: x.unbind(), "unbind1": lambda T, x: T.unbind(x, 1),
    "iterate": lambda T, x: list(x), "cat": lambda T, x: T.cat([x, x * 2], 1), "cat0": lambda T, x: T.cat((x, x)), "cat_bad": lambda T, x: T.cat([x, x[:, :1]]),
    "cat_empty": lambda T, x: T.cat([x, T.empty(0, dtype=x.dtype)]), "cat_promote": lambda T, x: T.cat([x, T.ones(1, 4, dtype=T.int32)]), "cat_none": lambda T, x: T.cat([]),
    "cat_dims": lambda T, x: T.cat([x, x[0]]), "cat_0d": lambda T, x: T.cat([x.sum(), x.sum()]), "cat_not": lambda T, x: T.cat([x, 1]), "cat_tensor": lambda T, x: T.cat(x),
    "stack": lambda T, x: T.stack([x, x + 1], -1), "stack0": lambda T, x: T.stack((x, x)), "stack_bad": lambda T, x: T.stack([x, x[0]]), "stack_none": lambda T, x: T.stack([]),
    "hstack": lambda T, x: T.hstack((x, x)), "vstack": lambda T, x: T.vstack((x, x[0])), "dstack": lambda T, x: T.dstack((x, x)), "column_stack": lambda T, x: T.column_stack((x, x[:, 0])),
    "repeat": lambda T, x: x.repeat(2, 1, 3), "repeat_short": lambda T, x: x.repeat(2), "tile": lambda T, x: x.tile(2), "tile2": lambda T, x: T.tile(x, (2, 2)),
    "flip": lambda T, x: x.flip(0), "flip2": lambda T, x: T.flip(x, (0, 1)), "fliplr": lambda T, x: T.fliplr(x), "flipud": lambda T, x: x.flipud(), "roll": lambda T, x: x.roll(1),
    "roll_dim": lambda T, x: T.roll(x, (1, -1), (0, 1)), "rot90": lambda T, x: T.rot90(x), "rot90_2": lambda T, x: x.rot90(2), "rot90_3": lambda T, x: x.rot90(-1),
    "tril": lambda T, x: x.tril(), "triu1": lambda T, x: T.triu(x, 1), "tril-1": lambda T, x: x.tril(diagonal=-1), "diag": lambda T, x: x.diag(), "diag_vec": lambda T, x: T.diag(x[0]),
    "diag_vec1": lambda T, x: T.diag(x[0], -1), "diag_embed": lambda T, x: T.diag_embed(x), "diag_embed1": lambda T, x: T.diag_embed(x, 1), "diagflat": lambda T, x: T.diagflat(x),
    "trace": lambda T, x: x.trace(), "broadcast_to": lambda T, x: T.broadcast_to(x, (2, 3, 4)), "broadcast_tensors": lambda T, x: T.broadcast_tensors(x, x[0]),
    "atleast": lambda T, x: (T.atleast_1d(x.sum()), T.atleast_2d(x[0]), T.atleast_3d(x)), "meshgrid": lambda T, x: T.meshgrid(x[0], x[:, 0], indexing="ij"),
    "meshgrid_xy": lambda T, x: T.meshgrid(x[0], x[:, 0], indexing="xy"), "cartesian": lambda T, x: T.cartesian_prod(x[0], x[:, 0]), "combinations": lambda T, x: T.combinations(x[0]),
    "repeat_interleave": lambda T, x: x.repeat_interleave(2, 1), "repeat_interleave_all": lambda T, x: x.repeat_interleave(2), "repeat_interleave_t": lambda T, x: T.repeat_interleave(x, T.tensor([1, 0, 2]), 0),
    "block_diag": lambda T, x: T.block_diag(x, x[0]), "hsplit": lambda T, x: T.hsplit(x, 2), "vsplit": lambda T, x: x.vsplit(3), "swapdims": lambda T, x: T.swapdims(x, 0, 1),
    "vander": lambda T, x: T.vander(x[0], 3), "constant_pad": lambda T, x: T.nn.functional.pad(x, (1, 2)), "contig_t": lambda T, x: x.t().contiguous(), "size_neg": lambda T, x: (x.size(-1), x.size(0)),
    "size_bad": lambda T, x: x.size(3), "T_double": lambda T, x: x.T.T, "view_t": lambda T, x: x.t().view(-1), "reshape_t": lambda T, x: x.t().reshape(-1), "expand_1": lambda T, x: x[:1].expand(5, -1),
    "adjoint": lambda T, x: x.adjoint(), "moveaxis": lambda T, x: T.moveaxis(x[None], (0, 1), (1, 0)), "H": lambda T, x: x.H, "reshape_as": lambda T, x: x.reshape_as(T.zeros(4, 3)),
    "index_select": lambda T, x: x.index_select(1, T.tensor([3, 0, 0])), "expand_neg_new": lambda T, x: x.expand(-1, 3, 4), "contiguous": lambda T, x: x.contiguous(),
    "clone_preserve": lambda T, x: x.clone(memory_format=T.preserve_format), "clone_contig": lambda T, x: x.clone(memory_format=T.contiguous_format), "view_dtype_same": lambda T, x: x.view(x.dtype),
    "unsafe_chunk": lambda T, x: x.unsafe_chunk(2, 1), "unsafe_split": lambda T, x: T.unsafe_split(x, 2, 1), "dsplit": lambda T, x: T.dsplit(x[None], 2), "ndim_attr": lambda T, x: (x.ndim, x.dim(), x.numel(), x.nelement(), len(x), x.element_size(), x.itemsize, x.nbytes),
    "select_scatter": lambda T, x: T.select_scatter(x, x[0] * 2, 0, 1), "slice_scatter": lambda T, x: T.slice_scatter(x, x[:, :2] * 2, 1, 1, 3), "diagonal_scatter": lambda T, x: T.diagonal_scatter(x, x[0, :3]),
    "squeeze_copy": lambda T, x: T.squeeze(x[None], 0), "zeros_like": lambda T, x: T.zeros_like(x), "ones_like": lambda T, x: T.ones_like(x, dtype=T.int64), "full_like": lambda T, x: T.full_like(x, 3),
    "new_zeros": lambda T, x: x.new_zeros(2, 3), "new_ones": lambda T, x: x.new_ones((2,)), "new_full": lambda T, x: x.new_full((2,), 7), "new_tensor": lambda T, x: x.new_tensor([1, 2]), "new_list": lambda T, x: x.new([1, 2]),
    "new_size": lambda T, x: x.new(2, 3).shape, "empty_like": lambda T, x: T.empty_like(x) * 0, "zeros_like_grad": lambda T, x: T.zeros_like(x.detach().float(), requires_grad=True),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    rng, found = rng_of(name), []
    for lies in (*LAYOUTS, "expanded"):
        found += report(VIEWS[name], [make(rng, (3, 4), "float64", lies=lies)])
    for dtype in ("float32", "int64", "bool", "bfloat16"):
        found += report(VIEWS[name], [make(rng, (3, 4), dtype)], grads=1)
    none_differ(found)


SHAPELESS = {n: VIEWS[n] for n in "T t mT transpose unsqueeze0 unsqueeze-1 squeeze squeeze_no flatten ravel view_flat select narrow "
             "diagonal unfold split unbind iterate flip roll tril diag chunk movedim tile permute_short contiguous ndim_attr".split()}


@pytest.mark.parametrize("name", SHAPELESS)
def test_views_of_odd_shapes(name):
    rng = rng_of(name)
    none_differ([d for shape in ((), (5,), (0,), (0, 3), (1, 1), (2, 3, 4)) for d in
                 report(VIEWS[name], [make(rng, shape, "float64")], grads=1)])


# -- indexing ---------------------------------------------------------------------------------------------------------
def _i(T, *v):
    return T.tensor(list(v))


INDICES = {
    "int": lambda T: 1, "neg": lambda T: -1, "bad": lambda T: 9, "slice": lambda T: slice(1, 3), "slice_neg": lambda T: slice(-2, None), "step": lambda T: slice(None, None, 2), "step_neg": lambda T: slice(None, None, -1),
    "empty": lambda T: slice(3, 1), "none": lambda T: None, "dots": lambda T: ..., "dots_int": lambda T: (..., 1), "two": lambda T: (1, 2), "mixed": lambda T: (slice(None), 1, None), "three": lambda T: (1, slice(1, None), -1), "too_many": lambda T: (1, 1, 1, 1),
    "two_dots": lambda T: (..., ...), "true": lambda T: True, "false": lambda T: False, "true_in": lambda T: (True, 1), "list": lambda T: [0, 2], "list2": lambda T: ([0, 2], [1, 1]), "tensor": lambda T: _i(T, 0, 2, 2), "tensor_neg": lambda T: _i(T, -1, 0),
    "tensor_bad": lambda T: _i(T, 9), "tensor2d": lambda T: T.tensor([[0, 1], [2, 0]]), "tensor_0d": lambda T: T.tensor(1), "tensor_0d_in": lambda T: (slice(None), T.tensor(1)), "pair": lambda T: (_i(T, 0, 2), _i(T, 1, 0)), "pair_bc": lambda T: (T.tensor([[0], [1]]), _i(T, 1, 0, 2)),
    "apart": lambda T: (_i(T, 0, 1), slice(None), _i(T, 1, 0)), "apart_int": lambda T: (0, slice(None), _i(T, 1, 0)), "second": lambda T: (slice(None), _i(T, 1, 0)), "last": lambda T: (..., _i(T, 1, 0)), "with_none": lambda T: (None, _i(T, 1, 0)), "none_between": lambda T: (_i(T, 0, 1), None, _i(T, 1, 0)),
    "mask": lambda T: T.tensor([True, False, True]), "mask2": lambda T: T.tensor([[True, False, True, False]] * 3), "mask_bad": lambda T: T.tensor([True, False]), "mask_second": lambda T: (slice(None), T.tensor([True, False, True, True])), "mask_and_int": lambda T: (T.tensor([True, False, True]), 1),
    "mask_and_tensor": lambda T: (T.tensor([True, False, True]), _i(T, 1, 0)), "mask_empty": lambda T: T.zeros(3, dtype=T.bool), "mask_0d": lambda T: T.tensor(True), "bool_list": lambda T: [True, False, True], "uint8": lambda T: T.tensor([1, 0, 1], dtype=T.uint8), "float": lambda T: T.tensor([1.0]), "float_py": lambda T: 1.0,
    "string": lambda T: "a", "np_int": lambda T: np.int64(1), "np_array": lambda T: np.array([0, 2]), "np_mask": lambda T: np.array([True, False, True]), "int32": lambda T: T.tensor([0, 1], dtype=T.int32), "range": lambda T: range(2), "empty_tensor": lambda T: T.tensor([], dtype=T.int64), "empty_list": lambda T: [], "nested": lambda T: [[0, 1], [1, 2]],
    "slice_t": lambda T: slice(T.tensor(1), T.tensor(3)), "bc_bad": lambda T: (_i(T, 0, 1), _i(T, 0, 1, 2)), "tuple_in_list": lambda T: ([0, 1], slice(None), 1), "slice_str": lambda T: slice("a", None), "ellipsis_mask": lambda T: (..., T.tensor([True, False])), "mask_3d": lambda T: T.ones(3, 4, 2, dtype=T.bool),
    "int_after": lambda T: (_i(T, 0, 1), 1), "tensor_slice_int": lambda T: (_i(T, 0, 1), slice(None), 1), "int_slice_list": lambda T: (1, slice(None), [0, 1]),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexed_reads(name):
    rng, index = rng_of(name), INDICES[name]
    none_differ([d for lies in (*LAYOUTS, "expanded") for d in
                 report(lambda T, x: x[index(T)], [make(rng, (3, 4, 2), "float64", lies=lies)])]
                + report(lambda T, x: x[index(T)], [make(rng, (3, 4, 2), "int64")])
                + report(lambda T, x: x[index(T)], [make(rng, (), "float64")])
                + report(lambda T, x: x[index(T)], [make(rng, (3,), "float32")], grads=1))


VALUES = {"number": lambda T, x, i: 7, "tensor0": lambda T, x, i: T.tensor(2.5, dtype=x.dtype), "like": lambda T, x, i: x[i] * 2, "other": lambda T, x, i: x.detach()[i].to(T.float32) + 1,
          "bad": lambda T, x, i: T.zeros(7, 7), "list": lambda T, x, i: [1, 2], "float": lambda T, x, i: 1.5, "row": lambda T, x, i: T.tensor([3.0, 4.0])}


@pytest.mark.parametrize("name", INDICES)
def test_indexed_writes(name):
    rng, index, found = rng_of(name), INDICES[name], []
    for kind, value in VALUES.items():
        def program(T, x):
            y = x * 1
            i = index(T)
            y[i] = value(T, x, i)
            return y
        for dtype in ("float64", "int64"):
            found += [f"{kind} {d}" for d in report(program, [make(rng, (3, 4, 2), dtype)], grads=2, names=False)]
        found += [f"{kind} {d}" for d in report(program, [make(rng, (4, 2, 3), "float64", lies="transposed")], names=False)]
    none_differ(found)


AT = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])
INDEXED = {
    "gather0": lambda T, x: x.gather(0, T.tensor(AT)), "gather1": lambda T, x: T.gather(x, 1, T.tensor(AT)), "gather_bad": lambda T, x: x.gather(0, T.tensor(AT + 3)), "gather_dims": lambda T, x: x.gather(0, T.tensor([0])), "gather_float": lambda T, x: x.gather(0, T.tensor(AT).float()),
    "gather_big": lambda T, x: x.gather(0, T.zeros(2, 9, dtype=T.int64)), "scatter": lambda T, x: x.scatter(0, T.tensor(AT), x[:2] * 2), "scatter_num": lambda T, x: x.scatter(1, T.tensor(AT), 7), "scatter_add": lambda T, x: x.scatter_add(0, T.tensor(AT), x[:2] * 3), "scatter_value": lambda T, x: T.scatter(x, 0, T.tensor(AT), value=2),
    "scatter_red": lambda T, x: x.scatter(0, T.tensor(AT), x[:2], reduce="add"), "scatter_mul": lambda T, x: x.detach().scatter(0, T.tensor(AT), x.detach()[:2], reduce="multiply"), "scatter_bad": lambda T, x: x.scatter(0, T.tensor(AT), x[:1]), "scatter_dtype": lambda T, x: x.scatter(0, T.tensor(AT), T.ones(2, 4, dtype=T.float16)),
    **{f"scatter_reduce_{r}": lambda T, x, r=r: x.scatter_reduce(0, T.tensor(AT), x[:2] * 2 + 1, r) for r in ("sum", "prod", "mean", "amax", "amin")},
    **{f"scatter_reduce_{r}_fresh": lambda T, x, r=r: x.scatter_reduce(0, T.tensor(AT), x[:2] * 2 + 1, r, include_self=False) for r in ("sum", "prod", "mean", "amax", "amin")},
    "index_select_bad": lambda T, x: x.index_select(0, T.tensor([5])), "index_add": lambda T, x: x.index_add(0, T.tensor([0, 2, 0]), x * 2), "index_add_alpha": lambda T, x: x.index_add(0, T.tensor([0, 2]), x[:2], alpha=3), "index_copy": lambda T, x: x.index_copy(1, T.tensor([3, 0]), x[:, :2] * 5),
    "index_fill": lambda T, x: x.index_fill(0, T.tensor([1]), 9), "index_add_bad": lambda T, x: x.index_add(0, T.tensor([0, 2]), x), "index_put": lambda T, x: x.index_put((T.tensor([0, 1]), T.tensor([1, 1])), x[0, :2]), "index_put_acc": lambda T, x: x.index_put((T.tensor([0, 0]),), x[0], accumulate=True),
    "masked_select": lambda T, x: x.masked_select(x > 0), "masked_fill": lambda T, x: x.masked_fill(x > 0, 3), "masked_fill_inf": lambda T, x: x.masked_fill(x > 0, float("-inf")), "masked_fill_t": lambda T, x: x.masked_fill(x > 0, T.tensor(2.0)), "masked_fill_bc": lambda T, x: x.masked_fill(x[0] > 0, 0.5),
    "masked_fill_bad": lambda T, x: x.masked_fill(x, 1), "masked_scatter": lambda T, x: x.masked_scatter(x > 0, x * 10), "take": lambda T, x: x.take(T.tensor([0, 5, 5])), "take_along": lambda T, x: T.take_along_dim(x, x.argsort(1), 1), "where": lambda T, x: T.where(x > 0, x, x * 2), "where_num": lambda T, x: T.where(x > 0, x, 0.0),
    "where_nums": lambda T, x: T.where(x > 0, 1, 2), "where_floats": lambda T, x: T.where(x > 0, 1.0, 0.0), "where_one": lambda T, x: T.where(x > 0), "where_m": lambda T, x: x.where(x > 0, T.zeros((), dtype=x.dtype)), "where_mixed": lambda T, x: T.where(x > 0, x, T.ones(4, dtype=T.int64)), "where_bad": lambda T, x: T.where(x, x, x), "where_int": lambda T, x: T.where(x > 0, x, 1),
    "nonzero": lambda T, x: (x > 0).nonzero(), "nonzero_t": lambda T, x: T.nonzero(x > 0, as_tuple=True), "argwhere": lambda T, x: T.argwhere(x > 0), "one_hot": lambda T, x: T.nn.functional.one_hot(T.tensor([0, 2]), 4), "isin": lambda T, x: T.isin(x, x[0]), "clamp": lambda T, x: x.clamp(-1, 1), "clamp_min": lambda T, x: x.clamp(min=0),
    "clamp_max": lambda T, x: T.clamp(x, max=0.5), "clamp_t": lambda T, x: T.clamp(x, x * 0 - 1, x * 0 + 1), "clamp_none": lambda T, x: x.clamp(), "clamp_float": lambda T, x: x.clamp(-0.5, 0.5), "clamp_int_bounds": lambda T, x: T.clip(x, 0, 1), "clamp_min_f": lambda T, x: T.clamp_min(x, 0.5), "clamp_max_f": lambda T, x: x.clamp_max(1),
    "lerp": lambda T, x: T.lerp(x, x * 2, 0.3), "lerp_t": lambda T, x: T.lerp(x, x * 2, x), "lerp_far": lambda T, x: x.lerp(x + 1, 0.8), "addcmul": lambda T, x: T.addcmul(x, x, x, value=2), "addcdiv": lambda T, x: T.addcdiv(x, x, x + 4, value=0.5), "add_alpha": lambda T, x: T.add(x, x, alpha=2), "sub_alpha": lambda T, x: x.sub(x, alpha=3),
    "div_floor": lambda T, x: T.div(x, 2, rounding_mode="floor"), "div_trunc": lambda T, x: x.div(x + 5, rounding_mode="trunc"), "div_bad": lambda T, x: T.div(x, 2, rounding_mode="x"), "round_2": lambda T, x: T.round(x, decimals=2), "pow_t": lambda T, x: T.pow(2, x), "pow_half": lambda T, x: (x * x + 1).pow(0.5), "pow-1": lambda T, x: (x + 3) ** -1,
    "pow-2": lambda T, x: (x + 3) ** -2, "pow0": lambda T, x: x ** 0, "pow1": lambda T, x: x ** 1, "pow2.5": lambda T, x: (x + 3) ** 2.5, "pow4": lambda T, x: x ** 4, "nan_to_num": lambda T, x: T.nan_to_num(x / x * x, 5.0), "equal": lambda T, x: (T.equal(x, x), T.equal(x, x + 1), T.equal(x, x[0])), "allclose": lambda T, x: T.allclose(x, x + 1e-9),
    "max_t": lambda T, x: T.max(x, x.flip(0)), "add_out": lambda T, x: T.add(x.detach(), 1, out=T.empty(3, 4, dtype=x.dtype)), "add_out_resize": lambda T, x: T.mul(x.detach(), 2, out=T.empty(0, dtype=x.dtype)), "out_grad": lambda T, x: T.add(x, 1, out=T.empty(3, 4, dtype=x.dtype)), "out_cast": lambda T, x: T.add(x.detach(), 1.5, out=T.empty(3, 4, dtype=T.int64)),
    "to_half": lambda T, x: x.half(), "to_int": lambda T, x: x.int(), "to_bool": lambda T, x: x.bool(), "to_same": lambda T, x: x.to(x.dtype) is x, "to_copy": lambda T, x: x.to(x.dtype, copy=True), "to_double": lambda T, x: x.to(T.float64), "to_dev": lambda T, x: x.to("cpu"), "to_dev_dtype": lambda T, x: x.to("cpu", T.float32), "to_other": lambda T, x: x.to(T.zeros(1, dtype=T.float16)),
    "type_as": lambda T, x: x.type_as(T.zeros(1, dtype=T.float64)), "type": lambda T, x: x.type(), "type_to": lambda T, x: x.type(T.float32), "type_str": lambda T, x: x.type("torch.DoubleTensor"), "type_cls": lambda T, x: x.type(T.FloatTensor), "byte": lambda T, x: x.detach().abs().byte(), "to_kw": lambda T, x: x.to(dtype=T.float32, device="cpu"), "to_bad": lambda T, x: x.to("nowhere"),
    "heaviside": lambda T, x: T.heaviside(x.detach(), T.tensor(0.5, dtype=x.dtype)), "cross": lambda T, x: T.cross(x[:, :3], x[:, 1:], dim=1), "cosine": lambda T, x: T.nn.functional.cosine_similarity(x, x * 2 + 1, dim=1), "logical": lambda T, x: (x > 0).logical_and(x < 1), "not": lambda T, x: ~(x > 0), "count_nonzero": lambda T, x: (x > 0).count_nonzero(1),
    "bool_sum": lambda T, x: (x > 0).sum(), "bool_mean": lambda T, x: (x > 0).float().mean(0), "tril_idx": lambda T, x: (T.tril_indices(3, 3), T.triu_indices(3, 4, 1)), "relu_m": lambda T, x: x.relu(), "prelu": lambda T, x: T.prelu(x, T.tensor([0.2], dtype=x.dtype)),
    "threshold": lambda T, x: T.threshold(x, 0.1, 20), "celu": lambda T, x: T.celu(x), "selu": lambda T, x: T.selu(x), "logaddexp": lambda T, x: T.logaddexp(x, x * 2), "mvlgamma": lambda T, x: T.mvlgamma(x + 6, 2), "polygamma": lambda T, x: T.polygamma(1, x + 5), "special_expit": lambda T, x: x.sigmoid(), "dropout0": lambda T, x: T.dropout(x, 0.0, True),
    "std_int": lambda T, x: x.std(), "item": lambda T, x: x[0, 0].item(), "tolist": lambda T, x: x.tolist(), "int()": lambda T, x: (int(x[0, 0]), float(x[0, 0]), bool(x[0, 0])), "item_bad": lambda T, x: x.item(), "bool_bad": lambda T, x: bool(x), "float_bad": lambda T, x: float(x), "len0": lambda T, x: len(x.sum()), "iter0": lambda T, x: list(x.sum()), "contains": lambda T, x: (x[0, 0] in x, 100 in x), "index_py": lambda T, x: [10, 20, 30][x.detach().long().sum() * 0 + 1],
    "is_tests": lambda T, x: (x.is_floating_point(), x.is_complex(), x.is_contiguous(), x.is_signed(), x.is_leaf, x.is_cuda, T.is_tensor(x), T.numel(x), T.is_floating_point(x), T.is_storage(x)), "dtype": lambda T, x: (x.dtype, x.shape, x.device), "format": lambda T, x: f"{x.detach().double()[0, 0]:.3f}", "numpy": lambda T, x: x.detach().numpy().sum().item(), "ndim": lambda T, x: x.ndim,
    "broadcast_shapes": lambda T, x: T.broadcast_shapes((3, 1), (4,)), "result_type": lambda T, x: T.result_type(x, 1.5), "promote": lambda T, x: T.promote_types(x.dtype, T.int64), "can_cast": lambda T, x: T.can_cast(x.dtype, T.int32), "arange_like": lambda T, x: T.arange(0, 1, 0.1), "is_same_size": lambda T, x: x.is_same_size(x), "where_scalar_dtype": lambda T, x: T.where(T.tensor(True), x, 2),
}


@pytest.mark.parametrize("name", INDEXED)
def test_indexed_and_mixed(name):
    rng, found = rng_of(name), []
    for dtype in ("float64", "float32", "int64", "float16", "bool"):
        found += report(INDEXED[name], [make(rng, (3, 4), dtype)], grads=2 if dtype == "float64" else 1)
    for lies in LAYOUTS[1:]:
        found += report(INDEXED[name], [make(rng, (3, 4), "float64", lies=lies)])
    none_differ(found)


# -- products ------------------------------------------------------------------------------------------------------------
PRODUCTS = {
    "matmul": lambda T, a, b: a @ b, "mm": lambda T, a, b: T.mm(a, b), "bmm": lambda T, a, b: T.bmm(a, b), "mv": lambda T, a, b: T.mv(a, b), "dot": lambda T, a, b: T.dot(a, b), "vdot": lambda T, a, b: T.vdot(a, b), "inner": lambda T, a, b: T.inner(a, b),
    "outer": lambda T, a, b: T.outer(a, b), "kron": lambda T, a, b: T.kron(a, b), "tensordot1": lambda T, a, b: T.tensordot(a, b, 1), "linear": lambda T, a, b: T.nn.functional.linear(a, b.mT if b.dim() > 1 else b), "chain": lambda T, a, b: T.chain_matmul(a, b), "einsum": lambda T, a, b: T.einsum("...ij,...jk->...ik", a, b),
    "addmm": lambda T, a, b: T.addmm(T.ones(b.shape[-1], dtype=a.dtype), a, b, beta=0.5, alpha=2), "baddbmm": lambda T, a, b: T.baddbmm(T.ones(1, 1, 1, dtype=a.dtype), a, b), "addmv": lambda T, a, b: T.addmv(T.ones(1, dtype=a.dtype), a, b), "addr": lambda T, a, b: T.addr(T.ones(1, 1, dtype=a.dtype), a, b), "ger": lambda T, a, b: T.ger(a, b),
    "addbmm": lambda T, a, b: T.addbmm(T.ones(1, 1, dtype=a.dtype), a, b, beta=2, alpha=3),
}
PRODUCT_SHAPES = [((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((0, 4), (4, 5)), ((3, 0), (0, 5)),
                  ((2, 0, 4), (4, 5)), ((3, 4), (3, 4)), ((2, 3, 4), (3, 4, 5)), ((), (4,)), ((3,), (4,)), ((1, 4), (4, 1))]


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    rng, found = rng_of(name), []
    for s, t in PRODUCT_SHAPES:
        found += report(PRODUCTS[name], [make(rng, s, "float64"), make(rng, t, "float64")], names=False)
    for s, t in PRODUCT_SHAPES[:5]:
        for a, b in [("float32", "float32"), ("int64", "int64"), ("float32", "float64"), ("float32", "int64"), ("bfloat16", "bfloat16"), ("bool", "bool")]:
            found += report(PRODUCTS[name], [make(rng, s, a), make(rng, t, b)], grads=1)
        for lies in LAYOUTS[1:]:
            found += report(PRODUCTS[name], [make(rng, s, "float64", lies=lies), make(rng, t, "float64", lies=lies)], grads=1, names=False)
    none_differ(found)


EINSUMS = ["ij,jk->ik", "ij,jk", "ij->ji", "ii->i", "ii", "ij->", "i,j->ij", "bij,bjk->bik", "bij,bkj->bik", "bhid,bhjd->bhij", "...ij,jk->...ik", "ij,ij->i", "ij,ij->", "abc,cd,db->a", "i,i", "ij,k->kji", "bi,bj->bij", " i j , j k -> i k ", "ij,jk->", "ijk->k", "i->", "...->...", "i...->..."]


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation):
    rng, sizes = rng_of(equation), dict(a=2, b=3, c=4, d=5, h=2, i=3, j=4, k=5)
    left = equation.replace(" ", "").split("->")[0].replace("...", "").split(",")
    if equation.startswith(("ii", )):
        sizes["i"] = 3
    xs = [make(rng, (*((2,) if "..." in equation.split(",")[n if "," in equation else 0] else ()), *(sizes[c] for c in t)), "float64") for n, t in enumerate(left)]
    none_differ(report(lambda T, *xs: T.einsum(equation, *xs), xs, names=False, strides=False))


# -- in place ------------------------------------------------------------------------------------------------------------
def has_in_place(name):
    return hasattr(torch.Tensor, name + "_") and name not in ("contiguous", "set")


@pytest.mark.parametrize("name", [n for n in UNARY if has_in_place(n)])
def test_unary_in_place(name):
    rng, (low, high) = rng_of(name), UNARY[name]

    def written(T, x):
        y = x * 1 if x.dtype != T.bool else x.clone()
        z = getattr(y, name + "_")()
        return y, z is y, y._version

    def part_written(T, x):
        y = x * 1 if x.dtype != T.bool else x.clone()
        getattr(y[..., 1:], name + "_")()
        return y
    found = []
    for dtype in ("float64", "int64", "bool", "float16"):
        for program in (written, part_written):
            found += report(program, [make(rng, (3, 4), dtype, low, high)], grads=2 if dtype == "float64" else 1, names=False)
    none_differ(found + report(written, [make(rng, (3, 4), "float64", low, high, "transposed")], names=False))


@pytest.mark.parametrize("name", [n for n in BINARY if has_in_place(n)])
def test_binary_in_place(name):
    rng, (low, high) = rng_of(name), BINARY[name]

    def written(T, x, other):
        y = x * 1 if x.dtype != T.bool else x.clone()
        getattr(y, name + "_")(other)
        return y

    def part_written(T, x, other):
        y = x * 1 if x.dtype != T.bool else x.clone()
        getattr(y.t()[1], name + "_")(other[0, :3])
        return y
    found = []
    for a, b in [("float64", "float64"), ("float32", "float64"), ("float32", "int64"), ("int64", "float32"), ("int64", "int64"),
                 ("bool", "bool"), ("bool", "int64"), ("uint8", "int64")]:
        for program in (written, part_written):
            found += report(program, [make(rng, (3, 4), a, low, high), make(rng, (3, 4), b, low, high)],
                            grads=2 if a == b == "float64" else 1, names=False)
    for number in (2, 1.5, True):
        for dtype in ("float64", "int64", "bool"):
            found += [f"{number} {d}" for d in report(lambda T, x: written(T, x, number), [make(rng, (3, 4), dtype, low, high)],
                                                      names=False)]
    found += report(written, [make(rng, (3, 4), "float64", low, high), make(rng, (2, 3, 4), "float64", low, high)], names=False)
    none_differ(found)
