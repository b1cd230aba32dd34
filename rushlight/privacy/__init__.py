"""Private training: gradients of single samples, clipping, noise, and the account of privacy spent.

The interface is that of Opacus. Formulas and their sources: docs/private.md.
"""
from __future__ import annotations

from . import utils
from .grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from .per_sample import per_sample_grads
from .privacy_engine import PrivacyEngine
from .version import __version__

__all__ = ["GradSampleModule", "GradSampleModuleFastGradientClipping", "PrivacyEngine",
           "__version__", "per_sample_grads", "utils"]
