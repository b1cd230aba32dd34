"""What kinds of values arguments may have, told where a kind of call is new and where a call has failed.

A call that succeeds again pays nothing for it: only a new kind of call and a failure have their arguments looked at, and the
first one that cannot be what it is to be is named, as PyTorch names it before it does anything. Most arguments tell their
kind by their name.
"""
from __future__ import annotations

import functools
import inspect
import sys
from operator import index
from typing import NamedTuple

import numpy as np

from ..tensor import Tensor
from .refusals import refuse_dtypes

PLAIN = (list, tuple, dict, set, str, int, float, complex, type(None), np.ndarray, np.generic)
FRACTIONS = (float, complex, np.floating, np.complexfloating, np.bool_)
LISTS, WORDS = (list, tuple, dict, set, np.ndarray), (str, bytes)
KINDS = {       # names of arguments that are of one kind in (nearly) all functions
    "Tensor": """
        A B L LD LU LU_data LU_pivots abs anchor angle append attn_mask aweights b b_hh b_ih batch1 batch2 bias
        boundaries ccol_indices col_indices compressed_indices condition crow_indices elements fweights hx imag
        index indices input input1 input2 key log_probs mask mat mat1 mat2 negative offsets per_sample_weights
        pivots plain_indices pos_weight positive prepend prob query real row_indices running_mean running_var
        scale sorted_sequence sorter source src target targets tau tensor tensor1 tensor2 test_elements values
        vec vec1 vec2 w_hh w_ih weight weights window x x1 x2 y zero_point""",
    "tuple of ints": """
        destination dilation dims kernel_size normalized_shape output_padding output_size pad padding shifts
        size sizes stride""",
    "Tensor or number": "exponent max mean min other repeats start std",
    "Number": """
        alpha beta correction dx end fill_value lambd lower max_val maxnorm min_val negative_slope step
        threshold value""",
    "int": """
        bins chunks compute_mode decimals diagonal dim dim0 dim1 dim2 divisor_override downscale_factor
        edge_order end_dim groups hop_length ignore_index k length minlength n n_fft num_classes num_groups
        num_samples offset padding_idx quant_max quant_min start_dim steps storage_offset upscale_factor
        win_length window_length""",
    "bool": """
        accumulate adjoint align_to_window assume_unique ceil_mode center check_errors compute_uv
        count_include_pad density descending enable_gqa equal_nan full full_matrices hermitian
        include_last_offset include_self increasing invert is_causal keepdim largest left log_input log_target
        normalized onesided out_int32 periodic pivot replacement return_complex return_counts return_inverse
        right scale_grad_by_freq some sorted sparse sparse_grad stable train training transpose unbiased
        unitriangular unpack_data unpack_pivots upper use_input_stats with_replacement zero_infinity""",
    "float": "atol base d delta dropout_p eps margin momentum nan neginf p posinf rcond rtol",
    "tuple of Tensors": "tensors",
    "str": """
        UPLO approximate driver equation indexing interpolation mode norm pad_mode rounding_mode side""",
}
SPECIAL = {     # those that are not: (kind, names) -> functions
    ("Number", "start"): "arange range",
    ("Number", "p"): "dist multi_margin_loss renorm",
    ("Number", "min max"): "histc",
    ("Number", "margin"): "multi_margin_loss",
    ("Number", "upper"): "rrelu",
    ("Number", "ord"): "vector_norm",
    ("Tensor", "other"): """
        allclose arctan2 atan2 cross dist equal fmax fmin gammainc gammaincc gcd hypot igamma igammac inner
        isclose kron lcm ldexp logaddexp logaddexp2 logical_and logical_or logical_xor matmul maximum minimum
        nextafter vdot""",
    ("Tensor", "end"): "lerp",
    ("Tensor", "data lengths"): "segment_reduce",
    ("str", "reduce"): "segment_reduce",
    ("Tensor", "value"): "scaled_dot_product_attention multi_head_attention_forward",
    ("Tensor or number", "p"): "bernoulli",
    ("Tensor or number", "input"): """
        bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor bucketize
        chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w float_power
        hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p pow remainder
        shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
        shifted_chebyshev_polynomial_w where xlog1py xlogy zeta""",
    ("Tensor or number", "scale zero_point"): "fake_quantize_per_tensor_affine",
    ("Tensor or number", "value"): "fill fill_ index_fill masked_fill",
    ("Tensor or number", "bins"): "histogram",
    ("Tensor or number", "weight"): "lerp",
    ("Tensor or number", "end"): "linspace logspace",
    ("Tensor or number", "rtol atol"): "matrix_rank pinv",
    ("Tensor or number", "tensor1"): "result_type",
    ("anything", "data"): "as_tensor asarray tensor",
    ("what has ints", "dims"): "tensordot",
    ("what has ints", "padding"): "conv1d conv2d conv3d",
    ("what has ints", "split_size_or_sections"): "split",
    ("anything", "bins"): "histogramdd",
    ("anything", "src"): "scatter",
    ("anything", "tensor"): "is_tensor",
    ("anything", "input"): "split",
    ("anything", "other"): "max min",
    ("Tensor or int", "dim"): "max min",
    ("anything", "p dim"): "norm normalize",
    ("anything", "p"): "cond",
    ("anything", "indices values crow_indices ccol_indices col_indices row_indices"): """
        sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor""",
    ("float", "value"): "pad",
    ("float", "scale"): "scaled_dot_product_attention",
    ("float", "beta"): "smooth_l1_loss",
    ("float", "dx"): "trapz",
    ("anything", "size alpha beta k"): "local_response_norm",
    ("float", "tau"): "gumbel_softmax",
    ("int", "correction"): "cov",
    ("int", "p"): "multigammaln mvlgamma",
    ("int", "size fill_value"): "nonzero_static",
    ("int", "output_size"): "repeat_interleave",
    ("int", "index"): "select select_scatter",
    ("int", "start end step"): "slice_scatter",
    ("int", "row col"): "tril_indices triu_indices",
    ("tuple of Tensors", "indices"): "index_put index_put_",
    ("tuple of Tensors", "hx"): "lstm_cell",
    ("tuple of Tensors", "xs matrices"): "atleast_1d atleast_2d atleast_3d chain_matmul",
    ("tuple of ints", "dim"): """
        all amax amin any count_nonzero fft2 fftn fftshift frobenius_norm gradient hfft2 hfftn ifft2 ifftn
        ifftshift ihfft2 ihfftn irfft2 irfftn logsumexp matrix_norm mean nanmean nansum norm nuclear_norm rfft2
        rfftn squeeze std std_mean sum var var_mean vector_norm""",
    ("tuple of ints", "source"): "moveaxis movedim",
}
OF_NAME = {name: kind for kind, names in KINDS.items() for name in names.split()}
OF_FUNCTION = {(function, name): kind for (kind, names), functions in SPECIAL.items()
               for name in names.split() for function in functions.split()}
