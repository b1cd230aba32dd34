"""Distances, similarities and norms of vectors."""
from __future__ import annotations

from ... import dtypes, ops
from ...autograd.function import differentiable
from ...autograd.node import named
from ...autograd.recall import lasting, recalled
from ...ops.promote import into
from ...tensor import Tensor


MANY = 1 << 18          # differences of all rows from which on pdist goes by blocks
BLOCKS = 4


@recalled("input out?")
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12,
              out: Tensor | None = None) -> Tensor:
    """x / max(norm of order p along `dim`, eps)."""
    y = input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return y if out is None else into(out, y)


@recalled("x1 x2")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    if not x1.is_floating_point() or not x2.is_floating_point():
        raise RuntimeError("expected common dtype to be floating point, yet common dtype is "
                           f"{dtypes.promote_types(x1.dtype, x2.dtype)}".replace("torch.", ""))
    a, b = ops.broadcast_tensors(x1, x2)
    a = a / _bounded_norm(a, dim, eps)
    b = b / _bounded_norm(b, dim, eps)
    return (a * b).sum(dim)


def _bounded_norm(x, dim, eps):
    """The norm, at least eps; where it is cut it is a constant."""
    norm = ops.vector_norm(x, 2, dim, keepdim=True)
    return ops.where(norm > eps, norm, ops.full_like(norm, eps))


@recalled("x1 x2")
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6,
                      keepdim: bool = False) -> Tensor:
    """The norm of order p of x1 - x2 + eps along the last axis."""
    return named(ops.vector_norm(x1 - x2 + eps, p, -1, keepdim=keepdim), "NormBackward1")


@lasting
def _pairs(n):
    return list(ops.triu_indices(n, n, 1).unbind(0)) if n else [ops.arange(0)] * 2


@recalled("input")
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Distances between all pairs of rows i < j: (N, M) to (N (N - 1) / 2,)."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    return _apart(input) if p == 2 else _norms_of_pairs(input, p)


def _norms_of_pairs(x, p):
    i, j = _pairs(x.size(0))
    return ops.vector_norm(x[i] - x[j], p, -1)


def _norms_from(rows, turned):
    """From row i to all columns behind the i-th."""
    whole = ops.vector_norm(rows.unsqueeze(2) - turned.unsqueeze(0), 2, 1)
    places, = _behind(rows.size(0), turned.size(1))
    return whole.reshape(-1)[places]


@lasting
def _behind(rows, columns):
    """Where in a flat matrix columns are behind their row's number."""
    i, j = ops.triu_indices(rows, columns, 1).unbind(0)
    return [i * columns + j]


def _from_all_others(g, y, x):
    """The sum of g (x_i - x_j) / y over all j, 0 where rows are equal: no gradient is scattered."""
    n, scale = x.size(0), ops.where(y == 0, 0, g / y)
    upper = ops.zeros(n, n, dtype=y.dtype).index_put(tuple(_pairs(n)), scale)
    both = (upper + upper.t()).unsqueeze(-1)
    return ((x.unsqueeze(1) - x.unsqueeze(0)) * both).sum(1)


@differentiable("PdistBackward0", vjp=(_from_all_others,))
def _apart(x):
    """Many pairs go by blocks of rows, with what they differ from side by side: less is done than pair by pair."""
    n = x.size(0)
    if n * n * x.size(1) < MANY:
        return _norms_of_pairs(x, 2)
    step, turned = -(-n // BLOCKS), x.t().contiguous()
    return ops.cat([_norms_from(x[at:at + step], turned[:, at:]) for at in range(0, n, step)])
