"""Attention with functions of scores and indices, and causal masks as tensors, against PyTorch's."""
import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn.attention import bias as their_bias, flex_attention as theirs

import rushlight
from rushlight.nn.attention import bias as our_bias, flex_attention as ours

B, H, L, S, E = 2, 4, 33, 40, 8
BOTH = ((torch, theirs), (rushlight, ours))


def scores_of(T):
    """Functions of a score, by name; each may read tensors that need gradients."""
    slopes = T.exp2(-T.arange(1, H + 1) * 8.0 / H)
    table = T.linspace(-1, 1, 2 * S + L).requires_grad_()
    bias = T.linspace(-2, 2, B * H * L * S).reshape(B, H, L, S).requires_grad_()
    return {
        "noop": (lambda s, b, h, q, k: s, ()),
        "alibi": (lambda s, b, h, q, k: s + slopes[h] * (k - q), ()),
        "soft cap": (lambda s, b, h, q, k: 5 * T.tanh(s / 5), ()),
        "relative": (lambda s, b, h, q, k: s + table[q - k + S], (table,)),
        "bias of each": (lambda s, b, h, q, k: s + bias[b, h, q, k], (bias,)),
        "rows of rows": (lambda s, b, h, q, k: s * bias[b][h][q][k], (bias,)),
        "causal": (lambda s, b, h, q, k: T.where(q >= k, s, -math.inf), ()),
        "heads differ": (lambda s, b, h, q, k: T.where(h % 2 == 0, s, s * 0.5), ()),
    }


def masks_of(T):
    documents = T.arange(S) // 9
    lengths = T.tensor([17, 40])
    causal = lambda b, h, q, k: q >= k
    near = lambda b, h, q, k: (q - k).abs() <= 7
    module = theirs if T is torch else ours
    return {
        "causal": causal,
        "near": near,
        "documents": lambda b, h, q, k: documents[q] == documents[k],
        "lengths": lambda b, h, q, k: k < lengths[b],
        "nothing for some": lambda b, h, q, k: k > q + 20,
        "of heads": lambda b, h, q, k: (k % 4) != h,
        "both": module.and_masks(causal, near),
        "either": module.or_masks(near, lambda b, h, q, k: k < 3),
        "all": module.noop_mask,
    }


