"""The definition of rushlight: any graph, by the NumPy meanings of its primitives.

When a compiled result and this one differ, there is no debate about which is wrong.
"""
from __future__ import annotations

import numpy as np

from .. import errors
from ..runtime import memory
from ..trace.graph import expand


def run(nodes) -> None:
    """Compute pending nodes in order and realise those that are alive."""
    values, results = {}, {}
    for step in expand(nodes):
        try:
            values[step] = evaluate(step, values)
        except (IndexError, RuntimeError) as error:
            raise errors.blame(error, step) from None
        if step.is_last:
            results[step.origin] = values[step]
    realised = [(node, _buffer(results[node], node.sig.dtype)) for node in nodes if node.is_alive()]
    for node, buffer in realised:
        node.buffer = buffer


def evaluate(node, values) -> np.ndarray:
    """The packed value of one node, given those of its operands (realised ones are read from memory)."""
    sig = node.sig
    arrays, extra = _operands(node, values), {}
    if sig.prim.kind == "write":
        arrays[0] = _flat(node.operands[0], sig.dtype, values)
        extra["offset"] = node.operands[1]
    if node.extra is not None:
        extra["ticket"] = node.extra
    result = sig.prim.reference(*arrays, **sig.params, **extra)
    return np.ascontiguousarray(result, sig.dtype.numpy).reshape(sig.shape)


def _operands(node, values):
    sig = node.sig
    tensors, scalars, arrays = iter(zip(node.operands[::2], node.operands[1::2])), iter(node.scalars), []
    for layout, dtype in zip(sig.layouts, sig.dtypes):
        if layout is None:
            arrays.append(np.asarray(next(scalars)).astype(dtype.numpy))
        else:
            source, offset = next(tensors)
            arrays.append(_view(_flat(source, dtype, values), layout, offset))
    return arrays


def _flat(node, dtype, values):
    found = values.get(node)
    if found is not None:
        return found.reshape(-1)
    return node.buffer.as_numpy(dtype.numpy, (node.buffer.nbytes // dtype.itemsize,))


def _view(flat, layout, offset):
    size = flat.itemsize
    if layout.numel == 0:
        return np.empty(layout.shape, flat.dtype)
    return np.lib.stride_tricks.as_strided(flat[offset:], layout.shape, [s * size for s in layout.strides], writeable=False)


def _buffer(array, dtype):
    buffer = memory.allocate(array.nbytes)
    buffer.as_numpy(dtype.numpy, array.shape)[...] = array
    return buffer
