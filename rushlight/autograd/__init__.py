"""Automatic differentiation: the tape, the backward pass, gradient modes, functions, hooks."""
from . import grad_mode as grad_mode
from . import anomaly_mode as anomaly_mode, functional as functional, graph as graph
from .anomaly_mode import detect_anomaly as detect_anomaly, set_detect_anomaly as set_detect_anomaly
from .engine import grad as grad
from .function import Function as Function
from .grad_mode import enable_grad as enable_grad, inference_mode as inference_mode, no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from . import forward_ad as forward_ad
from .gradcheck import gradcheck as gradcheck, gradgradcheck as gradgradcheck
from .variable import Variable as Variable


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """The sum of gradients of `tensors` with respect to the leaves, added to their `.grad`."""
    from .engine import backward as run
    run(tensors, grad_tensors, retain_graph, create_graph, inputs)


class set_multithreading_enabled:
    """Accepted, as a call and as a context manager: one thread runs the backward pass, many its kernels."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)

    def __enter__(self) -> None:
        """Nothing is to be switched."""

    def __exit__(self, *_) -> None:
        """Nothing is to be switched back."""


def __getattr__(name):
    """Profiling brings the compiler along, so it is imported when it is asked for."""
    if name in ("profiler", "profiler_util"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute {name!r}")
