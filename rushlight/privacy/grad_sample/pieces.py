"""What a use of a parameter adds to each sample's gradient, held as its factors.

The gradient of a weight is mostly a product of what went into a layer and of the gradient at what
came out. As long as it is kept as these two, the norms of all samples and any weighted sum over
them can be had without one gradient for each sample in memory:

    per_sample()    (n, *shape)                     the gradients themselves
    squares()       (n)                             their squared norms
    weighted(c)     (*shape)  sum_i c_i g_i         one contraction; c None stands for ones

The squared norm of a product over positions t is a double sum over positions (Goodfellow 2015,
arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679, for sequences):

    |sum_t b_t a_t^T|^2 = sum_{t,s} (a_t . a_s)(b_t . b_s)

and the second pass with weighted samples needs no second walk through the network (book-keeping,
Bu et al. 2023, arXiv:2210.00038).
"""
from __future__ import annotations

from itertools import pairwise
from math import prod

from ... import ops
from ...prims.contract import conv_weight_grad
from ...tensor import Tensor

CHUNKS = 8                  # parts of a batch whose gradients are made one part at a time
CHUNK_FROM = 1 << 12        # elements of one sample's gradient from which a batch is cut


class Piece:
    """A use of a parameter by samples 0 .. n - 1."""

    n: int

    def per_sample(self) -> Tensor:
        """(n, *shape)"""
        raise NotImplementedError(f"{type(self).__name__}.per_sample")

    def squares(self) -> Tensor:
        """(n)"""
        g = self.per_sample()
        return _squares(g)

    def weighted(self, c: Tensor | None) -> Tensor:
        """sum_i c_i g_i, of the parameter's shape."""
        return _weighted(self.per_sample(), c)


def _squares(g):
    return (g * g).flatten(1).sum(1) if g.dim() > 1 else g * g


def _weighted(g, c):
    if c is None:
        return g.sum(0)
    return (c @ g.flatten(1)).view(g.shape[1:]) if g.dim() > 1 else (c * g).sum()


