"""Names of PyTorch's compiled part that programs in Python use."""
from .dtypes import dtype as dtype
from .layout import Size as Size
from .ops.overriding import disabled as _disabled_torch_dispatch_impl      # noqa: F401
from .ops.overriding import disabled as _disabled_torch_function_impl      # noqa: F401
from .overrides import DisableTorchFunction as DisableTorchFunction
from .overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from .random import Generator as Generator, default_generator as default_generator
from .tensor import Tensor as _TensorBase, Tensor as TensorBase, device as device      # noqa: F401


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged."""
