"""Neural networks: layers, losses, initialisation, parameters."""
from . import attention, functional, init, modules, utils
from .modules import *
from .modules import Module as Module
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "functional",
           "init", "modules", "utils"]
__all__ += modules.__all__
