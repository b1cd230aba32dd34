"""Architecture optimisation: quantisation-aware training."""
from . import quantization as quantization
