"""Look-up tables and one-hot vectors."""
from __future__ import annotations

from ... import dtypes, ops
from ...autograd.function import differentiable
from ...autograd.grad_mode import no_grad
from ...autograd.node import named
from ...autograd.recall import recalled
from ...tensor import Tensor
from ...ops.support import legacy_name as dtype_name
from ...trace.record import pending


def _gathered_rows(g, index, rows, padding_idx, by_frequency):
    """The table's gradient.

    Each output row's gradient is added to the row it came from, but for the padding.
    """
    if padding_idx is not None:
        g = ops.where((index != padding_idx).unsqueeze(-1), g, 0.0)
    g, index = g.reshape(-1, g.size(-1)), index.reshape(-1)
    if by_frequency:
        counts = ops.zeros(rows, dtype=g.dtype).index_add(0, index, ops.ones(index.numel(), dtype=g.dtype))
        g = g / counts[index].unsqueeze(1)
    return ops.zeros(rows, g.size(-1), dtype=g.dtype).index_add(0, index, g)


@differentiable("EmbeddingBackward0", vjp=(
    lambda g, _y, w, index, *, padding_idx, by_frequency: _gathered_rows(
        g, index, w.size(0), padding_idx, by_frequency), None))
def _special_rows(w, index, *, padding_idx, by_frequency):
    return ops.embedding_rows(w, index)


def _sparse_rows(g, index, rows, padding_idx):
    """The table's gradient as a sparse tensor: a row for each output row, the padding's left out."""
    from ...sparse.tensor import Coo
    index, g = index.reshape(-1).to(dtypes.int64), g.reshape(-1, g.size(-1))
    if padding_idx is not None:
        kept = (index != padding_idx).nonzero().reshape(-1)
        index, g = index[kept], g[kept]
    return Coo(index.unsqueeze(0), g, (rows, g.size(1)))


@differentiable("EmbeddingBackward0", vjp=(
    lambda g, _y, w, index, *, padding_idx: _sparse_rows(g, index, w.size(0), padding_idx), None))
def _rows_with_sparse_gradient(w, index, *, padding_idx):
    return ops.embedding_rows(w, index)


def _check_index(name, index):
    if dtype_name(index.dtype) not in ("Int", "Long"):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the "
                           "following scalar types: Long, Int; but got "
                           f"torch.{dtype_name(index.dtype)}Tensor instead (while checking "
                           f"arguments for {name})")


def _renormalise(weight, index, max_norm, norm_type):
    """Scale the rows that are looked up down to `max_norm`, in place."""
    with no_grad():
        rows = ops.unique(index.reshape(-1))
        found = weight[rows]
        norms = found.norm(norm_type, 1, keepdim=True)
        weight[rows] = ops.where(norms > max_norm, found * (max_norm / (norms + 1e-7)), found)


@recalled("input weight")
def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None,
              max_norm: float | None = None, norm_type: float = 2.0,
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """Rows of `weight` by index: (*) to (*, D). The row `padding_idx` gets no gradient."""
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    padding_idx = _checked_padding(padding_idx, weight.size(0))
    _check_index("embedding", input)
    if sparse and scale_grad_by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    if sparse:
        return _rows_with_sparse_gradient(weight, input, padding_idx=padding_idx)
    if padding_idx is None and not scale_grad_by_freq:
        return ops.embedding_rows(weight, input)
    return _special_rows(weight, input, padding_idx=padding_idx, by_frequency=scale_grad_by_freq)


def _checked_padding(padding_idx, rows):
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


BAGS = "EmbeddingBagBackward0"


@recalled("input weight offsets? per_sample_weights?")
def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None,
                  max_norm: float | None = None, norm_type: float = 2,
                  scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Tensor:
    """Sums, means or maxima of bags of rows.

    A 2-D input holds one bag a row, a 1-D one is cut at `offsets`.
    """
    _check_bag(input, offsets, mode, per_sample_weights)
    _check_rows(input, weight, offsets, per_sample_weights)
    if mode == "max" and (sparse or scale_grad_by_freq):
        raise ValueError("max mode does not support " +
                         ("sparse weights" if sparse else "scaling the gradient by the frequency"))
    if input.dim() == 2 and input.size(1):
        rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        return named(_even_bags(rows, input, weight.size(0), mode, per_sample_weights, padding_idx), BAGS)
    if input.dim() == 2:
        offsets = ops.arange(0, input.numel(), input.size(1), dtype=input.dtype)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        input = input.reshape(-1)
    elif include_last_offset:
        offsets = offsets[:-1]
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    bag = ops.searchsorted(offsets, ops.arange(input.numel(), dtype=offsets.dtype), right=True) - 1
    counted = (ops.ones_like(input) if padding_idx is None
               else (input != padding_idx % weight.size(0)).to(input.dtype))
    return named(_bags(rows, bag, counted, offsets.numel(), mode, per_sample_weights), BAGS)


