"""Arguments taken apart so that either library can put them together again.

A tensor becomes the array of its whole storage with dtype, shape, strides and offset, so that strides and
shared memory survive. `Freezer(x)` takes apart, `thaw(T, x)` builds in library T.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .translate import translate

DTYPES = {getattr(torch, n): n for n in (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64")}
FORMATS = {torch.contiguous_format: "contiguous_format", torch.preserve_format: "preserve_format",
           torch.channels_last: "channels_last", torch.channels_last_3d: "channels_last_3d"}
BEYOND = {"complex32"}


class Unsupported(Exception):
    """A sample holds what the sweep leaves out; the text is the reason that is counted."""


class Memory(NamedTuple):
    array: np.ndarray
    dtype: str


class Frozen(NamedTuple):
    memory: int
    shape: tuple
    strides: tuple
    offset: int
    requires_grad: bool
    parameter: bool


class Named(NamedTuple):
    path: str


class Sample(NamedTuple):
    """Frozen arguments with the memory that they lie in."""
    memories: list
    args: tuple
    kwargs: dict


class Freezer:
    """Takes the arguments of one sample apart."""

    def __init__(self):
        self.memories, self._places, self._kept = [], {}, []

    def sample(self, args, kwargs) -> Sample:
        return Sample(self.memories, tuple(map(self, args)), {k: self(v) for k, v in kwargs.items()})

    def __call__(self, x):
        if isinstance(x, torch.Tensor):
            return self._tensor(x)
        if isinstance(x, torch.Size):
            return Named("Size"), tuple(x)
        if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
            return type(x)(map(self, x))
        if isinstance(x, dict):
            return {k: self(v) for k, v in x.items()}
        if isinstance(x, slice):
            return slice(self(x.start), self(x.stop), self(x.step))
        if isinstance(x, torch.dtype):
            return self._dtype(x)
        if isinstance(x, torch.memory_format):
            return Named(FORMATS[x])
        if isinstance(x, torch.device):
            return str(x)
        if isinstance(x, torch.layout):
            if x is not torch.strided:
                raise Unsupported("sparse layouts")
            return Named("strided")
        if isinstance(x, torch.Generator):
            return Named("default_generator")
        return x

    def _dtype(self, d):
        name = DTYPES.get(d)
        if name is None or name in BEYOND:
            raise Unsupported(f"dtype {d}")
        return Named(name)

    def _tensor(self, t):
        if t.layout is not torch.strided:
            raise Unsupported("sparse layouts")
        if t.device.type != "cpu":
            raise Unsupported(f"device {t.device.type}")
        if type(t) not in (torch.Tensor, torch.nn.Parameter):
            raise Unsupported("subclasses of Tensor")
        name = self._dtype(t.dtype).path
        t = t.detach().resolve_conj().requires_grad_(t.requires_grad) if t.is_conj() else t
        memory = self._memory(t.detach(), name)
        return Frozen(memory, tuple(t.shape), t.stride(), t.storage_offset(), t.requires_grad,
                      isinstance(t, torch.nn.Parameter))

    def _memory(self, t, name):
        storage = t.untyped_storage()
        key = storage.data_ptr() or id(storage), name
        if key not in self._places:
            n = storage.nbytes() // t.element_size()
            flat = torch.as_strided(t, (n,), (1,), 0)
            flat = flat.float() if name == "bfloat16" else flat
            self._places[key] = len(self.memories)
            self.memories.append(Memory(flat.resolve_neg().numpy().copy(), name))
            self._kept.append(t)
        return self._places[key]


class Thawed:
    """A sample's arguments in library T, and the leaves among them."""

    def __init__(self, T, sample: Sample, wide: str | None = None):
        self.T, self._wide, self.leaves, self.inputs = T, wide, [], []
        self.bases = [self._base(m) for m in sample.memories]
        self._made = {}
        self.args = tuple(map(self._thaw, sample.args))
        self.kwargs = {k: self._thaw(v) for k, v in sample.kwargs.items()}

    def _widened(self, name):
        return "float64" if self._wide and name in self._wide else name

    def _base(self, m):
        dtype = getattr(self.T, self._widened(m.dtype))
        if not m.array.size:
            return self.T.zeros(0, dtype=dtype)
        return self.T.tensor(m.array, dtype=dtype)

    def _thaw(self, x):
        if isinstance(x, Frozen):
            return self._tensor(x)
        if isinstance(x, Named):
            return getattr(self.T, self._widened(x.path))
        if type(x) is tuple and len(x) == 2 and isinstance(x[0], Named) and x[0].path == "Size":
            return self.T.Size(x[1])
        if type(x) in (list, tuple):
            return type(x)(map(self._thaw, x))
        if isinstance(x, dict):
            return {k: self._thaw(v) for k, v in x.items()}
        if isinstance(x, slice):
            return slice(self._thaw(x.start), self._thaw(x.stop), self._thaw(x.step))
        return x if self.T is torch else translate(x)

    def _tensor(self, x):
        if x in self._made:
            return self._made[x]
        t = self.bases[x.memory].as_strided(x.shape, x.strides, x.offset).detach()
        if x.parameter:
            t = self.T.nn.Parameter(t, requires_grad=x.requires_grad)
        elif x.requires_grad:
            t.requires_grad_()
        if x.requires_grad:
            self.leaves.append(t)
        self.inputs.append(t)
        self._made[x] = t
        return t
