"""Why a model cannot be trained privately; the classes of Opacus."""
from __future__ import annotations


class UnsupportedError(ValueError):
    """Something in the program does not go together with privacy."""


class UnsupportedModuleError(UnsupportedError):
    """A module does not."""


class UnsupportableModuleError(UnsupportedModuleError):
    """It never can."""


class NotYetSupportedModuleError(UnsupportedModuleError):
    """It could."""


class ShouldReplaceModuleError(UnsupportedModuleError):
    """Another module is to stand in its place, which `ModuleValidator.fix` puts there."""


class IllegalModuleConfigurationError(UnsupportedModuleError):
    """It is set up in a way that breaks privacy."""
