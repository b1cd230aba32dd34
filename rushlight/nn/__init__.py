"""Neural networks: layers, losses, initialisation, parameters."""
from . import attention, functional, grad, init, modules, parallel, utils
from .modules import *
from .modules import Module as Module
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = ["Buffer", "DataParallel", "Parameter", "UninitializedBuffer", "UninitializedParameter",
           "functional", "grad", "init", "modules", "parallel", "utils"]
__all__ += modules.__all__
