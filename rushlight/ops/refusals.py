"""Dtypes that PyTorch's kernels of layers and losses do not take; looked up where a kind of call is new.

Compositions would compute something of such arguments; a program that gives them to a loss or a layer has forgotten
to convert them.
"""
from __future__ import annotations

from .. import dtypes
from .support import legacy_name, refuse

FLOATS, FLOATS_OR_LONG, NOT_BOOL, NUMBERS = "floats", "floats or int64", "real numbers", "all but bool"
KINDS = {
    FLOATS: lambda d: d.rank == 2,
    FLOATS_OR_LONG: lambda d: d.rank == 2 or d is dtypes.int64,
    NOT_BOOL: lambda d: d.rank in (1, 2),
    NUMBERS: lambda d: d.rank > 0,
    "floats or complex": lambda d: d.rank > 1,
    "floats or uint8": lambda d: d.rank == 2 or d is dtypes.uint8,
    "floats, bool or complex": lambda d: d.rank != 1,
}
TAKEN = {       # what is taken: function, and the kernel that says so of its first argument
    FLOATS: """
        celu:elu_cpu elu:elu_cpu selu:elu_cpu gelu:GeluKernelImpl hardshrink:hardshrink_cpu
        hardsigmoid:hardsigmoid_cpu hardswish:hardswish_cpu leaky_relu:leaky_relu_cpu logsigmoid:log_sigmoid_cpu
        mish:mish_cpu softshrink:softshrink_check softplus:softplus_cpu rrelu:leaky_relu_cpu glu:glu_cpu
        max_pool1d:max_pool1d_impl adaptive_avg_pool1d:adaptive_avg_pool2d
        adaptive_avg_pool2d:adaptive_avg_pool2d adaptive_avg_pool3d:adaptive_avg_pool3d_cpu
        adaptive_max_pool1d:adaptive_max_pool2d adaptive_max_pool2d:adaptive_max_pool2d
        adaptive_max_pool3d:adaptive_max_pool3d_cpu max_unpool1d:max_unpool2d max_unpool2d:max_unpool2d
        max_unpool3d:max_unpool3d layer_norm:LayerNormKernelImpl group_norm:GroupNormKernelImpl
        batch_norm:batch_norm instance_norm:batch_norm binary_cross_entropy:binary_cross_entropy
        binary_cross_entropy_with_logits:log_sigmoid_cpu multilabel_soft_margin_loss:log_sigmoid_cpu
        nll_loss:nll_loss_out_frame multi_margin_loss:multi_margin_loss_cpu_kernel
        multilabel_margin_loss:multilabel_margin_loss_forward_out_frame
        grid_sample:grid_sampler_2d_cpu_kernel_impl""",
    "floats or complex": "silu:silu_cpu rms_norm:rms_norm mse_loss:mse_cpu smooth_l1_loss:smooth_l1_cpu huber_loss:huber_cpu",
    FLOATS_OR_LONG: """
        avg_pool1d:avg_pool2d avg_pool2d:avg_pool2d avg_pool3d:avg_pool3d_out_frame lp_pool1d:avg_pool2d
        lp_pool2d:avg_pool2d local_response_norm:avg_pool2d""",
    NOT_BOOL: "threshold:threshold_cpu max_pool2d:max_pool2d max_pool3d:max_pool3d",
    NUMBERS: "conv1d:slow_conv2d_cpu conv2d:slow_conv2d_cpu conv3d:slow_conv3d_cpu",
    "floats, bool or complex": "unfold:im2col_out_cpu fold:col2im_out_cpu",
}
WEIGHTS = "compute_indices_weights_"
RESIZED = {     # by the mode of interpolate
    "nearest": (WEIGHTS + "nearest", "floats or uint8"), "nearest-exact": (WEIGHTS + "nearest", "floats or uint8"),
    "bilinear": ("upsample_bilinear2d", "floats or uint8"), "bicubic": (WEIGHTS + "cubic", "floats or uint8"),
    "linear": (WEIGHTS + "linear", FLOATS), "trilinear": (WEIGHTS + "linear", FLOATS)}
OF_FUNCTION = {name: (kernel, KINDS[kind]) for kind, entries in TAKEN.items()
               for name, kernel in (entry.split(":") for entry in entries.split())}
PROMOTING = frozenset("mse_loss smooth_l1_loss huber_loss".split())     # compute in the dtype of both arguments


def refuse_dtypes(name: str, arguments: dict) -> None:
    """NotImplementedError or RuntimeError for what a function of torch.nn.functional does not take."""
    if name in ("layer_norm", "group_norm"):
        _refuse_mixed(arguments)
    if name in OF_FUNCTION:
        kernel, takes = OF_FUNCTION[name]
        given = [x.dtype for x in arguments.values() if hasattr(x, "dtype")][:2 if name in PROMOTING else 1]
        if given and not any(takes(d) for d in given):
            refuse(kernel, given[0])
    if name == "interpolate" and arguments["mode"] in RESIZED:
        kernel, kind = RESIZED[arguments["mode"]]
        if not KINDS[kind](arguments["input"].dtype):
            refuse(kernel, arguments["input"].dtype)
    if name in ("batch_norm", "instance_norm"):
        _refuse_mixed(arguments)


def _refuse_mixed(arguments) -> None:
    """Parameters have the input's dtype, or are of float32 beside an input of 16 bits."""
    dtype, others = arguments["input"].dtype, map(arguments.get, ("weight", "bias", "running_mean", "running_var"))
    given = [p.dtype for p in others if p is not None]
    if not given or all(d is dtype for d in given):
        return
    if given[0] is dtype:
        other = next(d for d in given if d is not dtype)
        raise RuntimeError(f"expected scalar type {legacy_name(dtype)} but found {legacy_name(other)}")
    if any(d is not dtypes.float32 for d in given):
        raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")
    if dtype not in (dtypes.float16, dtypes.bfloat16):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
