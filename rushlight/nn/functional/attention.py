"""Attention: weighted means of values, the weights from products of queries and keys."""
from __future__ import annotations

import math

from ... import dtypes, ops
from ...autograd.function import differentiable
from ...autograd.recall import recalled
from ...errors import warn_once
from ...tensor import Tensor
from .activations import softmax
from .dropouts import dropout
from .linear_maps import linear
from ...ops.precision import rounded_once


def _additive(mask, dtype):
    """A boolean mask as numbers to add: -inf where it is False."""
    if mask.dtype != dtypes.bool:
        return mask
    return ops.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)


@recalled("query key value attn_mask?")
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor,
                                 attn_mask: Tensor | None = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(q k^T scale + mask) v: (..., L, E), (..., S, E), (..., S, Ev) to (..., L, Ev).

    `attn_mask` is boolean (True takes part) or added; `is_causal` hides later positions;
    `enable_gqa` repeats the heads (axis -3) of keys and values.
    """
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but "
                           f"got query.dim: {query.dim()}, key.dim: {key.dim()} and value.dim: "
                           f"{value.dim()} instead.")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got "
                           f"query.dtype: {_c(query)} "
                           f"key.dtype: {_c(key)} and value.dtype: {_c(value)} instead.")
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set "
                           "when is_causal=True")
    if enable_gqa:
        key, value = (t.repeat_interleave(query.size(-3) // t.size(-3), -3) for t in (key, value))
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = ops.matmul(query, key.transpose(-2, -1)) * scale
    if is_causal:
        later = ops.ones(query.size(-2), key.size(-2), dtype=dtypes.bool).triu(1)
        weights = softmax(scores.masked_fill(later, -math.inf), -1)
    elif attn_mask is not None:
        weights = _safe_softmax(_masked(scores, attn_mask), dim=-1)
    else:
        weights = softmax(scores, -1)
    return ops.matmul(dropout(weights, dropout_p, dropout_p > 0), value)


def _masked(scores, mask):
    return scores.masked_fill(~mask, -math.inf) if mask.dtype == dtypes.bool else scores + mask


def _c(t):
    return {"float32": "float", "float64": "double"}.get(t.dtype.name, t.dtype.name)


@differentiable("SafeSoftmaxBackward0", vjp=(
    lambda g, y, _x, *, dim: y * (g - (g * y).sum(dim, keepdim=True)),))
@rounded_once
def _safe_softmax(x, *, dim):
    """Softmax, in which a row that is -inf everywhere attends to nothing, instead of nan."""
    top = x.amax(dim, keepdim=True)
    e = ops.exp(x - top)
    return ops.where(top == -math.inf, 0.0, e / e.sum(dim, keepdim=True))


def multi_head_attention_forward(query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int,
                                 num_heads: int, in_proj_weight, in_proj_bias, bias_k, bias_v,
                                 add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
                                 out_proj_bias, training: bool = True,
                                 key_padding_mask: Tensor | None = None, need_weights: bool = True,
                                 attn_mask: Tensor | None = None,
                                 use_separate_proj_weight: bool = False, q_proj_weight=None,
                                 k_proj_weight=None, v_proj_weight=None, static_k=None,
                                 static_v=None, average_attn_weights: bool = True,
                                 is_causal: bool = False):
    """Project queries, keys and values, attend in each head, join the heads: (L, N, E) or (L, E).

    Returns (output, weights); the weights are (N, L, S) averaged over heads, (N, heads, L, S)
    otherwise, or None without `need_weights`.
    """
    batched = query.dim() == 3
    _check_attention(query, key, value, embed_dim_to_check, num_heads, key_padding_mask, attn_mask)
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias, separate)
    mask = _attention_mask(attn_mask, key_padding_mask, query, key, num_heads)
    k, v, mask = _with_biases(k, v, bias_k, bias_v, mask)
    q, k, v = (_heads(t, num_heads) for t in (q, k, v))
    k, v = static_k if static_k is not None else k, static_v if static_v is not None else v
    k, v, mask = _with_zero(k, v, mask) if add_zero_attn else (k, v, mask)
    rate = dropout_p if training else 0.0
    heads, weights = _attend(q, k, v, mask, rate, need_weights)
    joined = heads.permute(2, 0, 1, 3).flatten(2)
    output = linear(joined, out_proj_weight, out_proj_bias)
    if weights is not None:
        weights = weights.mean(1) if average_attn_weights else weights
    if not batched:
        output, weights = output.squeeze(1), None if weights is None else weights.squeeze(0)
    return output, weights


def _check_attention(query, key, value, embed_dim, num_heads, key_padding_mask, attn_mask):
    if query.dim() not in (2, 3):
        raise AssertionError("query should be unbatched 2D or batched 3D tensor but received "
                             f"{query.dim()}-D query tensor")
    if key.dim() != query.dim() or value.dim() != query.dim():
        raise AssertionError(f"For {'batched (3-D)' if query.dim() == 3 else 'unbatched (2-D)'} "
                             f"`query`, expected `key` and `value` to be {query.dim()}-D but found "
                             f"{key.dim()}-D and {value.dim()}-D tensors respectively")
    if query.size(-1) != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got "
                             f"{query.size(-1)}")
    if embed_dim % num_heads:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                             f"{value.shape[:2]}")
    for name, mask in (("key_padding_mask", key_padding_mask), ("attn_mask", attn_mask)):
        if mask is not None and mask.dtype != dtypes.bool and not mask.is_floating_point():
            raise AssertionError(f"only bool and floating types of {name} are supported")
    if key_padding_mask is not None and attn_mask is not None and key_padding_mask.dtype is not attn_mask.dtype:
        warn_once("Support for mismatched key_padding_mask and attn_mask is deprecated: give both the same dtype.")


def _project(query, key, value, weight, bias, separate):
    """The three input projections; one product where all inputs are the same tensor."""
    biases = bias.chunk(3) if bias is not None else (None,) * 3
    if separate is None and query is key and key is value:
        return linear(query, weight, bias).chunk(3, -1)
    weights = separate or weight.chunk(3)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))


def _attention_mask(attn_mask, padding, query, key, num_heads):
    """What is added to the scores (N, heads, L, S), from both masks.

    True in a boolean mask hides.
    """
    shape = (query.size(0), key.size(0))
    mask = None
    if attn_mask is not None:
        n = query.size(1)
        if attn_mask.dim() == 2 and tuple(attn_mask.shape) != shape:
            raise RuntimeError(f"The shape of the 2D attn_mask is {attn_mask.shape}, but should be "
                               f"{shape}.")
        if attn_mask.dim() == 3 and tuple(attn_mask.shape) != (n * num_heads, *shape):
            raise RuntimeError(f"The shape of the 3D attn_mask is {attn_mask.shape}, but should be "
                               f"{(n * num_heads, *shape)}.")
        if attn_mask.dim() not in (2, 3):
            raise RuntimeError(f"attn_mask's dimension {attn_mask.dim()} is not supported")
        mask = attn_mask if attn_mask.dim() == 2 else attn_mask.reshape(n, num_heads, *shape)
        mask = _hiding(mask, query.dtype)
    if padding is not None:
        for axis, size in enumerate((key.size(1), key.size(0))):
            if padding.size(axis) != size:
                raise AssertionError(f"Expected key_padded_mask.shape[{axis}] to be {size}, but got {padding.size(axis)}")
        hidden = _hiding(padding, query.dtype).reshape(padding.size(0), 1, 1, -1)
        mask = hidden if mask is None else mask + hidden
    return mask


def _hiding(mask, dtype):
    return _additive(~mask, dtype) if mask.dtype == dtypes.bool else mask


def _with_biases(k, v, bias_k, bias_v, mask):
    """One learned position more, which no mask hides."""
    if bias_k is None or bias_v is None:
        return k, v, mask
    n = k.size(1)
    k, v = (ops.cat([t, b.expand(1, n, b.size(-1))]) for t, b in ((k, bias_k), (v, bias_v)))
    return k, v, _wider(mask)


def _wider(mask):
    return (mask if mask is None
            else ops.cat([mask, ops.zeros(*mask.shape[:-1], 1, dtype=mask.dtype)], -1))


def _heads(x, num_heads):
    """(S, N, E) to (N, heads, S, E / heads)."""
    return x.reshape(*x.shape[:2], num_heads, x.size(-1) // num_heads).permute(1, 2, 0, 3)


def _with_zero(k, v, mask):
    k, v = (ops.cat([t, ops.zeros(*t.shape[:2], 1, t.size(-1), dtype=t.dtype)], 2) for t in (k, v))
    return k, v, _wider(mask)


def _attend(q, k, v, mask, rate, need_weights):
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, rate), None
    scores = ops.matmul(q * math.sqrt(1.0 / q.size(-1)), k.transpose(-2, -1))
    weights = softmax(scores if mask is None else scores + mask, -1)
    weights = dropout(weights, rate, rate > 0)
    return ops.matmul(weights, v), weights