INT, INTS, WITH_INTS, ANYTHING = "int", "tuple of ints", "what has ints", "anything"
# What may stand for numbers of a kind: in a new call (tensors as factors and bounds are recorded), and where a call failed.
OF_ANY_TYPE = ("float", "Number", "Tensor or number")
AT_ONCE = dict.fromkeys((INT, INTS, WITH_INTS), (Tensor, np.integer)) | {"Tensor or int": np.integer} \
    | dict.fromkeys(OF_ANY_TYPE, np.generic)
NUMBERS = AT_ONCE | dict.fromkeys(("float", "Number"), (Tensor, np.generic))
# Functions that are Python in PyTorch: what is no tensor is told by Python's own error.
IN_PYTHON = frozenset("""binary_cross_entropy upsample upsample_nearest upsample_bilinear interpolate
    normalize instance_norm embedding_bag binary_cross_entropy_with_logits norm smooth_l1_loss mse_loss local_response_norm
    l1_loss huber_loss group_norm adaptive_max_pool2d adaptive_max_pool3d tensordot stft split
    margin_ranking_loss dropout1d dropout2d dropout3d adaptive_avg_pool2d adaptive_avg_pool3d unravel_index tanhshrink softsign
    gaussian_nll_loss glu affine_grid adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
    max_pool3d_with_indices""".split())
