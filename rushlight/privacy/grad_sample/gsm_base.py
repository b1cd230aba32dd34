"""What all forms of per-sample gradients share: the interface of Opacus' wrappers."""
from __future__ import annotations

from ... import nn
from .uses import uses_of

OWN_ATTRIBUTES = ("_uses", "summed_grad")


class AbstractGradSampleHooks:
    """Looks after a module so that its trainable parameters have `grad_sample`, (n, *shape).

    Args:
        m: the module; it is used as before.
        batch_first: whether axis 0 of all inputs is the batch; else it is axis 1.
        loss_reduction: "mean" or "sum", what the loss makes of the samples.
    """

    def __init__(self, m: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean"):
        if loss_reduction not in ("mean", "sum"):
            raise ValueError(f"loss_reduction = {loss_reduction}. Only 'sum' and 'mean' losses are "
                             "supported")
        self._module = m
        self.batch_first, self.loss_reduction = batch_first, loss_reduction
        self.set_grad_sample_to_none()

    def set_grad_sample_to_none(self) -> None:
        """Forget the samples' gradients."""
        for p in self._module.parameters():
            if p.requires_grad or uses_of(p) is not None:
                p.grad_sample = None

    def del_grad_sample(self) -> None:
        """Take the attribute `grad_sample` away."""
        for p in self._module.parameters():
            p.__dict__.pop("_uses", None)

    def forbid_grad_accumulation(self) -> None:
        """From now on a second backward pass before a step is a ValueError."""
        self.grad_accumulation_allowed = False

    def allow_grad_accumulation(self) -> None:
        """Batches may be accumulated (again)."""
        self.grad_accumulation_allowed = True

    def remove_hooks(self) -> None:
        """Stop looking after the module."""
        raise NotImplementedError(f"{type(self).__name__}.remove_hooks")

    def cleanup(self) -> None:
        """Leave no trace in the module and its parameters."""
        self.remove_hooks()
        for p in self._module.parameters():
            for name in OWN_ATTRIBUTES:
                p.__dict__.pop(name, None)


class AbstractGradSampleModule(nn.Module, AbstractGradSampleHooks):
    """A module round a module, which computes the same and has the parameters' `grad_sample`."""

    def __init__(self, m: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean"):
        nn.Module.__init__(self)
        AbstractGradSampleHooks.__init__(self, m, batch_first=batch_first,
                                         loss_reduction=loss_reduction)

    def forward(self, *args, **kwargs):
        return self._module(*args, **kwargs)

    def __getattr__(self, item):
        try:
            return super().__getattr__(item)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("_module")
            if inner is None or item.startswith("__") or not hasattr(inner, item):
                raise
            return getattr(inner, item)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear `grad`, and `grad_sample`, which always becomes None."""
        self.set_grad_sample_to_none()
        super().zero_grad(set_to_none)

    def to_standard_module(self) -> nn.Module:
        """The module itself, no longer looked after."""
        self.cleanup()
        return self._module

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._module!r})"
