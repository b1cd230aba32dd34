"""Tensor: a storage seen through a layout, with its place on the tape.

Methods are one-line calls into `ops`; most are attached from there by name at the end of
`rushlight/__init__.py`. What stands here is what a tensor knows about itself.
"""
from __future__ import annotations

import ctypes

import numpy as np

from . import dtypes, storage as storages
from .layout import Size, is_dense, wrap_dim


class device:
    """Where a tensor lives. The CPU is the only one; in `with torch.device("cpu"):` new tensors are made there."""

    __slots__ = ("type", "index")

    def __new__(cls, type="cpu", index=None):
        if isinstance(type, device):
            return type
        if isinstance(type, int):
            raise RuntimeError("Cannot access accelerator device when none is available. Only the device 'cpu' exists")
        name, _, number = str(type).partition(":")
        if name not in ("cpu", "meta", "cuda", "mps", "xpu"):
            raise RuntimeError("Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, "
                               f"xla, lazy, vulkan, mps, meta, hpu, mtia, privateuseone device type at start of device "
                               f"string: {name}")
        self = super().__new__(cls)
        self.type, self.index = name, int(number) if number else index
        return self

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __repr__(self):
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self):
        return self.type + (f":{self.index}" if self.index is not None else "")

    def __reduce__(self):
        return device, (str(self),)

    def __enter__(self):
        if self.type != "meta":
            check_device(self)
        defaults.append(self)
        return self

    def __exit__(self, *_):
        defaults.pop()


CPU, META = device("cpu"), device("meta")
defaults = [CPU]        # what set_default_device has said, then the devices whose blocks we are in


def is_meta_device(x) -> bool:
    """Whether x names the device of tensors without values."""
    return x is not None and x is not CPU and device(x).type == "meta"


def check_device(x) -> None:
    """RuntimeError unless x names the CPU (or is None)."""
    if x is not None and x is not CPU and device(x).type != "cpu":
        if device(x).type == "cuda":
            raise AssertionError("Torch not compiled with CUDA enabled: rushlight computes on the CPU only")
        raise RuntimeError(f"rushlight computes on the CPU only, but device {str(device(x))!r} was asked for")