HANDED_ON = frozenset("weight bias running_mean running_var pos_weight".split())    # what these hand on to others
ROOMS = {f"rushlight.ops.{name}": room for name, room in (("linalg", "linalg"), ("fourier", "fft"), ("special", "special"))}
# Functions that no class answers, or not for its instances, and that are not called so often that a frame more matters.
EXPLAINED = frozenset("""as_strided bartlett_window blackman_window dsplit empty_permuted empty_strided eye hamming_window
    hann_window hsplit i0 kaiser_window logspace rand_like randint_like randn_like range scalar_tensor
    split_with_sizes tril_indices triu_indices vander vsplit""".split())


class Parameter(NamedTuple):
    name: str
    kind: str
    is_optional: bool
    takes_rest: bool


@functools.lru_cache(2048)
def parameters(public) -> tuple:
    """The parameters of a public function and what they may be."""
    name = public.__name__.lstrip("_")
    made = []
    for p in inspect.signature(getattr(public, "out_of_place", public)).parameters.values():
        shown = "input" if p.name == "self" or hasattr(public, "out_of_place") and not made else p.name
        kind = OF_FUNCTION.get((name, shown), OF_NAME.get(shown, ANYTHING))
        optional = p.default is None or p.default == () or "None" in str(p.annotation)
        made.append(Parameter(shown, kind, optional, p.kind is p.VAR_POSITIONAL))
    return tuple(made)


def _holds_words(x) -> bool:
    return isinstance(x, (list, tuple)) and any(isinstance(n, (*WORDS, float)) for n in x)


def _is_scalar(x) -> bool:
    return not isinstance(x, Tensor) or not x.dim() and not x.requires_grad


def _is_whole(x) -> bool:
    return not isinstance(x, Tensor) or x.dtype.rank == 1


def _is_index(x) -> bool:
    return _is_whole(x) or x.dtype.rank == 0


def _is_no_value(x) -> bool:
    return isinstance(x, (*LISTS, *WORDS, type(None)))


def _is_no_number(x) -> bool:
    return _is_no_value(x) or not _is_scalar(x)


REFUSED = {         # whether a value cannot be of a kind
    "Tensor": lambda x: isinstance(x, PLAIN),
    "Tensor or number": _is_no_value,
    "Number": _is_no_number,
    "float": lambda x: isinstance(x, complex) or _is_no_number(x),
    INT: lambda x: isinstance(x, (bool, float, complex)) or _is_no_number(x) or not _is_whole(x),
    INTS: lambda x: isinstance(x, (*WORDS, *FRACTIONS, dict, type(None))) or not _is_index(x) or _holds_words(x),
    "str": lambda x: not isinstance(x, str),
    ANYTHING: lambda x: False,
    WITH_INTS: lambda x: False,
    "Tensor or int": lambda x: False,
    "bool": lambda x: not isinstance(x, (bool, np.bool_)) and isinstance(x, (*PLAIN, Tensor)),
    "tuple of Tensors": lambda x: isinstance(x, (*WORDS, int, float, complex, dict, type(None), Tensor)),
}


