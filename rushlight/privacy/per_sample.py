"""Gradients of the loss of each sample, without a loop over samples."""
from __future__ import annotations

from collections.abc import Callable

from .. import func, nn
from ..autograd.grad_mode import enable_grad
from ..func.pytree import flatten
from ..tensor import Tensor
from .grad_sample.grad_sample_module import GradSampleHooks
from .grad_sample.uses import uses_of


def per_sample_grads(model: nn.Module, loss_fn: Callable, batch) -> dict[str, Tensor]:
    """The gradient of each sample's loss with respect to each trainable parameter.

    Each layer takes the cheapest exact route: from its input and the gradient at its output where
    there is a rule (Linear, convolutions, Embedding, norms, recurrent layers, attention), by
    `vmap(grad)` elsewhere. Neither the model nor `p.grad` is changed.

    Args:
        model: takes the first entry of `batch`, whose axis 0 is the batch.
        loss_fn: called with outputs and the rest of `batch` for one sample, with a batch axis of 1;
            gives a scalar. Its reduction does not matter.
        batch: (inputs, targets...) or inputs alone; inputs may be a tuple of positional arguments.

    Returns:
        {name: tensor (n, *shape)}

    Raises:
        NotImplementedError: a layer whose outputs depend on the whole batch (BatchNorm in training).
        RuntimeError: a module without a rule branches on values or draws random numbers.

    Example:
        >>> grads = per_sample_grads(model, nn.functional.cross_entropy, (images, labels))
    """
    inputs, *targets = batch if isinstance(batch, (tuple, list)) else (batch,)
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    _check_layers(model)
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    before = {k: p.__dict__.get("_uses") for k, p in parameters.items()}
    hooks = _Looking(model, loss_reduction="sum", strict=False)
    try:
        with enable_grad():
            _losses(model(*args), targets, loss_fn).sum().backward()
        return {k: _found(p, args) for k, p in parameters.items()}
    finally:
        hooks.remove_hooks()
        for k, p in parameters.items():
            p.__dict__.pop("_uses", None)
            if before[k] is not None:
                p.__dict__["_uses"] = before[k]


class _Looking(GradSampleHooks):
    """For one backward pass, whatever mode the model is in."""

    collects_grad = prepares_norms = False

    def is_watching(self, module):
        self.always = True
        return super().is_watching(module)


def _losses(outputs, targets, loss_fn):
    leaves = flatten(outputs)[0]

    def one(outs, *rest):
        outs, rest = _with_axis(outs), [_with_axis(t) for t in rest]
        return loss_fn(outs, *rest).reshape(())
    if leaves and leaves[0].size(0) == 0:
        return leaves[0].sum()
    return func.vmap(one)(outputs, *targets)


def _with_axis(tree):
    leaves, spec = flatten(tree)
    from ..func.pytree import unflatten
    return unflatten([x.unsqueeze(0) if isinstance(x, Tensor) else x for x in leaves], spec)


def _found(p, args):
    g = uses_of(p).show()
    if g is None:
        n = next(x for x in flatten(args)[0] if isinstance(x, Tensor)).size(0)
        return p.new_zeros(n, *p.shape).detach()
    return g.detach()


def _check_layers(model):
    mixing = [f"{name or 'the model'} ({type(m).__name__})" for name, m in model.named_modules()
              if isinstance(m, nn.modules.batchnorm._BatchNorm)
              and (m.training or m.running_mean is None)]
    if mixing:
        raise NotImplementedError(
            f"{', '.join(mixing)}: the output for a sample depends on the others in its batch, so "
            "there is no gradient of one sample. Use GroupNorm (ModuleValidator.fix does), or "
            "model.eval() for the statistics gathered in training")
