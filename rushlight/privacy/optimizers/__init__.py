"""Optimisers that clip and add noise."""
from __future__ import annotations

from .adaclipoptimizer import AdaClipDPOptimizer
from .optimizer import DPOptimizer
from .optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping
from .perlayeroptimizer import DPPerLayerOptimizer

__all__ = ["AdaClipDPOptimizer", "DPOptimizer", "DPOptimizerFastGradientClipping",
           "DPPerLayerOptimizer", "get_optimizer_class"]

CLASSES = {"flat": DPOptimizer, "per_layer": DPPerLayerOptimizer, "adaptive": AdaClipDPOptimizer}


def get_optimizer_class(clipping: str, distributed: bool, grad_sample_mode: str | None = None) -> type:
    """The optimiser of a kind of clipping ("flat", "per_layer", "adaptive").

    Raises:
        ValueError: a clipping that there is not, or not in ghost mode.
        NotImplementedError: distributed training.
    """
    if distributed:
        raise NotImplementedError("rushlight.privacy: distributed private training")
    if grad_sample_mode == "ghost":
        if clipping != "flat":
            raise ValueError(f"Unsupported combination of parameters. Clipping: {clipping} and "
                             f"grad_sample_mode: {grad_sample_mode}")
        return DPOptimizerFastGradientClipping
    if clipping not in CLASSES:
        raise ValueError(f"Unexpected optimizer parameters. Clipping: {clipping}, "
                         f"distributed: {distributed}")
    return CLASSES[clipping]