def refuse(public, args, kwargs) -> None:
    """TypeError, if a call has failed whose arguments cannot be; to be called while the failure is handled."""
    if public.__name__.startswith("_"):         # it is called by a public one
        return
    failure, known = sys.exc_info()[1], parameters(public)
    if type(failure) is TypeError and "required positional argument" in str(failure):
        return
    places = {p.name: i for i, p in enumerate(known)}
    for i, (parameter, x) in enumerate(zip(known, args)):
        if parameter.takes_rest:
            if parameter.kind == "tuple of Tensors":
                _check_elements(x if isinstance(x, (list, tuple)) else args[i:])
            break
        _check(public, parameter, x, i, failure)
    for name, x in kwargs.items():
        if name in places:
            _check(public, known[places[name]], x, None, failure)


def numbered(public, args, kwargs, kinds=NUMBERS) -> tuple | None:
    """(args, kwargs) with numbers for the tensors, and NumPy's numbers, that stand where numbers are wanted; or None.

    Raises:
        TypeError: such a tensor cannot be that number.
    """
    known, is_found, is_inner = parameters(public), False, public.__name__.startswith("_")
    places = {p.name: p for p in known}
    args, kwargs = list(args), dict(kwargs)
    for given, entries in ((args, [(i, p) for i, p in enumerate(known[:len(args)]) if not p.takes_rest]),
                           (kwargs, [(name, places[name]) for name in kwargs if name in places])):
        for at, parameter in entries:
            if _holds(given[at], kinds.get(parameter.kind, ())) and not (is_inner and REFUSED[parameter.kind](given[at])):
                _check(public, parameter, given[at], at if given is args else None, None)
                given[at], is_found = _numbers(given[at], parameter.kind), True
    return (args, kwargs) if is_found else None


def _holds(x, kinds) -> bool:
    return isinstance(x, kinds) and not isinstance(x, float) \
        or type(x) in (list, tuple) and any(isinstance(n, kinds) for n in x)


def _numbers(x, kind):
    if isinstance(x, NUMBERS[kind]):
        return x.item() if kind in OF_ANY_TYPE else index(x)
    return type(x)([_numbers(n, kind) for n in x]) if type(x) in (list, tuple) else x


def check_new(fn, arguments: dict) -> None:
    """Refuse a kind of call that is new, if its arguments (by name) cannot be or have dtypes that kernels do not take."""
    if fn.__name__.startswith("_"):
        return
    for i, (parameter, x) in enumerate(zip(parameters(fn), arguments.values())):
        if not parameter.takes_rest:
            _check(fn, parameter, x, i, None)
    refuse_dtypes(fn.__name__, arguments)


def explained(fn):
    """fn, whose failures name the argument that cannot be."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except Exception:
            refuse(call, args, kwargs)
            again = numbered(call, args, kwargs)
            if again is None:
                raise
        return fn(*again[0], **again[1])
    return call


def _check(public, parameter, x, place, failure) -> None:
    if x is None and parameter.is_optional:
        return
    if parameter.kind == "tuple of Tensors" and isinstance(x, (list, tuple)):
        return _check_elements(x)
    if not REFUSED[parameter.kind](x):
        return
    if parameter.kind == "Tensor" and _full_name(public) in IN_PYTHON and parameter.name not in HANDED_ON:
        if isinstance(failure, AttributeError):
            return
        raise AttributeError(f"{type(x).__name__!r} object has no attribute 'dim'") from None
    at = "" if place is None else f" (position {place + 1})"
    wanted = "Tensor" if parameter.kind.startswith("Tensor") else parameter.kind
    found = ("numpy." if type(x).__module__ == "numpy" else "") + type(x).__name__
    raise TypeError(f"{_full_name(public)}(): argument '{parameter.name}'{at} must be {wanted}, not {found}") from None


def _check_elements(x):
    for i, part in enumerate(x):
        if isinstance(part, PLAIN):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(part).__name__}") from None


def _full_name(public) -> str:
    """PyTorch's name of a function: those of some rooms begin with the room's."""
    room, name = ROOMS.get(public.__module__), public.__name__.lstrip("_")
    return name if room is None else f"{room}_{name}"
