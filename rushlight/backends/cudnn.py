"""`import torch.backends.cudnn`: the switches in the package itself."""
from .rooms import become

become(__name__, __spec__)
