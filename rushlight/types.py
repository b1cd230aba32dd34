"""torch.types: names for annotations."""
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, Union

from .dtypes import dtype
from .layout import Size
from .ops.interop import TypedStorage, UntypedStorage
from .tensor import Tensor, device

__all__ = ["Device", "FileLike", "Number", "Storage"]
_bool, _int, _float, _complex, _bytes, _str, _dtype, _device = bool, int, float, complex, bytes, str, dtype, device
Number = Union[int, float, bool]        # noqa: UP007  (PyTorch's are Unions, which programs take apart)
_Number = (int, float, bool)
FileLike = Union[str, os.PathLike, IO[bytes]]       # noqa: UP007
Device = Union[device, str, int, None]      # noqa: UP007
Storage = Union[TypedStorage, UntypedStorage]       # noqa: UP007
IntLikeType, FloatLikeType, BoolLikeType, PySymType = int, float, bool, Any
py_sym_types = ()
_size = Union[Size, list[int], tuple[int, ...]]     # noqa: UP007
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]      # noqa: UP007