def chunked(piece_squares, n: int, elements: int) -> Tensor:
    """`piece_squares(start, stop)` for the whole batch, in parts if it is large.

    Whether, and into how many, does not depend on the batch: all batches are programs of one form.
    """
    if elements < CHUNK_FROM or n < CHUNKS:
        return piece_squares(0, n)
    ends = [n * k // CHUNKS for k in range(CHUNKS + 1)]
    return ops.cat([piece_squares(a, b) for a, b in pairwise(ends)])


class Given(Piece):
    """Gradients that are there as such: (n, *shape)."""

    def __init__(self, values: Tensor):
        self.values, self.n = values, values.size(0)

    def per_sample(self):
        return self.values


class Scaled:
    """A gradient at an output, samples along `axis`."""

    def __init__(self, values: Tensor, axis: int):
        self.values, self.axis, self.n = values, axis, values.size(axis)

    def by(self, c: Tensor | None) -> Tensor:
        return times(self.values, c, self.axis)


def times(x: Tensor, c: Tensor | None, axis: int) -> Tensor:
    """x with the samples along `axis` times c."""
    if c is None:
        return x
    shape = [1] * x.dim()
    shape[axis] = c.numel()
    return x * c.view(shape)


class Summed(Piece):
    """A bias: the gradient at the output, summed over positions; its last axis is the bias's."""

    def __init__(self, out: Scaled, channel: int = -1):
        self.out, self.n = out, out.n
        self.channel = channel % out.values.dim()

    def per_sample(self):
        g, keep = self.out.values, (self.out.axis, self.channel)
        rest = tuple(d for d in range(g.dim()) if d not in keep)
        g = g.sum(rest) if rest else g
        return g if keep[0] < keep[1] else g.t()

    def weighted(self, c):
        g = self.out.by(c)
        return g.sum(tuple(d for d in range(g.dim()) if d != self.channel))


class Outer(Piece):
    """A matrix that maps the last axis: a (..., in), b (..., out), samples along `axis` of both."""

    def __init__(self, a: Tensor, out: Scaled):
        self.a, self.out, self.n = a, out, out.n
        self.kept = None
        if self.pays_to_keep():
            self.kept = self.direct(*self.factors())

    @property
    def positions(self) -> int:
        """How many rows of the layer's input belong to one sample."""
        shape, axis = self.out.values.shape, self.out.axis
        return prod(m for d, m in enumerate(shape[:-1]) if d != axis)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.a.shape[-1], self.out.values.shape[-1]

    def factors(self) -> tuple[Tensor, Tensor]:
        """(n, t, in) and (n, t, out)."""
        return tuple(_rows_of_samples(x, self.out.axis) for x in (self.a, self.out.values))

    def pays_to_keep(self) -> bool:
        inputs, outputs = self.sizes
        return inputs * outputs <= self.positions * (inputs + outputs)

    @staticmethod
    def direct(a, b):
        return b.mT @ a

    def per_sample(self):
        return self.kept if self.kept is not None else self.direct(*self.factors())

    def squares(self):
        if self.kept is not None:
            return _squares(self.kept)
        if self.positions == 1:
            a, b = (x.reshape(self.n, x.size(-1)) for x in (self.a, self.out.values))
            return (a * a).sum(1) * (b * b).sum(1)
        a, b = self.factors()
        (inputs, outputs), t = self.sizes, self.positions
        if t * (inputs + outputs) < inputs * outputs:
            return chunked(lambda i, j: _gram(a[i:j], b[i:j]), self.n, 2 * t * t)
        return chunked(lambda i, j: _squares(self.direct(a[i:j], b[i:j])), self.n, inputs * outputs)

    def weighted(self, c):
        if self.kept is not None:
            return _weighted(self.kept, c)
        a, b = self.a, self.out.values
        if self.sizes[0] < self.sizes[1]:       # the smaller one is copied
            a = times(a, c, self.out.axis)
        else:
            b = self.out.by(c)
        return _flat(b).t() @ _flat(a)


def _flat(x):
    return x.reshape(-1, x.size(-1))


def _gram(a, b):
    return ((a @ a.mT) * (b @ b.mT)).sum((1, 2))


def _rows_of_samples(x, axis):
    x = x if axis == 0 else x.movedim(axis, 0)
    return x.unsqueeze(1) if x.dim() == 2 else x.flatten(1, -2)


class Kernel(Piece):
    """A convolution's weight: its input (n, c, *size), the gradient at its output."""

    def __init__(self, x: Tensor, out: Scaled, weight: Tensor, geometry: dict):
        self.x, self.out, self.n, self.shape = x, out, out.n, tuple(weight.shape)
        self.geometry = geometry
        self.kept = self.direct(0, self.n) if self.pays_to_keep() else None

    def pays_to_keep(self):
        factors = prod(self.x.shape[1:]) + prod(self.out.values.shape[1:])
        return prod(self.shape) * 2 <= factors        # which others may need as well

    def direct(self, start, stop):
        """Gradients of some samples: one convolution with a group for each of them."""
        n, x, g = stop - start, self.x[start:stop], self.out.values[start:stop]
        if n == 0:
            return g.new_zeros(0, *self.shape)
        how = {**self.geometry, "groups": self.geometry["groups"] * n}
        found = conv_weight_grad(g.reshape(1, -1, *g.shape[2:]), x.reshape(1, -1, *x.shape[2:]),
                                 size=self.shape[2:], **how)
        return found.view(n, *self.shape)

    def per_sample(self):
        return self.kept if self.kept is not None else self.direct(0, self.n)

    def squares(self):
        if self.kept is not None:
            return _squares(self.kept)
        return chunked(lambda i, j: _squares(self.direct(i, j)), self.n, prod(self.shape))

    def weighted(self, c):
        if self.kept is not None:
            return _weighted(self.kept, c)
        if self.n == 0:
            return self.out.values.new_zeros(self.shape)
        return conv_weight_grad(self.out.by(c), self.x, size=self.shape[2:], **self.geometry)


class Rows(Piece):
    """A table's rows by number: index (..., ) and the gradient of what was looked up (..., d)."""

    def __init__(self, index: Tensor, out: Scaled, table: Tensor, padding_idx: int | None):
        self.index, self.n = index, out.n
        self.shape, self.padding_idx, self.axis = tuple(table.shape), padding_idx, out.axis
        if padding_idx is not None:
            out = Scaled(ops.where((index != padding_idx).unsqueeze(-1), out.values, 0.0), out.axis)
        self.out = out

    def factors(self):
        return (_rows_of_samples(self.index.unsqueeze(-1), self.axis).squeeze(-1),
                _rows_of_samples(self.out.values, self.axis))

    def per_sample(self):
        index, g = self.factors()
        rows, width = self.shape
        place = index + ops.arange(self.n).unsqueeze(1) * rows
        found = ops.zeros(self.n * rows, width, dtype=g.dtype)
        return found.index_add(0, place.reshape(-1), g.reshape(-1, width)).view(self.n, rows, width)

    def squares(self):
        index, g = self.factors()
        return chunked(lambda i, j: _meetings(index[i:j], g[i:j]), self.n, index.size(1)**2)

    def weighted(self, c):
        g = self.out.by(c)
        found = ops.zeros(*self.shape, dtype=g.dtype)
        return found.index_add(0, self.index.reshape(-1), _flat(g))


def _meetings(index, g):
    """The double sum over positions, in which only equal rows meet."""
    same = index.unsqueeze(1) == index.unsqueeze(2)
    return ops.where(same, g @ g.mT, 0.0).sum((1, 2))


class Part(Piece):
    """Some rows of a parameter of this shape, from `start` on."""

    def __init__(self, piece: Piece, start: int, rows: int, shape: tuple):
        self.piece, self.start, self.rows, self.shape, self.n = piece, start, rows, shape, piece.n

    def per_sample(self):
        return Stacked([self]).per_sample()

    def weighted(self, c):
        return Stacked([self]).weighted(c)


class Stacked(Piece):
    """Parts of a parameter that have no row in common; between them are zeros."""

    def __init__(self, parts: list[Part]):
        self.parts, self.n = sorted(parts, key=lambda p: p.start), parts[0].n

    def filled(self, values, lead: tuple = ()):
        """The parts' values one below the other along axis len(lead)."""
        shape, at, found = self.parts[0].shape, 0, []
        for part, value in zip(self.parts, values):
            if part.start > at:
                found.append(value.new_zeros(*lead, part.start - at, *shape[1:]))
            found.append(value)
            at = part.start + part.rows
        if at < shape[0]:
            found.append(values[0].new_zeros(*lead, shape[0] - at, *shape[1:]))
        return found[0] if len(found) == 1 else ops.cat(found, len(lead))

    def per_sample(self):
        return self.filled([p.piece.per_sample() for p in self.parts], (self.n,))

    def squares(self):
        return sum_of([p.piece.squares() for p in self.parts])

    def weighted(self, c):
        return self.filled([p.piece.weighted(c) for p in self.parts])


class Total(Piece):
    """A parameter that was used several times by the same samples."""

    def __init__(self, parts: list[Piece]):
        self.parts, self.n = parts, parts[0].n
        if any(p.n != self.n for p in parts):
            raise RuntimeError("a parameter was used with batches of different sizes in one forward "
                               f"pass: {[p.n for p in parts]}")

    def per_sample(self):
        return sum_of([p.per_sample() for p in self.parts])

    def weighted(self, c):
        return sum_of([p.weighted(c) for p in self.parts])


def together(parts: list[Piece]) -> Piece:
    """One piece of the uses of a parameter; those of matrices are one longer sequence."""
    if len(parts) == 1:
        return parts[0]
    if all(type(p) is Part for p in parts) and len({p.start for p in parts}) == len(parts):
        return Stacked(parts)
    if all(type(p) is Outer and p.kept is None for p in parts):
        a, b = zip(*(p.factors() for p in parts))
        return Outer(ops.cat(a, 1), Scaled(ops.cat(b, 1), 0))
    return Total(parts)


def sum_of(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
