"""Functions that `torch` shares with `torch.nn.functional`; their room is entered when one is called."""
from __future__ import annotations

from ..autograd.recall import recalled

SHARED = frozenset("""
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm bilinear celu channel_shuffle
    cosine_similarity cosine_embedding_loss dropout embedding feature_alpha_dropout feature_dropout group_norm
    hinge_embedding_loss instance_norm kl_div layer_norm margin_ranking_loss max_pool1d max_pool1d_with_indices
    max_pool2d max_pool3d pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu_ rms_norm
    rrelu selu threshold triplet_margin_loss dropout_ celu_ selu_ threshold_ rrelu_ ctc_loss
    binary_cross_entropy_with_logits alpha_dropout_ hardshrink
""".split())


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
