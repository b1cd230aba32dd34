"""Checks of models before private training."""
from __future__ import annotations

from .module_validator import ModuleValidator, register_module_fixer, register_module_validator

__all__ = ["ModuleValidator", "register_module_fixer", "register_module_validator"]
