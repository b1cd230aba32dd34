"""Functions of layers, by name: `torch.nn.functional`.

Each is a composition of public operations; some carry a gradient rule of their own where that
saves work. The files of this folder group them by what they do.
"""
from ...ops.overridable import caught as _caught
from ...ops.pad import pad
from .activations import (celu, celu_, elu, elu_, gelu, glu, gumbel_softmax, hardshrink,
                          hardsigmoid, hardswish, hardtanh, hardtanh_, leaky_relu, leaky_relu_,
                          log_softmax, logsigmoid, mish, prelu, relu, relu6, relu_, rrelu, rrelu_,
                          selu, selu_, sigmoid, silu, softmax, softmin, softplus, softshrink,
                          softsign, tanh, tanhshrink, threshold, threshold_)
from .attention import multi_head_attention_forward, scaled_dot_product_attention
from .convolutions import (conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d,
                           conv_transpose3d, fold, unfold)
from .distances import cosine_similarity, normalize, pairwise_distance, pdist
from .dropouts import (alpha_dropout, alpha_dropout_, dropout, dropout1d, dropout2d, dropout3d,
                       dropout_, feature_alpha_dropout, feature_dropout)
from .embeddings import embedding, embedding_bag, one_hot
from .fractional import (fractional_max_pool2d, fractional_max_pool2d_with_indices, fractional_max_pool3d,
                         fractional_max_pool3d_with_indices)
from .linear_maps import bilinear, grouped_mm, linear
from .losses import (binary_cross_entropy, binary_cross_entropy_with_logits, cosine_embedding_loss,
                     cross_entropy, ctc_loss, gaussian_nll_loss, hinge_embedding_loss, huber_loss,
                     kl_div, l1_loss, linear_cross_entropy, margin_ranking_loss, mse_loss, multi_margin_loss,
                     multilabel_margin_loss, multilabel_soft_margin_loss, nll_loss,
                     poisson_nll_loss, smooth_l1_loss, soft_margin_loss, triplet_margin_loss,
                     triplet_margin_with_distance_loss)
from .norms import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from .pools import (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d,
                    adaptive_max_pool1d, adaptive_max_pool1d_with_indices, adaptive_max_pool2d,
                    adaptive_max_pool2d_with_indices, adaptive_max_pool3d,
                    adaptive_max_pool3d_with_indices, avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d,
                    lp_pool2d, lp_pool3d, max_pool1d, max_pool1d_with_indices, max_pool2d,
                    max_pool2d_with_indices, max_pool3d, max_pool3d_with_indices, max_unpool1d,
                    max_unpool2d, max_unpool3d)
from .resizing import (affine_grid, channel_shuffle, grid_sample, interpolate, pixel_shuffle,
                       pixel_unshuffle, upsample, upsample_bilinear, upsample_nearest)

_ONLY_TORCH = {"alpha_dropout_", "dropout_", "feature_dropout"}      # `torch.dropout_` and so on
__all__ = [name for name, value in list(globals().items())
           if callable(value) and not name.startswith("_") and name not in _ONLY_TORCH]
_caught(globals())
