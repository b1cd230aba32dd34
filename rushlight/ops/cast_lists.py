"""PyTorch's cast lists of the CPU: in which precision an operation computes within autocast.

What is in no list computes in the dtypes it is given. An operation that is made of others does not
stand here, unless PyTorch's is one piece where ours is several.
"""
from __future__ import annotations

LOWER, FULL, WIDEST, APART = "lower", "full", "widest", "apart"

_NAMES = {
    # In autocast's dtype: products.
    LOWER: """
        mm bmm matmul addmm addbmm baddbmm linear vecdot multi_dot prelu conv1d conv2d conv3d conv_tbc
        conv_transpose1d conv_transpose2d conv_transpose3d scaled_dot_product_attention
    """,
    # In float32: what loses too much in 16 bits, or what has no 16-bit kernel in PyTorch.
    FULL: """
        avg_pool3d adaptive_avg_pool3d max_pool3d adaptive_max_pool3d fractional_max_pool2d
        fractional_max_pool3d max_unpool1d max_unpool2d max_unpool3d grid_sample reflection_pad
        replication_pad prod quantile nanquantile cdist trace
        mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy cross_entropy nll_loss
        binary_cross_entropy_with_logits kl_div poisson_nll_loss hinge_embedding_loss
        cosine_embedding_loss margin_ranking_loss soft_margin_loss triplet_margin_loss
        multi_margin_loss multilabel_margin_loss ctc_loss
        cholesky cholesky_ex cholesky_inverse cholesky_solve inverse pinverse inv inv_ex qr svd
        svdvals eig eigh eigvals eigvalsh cond lstsq solve matrix_rank tensorinv tensorsolve
        householder_product orgqr ormqr geqrf triangular_solve decompositions.lu stft istft
        fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft polar
        view_as_complex
    """,
    # In the widest dtype among the arguments; PyTorch's other such operations promote by themselves.
    WIDEST: "index_copy",
    # As given, though they are made of products here.
    APART: "mv dot vdot addmv bilinear matrix_exp slogdet logdet det lu_solve svd_lowrank pca_lowrank convolutions.fold",
}
_POLICY = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def policy_of(fn) -> str | None:
    """The list that a public function stands in."""
    room = fn.__module__.rpartition(".")[2]
    return _POLICY.get(f"{room}.{fn.__name__}") or _POLICY.get(fn.__name__)