def dense(q, k, v, score_mod=None, block_mask=None, scale=None, enable_gqa=False, return_lse=False):
    """The definition by PyTorch's operations: its own CPU implementation has no gradient."""
    k, v = (t.repeat_interleave(H // t.shape[1], 1) for t in (k, v))
    scores = q @ k.mT * (E ** -0.5 if scale is None else scale)
    indices = [torch.arange(n) for n in scores.shape]
    if score_mod:
        scores = each(score_mod, 1)(scores, *indices)
    if block_mask is not None:
        scores = torch.where(each(block_mask.mask_mod, 0)(*indices), scores, -math.inf)
    out = torch.nan_to_num(torch.softmax(scores, -1)) @ v
    return (out, torch.logsumexp(scores, -1)) if return_lse else out


def each(f, scores):
    for axis in (3, 2, 1, 0):
        f = torch.vmap(f, (0,) * scores + tuple(0 if i == axis else None for i in range(4)))
    return f


def attend(T, module, change, mask, heads=H, **how):
    rng = np.random.default_rng(0)
    made = [rng.standard_normal(s).astype(np.float32) for s in ((B, H, L, E), (B, heads, S, E), (B, heads, S, E))]
    q, k, v = (T.from_numpy(a).requires_grad_() for a in made)
    score, extra = scores_of(T)[change] if change else (None, ())
    block = mask and module.create_block_mask(masks_of(T)[mask], B, H, L, S, device="cpu", BLOCK_SIZE=16)
    with T.no_grad():
        plain = module.flex_attention(q.detach(), k.detach(), v.detach(), score, block, enable_gqa=heads != H, **how)
    attention = dense if T is torch else module.flex_attention
    out = attention(q, k, v, score, block, enable_gqa=heads != H, **how)
    outs = out if isinstance(out, tuple) else (out,)
    (outs[0] * T.linspace(-1, 1, outs[0].numel()).reshape(outs[0].shape)).sum().backward()
    return [x.detach().numpy() for x in (*outs, *(plain if isinstance(plain, tuple) else (plain,)), q.grad, k.grad, v.grad, *(e.grad for e in extra))]


def same(change=None, mask=None, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [attend(T, module, change, mask, **how) for T, module in BOTH]
    for theirs_, ours_ in zip(*found, strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("change", scores_of(rushlight))
def test_scores(change):
    same(change)


@pytest.mark.parametrize("mask", masks_of(rushlight))
def test_masks(mask):
    same(None, mask)


@pytest.mark.parametrize("change, mask", [("alibi", "causal"), ("relative", "lengths"), ("soft cap", "documents")])
def test_scores_and_masks(change, mask):
    same(change, mask, return_lse=True)


def test_grouped_heads_and_scale():
    same("alibi", "causal", heads=2, scale=0.3)
    same(None, None, heads=1)


def test_logarithms_of_sums():
    same(None, "nothing for some", return_lse=True)


@pytest.mark.parametrize("mask", masks_of(rushlight))
@pytest.mark.parametrize("size", [16, (8, 32), 128])
def test_blocks(mask, size):
    a, b = (m.create_block_mask(masks_of(T)[mask], B, H, L, S, device="cpu", BLOCK_SIZE=size) for T, m in BOTH)
    for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices",
                 "full_q_num_blocks", "full_q_indices"):
        x, y = getattr(a, name), getattr(b, name)
        assert str(x.dtype) == str(y.dtype).replace("rushlight", "torch")
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    assert (a.shape, a.sparsity(), a.BLOCK_SIZE, a.numel()) == (b.shape, pytest.approx(b.sparsity()), b.BLOCK_SIZE,
                                                               b.numel())
    np.testing.assert_array_equal(a.to_dense().numpy(), b.to_dense().numpy())
    assert str(a) == str(b) and repr(a) == repr(b)
    assert a[1].shape == b[1].shape and str(a[:, 1:3]) == str(b[:, 1:3])


def test_shorter_masks():
    masks = [m.create_block_mask(lambda b, h, q, k: q >= k, B, H, 64, 64, device="cpu", BLOCK_SIZE=16)
             for _, m in BOTH]
    assert str(masks[0]._adjust(32, 48)) == str(masks[1]._adjust(32, 48))
    assert str(masks[0][1]) == str(masks[1][1])


def test_created_masks():
    for name in ("causal", "of heads"):
        np.testing.assert_array_equal(*(m.create_mask(masks_of(T)[name], B, H, L, S, device="cpu").numpy()
                                        for T, m in BOTH))
    np.testing.assert_array_equal(*(m.create_mask(scores_of(T)["causal"][0], B, H, L, S, device="cpu").numpy()
                                 for T, m in BOTH))


def test_blocks_alone_say_what_is_seen():
    counts, places = rushlight.tensor([[[1, 2]]]).int(), rushlight.tensor([[[[1, 0], [0, 1]]]]).int()
    mask = ours.BlockMask.from_kv_blocks(counts, places, BLOCK_SIZE=2)
    q = rushlight.randn(1, 1, 4, 8)
    dense = rushlight.ones(4, 4, dtype=rushlight.bool)
    dense[:2, :2] = False
    want = rushlight.nn.functional.scaled_dot_product_attention(q, q, q, dense)
    assert rushlight.allclose(ours.flex_attention(q, q, q, block_mask=mask), want)


@pytest.mark.parametrize("call", [
    lambda T, m, q: m.flex_attention(q[0], q[0], q[0]),
    lambda T, m, q: m.flex_attention(q, q[:, :2], q[:, :2]),
    lambda T, m, q: m.flex_attention(q, q[..., :4], q),
    lambda T, m, q: m.flex_attention(q, q[:, :3], q[:, :3], enable_gqa=True),
    lambda T, m, q: m.flex_attention(q, q, q, block_mask=m.create_block_mask(m.noop_mask, 1, 1, 64, 64, device="cpu")),
    lambda T, m, q: m.create_block_mask(3, 1, 1, 4, 4, device="cpu"),
    lambda T, m, q: m.and_masks(3),
])
def test_refusals(call):
    errors = []
    for T, m in BOTH:
        with pytest.raises(Exception) as error:
            call(T, m, T.ones(B, H, L, E))
        errors.append(error.value)
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0])[:40] == str(errors[1])[:40]


@pytest.mark.parametrize("name", ["causal_upper_left", "causal_lower_right"])
@pytest.mark.parametrize("l, s", [(5, 9), (7, 7), (33, 40)])
def test_causal_biases(name, l, s):
    found = []
    for T, m in ((torch, their_bias), (rushlight, our_bias)):
        q, k = T.linspace(-1, 1, 2 * l * 8).reshape(2, l, 8), T.linspace(-2, 1, 2 * s * 8).reshape(2, s, 8)
        q.requires_grad_()
        mask = getattr(m, name)(l, s)
        out = T.nn.functional.scaled_dot_product_attention(q, k, k.sin(), attn_mask=mask)
        out.square().sum().backward()
        found.append((out.detach().numpy(), q.grad.numpy(), repr(mask), isinstance(mask, T.Tensor)))
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5) if isinstance(a, np.ndarray) else None
        assert isinstance(a, np.ndarray) or a == b


