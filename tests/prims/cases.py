"""Cases of every primitive, drawn from the samples in its record: what the table's tests feed on."""
from __future__ import annotations

import zlib
from typing import NamedTuple

import ml_dtypes
import numpy as np

import rushlight
from rushlight import dtypes
from rushlight.ops.promote import source
from rushlight.prims import PRIMITIVES
from rushlight.prims.pointwise import SOURCES

RUN_TIME = ("ticket", "offset")         # parameters of a meaning that a node carries besides its signature


class Case(NamedTuple):
    """One primitive on one set of arrays."""
    prim: object
    arrays: tuple
    params: dict

    def __repr__(self):
        shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in self.arrays)
        return f"{self.prim.name}({shapes}, {', '.join(f'{k}={v}' for k, v in self.params.items())})"

    @property
    def recorded(self) -> dict:
        """The parameters that its signature has."""
        return {k: v for k, v in self.params.items() if k not in RUN_TIME}

    @property
    def floats(self) -> list[int]:
        """Positions of operands that can have gradients."""
        return [i for i, a in enumerate(self.arrays) if a.dtype.kind in "fc" or a.dtype == ml_dtypes.bfloat16]

    @property
    def size(self) -> int:
        return sum(a.size for a in self.arrays)

    def meaning(self) -> np.ndarray:
        """What NumPy says."""
        return np.asarray(self.prim.reference(*(a.copy() for a in self.arrays), **self.params))

    def dtypes(self) -> list:
        return [dtypes.from_numpy(a.dtype) for a in self.arrays]

    def call(self, *tensors):
        """The primitive recorded on tensors (numbers, for a source)."""
        if self.prim in SOURCES:
            numbers = [a.item() for a in self.arrays]
            return source(self.prim, self.params, numbers, (self.params["dtype"],) * len(numbers))
        return self.prim(*tensors, **self.recorded)

    def tensors(self):
        return [tensor(a) for a in self.arrays]


def tensor(a):
    """A tensor of its own with the value of an array."""
    return rushlight.tensor(np.array(a), dtype=dtypes.from_numpy(a.dtype))


def array(t) -> np.ndarray:
    t = t.detach()
    return np.array(t.float().numpy() if t.dtype is dtypes.bfloat16 else t.numpy(force=True))


def rng_of(prim):
    return np.random.default_rng(zlib.crc32(prim.name.encode()))


def cases(prim) -> list[Case]:
    """All samples of a primitive."""
    return [Case(prim, tuple(np.asarray(a) for a in arrays), params) for arrays, params in prim.samples(rng_of(prim))]


SYMMETRIC = ("cholesky", "eigh", "eigvalsh")       # only one triangle is read: both move alike


def is_smooth(case) -> bool:
    """Whether a primitive that has a gradient has one here."""
    name, params = case.prim.name, case.params
    if name == "scatter":
        return params["mode"] in ("set", "add")     # the other ways have their gradients in ops/index.py
    if name in ("eig", "eigh", "svd") and case.arrays[0].dtype.kind == "c":
        return False                                # phases are LAPACK's choice: tests/parity/test_complex.py
    if name in ("qr", "svd", "lu"):
        m, n = case.arrays[0].shape[-2:]
        return m == n or name != "lu" and not params.get("full") and (m < n or params.get("mode") != "complete")
    return True


def admissible(prim, direction):
    """A direction in which an operand may move without leaving the primitive's domain."""
    return (direction + np.conj(np.swapaxes(direction, -1, -2))) / 2 if prim.name in SYMMETRIC else direction


def in_float64(prim, most=4000, count=3) -> list[Case]:
    """A few samples whose floats are float64 or complex128: of different shapes, small ones first."""
    found = {}
    for case in cases(prim):
        floats = case.floats
        if not floats or case.size > most or not is_smooth(case):
            continue
        arrays = tuple(a.astype(np.complex128 if a.dtype.kind == "c" else np.float64) if i in floats else a
                       for i, a in enumerate(case.arrays))
        case = Case(prim, arrays, case.params)
        result = case.meaning()
        if result.size and result.dtype in (np.float64, np.complex128):
            kinds = "".join(a.dtype.kind for a in arrays)
            found.setdefault(kinds, {}).setdefault((tuple(a.shape for a in arrays), str(case.recorded)), case)
    return [c for kind in found.values() for c in sorted(kind.values(), key=lambda c: c.size)[:count]]


def is_recorded_by_call(prim) -> bool:
    """Whether `prim(*tensors)` records it: all but writes into storages and draws from generators."""
    return prim.kind not in ("write", "random")


ALL = list(PRIMITIVES.values())
CALLED = [p for p in ALL if is_recorded_by_call(p)]
OPERATORS = [p for p in CALLED if p not in SOURCES]
