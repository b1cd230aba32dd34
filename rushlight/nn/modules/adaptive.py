"""Softmax over many classes in clusters: frequent ones first, rare ones behind smaller layers."""
from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence

from ... import ops
from ...tensor import Tensor
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_Output = namedtuple("_ASMoutput", ["output", "loss"])


def _check_cutoffs(cutoffs, n_classes):
    if len(cutoffs) == 0:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    if (cutoffs != sorted(set(cutoffs)) or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1
            or any(int(c) != c for c in cutoffs)):
        raise ValueError("cutoffs should be a sequence of unique, positive integers sorted in an "
                         "increasing order, where each value is between 1 and n_classes-1")


class AdaptiveLogSoftmaxWithLoss(Module):
    """(N, F), classes (N) to their log-probabilities (N) and the mean loss.

    E. Grave et al., Efficient softmax approximation for GPUs, 2016. Classes before the first cutoff have
    outputs in `head`, which has one more for each cluster; a cluster's layers in `tail` see the input
    through `in_features / div_value ** k` numbers.

    Args:
        cutoffs: where clusters begin, increasing, between 1 and n_classes - 1.
        head_bias: whether the head has a bias.
    """

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int],
                 div_value: float = 4.0, head_bias: bool = False, device=None, dtype=None) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check_cutoffs(cutoffs, n_classes)
        made = {"device": device, "dtype": dtype}
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for k, (first, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:]), 1):
            inner = int(in_features // div_value ** k)
            self.tail.append(Sequential(Linear(in_features, inner, bias=False, **made),
                                        Linear(inner, end - first, bias=False, **made)))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for inner, outer in self.tail:
            inner.reset_parameters()
            outer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor):
        self._check(input_, target_)
        batched = target_.dim() > 0
        x, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        if bool(((target < 0) | (target >= self.n_classes)).any()):
            raise RuntimeError(f"Target values should be in [0, {self.n_classes - 1}], but values in "
                               f"range [{target.min().item()}, {target.max().item()}] were found. ")
        within, place = self._in_clusters(x, target)
        head = F.log_softmax(self.head(x), dim=1)
        output = within + head.gather(1, place.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _Output(output if batched else output.squeeze(0), loss)

    def _check(self, x, target):
        if target.dim() == 1:
            if x.size(0) != target.size(0):
                raise RuntimeError("Input and target should have the same size in the batch "
                                   "dimension.")
            if x.dim() != 2:
                raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs "
                                   f"with size {x.size()}")
        elif target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        elif x.dim() != 1:
            raise RuntimeError("0D target tensor expects 1D input tensors, but found inputs with "
                               f"size {x.size()}")

    def _in_clusters(self, x, target):
        """Log-probabilities within the targets' clusters, and the head's outputs that stand for these."""
        within, place = x.new_zeros(target.size(0)), target
        for k, (first, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            rows = ((target >= first) & (target < end)).nonzero().squeeze(1)
            if rows.numel():
                found = F.log_softmax(self.tail[k](x.index_select(0, rows)), dim=1)
                inside = target.index_select(0, rows) - first
                found = found.gather(1, inside.unsqueeze(1)).squeeze(1)
                within = within.index_copy(0, rows, found.to(within.dtype))
                place = place.index_fill(0, rows, self.shortlist_size + k)
        return within, place

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, F) to the log-probabilities of all classes, (N, n_classes)."""
        head = F.log_softmax(self.head(input), dim=1)
        size = self.shortlist_size
        parts = [F.log_softmax(layers(input), dim=1) + head[:, size + k].unsqueeze(1)
                 for k, layers in enumerate(self.tail)]
        return ops.cat([head[:, :size], *parts], dim=1)

    def predict(self, input: Tensor) -> Tensor:
        """(N, F) to the likeliest classes, (N); clusters are looked into where the head says so."""
        best = self.head(input).argmax(dim=1)
        rows = (best >= self.shortlist_size).nonzero().squeeze(1)
        if not rows.numel():
            return best
        return best.index_copy(0, rows, self.log_prob(input.index_select(0, rows)).argmax(dim=1))