def numbers(T, *shape):
    return T.sin(T.arange(math.prod(shape)) * 1.7).reshape(shape).requires_grad_()


@pytest.mark.parametrize("n, how", [(1, (2, 1, 1, 2)), (2, (1, 1, 2, 1)), (2, (2, (1, 0), 1, 1)), (3, (1, 0, 1, 1))])
def test_gradients_of_convolutions(n, how):
    found = []
    for T in (torch, rushlight):
        groups = how[3]
        x, w = numbers(T, 2, 4, *[9] * n), numbers(T, 6, 4 // groups, *[3] * n)
        g = getattr(T.nn.functional, f"conv{n}d")(x, w, None, *how).detach().cos().requires_grad_()
        of_x = getattr(T.nn.grad, f"conv{n}d_input")(x.shape, w, g, *how)
        of_w = getattr(T.nn.grad, f"conv{n}d_weight")(x, w.shape, g, *how)
        (of_x.square().sum() + of_w.square().sum()).backward()
        found.append([t.detach().numpy() for t in (of_x, of_w, x.grad, w.grad, g.grad)])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("shapes, offs", [(((6, 8), (3, 8, 16)), [2, 3, 6]), (((3, 2, 8), (3, 8, 16)), None),
                                          (((8, 24), (24, 8)), [8, 8, 24]), (((3, 2, 8), (8, 24)), [4, 12, 24])])
def test_grouped_products(shapes, offs):
    found = []
    for T in (torch, rushlight):
        a, b = (numbers(T, *s).detach().requires_grad_() for s in shapes)
        ends = None if offs is None else T.tensor(offs, dtype=T.int32)
        out = T.nn.functional.grouped_mm(a, b, offs=ends)
        out.square().sum().backward()
        found.append([t.detach().numpy() for t in (out, a.grad, b.grad)])
    for x, y in zip(*found):
        np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-4)


def test_fractional_pools_with_indices():
    for n in (2, 3):
        x = rushlight.randn(2, 3, *[12] * n)
        chances = rushlight.rand(2, 3, n)
        functional = rushlight.nn.functional
        found = getattr(functional, f"fractional_max_pool{n}d_with_indices")(x, 2, 5, _random_samples=chances)
        want = getattr(functional, f"fractional_max_pool{n}d")(x, 2, 5, return_indices=True, _random_samples=chances)
        assert all(rushlight.equal(a, b) for a, b in zip(found, want))
