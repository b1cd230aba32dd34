"""The mistakes that programs make every day: the same type of exception, and PyTorch's words."""
from __future__ import annotations

import warnings

import pytest

from tests.parity.oracle import same_phrase

torch = pytest.importorskip("torch")

SHAPES = """
    T.ones(2, 3) @ T.ones(2, 3) | T.mm(T.ones(2, 3), T.ones(4, 3)) | T.ones(2, 3) @ T.ones(4) | T.ones(3) @ T.ones(4)
    T.bmm(T.ones(2, 3, 4), T.ones(2, 3, 4)) | T.bmm(T.ones(2, 3, 4), T.ones(3, 4, 5)) | T.bmm(T.ones(3, 4), T.ones(4, 5))
    T.matmul(T.ones(2, 3, 4), T.ones(3, 4, 5)) | T.mv(T.ones(2, 3), T.ones(2)) | T.dot(T.ones(2), T.ones(3))
    T.mm(T.ones(2, 3, 4), T.ones(4, 5)) | T.addmm(T.ones(3), T.ones(2, 3), T.ones(3, 4)) | T.tensor(1.) @ T.ones(3)
    T.ones(2, 3) + T.ones(2, 4) | T.ones(2, 3) * T.ones(4, 3) | T.ones(2).add_(T.ones(3)) | T.ones(1).add_(T.ones(3))
    T.where(T.ones(2) > 0, T.ones(3), T.ones(2)) | T.maximum(T.ones(2), T.ones(3)) | T.ones(2, 3) == T.ones(2, 2)
    T.cat([T.ones(2, 3), T.ones(2, 4)]) | T.cat([T.ones(2, 3), T.ones(3)]) | T.cat([]) | T.cat([T.ones(2)], 1)
    T.stack([T.ones(2), T.ones(3)]) | T.stack([]) | T.stack([T.ones(2)], 3) | T.vstack([T.ones(2), T.ones(3)])
    T.ones(6).view(4, 2) | T.ones(6).view(-1, 4) | T.ones(6).view(-1, -1) | T.ones(2, 3).t().view(6) | T.ones(6).reshape(4)
    T.ones(6).reshape(-1, 4) | T.ones(2, 3).view(2, -2) | T.ones(2, 3).expand(4, 3) | T.ones(2, 3).expand(3) | T.ones(2).expand(-1, 2)
    T.broadcast_to(T.ones(3), (2,)) | T.ones(2, 3).repeat(2) | T.ones(2, 3).permute(0) | T.ones(2, 3).permute(0, 0) | T.ones(2, 3).permute(0, 2)
    T.ones(2, 3).transpose(0, 2) | T.ones(2, 3, 4).t() | T.ones(2).unsqueeze(3) | T.ones(2).squeeze(1) | T.ones(2, 3).flatten(1, 0)
    T.ones(2, 3).sum(2) | T.ones(2, 3).mean(-3) | T.ones(2).max(1) | T.ones(2).argmax(1) | T.ones(2).softmax(1) | T.ones(2).size(1)
    T.ones(0).max() | T.ones(0).argmax() | T.ones(2, 0).max(1) | T.ones(2).sort(1) | T.ones(2).cumsum(2) | T.ones(2).std(3)
    T.ones(5).split([2, 2]) | T.ones(5).chunk(0) | T.ones(5).split(-1) | T.ones(5).unfold(0, 6, 1) | T.ones(2).narrow(0, 1, 3)
    T.ones(2).topk(3) | T.ones(3).kthvalue(4) | T.ones(2, 3).diagonal(0, 0, 0) | T.ones(2, 3).unflatten(1, (2, 2)) | T.eye(-1)
    T.linspace(0, 1, -1) | T.arange(0, 1, 0) | T.arange(1, 0) | T.zeros(-1) | T.ones(2, 3).item() | T.ones(0).item()
    bool(T.ones(2)) | float(T.ones(2)) | int(T.ones(2)) | T.ones(2).tolist().x | len(T.tensor(1)) | iter(T.tensor(1))
    T.tensor([[1, 2], [3]]) | T.tensor(["a"]) | T.tensor([1, None]) | T.tensor({}) | T.tensor([T.ones(2), T.ones(2)]) | T.from_numpy(3)
    T.meshgrid(T.ones(2, 2)) | T.einsum("ij,jk->ik", T.ones(2, 3), T.ones(2, 3)) | T.einsum("ij", T.ones(2)) | T.einsum("ij->ijk", T.ones(2, 2))
    T.tensordot(T.ones(2, 3), T.ones(2, 3), 1) | T.outer(T.ones(2, 2), T.ones(2)) | T.cross(T.ones(2), T.ones(2), dim=0) | T.cdist(T.ones(2, 3), T.ones(2, 4))
"""
INDICES = """
    T.ones(2)[2] | T.ones(2)[-3] | T.ones(2)[0, 0] | T.ones(2)[T.tensor([2])].sum().item() | T.ones(2, 3)[:, 3] | T.tensor(1)[0]
    T.ones(2)["a"] | T.ones(2)[1.5] | T.ones(2)[T.tensor([0.5])] | T.ones(2, 3)[T.tensor([True, False, True])] | T.ones(2)[T.ones(3) > 0]
    T.ones(2)[::-1] | T.ones(4)[T.tensor([0, 1]), T.tensor([0])] | T.ones(4, 4)[T.tensor([0, 1, 2]), T.tensor([0, 1])] | T.ones(2, 3)[0, 0, 0]
    T.ones(2).__setitem__(slice(None), T.ones(3)) | T.ones(2).__setitem__(2, 1.) | T.ones(2, 3).__setitem__(0, T.ones(2)) | T.ones(2).__setitem__(0, "a")
    T.gather(T.ones(2, 3), 1, T.tensor([0])) | T.gather(T.ones(2, 3), 1, T.tensor([[3]])).sum().item() | T.gather(T.ones(2, 3), 1, T.tensor([[0.]]))
    T.gather(T.ones(2, 3), 2, T.tensor([[0]])) | T.ones(2, 3).gather(0, T.zeros(3, 4).long()) | T.ones(3).index_select(0, T.tensor([[0]]))
    T.ones(3).index_select(0, T.tensor([3])).sum().item() | T.ones(3).index_select(0, T.tensor([0.])) | T.ones(3).index_select(1, T.tensor([0]))
    T.zeros(3).scatter_(0, T.tensor([3]), 1.).sum().item() | T.zeros(3).scatter_(0, T.tensor([0]), T.ones(1).double()) | T.zeros(3).scatter_(0, T.tensor([0.]), 1.)
    T.zeros(3).scatter_(0, T.tensor([[0]]), T.ones(1)) | T.zeros(3).scatter_add_(0, T.tensor([0, 1]), T.ones(1)) | T.zeros(3).index_add_(0, T.tensor([0]), T.ones(2))
    T.zeros(3).index_copy_(0, T.tensor([0]), T.ones(2)) | T.zeros(3).index_fill_(0, T.tensor([0.]), 1.) | T.zeros(3).masked_fill_(T.tensor([1, 0, 1]), 0.)
    T.zeros(3).masked_fill_(T.ones(2) > 0, 0.) | T.zeros(3).masked_select(T.ones(3)) | T.zeros(3).masked_scatter_(T.ones(3) > 0, T.ones(2)).sum().item()
    T.take(T.ones(3), T.tensor([3])).sum().item() | T.take_along_dim(T.ones(2, 3), T.tensor([0]), 1) | T.nonzero(3) | T.searchsorted(T.ones(2, 3), T.ones(3, 1))
    T.bincount(T.tensor([-1])) | T.bincount(T.tensor([1.])) | T.bincount(T.ones(2, 2).long()) | T.multinomial(T.zeros(3), 1) | T.multinomial(T.ones(3), 4)
    T.multinomial(T.tensor([-1., 2.]), 1) | T.randint(3, 3, (2,)) | T.randperm(-1) | T.normal(0., -1., (2,)) | T.rand("a")
    T.repeat_interleave(T.ones(3), T.tensor([1, 2])) | T.unbind(T.tensor(1)) | T.flip(T.ones(2), (1,)) | T.roll(T.ones(2), (1, 2), 0) | T.tril(T.ones(2))
"""
DTYPES = """
    T.ones(2, 3) @ T.ones(3, 2).double() | T.ones(2, 3) @ T.ones(3, 2).long() | T.ones(2).long().mean() | T.ones(2).bool() - T.ones(2).bool() | -(T.ones(2) > 0)
    T.ones(2).long().add_(0.5) | T.ones(2).long().div_(2) | T.ones(2).long().requires_grad_() | T.tensor([1], requires_grad=True) | T.ones(2).long().softmax(0)
    T.ones(2).int().sqrt_() | T.ones(2).bitwise_and(T.ones(2)) | ~T.ones(2) | T.ones(2) << 1 | T.ones(2).long().normal_() | T.ones(2).long().uniform_() | T.rand(2, dtype=T.int64)
    T.randn(2, dtype=T.int64) | T.ones(2).type("x") | T.ones(2).to("x") | T.ones(2, dtype="float32") | T.zeros(2, device="gpu") | T.ones(2).cuda()
    T.ones(2).view(T.float64)[0:1].view(3) | T.finfo(T.int64) | T.iinfo(T.float32) | T.linalg.inv(T.ones(2, 2).long()) | T.linalg.inv(T.ones(2, 3)) | T.linalg.inv(T.zeros(2, 2)).sum().item()
    T.linalg.solve(T.ones(2, 2), T.ones(3)) | T.linalg.cholesky(-T.eye(2)).sum().item() | T.linalg.det(T.ones(2, 3)) | T.linalg.svd(T.ones(2)) | T.linalg.eigh(T.ones(2, 3))
    T.linalg.norm(T.ones(2), "x") | T.fft.fft(T.ones(2, 2), n=0) | T.fft.fft(T.tensor(1.)) | T.complex(T.ones(2), T.ones(2).double()) | T.ones(2).to(T.complex64) < 1 | T.view_as_complex(T.ones(3))
    T.set_default_dtype(T.int64) | T.logical_not("a") | T.add(T.ones(2), "a") | T.ones(2) + "a" | T.ones(2) + None | T.ones(2) + [1, 2, 3] | T.ones(2) @ 3 | T.sum([1, 2]) | T.sqrt(3)
    T.relu([1.]) | T.ones("a") | T.ones(2, 3.5) | T.ones(2).view(1.5) | T.ones(2).sum("a") | T.cat(T.ones(2), T.ones(2)) | T.stack(T.ones(2), T.ones(2)) | T.ones(2).clamp() | T.clamp(T.ones(2))
    T.ones(2).foo | T.foo | T.nn.Foo | T.nn.functional.foo | T.optim.Foo | T.manual_seed("a") | T.ones(2).numpy("x") | T.save(T.ones(2)) | T.ones(2, 3).T.x
"""
TAPE = """
    T.ones(2).sum().backward() | T.ones(2, requires_grad=True).backward() | (T.ones(2, requires_grad=True) * 2).backward() | T.ones(2, requires_grad=True).numpy()
    T.ones(2, requires_grad=True).add_(1) | T.ones(2, requires_grad=True).__setitem__(0, 1.) | T.ones(2, requires_grad=True)[0].zero_() | twice(T)
    twice_taped(T) | stale(T) | stale_view(T) | T.autograd.grad(T.ones(2).sum(), T.ones(2, requires_grad=True)) | T.autograd.grad(T.ones(2, requires_grad=True).sum(), T.ones(2))
    unused(T) | T.autograd.grad(T.ones(2, requires_grad=True) * 2, T.ones(2, requires_grad=True)) | (T.ones(2, requires_grad=True) * 2).backward(T.ones(3)) | (T.ones(2, requires_grad=True) * 2).requires_grad_(False)
    setattr(T.ones(2, requires_grad=True), "grad", T.ones(3)) | setattr(T.ones(2, requires_grad=True), "grad", 3) | setattr(T.ones(2, requires_grad=True), "grad", T.ones(2).double()) | setattr(T.ones(2), "requires_grad", "a")
    T.ones(2, requires_grad=True).detach_().backward() | T.ones(2, requires_grad=True).register_hook(3) | T.ones(2).register_hook(print) | T.ones(2).retain_grad()
    detached(T) | in_place_on_view(T) | nan_found(T) | T.autograd.Function.apply(T.ones(2)) | T.no_grad(3) | copied(T) | T.ones(2, requires_grad=True).resize_(3)
"""
LAYERS = """
    nn.Linear(3, 4)(T.ones(2, 4)) | nn.Linear(3, 4)(T.ones(2, 3).double()) | nn.Linear(3, 4)(T.ones(2, 3).long()) | nn.Linear(3, 4)(3) | nn.Linear(3, 4)("a") | nn.Linear(3) | nn.Linear("a", 3) | nn.Linear(3.5, 2) | nn.Linear(-1, 2)
    F.linear(T.ones(2, 3), T.ones(4, 3), T.ones(4).double()) | F.linear(T.ones(2, 3), T.ones(4, 3), T.ones(3)) | F.linear(T.ones(2, 3), T.ones(3, 4)) | F.linear(T.ones(2, 3), T.ones(3), T.ones(1))
    nn.Conv2d(3, 4, 3)(T.ones(1, 1, 8, 8)) | nn.Conv2d(3, 4, 3)(T.ones(8, 8)) | nn.Conv2d(3, 4, 9)(T.ones(1, 3, 4, 4)) | nn.Conv2d(3, 4, 3)(T.ones(1, 3, 8, 8).byte()) | nn.Conv2d(3, 4, 3)(T.ones(1, 3, 8, 8).half()) | nn.Conv2d(3, 4)
    nn.Conv1d(3, 4, 3)(T.ones(1, 4, 8)) | nn.Conv1d(3, 4, 3)(T.ones(1, 3, 2)) | nn.Conv2d(3, 4, 3, groups=2) | nn.Conv2d(3, 4, 3, stride=0)(T.ones(1, 3, 8, 8)) | nn.ConvTranspose2d(3, 4, 3)(T.ones(1, 2, 4, 4)) | nn.Conv2d(3, 4, 3, padding=-1)(T.ones(1, 3, 8, 8))
    nn.BatchNorm1d(3)(T.ones(1, 3)) | nn.BatchNorm1d(3)(T.ones(2, 4)) | nn.BatchNorm2d(3)(T.ones(2, 3)) | nn.BatchNorm2d(3)(T.ones(1, 3, 1, 1)) | nn.BatchNorm2d(4)(T.ones(2, 3, 4, 4)) | nn.BatchNorm1d(3)(T.ones(2, 3).long()) | nn.BatchNorm1d(3)(T.ones(2, 3).double())
    nn.LayerNorm(4)(T.ones(2, 3)) | nn.LayerNorm((2, 3))(T.ones(3)) | nn.LayerNorm(3)(T.ones(2, 3).double()) | nn.LayerNorm(3)(T.ones(2, 3).long()) | nn.GroupNorm(2, 3) | nn.GroupNorm(2, 4)(T.ones(2, 6)) | nn.GroupNorm(2, 4)(T.ones(4)) | nn.InstanceNorm2d(3)(T.ones(2, 3))
    nn.Embedding(3, 2)(T.tensor([3])).sum().item() | nn.Embedding(3, 2)(T.tensor([-1])).sum().item() | nn.Embedding(3, 2)(T.ones(2)) | nn.Embedding(3, 2)([1, 2]) | nn.Embedding(3, 2, padding_idx=5) | F.embedding(T.tensor([0]), T.ones(3)) | nn.Embedding(3)
    nn.LSTM(3, 4)(T.ones(5, 2, 4)) | nn.LSTM(3, 4)(T.ones(3)) | nn.LSTM(3, 4)(T.ones(5, 2, 3), (T.ones(1, 3, 4), T.ones(1, 3, 4))) | nn.GRU(3, 4)(T.ones(5, 2, 3), T.ones(2, 2, 4)) | nn.GRU(3, 4)(T.ones(5, 2, 3).double()) | nn.LSTMCell(3, 4)(T.ones(2, 5))
    nn.MultiheadAttention(6, 4) | nn.MultiheadAttention(4, 2)(T.ones(3, 1, 5), T.ones(3, 1, 5), T.ones(3, 1, 5)) | nn.MultiheadAttention(4, 2)(T.ones(3, 1, 4), T.ones(2, 1, 4), T.ones(3, 1, 4)) | nn.MultiheadAttention(4, 2)(*[T.ones(3, 1, 4)] * 3, attn_mask=T.zeros(2, 2)) | nn.MultiheadAttention(4, 2)(*[T.ones(3, 1, 4)] * 3, key_padding_mask=T.zeros(3, 1))
    F.scaled_dot_product_attention(T.ones(2, 3, 4), T.ones(2, 3, 5), T.ones(2, 3, 4)) | F.scaled_dot_product_attention(*[T.ones(2, 3, 4)] * 3, attn_mask=T.zeros(2, 2)) | F.scaled_dot_product_attention(*[T.ones(2, 3, 4)] * 3, attn_mask=T.zeros(3, 3), is_causal=True) | nn.TransformerEncoderLayer(5, 2) | nn.TransformerEncoder(3, 2)
    nn.MaxPool2d(2)(T.ones(4, 4)) | nn.MaxPool2d(5)(T.ones(1, 1, 4, 4)) | nn.AvgPool2d(5)(T.ones(1, 1, 4, 4)) | nn.MaxPool2d(2, padding=2)(T.ones(1, 1, 4, 4)) | nn.AdaptiveAvgPool2d(2)(T.ones(3)) | nn.Flatten(3)(T.ones(2, 3)) | nn.Upsample(scale_factor=2)(T.ones(3, 4)) | F.pad(T.ones(2, 3), (1, 2, 3))
    F.pad(T.ones(1, 1, 3), (3, 3), mode="reflect") | F.interpolate(T.ones(1, 1, 4, 4)) | F.interpolate(T.ones(1, 1, 4, 4), scale_factor=2, mode="linear") | F.interpolate(T.ones(1, 1, 4, 4).long(), scale_factor=2) | F.interpolate(T.ones(1, 1, 4, 4), 2, mode="x") | nn.PixelShuffle(2)(T.ones(1, 3, 2, 2))
    F.dropout(T.ones(2), 2.) | F.dropout(T.ones(2), -0.1) | nn.Dropout(1.1) | F.softmax(T.ones(2, 3), 3) | F.gelu(T.ones(2).long()) | F.elu(T.ones(2).long()) | F.glu(T.ones(3)) | F.prelu(T.ones(2, 3), T.ones(4)) | F.normalize(T.ones(2), dim=2) | F.cosine_similarity(T.ones(2, 3), T.ones(2, 4)) | F.one_hot(T.ones(2))
    F.one_hot(T.tensor([3]), 2).sum().item() | F.fold(T.ones(1, 5, 4), (4, 4), 2) | F.grid_sample(T.ones(1, 1, 2, 2), T.ones(2, 1, 1, 2)) | F.grid_sample(T.ones(1, 1, 2, 2), T.ones(1, 1, 1, 3)) | F.affine_grid(T.ones(1, 2, 2), (1, 1, 2, 2)) | nn.Bilinear(2, 3, 4)(T.ones(2, 2), T.ones(2, 2))
"""
LOSSES = """
    F.cross_entropy(T.ones(2, 3), T.tensor([0, 1, 2])) | F.cross_entropy(T.ones(2, 3), T.tensor([0, 3])).item() | F.cross_entropy(T.ones(2, 3), T.tensor([0, -1])).item() | F.cross_entropy(T.ones(2, 3), T.ones(2)) | F.cross_entropy(T.ones(2, 3), T.tensor([[0], [1]]))
    F.cross_entropy(T.ones(2, 3), T.tensor([0, 1]).int()) | F.cross_entropy(T.ones(2, 3), T.ones(2, 3).long()) | F.cross_entropy(T.ones(2, 3).long(), T.tensor([0, 1])) | F.cross_entropy(T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(2)) | F.cross_entropy(T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(3).double())
    F.cross_entropy(T.ones(2, 3, 4), T.ones(2, 5).long()) | F.cross_entropy(T.ones(2, 3, 4, 4), T.ones(2, 1, 4, 4).long()) | F.cross_entropy(T.ones(2, 3), T.tensor([0, 1]), label_smoothing=2.) | F.cross_entropy(T.ones(2, 3), 1) | F.cross_entropy(T.ones(3), T.tensor([0, 1])) | F.cross_entropy(T.ones(2, 3), T.tensor(1))
    F.nll_loss(T.ones(2, 3), T.tensor([0, 3])).item() | F.nll_loss(T.ones(2, 3), T.tensor([0])) | F.nll_loss(T.ones(2, 3), T.ones(2)) | F.nll_loss(T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(4)) | F.nll_loss(T.ones(2, 3).long(), T.tensor([0, 1])) | F.nll_loss(T.tensor(1.), T.tensor(0)) | F.nll_loss(T.ones(2, 3, 4), T.ones(2, 3).long())
    F.binary_cross_entropy(T.ones(2, 1), T.ones(2)) | F.binary_cross_entropy(T.ones(2) * 2, T.ones(2)).item() | F.binary_cross_entropy(T.ones(2), T.ones(2).long()) | F.binary_cross_entropy_with_logits(T.ones(2, 1), T.ones(2)) | F.binary_cross_entropy_with_logits(T.ones(2), T.ones(2).long()) | F.binary_cross_entropy_with_logits(T.ones(2), T.ones(2) > 0)
    F.mse_loss(T.ones(2, 3), T.ones(2, 4)) | F.mse_loss(T.ones(2), 3.) | F.mse_loss(T.ones(2).long(), T.ones(2).long()) | F.l1_loss(T.ones(2, 3), T.ones(2, 4)) | F.smooth_l1_loss(T.ones(2), T.ones(2), beta=-1.) | F.huber_loss(T.ones(2), T.ones(2), delta=0.) | nn.MSELoss(reduction="x")(T.ones(2), T.ones(2)) | F.kl_div(T.ones(2).long(), T.ones(2))
    F.ctc_loss(T.ones(5, 1, 3), T.tensor([[1, 2]]), (6,), (2,)) | F.ctc_loss(T.ones(5, 1, 3), T.tensor([[1, 2]]), (5, 5), (2,)) | F.gaussian_nll_loss(T.ones(2), T.ones(2), -T.ones(2)) | F.triplet_margin_loss(T.ones(2, 3), T.ones(2, 3), T.ones(2, 4)) | F.cosine_embedding_loss(T.ones(2, 3), T.ones(2, 3), T.ones(3)) | F.margin_ranking_loss(T.ones(2), T.ones(2, 1), T.ones(2)) | F.multi_margin_loss(T.ones(2, 3), T.ones(3).long())
"""
MODULES = """
    nn.Linear(2, 2).load_state_dict({}) | nn.Linear(2, 2).load_state_dict({"weight": T.ones(3, 2), "bias": T.ones(2)}) | nn.Sequential(nn.Linear(2, 2)).load_state_dict({"1.weight": T.ones(2, 2)}) | nn.Linear(2, 2).load_state_dict({"weight": 3, "bias": T.ones(2)}) | nn.Linear(2, 2).load_state_dict([1])
    nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)).load_state_dict(nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 3)).state_dict()) | nn.Sequential(nn.BatchNorm1d(2)).load_state_dict(nn.BatchNorm1d(2).state_dict()) | nn.Linear(2, 2).load_state_dict({"weight": T.ones(2, 2)}, strict=True) | nn.ModuleList([3]) | nn.Sequential(nn.Linear)
    T.optim.SGD([], 0.1) | T.optim.Adam(nn.Linear(2, 2), 0.1) | T.optim.Adam([T.ones(2)], -1.) | T.optim.Adam(T.ones(2)) | T.optim.Adam([nn.Linear(2, 2)]) | T.optim.SGD([T.ones(2, requires_grad=True) * 2], 0.1) | T.optim.SGD(nn.Linear(2, 2).parameters(), 0.1, nesterov=True) | T.optim.LBFGS(nn.Linear(2, 2).parameters()).step() | T.optim.Adam(nn.Linear(2, 2).parameters(), lr="a") | T.optim.Adam(nn.Linear(2, 2).parameters(), foo=3)
    T.optim.SGD(nn.Linear(2, 2).parameters(), 0.1).load_state_dict(T.optim.SGD(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).parameters(), 0.1).state_dict()) | T.optim.lr_scheduler.StepLR(3, 1) | T.optim.lr_scheduler.StepLR(T.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)) | T.optim.lr_scheduler.OneCycleLR(T.optim.SGD(nn.Linear(2, 2).parameters(), 0.1), 0.1) | T.optim.lr_scheduler.CosineAnnealingLR(T.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))
    nn.Module().forward(3) | nn.Module()(3) | nn.Linear(2, 2).foo | assign_early(T) | setattr(nn.Linear(2, 2), "weight", T.ones(2, 2)) | nn.ParameterList([3])[1] | nn.Parameter(3) | nn.Parameter(T.ones(2).long()) | nn.Parameter([1.]) | nn.ModuleDict({1: nn.ReLU()}) | nn.ModuleDict({"a": 3}) | nn.Sequential(nn.ReLU())[2] | nn.Linear(2, 2).to("x") | nn.Linear(2, 2).to(T.int64) | nn.Linear(2, 2).cuda() | nn.Linear(2, 2).register_forward_hook(3)
    nn.utils.clip_grad_norm_(3, 1.) | nn.utils.clip_grad_norm_(nn.Linear(2, 2).parameters()) | nn.utils.rnn.pad_sequence([]) | nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), T.tensor([1, 2])) | nn.init.xavier_uniform_(T.ones(2)) | nn.init.kaiming_normal_(T.ones(2)) | nn.utils.parameters_to_vector(3) | nn.init.uniform_(T.ones(2).long())
    D.TensorDataset(T.ones(2), T.ones(3)) | D.DataLoader(3, batch_size=0) | next(iter(D.DataLoader([T.ones(2), T.ones(3)], batch_size=2))) | D.DataLoader([1], shuffle=True, sampler=[0]) | D.random_split([1, 2, 3], [1, 1]) | D.DataLoader([1], num_workers=-1) | D.DataLoader([1], batch_sampler=[[0]], batch_size=2) | next(iter(D.DataLoader([None]))) | D.Subset([1], [3])[0] | D.RandomSampler([]) | D.ConcatDataset([])
    dist.Normal(0., -1.) | dist.Categorical(T.tensor([-1., 2.])) | dist.Categorical() | dist.Normal(0., 1.).log_prob(T.tensor(float("nan"))) | dist.Bernoulli(2.) | dist.Uniform(1., 0.) | dist.Normal(T.ones(2), T.ones(3)) | dist.Categorical(logits=T.tensor(1.)) | dist.MultivariateNormal(T.ones(2), -T.eye(2))
"""


