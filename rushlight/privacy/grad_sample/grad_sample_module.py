"""Per-sample gradients by hooks on the modules that own parameters."""
from __future__ import annotations

from contextlib import contextmanager

from ... import nn
from ...autograd.grad_mode import is_grad_enabled
from ...func.pytree import first
from ...tensor import Tensor
from .gsm_base import AbstractGradSampleHooks, AbstractGradSampleModule
from .owners import TRACED, Batched, Layer, Sampled, Traced
from .pieces import Piece
from .rules import rule_of
from .uses import uses_of


def trainable_parameters(module: nn.Module, recurse: bool = True) -> dict:
    return {k: p for k, p in module.named_parameters(recurse=recurse) if p.requires_grad}


class Batch:
    """What hooks know of the batch under way: its number and size, and whether gradients have come."""

    def __init__(self):
        self.number, self.n, self.has_reported = 0, None, False


class GradSampleHooks(AbstractGradSampleHooks):
    """Hooks that compute per-sample gradients, each layer by the cheapest exact route.

    Args:
        m: the module.
        batch_first, loss_reduction: see AbstractGradSampleHooks.
        strict: refuse modules with trainable parameters and buffers (BatchNorm): what a buffer
            gathers is not private.
        force_functorch: compute everything by vmap, also where there is a rule.

    Raises:
        NotImplementedError: buffers, under `strict`.
        ValueError: the module is looked after already.
        RuntimeError: (in backward) a parameter is used outside of its module.
    """

    GRAD_SAMPLERS: dict = {}            # of users: type -> fn(module, activations, backprops)
    collects_grad = True                # whether `p.grad` is filled as well
    prepares_norms = True           # whether norms are part of the backward pass

    def __init__(self, m: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean",
                 strict: bool = True, force_functorch: bool = False):
        super().__init__(m, batch_first=batch_first, loss_reduction=loss_reduction)
        self.validate(m, strict=strict)
        self.force_functorch = force_functorch
        self.hooks_enabled, self.grad_accumulation_allowed = True, True
        self.batch, self.always = Batch(), False
        self.add_hooks()

    # -- which modules -------------------------------------------------------------------------
    def owners(self):
        """Who accounts for which parameters."""
        axis = 0 if self.batch_first else 1
        stack = [("", self._module)]
        while stack:
            name, module = stack.pop()
            if not trainable_parameters(module, False) and type(module) not in TRACED:
                stack += [(f"{name}.{k}" if name else k, m) for k, m in module.named_children()]
            elif trainable_parameters(module):
                yield self.owner(name, module, axis)

    def owner(self, name, module, axis):
        kind, parameters = type(module), trainable_parameters(module)
        how = (name, module, parameters, axis, self)
        if self.force_functorch:
            return Batched(*how)
        if kind in self.GRAD_SAMPLERS:
            return Sampled(*how, sampler=self.GRAD_SAMPLERS[kind])
        if kind in TRACED:
            if hasattr(module, "batch_first"):
                how = (name, module, parameters, 0 if module.batch_first else 1, self)
            return Traced(*how)
        return (Layer if rule_of(module) else Batched)(*how)

    def add_hooks(self, **_) -> None:
        """Hang the hooks on; ValueError if the module has such hooks."""
        if hasattr(self._module, "autograd_grad_sample_hooks"):
            raise ValueError("Trying to add hooks twice to the same model")
        handles = [self._module.register_forward_pre_hook(self._begin, with_kwargs=True)]
        for owner in self.owners():
            handles += self._observe(owner)
        handles += [p.register_hook(self._refuse_use_outside(name))
                    for name, p in trainable_parameters(self._module).items()]
        self.__dict__["autograd_grad_sample_hooks"] = handles
        self._module.__dict__["autograd_grad_sample_hooks"] = handles

    def _observe(self, owner):
        inside = []

        def before(module, args, kwargs):
            if self.is_watching(module):
                owner.enter(args, kwargs)
                inside.append((args, kwargs))

        def after(module, args, kwargs, result):
            if not inside:
                return None
            args, kwargs = inside.pop()
            owner.leave()
            return None if result is None else owner.observed(args, kwargs, result)
        return [owner.module.register_forward_pre_hook(before, with_kwargs=True),
                owner.module.register_forward_hook(after, with_kwargs=True, always_call=True)]

    def is_watching(self, module) -> bool:
        return self.hooks_enabled and is_grad_enabled() and (self.always or module.training)

    # -- what happens ----------------------------------------------------------------------------
    def _begin(self, _module, args, kwargs):
        """A forward pass of the whole model starts; after a backward pass that is a new batch."""
        batch = self.batch
        if batch.has_reported:
            batch.number, batch.has_reported = batch.number + 1, False
        axis = 0 if self.batch_first else 1
        found = first(Tensor, args, kwargs)
        batch.n = found.size(axis) if found is not None and found.dim() > axis else None

    def add(self, p, piece: Piece, number: int) -> None:
        """A module reports what it used a parameter for; within no_grad."""
        uses = uses_of(p)
        if uses is None:
            raise ValueError("Per sample gradient not found. Are you using GradSampleModule?")
        self.batch.has_reported = True
        scale = float(piece.n) if self.loss_reduction == "mean" else 1.0
        generation = uses.generation(number, scale)
        if len(uses.generations) > 1 and not self.grad_accumulation_allowed:
            raise ValueError(
                "Poisson sampling is not compatible with grad accumulation. You need to call "
                "optimizer.step() after every forward/backward pass or consider using "
                "BatchMemoryManager")
        generation.add(piece)
        if self.prepares_norms and len(generation.parts) == 1:
            generation.squares()
        if self.collects_grad:
            g = piece.weighted(None)
            p.grad = g if p.grad is None else p.grad + g

    def _refuse_use_outside(self, name):
        def refuse(_grad):
            if self.hooks_enabled and self.is_watching_root():
                raise RuntimeError(
                    f"parameter {name} got a gradient that did not come through the module that "
                    "owns it, so it would be missing in the gradients of the samples. Use "
                    "parameters only in the forward of their own module (a tied weight: assign the "
                    "Parameter itself to the second layer; a penalty on parameters: the "
                    "optimizer's weight_decay)")
        return refuse

    def is_watching_root(self) -> bool:
        return self.always or self._module.training

    @contextmanager
    def paused(self):
        before, self.hooks_enabled = self.hooks_enabled, False
        try:
            yield
        finally:
            self.hooks_enabled = before

    # -- switches --------------------------------------------------------------------------------
    def remove_hooks(self) -> None:
        self.disable_hooks()
        for handle in self.__dict__.pop("autograd_grad_sample_hooks", ()):
            handle.remove()
        self._module.__dict__.pop("autograd_grad_sample_hooks", None)

    def disable_hooks(self) -> None:
        """Let the module run as if nobody looked."""
        self.hooks_enabled = False

    def enable_hooks(self) -> None:
        """Look again."""
        self.hooks_enabled = True

    @classmethod
    def is_supported(cls, module: nn.Module) -> bool:
        """True: every layer has a rule or goes by vmap."""
        return True

    @classmethod
    def validate(cls, module: nn.Module, *, strict: bool = False) -> list[NotImplementedError]:
        """What stands in the way of per-sample gradients; raised under `strict`."""
        errors = [NotImplementedError(
            f"Model contains a trainable layer with buffers that is not supported: "
            f"{name or 'the model'} ({type(m).__name__}). What its buffers gather is not private; "
            "ModuleValidator.fix puts GroupNorm in the place of BatchNorm and turns running "
            "statistics off") for name, m in module.named_modules()
            if trainable_parameters(m, False) and list(m.buffers(recurse=False))]
        if strict and errors:
            raise NotImplementedError(errors)
        return errors


class GradSampleModule(GradSampleHooks, AbstractGradSampleModule):
    """A module whose parameters get `grad_sample` (n, *shape) in each backward pass.

    Arguments and errors: see GradSampleHooks. Nothing of size n is computed for a parameter unless
    somebody looks at `p.grad_sample`; DPOptimizer makes do with the factors that are kept.

    Example:
        >>> model = GradSampleModule(nn.Linear(4, 2))
        >>> model(torch.randn(8, 4)).square().sum(1).mean().backward()
        >>> model.weight.grad_sample.shape
        torch.Size([8, 2, 4])
    """

    def __init__(self, m: nn.Module, *, batch_first: bool = True, loss_reduction: str = "mean",
                 strict: bool = True, force_functorch: bool = False):
        nn.Module.__init__(self)
        GradSampleHooks.__init__(self, m, batch_first=batch_first, loss_reduction=loss_reduction,
                                 strict=strict, force_functorch=force_functorch)
