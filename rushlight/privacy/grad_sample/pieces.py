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
from ...autograd.recall import recalled
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
        return squares_of(self.per_sample())

    def weighted(self, c: Tensor | None) -> Tensor:
        """sum_i c_i g_i, of the parameter's shape."""
        return weighted_sum(self.per_sample(), c)


@recalled("g")
def squares_of(g):
    return (g * g).flatten(1).sum(1) if g.dim() > 1 else g * g


@recalled("g c?")
def weighted_sum(g, c):
    if c is None:
        return g.sum(0)
    return (c @ g.flatten(1)).view(g.shape[1:]) if g.dim() > 1 else (c * g).sum()


def sum_of(values) -> Tensor:
    return values[0] if len(values) == 1 else _sum(values)


@recalled("values*")
def _sum(values):
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def chunked(squares_of_part, n: int, elements: int) -> Tensor:
    """`squares_of_part(start, stop)` for the whole batch, in parts if it is large.

    Whether, and into how many, does not depend on the batch, and all parts but the last are equal:
    batches of all sizes are programs of one form.
    """
    if elements < CHUNK_FROM or n < CHUNKS:
        return squares_of_part(0, n)
    ends = [*range(0, n - n % CHUNKS, n // CHUNKS), n]
    return ops.cat([squares_of_part(a, b) for a, b in pairwise(ends)])


def times(x: Tensor, c: Tensor | None, axis: int) -> Tensor:
    """x with the samples along `axis` times c."""
    if c is None:
        return x
    shape = [1] * x.dim()
    shape[axis] = c.numel()
    return x * c.view(shape)


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


# -- biases ----------------------------------------------------------------------------------------
class Summed(Piece):
    """A bias: the gradient at the output, summed over positions; its last axis is the bias's."""

    def __init__(self, out: Scaled, channel: int = -1):
        self.out, self.n = out, out.n
        self.where = out.axis, channel % out.values.dim()

    def per_sample(self):
        return summed_positions(self.out.values, *self.where)

    def squares(self):
        return summed_squares(self.out.values, *self.where)

    def weighted(self, c):
        return summed_samples(self.out.values, c, *self.where)


@recalled("g")
def summed_positions(g, axis, channel):
    rest = tuple(d for d in range(g.dim()) if d not in (axis, channel))
    g = g.sum(rest) if rest else g
    return g if axis < channel else g.t()


@recalled("g")
def summed_squares(g, axis, channel):
    return squares_of(summed_positions(g, axis, channel))


@recalled("g c?")
def summed_samples(g, c, axis, channel):
    return times(g, c, axis).sum(tuple(d for d in range(g.dim()) if d != channel))


# -- matrices --------------------------------------------------------------------------------------
class Outer(Piece):
    """A matrix that maps the last axis: a (..., in), b (..., out), samples along `axis` of both."""

    def __init__(self, a: Tensor, out: Scaled):
        self.a, self.b, self.axis, self.n = a, out.values, out.axis, out.n
        self.way, self.kept = plain_norms, None
        inputs, outputs = a.layout.shape[-1], self.b.layout.shape[-1]
        positions = prod(m for d, m in enumerate(out.values.shape[:-1]) if d != out.axis) if out.values.layout.ndim > 2 else 1
        together, apart = positions * (inputs + outputs), inputs * outputs
        if positions != 1:
            self.way = norms_by_positions if together < apart else norms_by_gradients
        if apart <= together:
            self.kept = outer_gradients(a, self.b, self.axis)

    def per_sample(self):
        return self.kept if self.kept is not None else outer_gradients(self.a, self.b, self.axis)

    def squares(self):
        return squares_of(self.kept) if self.kept is not None else self.way(self.a, self.b, self.axis)

    def weighted(self, c):
        if self.kept is not None:
            return weighted_sum(self.kept, c)
        return outer_sum(self.a, self.b, c, self.axis)

    def factors(self) -> tuple[Tensor, Tensor]:
        """(n, t, in) and (n, t, out)."""
        return of_samples(self.a, self.axis), of_samples(self.b, self.axis)


def of_samples(x, axis):
    """(n, positions, features)"""
    x = x if axis == 0 else x.movedim(axis, 0)
    return x.unsqueeze(1) if x.dim() == 2 else x.flatten(1, -2)


def in_rows(x):
    return x.reshape(-1, x.size(-1))


@recalled("a b")
def outer_gradients(a, b, axis):
    return of_samples(b, axis).mT @ of_samples(a, axis)


@recalled("a b")
def plain_norms(a, b, axis):
    """One position: the norm of a product is the product of the norms."""
    a, b = in_rows(a), in_rows(b)
    return (a * a).sum(1) * (b * b).sum(1)


@recalled("a b")
def norms_by_positions(a, b, axis):
    """The double sum over positions."""
    a, b = of_samples(a, axis), of_samples(b, axis)
    return chunked(lambda i, j: _meeting(a[i:j], b[i:j]), len(a), 2 * a.size(1)**2)


def _meeting(a, b):
    return ((a @ a.mT) * (b @ b.mT)).sum((1, 2))


@recalled("a b")
def norms_by_gradients(a, b, axis):
    """The gradients themselves, a part of the batch at a time."""
    a, b = of_samples(a, axis), of_samples(b, axis)
    return chunked(lambda i, j: squares_of(b[i:j].mT @ a[i:j]), len(a), a.size(2) * b.size(2))


@recalled("a b c?")
def outer_sum(a, b, c, axis):
    """One product; of its factors the smaller one takes the weights."""
    if a.size(-1) < b.size(-1):
        a = times(a, c, axis)
    else:
        b = times(b, c, axis)
    return in_rows(b).t() @ in_rows(a)


# -- convolutions ----------------------------------------------------------------------------------
class Kernel(Piece):
    """A convolution's weight: its input (n, c, *size), the gradient at its output."""

    def __init__(self, x: Tensor, out: Scaled, weight: Tensor, geometry: tuple):
        self.x, self.g, self.n, self.shape = x, out.values, out.n, tuple(weight.shape)
        self.geometry = geometry        # stride, padding, dilation, groups
        factors = prod(x.shape[1:]) + prod(self.g.shape[1:])
        self.kept = self.per_sample() if prod(self.shape) * 2 <= factors else None

    kept = None

    def per_sample(self):
        if self.kept is not None:
            return self.kept
        return kernel_gradients(self.x, self.g, self.shape, self.geometry)

    def squares(self):
        if self.kept is not None:
            return squares_of(self.kept)
        return kernel_squares(self.x, self.g, self.shape, self.geometry)

    def weighted(self, c):
        if self.kept is not None:
            return weighted_sum(self.kept, c)
        if self.n == 0:
            return self.g.new_zeros(self.shape)
        return kernel_sum(self.x, self.g, c, self.shape, self.geometry)


@recalled("x g")
def kernel_gradients(x, g, shape, geometry):
    """One convolution with a group for each sample."""
    n, (stride, padding, dilation, groups) = g.size(0), geometry
    if n == 0:
        return g.new_zeros(0, *shape)
    found = conv_weight_grad(g.reshape(1, -1, *g.shape[2:]), x.reshape(1, -1, *x.shape[2:]), size=shape[2:],
                             stride=stride, padding=padding, dilation=dilation, groups=groups * n)
    return found.view(n, *shape)


@recalled("x g")
def kernel_squares(x, g, shape, geometry):
    return chunked(lambda i, j: squares_of(kernel_gradients(x[i:j], g[i:j], shape, geometry)), g.size(0),
                   prod(shape))


@recalled("x g c?")
def kernel_sum(x, g, c, shape, geometry):
    stride, padding, dilation, groups = geometry
    return conv_weight_grad(times(g, c, 0), x, size=shape[2:], stride=stride, padding=padding,
                            dilation=dilation, groups=groups)


# -- tables ----------------------------------------------------------------------------------------
class Rows(Piece):
    """A table's rows by number: index (..., ) and the gradient of what was looked up (..., d)."""

    def __init__(self, index: Tensor, out: Scaled, table: Tensor, padding_idx: int | None):
        self.index, self.n, self.axis = index, out.n, out.axis
        self.shape, self.g = tuple(table.shape), out.values
        if padding_idx is not None:
            self.g = ops.where((index != padding_idx).unsqueeze(-1), self.g, 0.0)

    def per_sample(self):
        index, g = of_samples(self.index.unsqueeze(-1), self.axis).squeeze(-1), of_samples(self.g, self.axis)
        rows, width = self.shape
        place = index + ops.arange(self.n).unsqueeze(1) * rows
        found = ops.zeros(self.n * rows, width, dtype=g.dtype)
        return found.index_add(0, place.reshape(-1), g.reshape(-1, width)).view(self.n, rows, width)

    def squares(self):
        return row_squares(self.index, self.g, self.axis)

    def weighted(self, c):
        return row_sum(self.index, self.g, c, self.axis, self.shape)


@recalled("index g")
def row_squares(index, g, axis):
    """The double sum over positions, in which only equal rows meet."""
    index, g = of_samples(index.unsqueeze(-1), axis).squeeze(-1), of_samples(g, axis)

    def part(i, j):
        same = index[i:j].unsqueeze(1) == index[i:j].unsqueeze(2)
        return ops.where(same, g[i:j] @ g[i:j].mT, 0.0).sum((1, 2))
    return chunked(part, len(g), index.size(1)**2)


@recalled("index g c?")
def row_sum(index, g, c, axis, shape):
    found = ops.zeros(*shape, dtype=g.dtype)
    return found.index_add(0, index.reshape(-1), in_rows(times(g, c, axis)))


# -- several pieces --------------------------------------------------------------------------------
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
