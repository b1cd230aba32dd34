"""Every public function called with a list, a string, None or a number where PyTorch wants something else: the same type of error.

Where PyTorch refuses by TypeError we do, but for the functions below.
"""
from __future__ import annotations

import contextlib
import io
import warnings

import pytest

import rushlight

torch = pytest.importorskip("torch")

ROOMS = ("", "nn.functional", "linalg", "fft", "special")
BAD = {"list": [1, 2], "str": "a", "None": None, "int": 3}
CALLS = {"bad": lambda m, x: (x,), "bad, tensor": lambda m, x: (x, m.ones(2, 2)), "tensor, bad": lambda m, x: (m.ones(2, 2), x)}
# Functions that change settings, read files, or take anything.
LEFT_OUT = set("""save load compile manual_seed seed initial_seed use_deterministic_algorithms fork import_ir_module vmap cond
    typename exit init_num_threads""".split())
# Accepted here: numbers and lists count as tensors, or what is wrong is not looked at.
TAKEN = set("""adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout arange arctan2 as_tensor atan2 bernoulli
    binary_cross_entropy_with_logits binomial broadcast_shapes broadcast_to can_cast cartesian_prod cholesky_inverse
    copysign cumulative_trapezoid dist dot dropout dsmm dsplit empty empty_permuted eq eye feature_alpha_dropout
    fft.fft2 fft.hfft2 fft.ifft2 fft.ihfft2 fft.irfft2 fft.rfft2 fft.rfftfreq flip fmax fmin fmod frobenius_norm
    full gcd_ ge greater greater_equal gt hspmm i0 igamma igammac instance_norm isin kl_div layer_norm lcm_ ldexp le
    less less_equal linalg.matrix_norm linalg.norm linalg.svd linalg.vander linalg.vecdot log_softmax lt lu
    matrix_power max maximum median min minimum nanmedian ne nn.functional.adaptive_avg_pool1d
    nn.functional.adaptive_max_pool1d nn.functional.adaptive_max_pool1d_with_indices nn.functional.alpha_dropout
    nn.functional.feature_alpha_dropout nn.functional.gelu nn.functional.grid_sample nn.functional.grouped_mm
    nn.functional.gumbel_softmax nn.functional.kl_div nn.functional.layer_norm nn.functional.pairwise_distance
    nn.functional.poisson_nll_loss nn.functional.rms_norm nn.functional.soft_margin_loss nn.functional.softmin
    not_equal ones pairwise_distance permute pinverse poisson poisson_nll_loss prod promote_types qr rand randn
    repeat_interleave reshape resize_as_ resolve_conj resolve_neg rms_norm rsub scalar_tensor searchsorted selu smm
    softmax sparse_coo_tensor special.airy_ai special.bessel_j0 special.bessel_j1 special.bessel_y0
    special.bessel_y1 special.gammainc special.gammaincc special.log_softmax special.modified_bessel_k0
    special.modified_bessel_k1 special.ndtri special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1
    special.softmax special.spherical_bessel_j0 split split_with_sizes spmm squeeze svd tile trapezoid trapz unique
    unique_consecutive unravel_index unsafe_split unsafe_split_with_sizes vander where zeros""".split())


def room_of(m, room):
    for part in room.split("."):
        m = getattr(m, part) if part else m
    return m


def names(room):
    theirs, ours = room_of(torch, room), room_of(rushlight, room)
    for name in sorted(dir(theirs)):
        pair = getattr(theirs, name), getattr(ours, name, None)
        if all(callable(f) and not isinstance(f, type) for f in pair) and name not in LEFT_OUT \
                and not name.startswith(("_", "set_", "get_", "is_", "autocast_", "clear_")):
            yield name


def outcome(m, room, name, call, bad):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            getattr(room_of(m, room), name)(*call(m, bad))
    except Exception as e:
        return type(e).__name__
    return "accepted"


def differences(room):
    """(function, how it was called, what we did) where PyTorch raises TypeError and we do not."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names(room):
            for shown, call in CALLS.items():
                for kind, bad in BAD.items():
                    if outcome(torch, room, name, call, bad) == "TypeError" \
                            and (ours := outcome(rushlight, room, name, call, bad)) != "TypeError":
                        found.append((f"{room}.{name}".lstrip("."), f"({shown.replace('bad', kind)})", ours))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_kinds_of_arguments_are_refused_alike(room):
    unknown = [d for d in differences(room) if d[0] not in TAKEN]
    assert not unknown, unknown


@pytest.mark.parametrize("call", [
    lambda m: m.argmax(m.ones(2), "a"), lambda m: m.abs_([1]), lambda m: m.linalg.det([1.]), lambda m: m.fft.fft("a"),
    lambda m: m.gather(m.ones(2), 0, [1]), lambda m: m.cat([m.ones(2), 3]), lambda m: m.matmul(m.ones(2, 2), None),
    lambda m: m.unsqueeze(m.ones(2), 1.5), lambda m: m.chunk(m.ones(2), "a"), lambda m: m.stack([1, 2])])
def test_what_is_wrong_is_named(call):
    seen = []
    for m in (torch, rushlight):
        with pytest.raises(TypeError) as raised:
            call(m)
        seen.append(str(raised.value).split("\n")[0])
    assert seen[0] == seen[1]
