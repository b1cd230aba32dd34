"""PrivacyEngine: model, optimiser and loader of a training program made private."""
from __future__ import annotations

import warnings
from typing import Any

from .. import nn, serialization
from ..optim import Optimizer
from ..utils.data import DataLoader
from .accountants import create_accountant
from .accountants.utils import get_noise_multiplier
from .data_loader import DPDataLoader, switch_generator
from .grad_sample import prepare_module
from .grad_sample.gsm_base import AbstractGradSampleModule
from .optimizers import DPOptimizer, get_optimizer_class
from .utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from .utils.uniform_sampler import SYSTEM
from .validators import ModuleValidator

NOT_POISSON = ("poisson_sampling=False: batches are what the data loader makes of them, but the "
               "accountant counts every step as one on a Poisson sample. The epsilon that get_epsilon "
               "returns does not hold for shuffled batches; it is an approximation at best")


class PrivacyEngine:
    """Makes training differentially private, and keeps the account of it.

    Args:
        accountant: "prv" (tight), "rdp" or "gdp"; see rushlight.privacy.accountants.
        secure_mode: noise on a grid and samples from the system's random numbers instead of a
            generator; slower.

    Example:
        >>> engine = PrivacyEngine()
        >>> model, optimizer, loader = engine.make_private(
        ...     module=model, optimizer=optimizer, data_loader=loader,
        ...     noise_multiplier=1.0, max_grad_norm=1.0)
        >>> ...             # train as before
        >>> engine.get_epsilon(delta=1e-5)
    """

    def __init__(self, *, accountant: str = "prv", secure_mode: bool = False):
        self.accountant = create_accountant(mechanism=accountant)
        self.secure_mode = secure_mode
        self.secure_rng = SYSTEM if secure_mode else None
        self.dataset = None
        if not secure_mode:
            warnings.warn("Secure RNG turned off. This is perfectly fine for experimentation as it "
                          "allows for much faster training performance, but remember to turn it on "
                          "and retrain one last time before production with ``secure_mode`` turned on.")

    # -- models ------------------------------------------------------------------------------------
    def is_compatible(self, *, module: nn.Module, optimizer: Optimizer | None = None,
                      data_loader: DataLoader | None = None) -> bool:
        """Whether the model can be trained privately as it is."""
        return ModuleValidator.is_valid(module)

    def validate(self, *, module: nn.Module, optimizer: Optimizer | None = None,
                 data_loader: DataLoader | None = None) -> None:
        """UnsupportedModuleError, naming the layers, if it cannot."""
        ModuleValidator.validate(module, strict=True)

    @classmethod
    def get_compatible_module(cls, module: nn.Module) -> nn.Module:
        """A copy in which layers that break privacy are replaced."""
        return ModuleValidator.fix_and_validate(module)

    # -- make_private ------------------------------------------------------------------------------
    def make_private(self, *, module: nn.Module, optimizer: Optimizer, data_loader: DataLoader,
                     noise_multiplier: float, max_grad_norm, criterion=None,
                     batch_first: bool = True, loss_reduction: str = "mean",
                     poisson_sampling: bool = True, clipping: str = "flat", noise_generator=None,
                     grad_sample_mode: str = "hooks", wrap_model: bool = True,
                     rand_on_empty: bool = False, **kwargs):
        """The same training, private.

        Args:
            module, optimizer, data_loader: of the program; the optimiser's parameters are the module's.
            noise_multiplier: deviation of the noise in units of `max_grad_norm`.
            max_grad_norm: what each sample's gradient is clipped to; a list for "per_layer".
            criterion: the loss, in ghost mode only; by default CrossEntropyLoss().
            batch_first: whether axis 0 of inputs is the batch; else it is axis 1.
            loss_reduction: "mean" or "sum".
            poisson_sampling: sample as the accountant assumes. False keeps the loader and warns.
            clipping: "flat", "per_layer" or "adaptive" (options in `kwargs`).
            noise_generator: a Generator for the noise; not in secure mode.
            grad_sample_mode: "hooks", "functorch" (vmap everywhere) or "ghost".
            wrap_model: False: only hooks on the module, returned in the model's place.

        Returns:
            (module, optimizer, data_loader); in ghost mode (module, optimizer, criterion, data_loader).

        Raises:
            UnsupportedModuleError, NotImplementedError: layers that break privacy.
            ValueError: an optimiser with other parameters, a generator in secure mode, unknown options.
        """
        if noise_generator and self.secure_mode:
            raise ValueError("Passing seed is prohibited in secure mode")
        own = {id(p) for p in module.parameters()}
        if any(id(p) not in own for group in optimizer.param_groups for p in group["params"]):
            raise ValueError("Module parameters are different than optimizer Parameters")
        module = self._prepare_model(module, batch_first, max_grad_norm, loss_reduction,
                                     grad_sample_mode, wrap_model)
        if poisson_sampling:
            module.forbid_grad_accumulation()
        data_loader = self._prepare_data_loader(data_loader, poisson_sampling, batch_first, rand_on_empty)
        sample_rate = getattr(data_loader, "sample_rate", 1 / len(data_loader))
        counted = data_loader.batch_sampler.probability if poisson_sampling else sample_rate
        if isinstance(optimizer, DPOptimizer):
            optimizer = optimizer.original_optimizer
        optimizer = get_optimizer_class(clipping, False, grad_sample_mode)(
            optimizer=optimizer, noise_multiplier=noise_multiplier, max_grad_norm=max_grad_norm,
            expected_batch_size=int(len(data_loader.dataset) * sample_rate),
            loss_reduction=loss_reduction, generator=noise_generator, secure_mode=self.secure_mode, **kwargs)
        optimizer.attach_step_hook(self.accountant.get_optimizer_hook_fn(sample_rate=counted))
        if grad_sample_mode != "ghost":
            return module, optimizer, data_loader
        criterion = DPLossFastGradientClipping(module, optimizer, criterion or nn.CrossEntropyLoss(),
                                               loss_reduction)
        return module, optimizer, criterion, data_loader

    def make_private_with_epsilon(self, *, module: nn.Module, optimizer: Optimizer,
                                  data_loader: DataLoader, target_epsilon: float, target_delta: float,
                                  epochs: int, max_grad_norm, **kwargs):
        """`make_private` with the noise that spends (target_epsilon, target_delta) in `epochs` epochs."""
        if len(self.accountant) > 0:
            warnings.warn("You're calling make_private_with_epsilon with non-zero privacy budget already "
                          "spent. Returned noise_multiplier assumes zero starting point, so your overall "
                          "privacy budget will be higher.")
        rate = min(1.0, 1 / len(data_loader) + 2.0**-23)        # what sampling may make of it (probability)
        noise_multiplier = get_noise_multiplier(
            target_epsilon=target_epsilon, target_delta=target_delta, sample_rate=rate,
            steps=epochs * len(data_loader), accountant=self.accountant.mechanism())
        return self.make_private(module=module, optimizer=optimizer, data_loader=data_loader,
                                 noise_multiplier=noise_multiplier, max_grad_norm=max_grad_norm, **kwargs)

    def _prepare_model(self, module, batch_first, max_grad_norm, loss_reduction, mode, wrap_model):
        self.validate(module=module)
        how = dict(batch_first=batch_first, loss_reduction=loss_reduction)
        if isinstance(module, AbstractGradSampleModule):
            if (module.batch_first, module.loss_reduction) != (batch_first, loss_reduction):
                raise ValueError("Pre-existing GradSampleModule doesn't match new arguments. Please pass "
                                 "vanilla nn.Module instead")
            return module
        if mode == "ghost":
            how["max_grad_norm"] = max_grad_norm
        return prepare_module(module, grad_sample_mode=mode, wrap_model=wrap_model, **how)

    def _prepare_data_loader(self, data_loader, poisson_sampling, batch_first, rand_on_empty):
        if self.dataset is None:
            self.dataset = data_loader.dataset
        elif self.dataset is not data_loader.dataset:
            warnings.warn(f"PrivacyEngine detected new dataset object. Was: {self.dataset}, got: "
                          f"{data_loader.dataset}. Privacy accounting works per dataset, please initialize "
                          "new PrivacyEngine if you're using different dataset.")
        if poisson_sampling:
            return DPDataLoader.from_data_loader(data_loader, generator=self.secure_rng,
                                                 batch_first=batch_first, rand_on_empty=rand_on_empty)
        warnings.warn(NOT_POISSON)
        if self.secure_mode:
            return switch_generator(data_loader=data_loader, generator=self.secure_rng)
        return data_loader

    # -- the account -------------------------------------------------------------------------------
    def get_epsilon(self, delta: float) -> float:
        """epsilon at `delta` of all steps so far."""
        return self.accountant.get_epsilon(delta)

    def save_checkpoint(self, *, path, module: nn.Module, optimizer: DPOptimizer | None = None,
                        noise_scheduler=None, grad_clip_scheduler=None,
                        checkpoint_dict: dict[str, Any] | None = None,
                        module_state_dict_kwargs: dict | None = None,
                        torch_save_kwargs: dict | None = None) -> None:
        """Model, account and, where given, optimiser and schedules to a file."""
        found = dict(checkpoint_dict or {})
        found["module_state_dict"] = module.state_dict(**(module_state_dict_kwargs or {}))
        found["privacy_accountant_state_dict"] = self.accountant.state_dict()
        for name, part in (("optimizer", optimizer), ("noise_scheduler", noise_scheduler),
                           ("grad_clip_scheduler", grad_clip_scheduler)):
            if part is not None:
                found[f"{name}_state_dict"] = part.state_dict()
        serialization.save(found, path, **(torch_save_kwargs or {}))

    def load_checkpoint(self, *, path, module: nn.Module, optimizer: DPOptimizer | None = None,
                        noise_scheduler=None, grad_clip_scheduler=None,
                        module_load_dict_kwargs: dict | None = None,
                        torch_load_kwargs: dict | None = None) -> dict:
        """What `save_checkpoint` wrote, put back; the rest of the file is returned."""
        found = serialization.load(path, **{"weights_only": False, **(torch_load_kwargs or {})})
        module.load_state_dict(found["module_state_dict"], **(module_load_dict_kwargs or {}))
        self.accountant.load_state_dict(found["privacy_accountant_state_dict"])
        for name, part in (("optimizer", optimizer), ("noise_scheduler", noise_scheduler),
                           ("grad_clip_scheduler", grad_clip_scheduler)):
            state = found.pop(f"{name}_state_dict", {})
            if part is not None and state:
                part.load_state_dict(state)
            elif name == "optimizer" and (part is not None) != bool(state):
                warnings.warn(f"optimizer_state_dict has {len(state)} items but optimizer is "
                              f"{'' if part is not None else 'not'} provided.")
        return found
