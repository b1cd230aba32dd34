"""Functions that `torch` shares with `torch.nn.functional`; their room is entered when one is called."""
from __future__ import annotations

from ..autograd.recall import recalled

SHARED = frozenset("""
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d bilinear celu channel_shuffle
    cosine_similarity cosine_embedding_loss dropout feature_alpha_dropout feature_dropout group_norm
    hinge_embedding_loss kl_div layer_norm margin_ranking_loss max_pool1d max_pool1d_with_indices
    max_pool2d max_pool3d pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu_ rms_norm
    rrelu selu threshold triplet_margin_loss dropout_ celu_ selu_ threshold_ rrelu_ ctc_loss
    binary_cross_entropy_with_logits alpha_dropout_ hardshrink
""".split())


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """Rows of `weight` by index; the row `padding_idx`, if it is one, gets no gradient."""
    from ..nn.functional import embedding as rows
    return rows(indices, weight, None if padding_idx < 0 else padding_idx, None, 2.0, scale_grad_by_freq, sparse)


def embedding_bag(weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, per_sample_weights=None,
                  include_last_offset=False, padding_idx=None):
    """Bags of rows added up (mode 0), averaged (1) or their maxima (2).

    Returns what `nn.functional.embedding_bag` does, and of PyTorch's intermediate results the bag of each index,
    the sizes of the bags and where the maxima are (modes 1 and 2 only).
    """
    from ..nn.functional import embeddings
    y = embeddings.embedding_bag(indices, weight, offsets, None, 2, scale_grad_by_freq, ("sum", "mean", "max")[mode],
                                 sparse, per_sample_weights, include_last_offset, padding_idx)
    return y, *embeddings.of_bags(weight, indices, offsets[:-1] if include_last_offset else offsets, mode, padding_idx)


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """`nn.functional.batch_norm` with its arguments in another order; cudnn_enabled means nothing here."""
    from ..nn.functional import batch_norm as normalised
    return normalised(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled):
    """`nn.functional.instance_norm` with its arguments in another order; cudnn_enabled means nothing here."""
    from ..nn.functional import instance_norm as normalised
    return normalised(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@recalled("input")
def softmax(input, dim, dtype=None):
    """exp(x) over its sum along `dim`; cast to `dtype` first if given."""
    from ..nn.functional import softmax as along
    return along(input, dim, dtype=dtype)


@recalled("input")
def log_softmax(input, dim, dtype=None):
    """log(softmax(x)), stably; cast to `dtype` first if given."""
    from ..nn.functional import log_softmax as along
    return along(input, dim, dtype=dtype)
