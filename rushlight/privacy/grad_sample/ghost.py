"""Ghost clipping: the clipped sum of a batch in one backward pass, `p.grad_sample` left aside.

Opacus walks back twice, once for the norms and once for the weighted loss. Here what the first walk
found out (each layer's input and the gradient at its output) serves for the weighted sum as well
(book-keeping, Bu et al. 2023, arXiv:2210.00038), so there is no second one; the numbers are the same.
"""
from __future__ import annotations

from ... import nn
from ...autograd.grad_mode import no_grad
from ...tensor import Tensor
from .clipping import Batches, clip_factors, one_line
from .grad_sample_module import GradSampleHooks, GradSampleModule, trainable_parameters


class _Ghost:
    """What norms and clipping factors are made of, for both forms below."""

    collects_grad = False

    def __init__(self, m: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean",
                 strict: bool = True, force_functorch: bool = False, max_grad_norm: float = 1.0,
                 use_ghost_clipping: bool = True):
        super().__init__(m, batch_first=batch_first, loss_reduction=loss_reduction, strict=strict,
                         force_functorch=force_functorch)
        self.max_grad_norm, self.use_ghost_clipping = max_grad_norm, use_ghost_clipping
        self.trainable_parameters = list(trainable_parameters(m).values())
        self._norms = None

    def batches(self) -> Batches:
        return Batches(self.trainable_parameters)

    def get_norm_sample(self) -> Tensor:
        """Norms (n) of the samples' gradients in the last backward pass."""
        with no_grad():
            self._norms = self.batches().norms()
        return self._norms

    def get_clipping_coef(self) -> Tensor:
        """min(1, max_grad_norm / norm) of each sample."""
        return clip_factors(self.get_norm_sample(), self.max_grad_norm)

    @property
    def per_sample_gradient_norms(self) -> Tensor:
        """The norms that were clipped by; they are not private."""
        if self._norms is None:
            raise AttributeError("per_sample_gradient_norms is not set. Please call forward and "
                                 "backward on the model before accessing this property.")
        return self._norms

    def put_clipped_sums(self) -> None:
        """p.grad = sum_i clip_i g_i; what the layers have reported is forgotten."""
        with no_grad(), one_line():
            self.__dict__["_norms"] = self.batches().put_clipped_sums(self.max_grad_norm)
        for p in self.trainable_parameters:
            p.grad_sample = None


class GradSampleHooksFastGradientClipping(_Ghost, GradSampleHooks):
    """Ghost clipping by hooks on a module that is used as it is."""


class GradSampleModuleFastGradientClipping(_Ghost, GradSampleModule):
    """A module round a module for ghost clipping.

    Args: those of GradSampleModule, and `max_grad_norm`, the largest norm of a sample's gradient.
    """