def twice(T):
    y = (T.ones(2, requires_grad=True) ** 2).sum()
    y.backward()
    y.backward()


def twice_taped(T):
    x = T.ones(2, requires_grad=True)
    y = (x * x).exp()
    T.autograd.grad(y.sum(), x)
    T.autograd.grad(y.sum(), x)


def stale(T):
    x = T.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def stale_view(T):
    w = T.ones(2, 2, requires_grad=True)
    h = w * 1
    y = (h @ h).sum()
    h[0] = 0
    y.backward()


def unused(T):
    x, z = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
    T.autograd.grad((x * 2).sum(), [x, z])


def detached(T):
    with T.no_grad():
        y = T.ones(2, requires_grad=True) * 2
    y.sum().backward()


def in_place_on_view(T):
    x = T.ones(2, 2, requires_grad=True)
    x.view(4).add_(1)


def nan_found(T):
    with T.autograd.detect_anomaly(check_nan=True):
        x = T.zeros(1, requires_grad=True)
        (x.sqrt() * 0).sum().backward()


def copied(T):
    import copy
    return copy.deepcopy(T.ones(2, requires_grad=True) * 2)


def assign_early(T):
    class Net(T.nn.Module):
        def __init__(self):
            self.layer = T.nn.Linear(2, 2)
    return Net()


def calls():
    for block in (SHAPES, INDICES, DTYPES, TAPE, LAYERS, LOSSES, MODULES):
        for line in block.strip().splitlines():
            yield from (text.strip() for text in line.split(" | "))


def outcome(T, text):
    scope = {"T": T, "nn": T.nn, "F": T.nn.functional, "D": T.utils.data, "dist": T.distributions}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "accepted", repr(eval(text, globals() | scope))[:60]
        except Exception as error:
            return type(error).__name__, str(error).split("\n    recorded at")[0]
        finally:
            T.set_default_dtype(T.float32)


@pytest.mark.parametrize("text", calls())
def test_everyday_error(text):
    import rushlight
    import rushlight.distributions, rushlight.utils.data      # noqa: E401
    import torch.distributions, torch.utils.data              # noqa: E401
    ours, theirs = outcome(rushlight, text), outcome(torch, text)
    assert ours[0] == theirs[0], (ours, theirs)
    assert ours[0] == "accepted" or "invalid combination of arguments" in theirs[1] or same_phrase(ours[1], theirs[1]), (ours, theirs)