class Tensor:
    """A multi-dimensional array of one dtype; see PyTorch's torch.Tensor for the interface."""

    dtype = storage = None      # each tensor has its own
    _requires_grad = False
    _grad = None
    _grad_fn = None
    _output_nr = 0
    _hooks = None               # on a leaf: functions of its gradient
    _accumulate_hooks = None    # on a leaf: called after its gradient was accumulated
    _accumulator = None         # weak reference to the leaf's AccumulateGrad
    _retains_grad = False
    _root = None                # the tensor that this one is a view of
    _is_one_of_many = False     # of the views that one function made, where that is no longer on the tape
    _view_of = None             # the same, if the view was taken with gradients enabled
    _view_version = 0
    _is_data = False            # `x.data` and its views: writes do not count in x's version
    __array_priority__ = 1000

    def __new__(cls, *args, **kwargs):
        from .ops.create import legacy_tensor
        return legacy_tensor(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        """Arguments are those of __new__; subclasses may define their own."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        from .ops import overriding
        if overriding.overrides(cls):
            overriding.arm("a class")

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """What calls with a tensor of a subclass do: results are of the subclass, too."""
        from .ops.overriding import by_default
        return by_default(cls, func, types, args, kwargs or {})

    @staticmethod
    def _make_subclass(cls, data, require_grad=False, **kwargs):
        """An instance of a subclass on the memory of `data`, outside of its history."""
        from .ops.overriding import leaf
        return leaf(wrap(cls, data.storage, data.layout, data.offset), require_grad)

    @staticmethod
    def _make_wrapper_subclass(cls, size, *args, **kwargs):
        """An instance of a subclass that has a shape and a dtype, and no elements of its own."""
        from .ops.overriding import shell
        return shell(cls, size, *args, **kwargs)

    # -- what it is ----------------------------------------------------------------------------------
    @property
    def shape(self) -> Size:
        return self.layout.shape

    def size(self, dim=None):
        l = self.layout
        return l.shape if dim is None else l.shape[wrap_dim(dim, l.ndim)]

    def stride(self, dim=None):
        l = self.layout
        return l.strides if dim is None else l.strides[wrap_dim(dim, l.ndim)]

    def dim(self) -> int:
        return self.layout.ndim

    ndim = property(dim)
    ndimension = dim

    def numel(self) -> int:
        return self.layout.numel

    nelement = numel

    def element_size(self) -> int:
        return self.dtype.itemsize

    itemsize = property(element_size)

    @property
    def nbytes(self) -> int:
        return self.layout.numel * self.dtype.itemsize

    def storage_offset(self) -> int:
        return self.offset

    def data_ptr(self) -> int:
        """The address of the first element; stays until the tensor is written to."""
        if not self.layout.numel:
            return 0
        from .ops.interop import own_buffer
        return own_buffer(self.storage).address + self.offset * self.dtype.itemsize

    device = property(lambda self: CPU if storages.place is None else storages.place(self))
    is_meta = property(lambda self: self.device.type == "meta")
    is_cpu, names = True, property(lambda self: (None,) * self.layout.ndim)
    is_cuda = is_sparse = is_quantized = is_mkldnn = is_mps = is_nested = is_xpu = False

    @property
    def layout_(self):
        from . import strided
        return strided

    def is_contiguous(self, memory_format=None) -> bool:
        if memory_format is None or memory_format.name == "contiguous_format":
            return self.layout.packed
        from .ops.shape import is_channels_last
        return is_channels_last(self.layout, memory_format)

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        return self.storage.version < 0

    def dense_dim(self) -> int:
        return self.layout.ndim

    def sparse_dim(self) -> int:
        return 0

    def has_names(self) -> bool:
        return False

    def untyped_storage(self):
        """The memory behind this tensor, as bytes."""
        from .ops.interop import UntypedStorage
        return UntypedStorage(self.storage)

    def get_device(self) -> int:
        return -1

    def is_non_overlapping_and_dense(self) -> bool:
        return is_dense(self.layout)

    # -- its place on the tape ---------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        return self._requires_grad or (self._view_of is not None and self._view_of._requires_grad)

    @requires_grad.setter
    def requires_grad(self, flag):
        if not isinstance(flag, bool):
            raise RuntimeError("requires_grad must be a bool")
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad=True):
        """Tape what is done with this leaf from now on."""
        if not requires_grad and self.grad_fn is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a "
                               "computed variable in a subgraph that doesn't require differentiation use "
                               "var_no_grad = var.detach().")
        if requires_grad and self.dtype.rank < 2:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        from .autograd.grad_mode import mode
        if requires_grad and self.is_inference() and not mode.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad_fn(self):
        from .autograd.node import grad_fn_of
        return grad_fn_of(self)

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad(self):
        if self._grad is None and self._grad_fn is not None and not self._retains_grad:
            import warnings
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                          "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
                          "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
                          stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self):
        self._grad = None

    output_nr = property(lambda self: self._output_nr)
    retains_grad = property(lambda self: self._retains_grad)

    @property
    def _version(self):
        if self.storage.version < 0:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self.storage.version

    _base = property(lambda self: self._root)

    def _is_view(self) -> bool:
        return self._root is not None

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Gradients of this tensor with respect to the leaves, added to their `.grad`."""
        from .autograd.engine import backward
        backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook):
        """hook(grad) -> new gradient or None, called when this tensor's gradient is computed."""
        from .autograd.hooks import register_tensor_hook
        return register_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """hook(tensor), called after the gradient of this leaf was accumulated."""
        from .autograd.hooks import register_post_accumulate
        return register_post_accumulate(self, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in `.grad`."""
        from .autograd.hooks import retain_grad
        retain_grad(self)

    def detach(self):
        """The same memory outside of the tape."""
        y = wrap(Tensor, self.storage, self.layout, self.offset)
        if self._is_data:
            y._is_data = True
        return y

    def detach_(self):
        """Make this tensor a leaf in place."""
        if self._root is not None and self._view_of is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using "
                               "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
                               "True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
                               "these gradients. To fix this error, please refer to the Optimizer.zero_grad() "
                               "function in torch/optim/optimizer.py as a solution.")
        self._grad_fn, self._requires_grad, self._output_nr = None, False, 0
        return self

    @property
    def data(self):
        """The same memory outside of the tape and of version counting."""
        y = wrap(Tensor, self.storage, self.layout, self.offset)
        y._is_data = True
        return y

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self.storage, self.layout, self.offset, self.dtype = value.storage, value.layout, value.offset, value.dtype

    # -- values: every look runs what is pending -------------------------------------------------------------
    def _array(self) -> np.ndarray:
        """The elements as a NumPy array on the same memory; only to be read, and not to be kept."""
        return self.storage.array(self.layout, self.offset)

    def item(self):
        """The one element as a Python number."""
        if self.layout.numel != 1:
            raise RuntimeError(f"a Tensor with {self.layout.numel} elements cannot be converted to Scalar")
        if storages.item_reader is not None and self.dtype.is_floating_point:
            return storages.item_reader(self)
        read = _READERS.get(self.dtype)
        if read is not None:
            return read(self.storage.realize().address + self.offset * self.dtype.itemsize).value
        return self._array().item() if self.dtype is not dtypes.bfloat16 else float(self._array().reshape(())[()])

    def tolist(self):
        a = self._array()
        return a.astype(np.float32).tolist() if self.dtype is dtypes.bfloat16 else a.tolist()

    def numpy(self, *, force=False) -> np.ndarray:
        """The elements as an array that shares memory."""
        from .ops.interop import to_numpy
        return to_numpy(self, force)

    def __array__(self, dtype=None, copy=None):
        a = self.numpy()
        return a if dtype is None else a.astype(dtype, copy=False)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """What NumPy's functions make of tensors are tensors."""
        from .ops.create import from_numpy
        return from_numpy(np.array(array.astype(np.uint8) if array.dtype == bool else array))

    def __dlpack__(self, **kwargs):
        if self.storage.is_mirrored:
            raise BufferError(f"Can't export tensors with the {'conjugate' if self.storage.is_conj else 'negative'} bit set")
        return self.numpy().__dlpack__()

    def __dlpack_device__(self):
        return (1, 0)

    def __len__(self):
        if not self.layout.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.layout.shape[0]

    def __iter__(self):
        if not self.layout.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __bool__(self):
        if self.layout.numel != 1:
            raise RuntimeError("Boolean value of Tensor with " +
                               ("no values" if not self.layout.numel else "more than one value") + " is ambiguous")
        return bool(self.item())

    def __int__(self):
        return int(self._real_number("int64_t"))

    def __float__(self):
        return float(self._real_number("double"))

    def _real_number(self, kind):
        x = self._only()
        if type(x) is not complex:
            return x
        if x.imag:
            raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
        return x.real

    def __complex__(self):
        return complex(self._only())

    def _only(self):
        if self.layout.numel != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __index__(self):
        if self.dtype.rank > 1 or self.layout.numel != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __contains__(self, x):
        return bool((self == x).any().item())

    def __hash__(self):
        return id(self)

    def __repr__(self, *, tensor_contents=None):
        from .printing import repr_tensor
        return repr_tensor(self)

    def __format__(self, spec):
        if self.dim() == 0 and not self.is_meta and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __copy__(self):
        y = wrap(type(self), self.storage, self.layout, self.offset)
        y.__dict__.update({k: v for k, v in self.__dict__.items() if not k.startswith("_")})
        y._requires_grad = self._requires_grad
        return y

    def __deepcopy__(self, memo):
        from .ops.interop import deepcopy_tensor
        return deepcopy_tensor(self, memo)

    def __reduce_ex__(self, protocol):
        from .io.rebuild import reduce_tensor
        return reduce_tensor(self)

    def __dir__(self):
        return sorted(set(object.__dir__(self)))


_READERS = {dtypes.float32: ctypes.c_float.from_address, dtypes.float64: ctypes.c_double.from_address,
            dtypes.int64: ctypes.c_int64.from_address, dtypes.int32: ctypes.c_int32.from_address,
            dtypes.uint8: ctypes.c_uint8.from_address, dtypes.bool: ctypes.c_bool.from_address}


def wrap(cls, storage, layout, offset):
    """A tensor over a storage; the cheapest way to make one."""
    x = object.__new__(cls)
    x.storage, x.layout, x.offset, x.dtype = storage, layout, offset, storage.dtype
    return x


def check_grad(x, value):
    """What may be assigned to `.grad`: PyTorch's errors for another type, shape or dtype."""
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    if value is x:
        raise RuntimeError("can't assign Variable as its own grad")
    if value.layout is x.layout and value.dtype is x.dtype:
        return
    if value.shape != x.shape:
        raise RuntimeError(f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                           f"'{list(x.shape)}'. Please ensure that the gradient and the tensor are the same size")
    if value.dtype is not x.dtype:
        raise RuntimeError(f"attempting to assign a gradient with dtype '{value.dtype.name}' to a tensor with grad_dtype "
                           f"'{x.dtype.name}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype).")
