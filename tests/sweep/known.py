"""What is known to differ, and why.

Each entry: operations, variants and kinds (regular expressions that must match in full), the reason. An entry that
no case of a full sweep needs any more is told, so that it is taken out.
"""
from __future__ import annotations

import re
from typing import NamedTuple


class Known(NamedTuple):
    ops: str
    variants: str
    kinds: str
    reason: str

    def covers(self, case, difference) -> bool:
        return all(re.fullmatch(pattern, text) for pattern, text in (
            (self.ops, case.op), (self.variants, case.variant), (self.kinds, difference.kind)))


ANY, OUT, ERROR = ".*", "out= .*", "error"
FAILS = "error-.*"
KNOWN = [
    # -- values and gradients ----------------------------------------------------------------------
    Known("topk|kthvalue", ANY, "value|grad",
          "which of several equal elements comes first is not said; PyTorch's selections take another one"),
    Known("special.bessel_[jy][01]", ANY, "value", "PyTorch's have errors of 1e-7 in float64 near 5.5, ours none"),
    Known("masked.logaddexp", ANY, "grad2", "second gradients of what is hidden are 0, PyTorch's nan"),
    Known("special.airy_ai", ANY, "value", "PyTorch's has errors of 1e-6 in float64 near -2.1, ours none"),
    Known("logcumsumexp", ANY, "value", "complex128: imaginary parts are the same but for multiples of 2 pi"),
    Known("nn.LinearCrossEntropyLoss", "training", "type", "the printed form shows the inner layer"),
    Known("nn.functional.hardsigmoid", ANY, "grad", "PyTorch's slope in float64 is 1/6 rounded to float32"),
    Known("as_strided_scatter", ANY, "grad|grad2",
          "PyTorch gives the overwritten places' gradient to the input, which the result does not take from there"),
    Known("linalg.norm.subgradients_at_zero", ANY, "grad2", "nan in PyTorch, 0 here: the subgradient is constant"),
    Known("linalg.eigh", OUT, "value", "the sign of an eigenvector is not said, and not normalised for out="),
    Known("linalg.pinv.hermitian", ANY, "grad|grad2",
          "PyTorch differentiates through the matrix as given, which is not symmetric in these samples"),
    Known("optim.Muon", "steps.*", "value", "products in bfloat16, whose sums PyTorch takes in another order"),
    Known("optim.ASGD", "steps.*foreach.*True.*", "value", "PyTorch's foreach form differs from its own single form"),
    Known("optim.LBFGS", "steps.*", "value|type", "line searches branch on the last digits of float32; lr is kept as a number"),
    # -- memory --------------------------------------------------------------------------------------
    Known("nn.functional.(max_unpool2d|rms_norm|max_pool2d).*|nonzero|argwhere|unique|unique_consecutive", ANY, "stride",
          "memory formats of empty or strided inputs"),
    # -- tapes ---------------------------------------------------------------------------------------
    Known("(a(sin|cos|tan)h|arc(sin|cos|tan)h)", ".*in place.*", "grad-missing",
          "PyTorch has no derivative of these in-place forms"),
    Known("linalg.(lstsq.*|matrix_power|householder_product|lu.*)", ANY, "requires_grad|grad-.*",
          "results that do not depend on the input are not taped"),
    Known("nn.functional.ctc_loss|nn.Transformer.*|nn.Multi(Label)?MarginLoss|nn.CTCLoss", ANY, "grad2-missing",
          "PyTorch has no second derivative"),
    # -- under the transforms ------------------------------------------------------------------------
    Known("nn.functional.(batch|instance)_norm.*", "vmap.*", "transform-error",
          "running statistics that are common to the entries cannot be written to; PyTorch refuses that, too"),
    Known("to_sparse", "vmap.*", "transform-error", "how many elements there are depends on values; PyTorch refuses that, too"),
    Known("as_strided.partial_views", "vmap.*|jvp", "transform",
          "a part of a tensor is a tensor of its own there, and elements beside it are not seen"),
    Known("nn.functional.max_unpool[123]d", "jvp", "transform", "which of two elements with the same place stays is not said"),
    Known("scatter_reduce.prod|nn.functional.linear_cross_entropy.chunked.*", "jvp", "transform",
          "PyTorch's tangents are 0, quotients of differences and ours are not"),
    # -- names that are missing ------------------------------------------------------------------------
    Known("_.*|.*_backward.*|native_.*|grid_sampler_.d|constant_pad_nd|hash_tensor|.*_copy|torch.*|jiterator.*", ANY,
          "lacking|error-.*", "PyTorch's inner functions, no part of the documented interface"),
    Known("nn.functional.linear_cross_entropy.*|nn.LinearCrossEntropyLoss|special.airy_ai", ANY, "lacking|error-.*", "missing; docs/status.md lists them"),
    Known("fft[.].*|stft|istft|chalf|to_sparse|sparse[.].*", ANY, "lacking|error-.*|dtype|stride",
          "complex numbers of 16-bit floats and some layouts are missing, and words of refusals differ"),
    Known("linalg.lstsq.*", ANY, "stride", "PyTorch's solutions are the first rows of a taller matrix"),
    Known("lu", OUT, "stride", "torch.lu copies into out= that is resized row by row"),
    Known("(linalg[.])?(svd|solve|solve_ex|eigh?|eigvals|cholesky|cholesky_inverse|lu_factor_ex|matrix_norm|tensorinv)", ANY, "stride",
          "of no matrices at all or of no rows, of batches of vectors, and in out= that had another size"),
    Known("linalg.lu_solve", ANY, "bits", "of X A = B with out=, or of no matrices: how PyTorch calls LAPACK shows in the bit"),
    Known("nn.functional.linear_cross_entropy.*", ANY, "grad2", "PyTorch has no second derivative of chunks"),
    Known("addr|baddbmm|addbmm|linalg.matrix_power", "function|in place|" + OUT, FAILS,
          "mixed dtypes of addr, inputs that broadcast in place"),
    Known("linalg.eig", OUT, "value", "the sign of an eigenvector is not said, and not normalised for out="),
    Known("nn.functional.(linear|gelu|softplus|softshrink|hardshrink|logsigmoid|avg_pool.d)|linalg.lstsq|equal|histogramdd|nanmean|"
          "nansum", OUT, FAILS, "out= of functions that are not documented to have it"),
    Known("mean|logsumexp", "out= double", FAILS, "complex results are not cast to real numbers for out="),
    Known("lu", "function", "type", "torch.lu with get_infos: the name of the tuple"),
    Known("lu|geqrf|ormqr", OUT, FAILS, "dtypes of out= that these convert to"),
    Known("fft.ifft", "function", "bits", "PyTorch's result of real numbers is a conjugate view"),
    Known("nonzero", OUT, FAILS, "as_tuple with out= is refused by what out= is"),
    # -- words -------------------------------------------------------------------------------------
    Known(ANY, OUT, "error-text", "another refusal of the same out="),
    Known("diff|addbmm|std|var|round.*|nn.functional.normalize|cumsum|cumprod", OUT, FAILS,
          "dtypes that PyTorch refuses for out= are converted"),
    Known("masked_select|take|gather|index_select", ERROR, "error-missing",
          "out= that overlaps an input: results are computed before they are written"),
    Known("cov|cat|kthvalue|movedim|roll|narrow|masked_fill|eye|rot90|v?dot|histogramdd|[dv]stack|fliplr|arange|"
          "nn.functional.(multi(label)?_margin_loss|conv.d|max_pool.d|adaptive_.*_pool.d|softshrink|batch_norm)|"
          "nn.(RNNCell|LSTMCell|GRUCell|BatchNorm.d)", "error|function", FAILS,
          "arguments that cannot be are refused in other words, or later"),
    Known("where|inner|round|gather", ANY, "error-missing|stride", "dtypes of out= and layouts of empty results"),
    Known("f(max|min)|atan2|copysign|rsub|nextafter|hypot|logaddexp2?|heaviside|l[te]|g[te]|eq|ne|f?mod|fmod|min.*|max.*|lcm|gcd|igammac?|ldexp|special.*|xlogy|clamp_m.*|__r.*__|linspace.*|logspace.*|"
          "isclose|hstack|lt", ERROR, FAILS, "Python numbers are taken where PyTorch wants a tensor, or refused in other words"),
]
