"""vmap: a function of one entry becomes a function of a batch."""
from __future__ import annotations

import functools
from typing import Any
from collections.abc import Callable

from ..random import Notebook
from ..tensor import Tensor
from .batching import Capture
from .pytree import flatten, opened, spread, unflatten


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable:
    """The function that applies `func` to every entry of its arguments along an axis, all at once.

    Args:
        func: takes and returns tensors in nested containers. It sees arguments without the mapped axis.
        in_dims: which axis of each argument is mapped, None for one that all entries share; an int
            or a tuple that matches the arguments, as deep as wanted.
        out_dims: where the mapped axis stands in each result; None for one common to all entries.
        randomness: "error", "different" numbers for each entry, or the "same" for all.
        chunk_size: how many entries to do at once; None: all.

    Raises:
        ValueError: axes that do not fit the arguments or results, sizes that differ.
        RuntimeError: `func` reads a value (.item(), `if x`), writes an entry into a captured tensor,
            or draws random numbers with randomness="error".

    Example:
        >>> per_sample = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError("Only allowed values for randomness are 'error', 'different', or "
                           f"'same'. Got {randomness}")
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @_named_after(func)
    def wrapped(*args, **kwargs):
        call = Call(func, in_dims, out_dims, randomness, kwargs)
        call.take(args)
        return call.run() if chunk_size is None else call.run_in_chunks(chunk_size)
    return wrapped


def _named_after(func):
    return functools.wraps(func) if hasattr(func, "__name__") else lambda f: f


def name_of(func) -> str:
    if isinstance(func, functools.partial):
        return f"functools.partial({name_of(func.func)}, ...)"
    return getattr(func, "__name__", None) or repr(func)


class Call:
    """One call of a function made by vmap."""

    def __init__(self, func, in_dims, out_dims, randomness, kwargs):
        self.func, self.in_dims, self.out_dims = func, in_dims, out_dims
        self.randomness, self.kwargs, self.name = randomness, kwargs, name_of(func)
        self._check_out_dims()

    # -- arguments ---------------------------------------------------------------------------------
    def take(self, args):
        """Arguments as flat lists with their axes, checked."""
        if not isinstance(self.in_dims, (int, tuple)):
            self._refuse_inputs("expected `in_dims` to be int or a (potentially nested) tuple "
                                f"matching the structure of inputs, got: {type(self.in_dims)}.")
        if not args:
            raise ValueError(f"vmap({self.name})(<inputs>): got no inputs. Maybe you forgot to add "
                             "inputs, or you are trying to vmap over a function with no inputs. "
                             "The latter is unsupported.")
        self.leaves, self.spec = flatten(args)
        dims = spread(self.in_dims, self.spec)
        if dims is None:
            self._refuse_inputs("in_dims is not compatible with the structure of `inputs`. "
                                f"in_dims has structure {flatten(self.in_dims)[1]} but inputs has "
                                f"structure {self.spec}.")
        self.dims = [self._axis(x, d) for x, d in zip(self.leaves, dims)]
        self.size = self._batch_size()

    def _axis(self, x, d):
        if d is None:
            return None
        if not isinstance(d, int):
            self._refuse_inputs(f"Got in_dim={d} for an input but in_dim must be either an integer "
                                "dimension or None.")
        if not isinstance(x, Tensor):
            self._refuse_inputs(f"Got in_dim={d} for an input but the input is of type {type(x)}. "
                                "We cannot vmap over non-Tensor arguments, please use None as the "
                                "respective in_dim")
        n = x.dim()
        if not -n <= d < n:
            self._refuse_inputs(f"Got in_dim={d} for some input, but that input is a Tensor of "
                                f"dimensionality {n} so expected in_dim to satisfy -{n} <= in_dim "
                                f"< {n}.")
        return d % n

    def _refuse_inputs(self, why):
        raise ValueError(f"vmap({self.name}, in_dims={self.in_dims}, ...)(<inputs>): {why}")

    def _batch_size(self):
        sizes = [x.shape[d] for x, d in zip(self.leaves, self.dims) if d is not None]
        if not sizes:
            raise ValueError("vmap: Expected at least one Tensor to vmap over")
        if any(n != sizes[0] for n in sizes):
            raise ValueError("vmap: Expected all tensors to have the same size in the mapped "
                             f"dimension, got sizes {sizes} for the mapped dimension")
        return sizes[0]

    # -- running -----------------------------------------------------------------------------------
    def run(self):
        """Call the function on placeholders and replay what it recorded over the batch."""
        capture = Capture(self.size, self.randomness)
        fronts = [None if d is None else x if d == 0 else x.movedim(d, 0) for x, d in zip(self.leaves, self.dims)]
        with capture.recording():
            given = [x if f is None else capture.enter(f) for x, f in zip(self.leaves, fronts)]
            entries = [(x, x.storage.node) for x, f in zip(given, fronts) if f is not None]
            outs, spec = flatten(self.func(*unflatten(given, self.spec), **self.kwargs))
            dims = self._out_axes(outs, spec)
            written = [i for i, (x, node) in enumerate(entries) if x.storage.node is not node]
        tensors = [x for x in outs if isinstance(x, Tensor)]
        values = capture.results([*tensors, *[entries[i][0] for i in written]])
        self._write_back([f for f in fronts if f is not None], written, values[len(tensors):])
        found = iter(values)
        return unflatten([self._placed(x, next(found), d, capture) if isinstance(x, Tensor) else x
                          for x, d in zip(outs, dims)], spec)

    def run_in_chunks(self, chunk_size):
        from ..ops import cat
        starts = range(0, self.size, chunk_size) or (0,)
        numbers = Notebook() if self.randomness == "same" else None
        parts = [flatten(self._run_chunk(i, min(chunk_size, self.size - i), numbers)) for i in starts]
        spec, columns = parts[0][1], zip(*[leaves for leaves, _ in parts])
        dims = self._out_axes(parts[0][0], spec)
        return unflatten([c[0] if d is None else cat(c, d) for c, d in zip(columns, dims)], spec)

    def _run_chunk(self, start, n, numbers):
        """One chunk; where random numbers are to be the same, all chunks get those of the first."""
        if numbers is None:
            return self._chunk(start, n).run()
        with numbers.open(reading=start > 0):
            return self._chunk(start, n).run()

    def _chunk(self, start, n):
        part = Call(self.func, self.in_dims, self.out_dims, self.randomness, self.kwargs)
        part.spec, part.dims, part.size = self.spec, self.dims, n
        part.leaves = [x if d is None else x.narrow(d, start, n) for x, d in zip(self.leaves, self.dims)]
        return part

    def _write_back(self, fronts, written, values):
        """What the function wrote into an argument's entries goes into the argument."""
        for i, value in zip(written, values):
            fronts[i].copy_(value)

    # -- results -----------------------------------------------------------------------------------
    def _check_out_dims(self):
        if not all(d is None or isinstance(d, int) for d in flatten(self.out_dims)[0]):
            raise ValueError(f"vmap({self.name}, ..., out_dims={self.out_dims}): `out_dims` must "
                             "be an int, None or a python collection of ints representing where "
                             "in the outputs the vmapped dimension should appear.")

    def _out_axes(self, outs, spec):
        dims = self.out_dims
        if spec.kind is None and isinstance(dims, tuple) and len(dims) == 1 and opened(dims[0]) is None:
            dims = dims[0]
        found = spread(dims, spec)
        if found is None:
            raise ValueError(f"vmap({self.name}, ..., out_dims={self.out_dims})(<inputs>): "
                             "out_dims is not compatible with the structure of `outputs`. "
                             f"out_dims has structure {flatten(self.out_dims)[1]} but outputs has "
                             f"structure {spec}.")
        for x, d in zip(outs, found):
            if d is not None and not isinstance(x, Tensor):
                raise ValueError(f"vmap({self.name}, ...): `{self.name}` must only return Tensors, "
                                 f"got type {type(x)}. Did you mean to set out_dims= to None for "
                                 "output?")
        return found

    def _placed(self, x, value, d, capture):
        """An output with the batch axis where it belongs."""
        if d is None:
            if x.storage.node in capture.values:
                raise ValueError(f"vmap({self.name}, ...): `{self.name}` can not return a "
                                 "BatchedTensor when out_dim is None")
            return x
        if value is None:
            value = x.expand(self.size, *x.shape)
        return value if d == 0 else value.movedim(0, d)
