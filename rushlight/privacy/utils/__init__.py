"""Samplers, loaders and walks that private training needs."""
from __future__ import annotations

from . import batch_memory_manager, fast_gradient_clipping_utils, module_utils, uniform_sampler
from .fast_gradient_clipping_utils import DPLossFastGradientClipping, DPTensorFastGradientClipping

__all__ = ["DPLossFastGradientClipping", "DPTensorFastGradientClipping"]
