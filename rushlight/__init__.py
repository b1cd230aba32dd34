"""rushlight: the PyTorch API in pure Python. `import rushlight as torch` runs PyTorch programs."""
from __future__ import annotations

import builtins as _builtins
import math as _math

from . import dtypes as _dtypes
from .dtypes import finfo as finfo, iinfo as iinfo, promote_types as promote_types
from .layout import Size as Size
from .tensor import Tensor as Tensor, device as device
from . import ops as _operations
from .autograd.recall import forget as _forget
from .prims import PRIMITIVES as _PRIMITIVES
from .ops.layouts import jagged as jagged, layout as layout, sparse_coo as sparse_coo, sparse_csc as sparse_csc
from .ops.layouts import sparse_csr as sparse_csr, strided as strided
from .ops.shape import channels_last as channels_last, channels_last_3d as channels_last_3d
from .ops.shape import contiguous_format as contiguous_format, memory_format as memory_format
from .ops.shape import preserve_format as preserve_format
from .random import Generator as Generator, default_generator as default_generator, fork_rng as fork_rng
from .random import get_rng_state as get_rng_state, initial_seed as initial_seed, manual_seed as manual_seed
from .random import seed as seed, set_rng_state as set_rng_state
from .printing import set_printoptions as set_printoptions
from .ops.inplace import FUNCTIONS as _INPLACE
from .ops.methods import attach as _attach
from .ops.complex import neg_view as _neg_view
from .ops.legacy import TYPES as _TYPES
from .ops.neural import SHARED as _SHARED
from .ops.out import NAMES as _OUTS, accepting_out as _accepting_out
from .ops.arguments import EXPLAINED as _EXPLAINED, explained as _explained
from .ops.overridable import is_caught as _is_caught
from .errors import always as _warns_always
from .ops.overriding import catching as _catching
from . import autograd as autograd
from .autograd import enable_grad as enable_grad, inference_mode as inference_mode, no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .autograd.anomaly_mode import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from .autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from .autograd.grad_mode import is_grad_enabled as is_grad_enabled
from .autograd.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from .amp import GradScaler as GradScaler, autocast as autocast
from .amp.autocast_mode import (
    is_autocast_enabled as is_autocast_enabled,
    set_autocast_enabled as set_autocast_enabled,
    get_autocast_dtype as get_autocast_dtype,
    set_autocast_dtype as set_autocast_dtype,
    is_autocast_cache_enabled as is_autocast_cache_enabled,
    set_autocast_cache_enabled as set_autocast_cache_enabled,
    autocast_increment_nesting as autocast_increment_nesting,
    autocast_decrement_nesting as autocast_decrement_nesting,
    clear_autocast_cache as clear_autocast_cache,
    is_autocast_cpu_enabled as is_autocast_cpu_enabled,
    set_autocast_cpu_enabled as set_autocast_cpu_enabled,
    get_autocast_cpu_dtype as get_autocast_cpu_dtype,
    set_autocast_cpu_dtype as set_autocast_cpu_dtype,
    get_autocast_gpu_dtype as get_autocast_gpu_dtype,
    set_autocast_gpu_dtype as set_autocast_gpu_dtype,
)
from . import random as random
from . import return_types as return_types
from .torch_version import __version__ as __version__

_attach()

dtype = _dtypes.dtype
for _d in _dtypes.DTYPES:
    globals()[_d.name] = _d
    globals()[_d.alias] = _d
half, float, double, short, int, long = (_dtypes.float16, _dtypes.float32, _dtypes.float64, _dtypes.int16,
                                         _dtypes.int32, _dtypes.int64)
for _name, _type in _TYPES.items():
    globals()[_name] = _type
inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None


for _name in _operations.PUBLIC:        # after every import: torch.tensor is the function, not the room
    _op = getattr(_operations, _name)
    _op = _accepting_out(_name, _op) if _name in _OUTS else _op
    globals()[_name] = _catching(_op) if _is_caught(_name, _op) else _explained(_op) if _name in _EXPLAINED else _op
for _name in _INPLACE:
    globals()[_name] = _catching(getattr(Tensor, _name))

_conj, _conj_physical, _neg_view = _operations.conj, _operations.conj_physical, _neg_view
i0, igamma, igammac = Tensor.i0, Tensor.igamma, Tensor.igammac


class OutOfMemoryError(RuntimeError):
    """A device has not enough memory; never raised here, where the CPU's MemoryError is."""


_SPARSE = frozenset(("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_compressed_tensor", "smm",
                     "hspmm", "sspaddmm", "spmm", "dsmm", "hsmm"))
_ROOMS = frozenset("""nn optim utils io cpu testing jit linalg fft special func amp accelerator multiprocessing
    metrics learn profiler distributions signal privacy vision viz distributed sparse serialization backends
    compiler cuda config overrides _C hub library fx futures functional return_types __config__ __future__
    torch_version mps xpu _ops _tensor storage random replay types _dynamo _utils version nested masked ao
    quantization""".split())


_GRIDS = frozenset(("quint8", "qint8", "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
                    "per_channel_symmetric"))