def _check_bag(input, offsets, mode, per_sample_weights):
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if input.dim() == 2 and offsets is not None:
        raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a "
                         "mini-batch of fixed "
                         f"length sequences. However, found offsets of type {type(offsets)}")
    if input.dim() == 1 and offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if input.dim() not in (1, 2):
        raise ValueError("input has to be 1D or 2D Tensor, but got Tensor of dimension "
                         f"{input.dim()}")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights was not None. "
                                  "per_sample_weights is only supported for mode='sum' (got "
                                  f"mode='{mode}'). Please open a feature request on GitHub.")


def _check_rows(input, weight, offsets, per_sample_weights):
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    if offsets is not None and offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if offsets is not None and offsets.dtype.rank != 1:
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but "
                           f"got torch.{dtype_name(offsets.dtype)}Tensor instead (while checking arguments for embedding_bag)")
    if weight.dtype.rank != 2:
        raise RuntimeError("Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, "
                           f"Float, Double; but got torch.{dtype_name(weight.dtype)}Tensor instead (while checking arguments for "
                           "embedding_bag)")
    given = per_sample_weights
    if given is not None and given.shape != input.shape:
        raise ValueError(f"embedding_bag: If per_sample_weights ({given.shape}) is not None, then it must have the same shape as "
                         f"the input ({input.shape})")
    if given is not None and given.dtype is not weight.dtype:
        raise RuntimeError("Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 "
                           f"'per_sample_weights'; but type torch.{dtype_name(weight.dtype)}Tensor does not equal "
                           f"torch.{dtype_name(given.dtype)}Tensor (while checking arguments for embedding_bag)")


def _even_bags(rows, input, n, mode, weights, padding_idx):
    """All bags of one length: (bags, length, D) to (bags, D)."""
    rows = rows if weights is None else rows * weights.unsqueeze(-1)
    if padding_idx is None:
        return rows.max(1)[0] if mode == "max" else rows.sum(1) if mode == "sum" else rows.mean(1)
    keep = (input != padding_idx % n).to(rows.dtype).unsqueeze(-1)
    if mode == "max":
        largest = ops.where(keep != 0, rows, -float("inf")).max(1)[0]
        return ops.where((keep != 0).any(1), largest, 0.0)
    total = (rows * keep).sum(1)
    return total if mode == "sum" else total / keep.sum(1).clamp(min=1)


def _bags(rows, bag, counted, n, mode, weights):
    rows = rows if weights is None else rows * weights.unsqueeze(1)
    keep = counted.to(rows.dtype).unsqueeze(1)
    if mode == "max":
        return _largest_in_bags(rows, bag.tolist(), (counted != 0).tolist(), n)
    total = ops.zeros(n, rows.size(1), dtype=rows.dtype).index_add(0, bag, rows * keep)
    if mode == "sum":
        return total
    count = ops.zeros(n, 1, dtype=rows.dtype).index_add(0, bag, keep)
    return total / count.clamp(min=1)


def _largest_in_bags(rows, bag, counted, n):
    """Maxima over the counted rows of each bag, zeros for an empty one; short bags repeat a row."""
    members = [[] for _ in range(n)]
    for i, (b, on) in enumerate(zip(bag, counted)):
        if on:
            members[b].append(i)
    width = max(1, max(map(len, members), default=1))
    places = [(m or [0]) + [(m or [0])[-1]] * (width - len(m or [0])) for m in members]
    filled = ops.tensor([bool(m) for m in members]).unsqueeze(1)
    return ops.where(filled, rows[ops.tensor(places)].max(1)[0], 0.0)


def of_bags(weight, index, offsets, mode, padding_idx):
    """The bag of each index, the sizes of the bags, and the indices of the maxima (mode 2)."""
    n = offsets.numel()
    if mode == 0:
        return ops.zeros(0, dtype=index.dtype), *(ops.zeros(n, dtype=index.dtype) for _ in range(2))
    bag = ops.searchsorted(offsets, ops.arange(index.numel(), dtype=offsets.dtype), right=True) - 1
    counted = ops.ones_like(index) if padding_idx is None else (index != padding_idx).to(index.dtype)
    sizes = ops.zeros(n, dtype=index.dtype).index_add(0, bag, counted)
    if mode == 1:
        return bag, sizes, sizes
    rows, bags, on = weight.detach()[index], bag.tolist(), (counted != 0).tolist()
    places = [[i for i, b in enumerate(bags) if b == k and on[i]] for k in range(n)]
    largest = [index[ops.tensor(at)][rows[ops.tensor(at)].argmax(0)] if at else
               ops.zeros(weight.size(1), dtype=index.dtype) for at in places]
    return bag, sizes, ops.stack(largest)


def _classes_in(tensor, num_classes):
    """How many classes there are; RuntimeError if the values do not fit."""
    if tensor.min().item() < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = tensor.max().item()
    if num_classes == -1:
        return largest + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    if largest >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return num_classes


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(*) int64 to (*, num_classes) int64 with a one at each class.

    -1 takes the largest class + 1.
    """
    if tensor.dtype != dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return ops.empty(*tensor.shape, num_classes, dtype=dtypes.int64)
    if pending.capture is None or num_classes == -1:       # inside of vmap there are no values to look at
        num_classes = _classes_in(tensor, num_classes)
    return (tensor.contiguous().unsqueeze(-1) == ops.arange(num_classes)).to(dtypes.int64)
