"""Per-sample gradients of modules."""
from __future__ import annotations

from collections.abc import Callable

from ... import nn
from .ghost import GradSampleHooksFastGradientClipping, GradSampleModuleFastGradientClipping
from .grad_sample_module import GradSampleHooks, GradSampleModule
from .gsm_base import AbstractGradSampleHooks, AbstractGradSampleModule

__all__ = ["AbstractGradSampleHooks", "AbstractGradSampleModule", "GradSampleHooks",
           "GradSampleHooksFastGradientClipping", "GradSampleModule",
           "GradSampleModuleFastGradientClipping", "get_gsm_class", "get_hooks_class",
           "prepare_module", "register_grad_sampler", "wrap_model"]

MODES = {"hooks": (GradSampleModule, GradSampleHooks), "functorch": (GradSampleModule, GradSampleHooks),
         "ghost": (GradSampleModuleFastGradientClipping, GradSampleHooksFastGradientClipping)}


def register_grad_sampler(target_class_or_classes) -> Callable:
    """Decorator: the function computes a layer's per-sample gradients.

    It is called with (module, activations, backprops), axis 0 the batch of the inputs and of the
    gradient at the output, and returns {parameter: (n, *shape)}.
    """
    given = target_class_or_classes
    classes = given if isinstance(given, (list, tuple)) else [given]

    def decorate(fn):
        GradSampleHooks.GRAD_SAMPLERS.update(dict.fromkeys(classes, fn))
        return fn
    return decorate


def _pair(grad_sample_mode):
    if grad_sample_mode in ("ew", "no_op", "ghost_fsdp", "ghost_tp"):
        raise NotImplementedError(f"rushlight.privacy: grad_sample_mode={grad_sample_mode!r}")
    if grad_sample_mode not in MODES:
        raise ValueError(f"Unexpected grad_sample_mode: {grad_sample_mode}. Allowed values: "
                         f"{', '.join(MODES)}")
    return MODES[grad_sample_mode]


def get_gsm_class(grad_sample_mode: str) -> type[AbstractGradSampleModule]:
    """The wrapper of a mode: "hooks", "functorch" (vmap everywhere) or "ghost"."""
    return _pair(grad_sample_mode)[0]


def get_hooks_class(grad_sample_mode: str) -> type[AbstractGradSampleHooks]:
    """The same without a module round the module."""
    return _pair(grad_sample_mode)[1]


def prepare_module(model: nn.Module, grad_sample_mode: str, wrap_model: bool = True, *args, **kwargs):
    """The model looked after in a mode."""
    if grad_sample_mode == "functorch":
        kwargs["force_functorch"] = True
    kind = get_gsm_class(grad_sample_mode) if wrap_model else get_hooks_class(grad_sample_mode)
    return kind(model, *args, **kwargs)


wrap_model = prepare_module