def __getattr__(name):
    """Rooms are imported when they are first entered, so that importing the package stays quick."""
    if name == "torch":         # PyTorch's own import of itself
        import sys
        return sys.modules[__name__]
    if name in ("save", "load"):
        from . import serialization
        return getattr(serialization, name)
    if name in ("UntypedStorage", "TypedStorage"):
        from . import storage
        return getattr(storage, name)
    if name == "vmap":
        from .func import vmap
        return vmap
    if name in _SPARSE:
        from .sparse import convert, products
        return getattr(convert, name, None) or getattr(products, name)
    if name in ("TypedStorage", "UntypedStorage", "cond"):
        from .ops import control, interop
        return control.cond if name == "cond" else getattr(interop, name)
    if name.startswith("_foreach_"):
        from .ops.foreach import NAMES, foreach
        if name in NAMES:
            return globals().setdefault(name, foreach(NAMES[name]))
    if name in _GRIDS:
        from .ao.quantization import kinds
        return getattr(kinds, name)
    if name in _SHARED:
        from .nn import functional
        return getattr(functional, name)
    if name in _ROOMS:
        from importlib import import_module
        try:
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'torch' has no attribute {name!r}: rushlight does not have it (yet)")


def get_default_dtype() -> dtype:
    """The dtype of tensors made from Python floats."""
    return _dtypes.default


def set_default_dtype(d: dtype) -> None:
    """Make another floating point dtype the default."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type (got {d!r})")
    _dtypes.default = d
    for prim in _PRIMITIVES.values():       # recipes were worked out for the former default
        prim.memo.clear()
    _forget()


def set_default_tensor_type(t) -> None:
    """The default dtype by a floating point tensor type, such as torch.DoubleTensor or its name."""
    from .errors import warn_once
    from .ops.legacy import type_named
    warn_once("torch.set_default_tensor_type() is deprecated as of PyTorch 2.1; set_default_dtype() and "
              "set_default_device() do its work.")
    set_default_dtype(type_named(t))


def set_warn_always(b: _builtins.bool) -> None:
    """Whether warnings that a process gives once are given each time."""
    _warns_always[0] = b
    _forget()                   # replays do not warn


def is_warn_always_enabled() -> _builtins.bool:
    """What `set_warn_always` was told last."""
    return _warns_always[0]


class _Settings:
    """Accepted for programs that set them; nothing here depends on them."""
    precision, deterministic, warn_only = "highest", False, False


def set_default_device(d) -> None:
    """The device of new tensors: the CPU, or "meta" for tensors without values."""
    from .ops.create import check_place
    from .tensor import defaults
    check_place(d)
    defaults[0] = device("cpu") if d is None else device(d)


def get_default_device() -> device:
    from .tensor import defaults
    return defaults[-1]


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted; float32 products are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"float32_matmul_precision must be one of 'highest', 'high' or 'medium', but got {precision}")
    _Settings.precision = precision


def get_float32_matmul_precision() -> str:
    return _Settings.precision


def use_deterministic_algorithms(mode: _builtins.bool, *, warn_only: _builtins.bool = False) -> None:
    """Accepted; all algorithms are deterministic."""
    _Settings.deterministic, _Settings.warn_only = _builtins.bool(mode), warn_only


def are_deterministic_algorithms_enabled() -> _builtins.bool:
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> _builtins.bool:
    return _Settings.warn_only


def set_deterministic_debug_mode(debug_mode: _builtins.int | str) -> None:
    """`use_deterministic_algorithms` by a number or name: 0 "default", 1 "warn", 2 "error"."""
    if not isinstance(debug_mode, (_builtins.int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    modes, expected = (0, 1, 2), "0, 1, or 2"
    if isinstance(debug_mode, str):
        modes, expected = ("default", "warn", "error"), "one of `default`, `warn`, `error`"
    if debug_mode not in modes:
        raise RuntimeError(f"invalid value of debug_mode, expected {expected}, but got {debug_mode}")
    number = modes.index(debug_mode)
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> _builtins.int:
    """0 if deterministic algorithms are not asked for, 1 if others would warn, 2 if they would raise."""
    return 0 if not _Settings.deterministic else 1 if _Settings.warn_only else 2


def set_flush_denormal(mode: _builtins.bool) -> _builtins.bool:
    """False: denormal numbers are kept."""
    return False


def set_num_interop_threads(n: _builtins.int) -> None:
    """Accepted; kernels run one after another."""


def get_num_interop_threads() -> _builtins.int:
    return 1


def result_type(tensor1, tensor2) -> dtype:
    """The dtype of an arithmetic result of two tensors or numbers."""
    from .ops.promote import result_type as promoted
    return promoted((tensor1, tensor2))


def can_cast(from_: dtype, to: dtype) -> _builtins.bool:
    """Whether values of one dtype may be put into another by PyTorch's casting rules (category order)."""
    return from_.rank <= to.rank


def set_num_threads(n: _builtins.int) -> None:
    """How many threads run kernels."""
    from .runtime.threads import set_num_threads as set_
    set_(n)


def get_num_threads() -> _builtins.int:
    from .runtime.threads import get_num_threads as get
    return get()


def debug(level: _builtins.int):
    """A context manager: `with torch.debug(2): ...` says on stderr what its block costs (RUSHLIGHT_DEBUG)."""
    from . import config
    return config.debug.override(level)


def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False):
    """A callable like `model` (a function or Module) whose calls are replayed as native plans; also a decorator.

    After a few calls the Python of the function is left out: parameters, optimiser state and buffers change in
    place, random numbers advance, learning rates and other floats that vary stay inputs. Whatever else the
    function may have read is guarded, and recorded again when it changes. What cannot be replayed (a value read in
    the middle, a print) runs as without `compile`; `explain` says where. Results have the same bits.

    Args:
        disable: give a callable that never replays.
        fullgraph, dynamic, backend, mode, options: accepted for PyTorch programs; there is one way to compile.
    """
    if model is None:
        return lambda fn: compile(fn, disable=disable)
    from .replay import compile as make
    return make(model, disable)


def explain(fn) -> str:
    """How the calls of a compiled function ran: programs, replays, and where something kept it from being replayed."""
    from .replay import explain as tell
    return tell(fn)
