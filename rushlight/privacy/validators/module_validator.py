"""ModuleValidator: which layers break privacy, and what is put in their place."""
from __future__ import annotations

from collections.abc import Callable

from ... import nn
from ..utils.module_utils import clone_module, trainable_modules
from .errors import (IllegalModuleConfigurationError, ShouldReplaceModuleError,
                     UnsupportableModuleError, UnsupportedModuleError)


class ModuleValidator:
    """Checks and repairs models; `register_module_validator` and `register_module_fixer` add to it."""

    VALIDATORS: dict[type, Callable] = {}
    FIXERS: dict[type, Callable] = {}

    @classmethod
    def validate(cls, module: nn.Module, *, strict: bool = False) -> list[UnsupportedModuleError]:
        """What in the model breaks privacy; each error names the layer and the way out.

        Raises:
            UnsupportedModuleError: with all of them, under `strict`.
        """
        errors = [] if module.training else [
            IllegalModuleConfigurationError("Model needs to be in training mode")]
        for name, m in _checked(module):
            for error in cls.VALIDATORS.get(type(m), lambda _: [])(m):
                errors.append(type(error)(f"{name or 'the model'} ({type(m).__name__}): {error}"))
        if strict and errors:
            raise UnsupportedModuleError(errors)
        return errors

    @classmethod
    def is_valid(cls, module: nn.Module) -> bool:
        """Whether nothing in it breaks privacy."""
        return not cls.validate(module)

    @classmethod
    def fix(cls, module: nn.Module, **kwargs) -> nn.Module:
        """A copy in which layers that break privacy are replaced where a fixer knows by what."""
        module = clone_module(module)
        for name, m in list(_checked(module)):
            fixer = cls.FIXERS.get(type(m))
            if fixer is not None:
                module = cls._replace_sub_module(root=module, sub_module_name=name,
                                                 new_sub_module=fixer(m, **kwargs))
        return module

    @classmethod
    def fix_and_validate(cls, module: nn.Module, **kwargs) -> nn.Module:
        """`fix`; UnsupportedModuleError if that does not suffice."""
        fixed = cls.fix(module, **kwargs)
        cls.validate(fixed, strict=True)
        return fixed

    @classmethod
    def _replace_sub_module(cls, *, root, sub_module_name, new_sub_module) -> nn.Module:
        if not sub_module_name:
            return new_sub_module
        root.set_submodule(sub_module_name, new_sub_module)
        return root


def _checked(module):
    """Modules to train, and those without parameters that gather statistics."""
    found = dict(trainable_modules(module))
    return [(k, m) for k, m in module.named_modules()
            if k in found or isinstance(m, nn.modules.batchnorm._NormBase)
            and not any(True for _ in m.parameters())]


def register_module_validator(target_class_or_classes, validator_class: type = ModuleValidator):
    """Decorator: the function lists what is wrong with modules of these classes."""
    return _registering(target_class_or_classes, validator_class.VALIDATORS)


def register_module_fixer(target_class_or_classes, validator_class: type = ModuleValidator):
    """Decorator: the function makes what stands in the place of modules of these classes."""
    return _registering(target_class_or_classes, validator_class.FIXERS)


def _registering(given, registry):
    def decorate(fn):
        registry.update(dict.fromkeys(given if isinstance(given, (list, tuple)) else [given], fn))
        return fn
    return decorate


# -- normalisation ---------------------------------------------------------------------------------
BATCH_NORMS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]
INSTANCE_NORMS = [nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d]


@register_module_validator(BATCH_NORMS)
def validate_batch_norm(module) -> list:
    """It mixes samples in training."""
    return [ShouldReplaceModuleError(
        "BatchNorm cannot support training with differential privacy: it normalises each sample by "
        "statistics of its whole batch, so no gradient belongs to one sample alone. Put "
        f"nn.GroupNorm({_groups(module)}, {module.num_features}), LayerNorm or InstanceNorm in its "
        "place; ModuleValidator.fix(model) puts GroupNorm there")]


@register_module_fixer(BATCH_NORMS)
def fix_batch_norm(module, *, replace_bn_with_in: bool = False, num_groups: int | None = None, **_):
    """GroupNorm of gcd(32, channels) groups (32: Wu and He 2018, arXiv:1803.08494), or InstanceNorm."""
    if replace_bn_with_in and num_groups is not None:
        raise ValueError("is_replace_bn_with_in and num_groups are mutually exclusive")
    if not replace_bn_with_in:
        return _like(module, nn.GroupNorm(num_groups or _groups(module), module.num_features,
                                          affine=module.affine))
    if isinstance(module, nn.SyncBatchNorm):
        raise UnsupportableModuleError("There is no equivalent InstanceNorm module to replace SyncBatchNorm "
                                       "with. Consider replacing it with GroupNorm instead.")
    kind = dict(zip(BATCH_NORMS, INSTANCE_NORMS))[type(module)]
    return _like(module, kind(module.num_features))


def _groups(module) -> int:
    from math import gcd
    return gcd(32, module.num_features)


def _like(old, new):
    """With the old module's dtype and mode."""
    p = next(iter(old.parameters()), None)
    return (new if p is None else new.to(p.dtype)).train(old.training)


@register_module_validator(INSTANCE_NORMS)
def validate_instance_norm(module) -> list:
    """Running statistics are gathered without noise."""
    if not module.track_running_stats:
        return []
    return [IllegalModuleConfigurationError(
        "running statistics are gathered from the data without noise. Use track_running_stats=False; "
        "ModuleValidator.fix(model) does")]


@register_module_fixer(INSTANCE_NORMS)
def fix_instance_norm(module, **_):
    """The same without running statistics."""
    if not module.track_running_stats:
        return module
    new = _like(module, type(module)(module.num_features, module.eps, module.momentum, module.affine))
    new.load_state_dict({k: p for k, p in module.state_dict().items() if k in ("weight", "bias")})
    return new
