"""torch.func against PyTorch: values, structures and errors of vmap, derivatives and functional_call."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight                # noqa: E402

RNG = np.random.default_rng(0)
X, Y, M = RNG.uniform(0.2, 2, (3, 4)), RNG.uniform(0.2, 2, (3, 4)), RNG.uniform(-1, 1, (4, 4))
S, IMAGES, W = RNG.uniform(-1, 1, (3, 5, 4)), RNG.uniform(-1, 1, (3, 2, 8, 8)), RNG.uniform(-1, 1, (4, 2, 3, 3))
ROWS = RNG.integers(0, 4, (3, 5))


def leaves(T, tree):
    if isinstance(tree, T.Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [leaf for k in tree for leaf in leaves(T, tree[k])]
    return [leaf for part in tree for leaf in leaves(T, part)] if isinstance(tree, (list, tuple)) else [tree]


def run(T, text):
    names = dict(T=T, F=T.nn.functional, nn=T.nn, f=T.func, vmap=T.func.vmap, grad=T.func.grad, np=np)
    for name, a in dict(x=X, y=Y, m=M, s=S, im=IMAGES, w=W).items():
        names[name] = T.tensor(a, dtype=T.float64)
    names["i"] = T.tensor(ROWS)
    return eval(text, names)


def same(text):
    ours, theirs = run(rushlight, text), run(torch, text)
    a, b = leaves(rushlight, ours), leaves(torch, theirs)
    assert len(a) == len(b)
    for p, q in zip(a, b):
        if not isinstance(q, torch.Tensor):
            assert p == q
            continue
        assert tuple(p.shape) == tuple(q.shape), text
        assert str(p.dtype) == str(q.dtype)
        assert p.requires_grad == q.requires_grad
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-7, atol=1e-9, err_msg=text)


BATCHED = """
x.sin() | x + 1 | 1 / x | x.sum() | x.sum(0) | x.mean(-1, keepdim=True) | x.amax() | x.argmax() | x.max(0) | x.sort() | x.topk(2)
x.cumsum(0) | x.cumprod(0) | x.prod() | x.var() | x.std(0) | x.softmax(0) | F.log_softmax(x, -1) | x.norm() | x.logsumexp(0)
x @ m | m @ x | x.dot(x) | T.outer(x, x) | T.einsum("i,ij->j", x, m) | x.unsqueeze(0) @ m | m + x | x[None] * x[:, None]
x.view(2, 2).t() | x.reshape(2, 2).permute(1, 0).reshape(-1) | x.flip(0) | x.roll(1) | x[1:] | x[::2] | x[-1] | x[[0, 2]] | x.repeat(2)
x.expand(2, 4) | T.cat([x, x]) | T.stack([x, x * 2], 1) | x.split(2) | x.chunk(2) | x.unbind() | T.where(x > 1, x, -x) | x.clamp(0.5, 1.5)
T.zeros(3) + x[0] | T.ones_like(x) | x.new_zeros(2) | T.full_like(x, 3.0) | T.arange(4) | T.eye(4) * x | x.diag() | T.tril(T.outer(x, x))
x.masked_fill(x > 1, 0.0) | x.to(T.float32) | x.long() | x > 1 | (x > 1) & (x < 1.5) | x.pow(2) | x ** 0.5 | 2 ** x | x.lerp(x * 2, 0.3)
F.relu(x - 1) | F.gelu(x) | F.silu(x) | F.layer_norm(x, (4,)) | F.normalize(x, dim=0) | F.one_hot(x.long(), 4) | F.pad(x, (1, 2))
F.mse_loss(x, x * 2) | F.cross_entropy(x, T.tensor(1)) | T.gather(x, 0, T.tensor([1, 1, 3])) | x.index_select(0, T.tensor([2, 0]))
x.clone().add_(1) | x.clone().mul_(x) | T.zeros_like(x).copy_(x) | x.detach() * x | x.clone().fill_(2.0) | x.clone().index_add_(0, T.tensor([1]), x[:1])
x.numel() * x | x.dim() * x | x.isnan() | x.nan_to_num() | x.diff() | F.softplus(x)
T.zeros_like(x).scatter(0, T.tensor([1, 0]), x[:2]) | T.zeros_like(x).scatter_add(0, T.tensor([1, 1, 0, 3]), x)
""".replace("\n", "|").split("|")


@pytest.mark.parametrize("body", [b.strip() for b in BATCHED if b.strip()])
def test_batched(body):
    same(f"vmap(lambda x: {body})(x)")
    same(f"vmap(lambda x: {body}, in_dims=1)(x.t())")


BATCHED_MORE = """
vmap(lambda a, b: a * b)(x, y)
vmap(lambda a, b: a * b, in_dims=(0, None))(x, y)
vmap(lambda a, b: a * b, in_dims=(None, 1), out_dims=1)(x[0], m)
vmap(T.dot)(x, y)
vmap(T.mv, (None, 0))(m, x)
vmap(T.mm, (0, None))(s, m)
vmap(T.mm, (None, 0))(s[0], T.stack([m, m * 2]))
vmap(T.matmul, (0, 0))(s, s.mT)
vmap(lambda a: (a, {"k": [a.sum(), a * 2]}), out_dims=(1, {"k": [0, -1]}))(x)
vmap(lambda a: (a * 2, T.ones(2)), out_dims=(0, None))(x)
vmap(lambda a: T.ones(2))(x)
vmap(lambda d: d["a"] * d["b"][0], in_dims=({"a": 0, "b": (None,)},))({"a": x, "b": (y[0],)})
vmap(lambda d: d[0] + d[1], in_dims=([0, 1],))([x, y.t()])
vmap(vmap(lambda a: a.sin().sum()))(s)
vmap(vmap(lambda a, b: a * b, (None, 0)), (0, None))(x, y)
vmap(vmap(T.dot, (None, 0)), (0, None))(x, y)
vmap(lambda a: a * 2, chunk_size=2)(x)
vmap(lambda a: (a * 2, a.sum()), chunk_size=1, out_dims=(1, 0))(x)
vmap(lambda a, k: a * k, (0, None))(x, 3)
vmap(lambda a, *, k: a * k)(x, k=2)
vmap(lambda a: F.conv2d(a.unsqueeze(0), w).squeeze(0))(im)
vmap(lambda a, b: F.conv2d(a.unsqueeze(0), b, padding=1), (0, 0))(im, T.stack([w, w * 2, w * 3]))
vmap(lambda b: F.conv2d(im, b, stride=2))(T.stack([w, w * 2]))
vmap(lambda a: F.max_pool2d(a, 2))(im)
vmap(lambda a: F.avg_pool2d(a.unsqueeze(0), 2))(im)
vmap(lambda a: F.interpolate(a.unsqueeze(0), scale_factor=2, mode="nearest"))(im)
vmap(lambda j: F.embedding(j, m))(i)
vmap(lambda j: m[j])(i)
vmap(lambda a, j: a.gather(0, j[:4]))(x, i)
vmap(lambda a, j: a[j])(x, i)
vmap(lambda j: m[j])(i[0])
vmap(lambda j: m[1:, j])(i[0])
vmap(lambda j: (m[j, j], m[j, None, 1:], m[..., j]))(i[0])
vmap(lambda a, j: a.clone().index_put_((j,), a[0] * 3))(x, i[0, :3])
vmap(vmap(lambda j: m[j]))(i)
vmap(lambda a, j: F.cross_entropy(a, j[0]))(x, i)
vmap(lambda a, j: F.nll_loss(a.log_softmax(-1), j[:5]))(s, i)
vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(s.unsqueeze(1))
vmap(lambda a: a.add_(1))(x.clone())
vmap(lambda a: a[0])(x)
vmap(lambda a: tuple(a.cummax(0)) + tuple(a.cummin(-1)))(x[0])
vmap(lambda a: a)(x)
vmap(lambda a: a.t(), out_dims=2)(s)
vmap(lambda a: a.sum(), in_dims=2)(s)
vmap(lambda a: T.stack([a[k] * k for k in range(4)]))(x)
vmap(lambda a: T.cumsum(a, 0).flip(0))(x)
vmap(lambda a: (m * a).sum(0) + m.sum(0))(x)
vmap(lambda a: a * float(m.sum()))(x)
vmap(lambda a: a if bool(m.sum() > 100) else -a)(x)
vmap(grad(lambda a: (a ** 3).sum()))(x)
vmap(grad(grad(lambda a: a ** 3)))(x[0])
vmap(grad(lambda a, j: F.cross_entropy(a, j[0])), (0, 0))(x, i)
vmap(grad(lambda p, a: (p @ a).tanh().sum()), (None, 0))(m, x)
vmap(grad(lambda p, a: (p["w"] @ a + p["b"]).sin().sum()), (None, 0))({"w": m, "b": x[0]}, y)
vmap(f.grad_and_value(lambda a: a.exp().sum()))(x)
vmap(f.jacrev(lambda a: a.outer(a)))(x)
vmap(f.hessian(lambda a: (a ** 3).prod()))(x)
vmap(lambda a: f.vjp(T.sin, a)[1](a))(x)
vmap(lambda a: f.jvp(T.sin, (a,), (a,)))(x)
(T.manual_seed(3), vmap(lambda a: T.bernoulli(a / 2), randomness="different")(x))[1:]
"""
DERIVED = """
grad(lambda a: (a ** 3).sum())(x)
grad(grad(lambda a: a ** 3))(x[0, 0])
grad(grad(grad(T.sin)))(x[0, 0])
grad(lambda a, b: (a * b).sum(), argnums=1)(x, y)
grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, y)
grad(lambda a, b: (a * b).sum(), argnums=-1)(x, y)
grad(lambda a: ((a * 2).sum(), a + 1), has_aux=True)(x)
grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [y]})
grad(lambda a: (a * a.detach()).sum())(x)
grad(lambda a: T.ones(()))(x)
grad(lambda a, *, k: (a * k).sum())(x, k=3)
grad(lambda a: vmap(lambda b: (b ** 3).sum())(a).sum())(x)
grad(lambda a: vmap(lambda b: b * a.sum())(a).sum())(x)
grad(lambda a: vmap(lambda b: b * b.detach())(a).sum())(x)
grad(lambda a: vmap(grad(lambda b: (b ** 3).sum()))(a).pow(2).sum())(x)
grad(lambda b: grad(lambda a: (vmap(T.sin)(x * a) * a).sum())(b))(x[0, 0])
grad(lambda a: vmap(lambda b, c: (b @ c).tanh(), (0, None))(x, a).sum())(m)
grad(lambda a: f.jvp(T.sin, (a,), (a,))[1].sum())(x)
grad(lambda a: f.vjp(T.sin, a)[1](a)[0].sum())(x)
f.grad_and_value(lambda a: a.exp().sum())(x)
f.grad_and_value(lambda a: (a.exp().sum(), {"k": a}), has_aux=True)(x)
f.vjp(T.sin, x)[0]
f.vjp(T.sin, x)[1](y)
f.vjp(lambda a, b: (a * b, {"k": a.sum()}), x, y)[1]((y, {"k": T.tensor(2.0, dtype=T.float64)}))
f.vjp(lambda a: (a.sin(), a), x, has_aux=True)[2]
f.jvp(T.sin, (x,), (y,))
f.jvp(lambda a, b: a * b, (x, y), (y, x))
f.jvp(lambda a: (a.sum(0), [a.long()]), (x,), (y,))
f.jvp(lambda a: (a @ m).softmax(-1), (x,), (y,))
f.jvp(lambda a: f.jvp(T.sin, (a,), (a,))[1], (x,), (y,))
f.jvp(grad(lambda a: (a ** 3).sum()), (x,), (y,))
f.jvp(lambda a: vmap(lambda b: b.prod())(a), (x,), (y,))
f.jvp(lambda a: T.ones(2, dtype=T.float64), (x,), (y,))
f.linearize(T.sin, x)[1](y)
f.linearize(lambda a, b: {"k": a * b}, x, y)[1](y, x)
f.jacrev(lambda a: a.sin())(x)
f.jacrev(lambda a: a.sum())(x)
f.jacrev(lambda a, b: (a * b, a.sum(0)), argnums=(0, 1))(x, y)
f.jacrev(lambda d: {"k": d["a"] * 2})({"a": x})
f.jacrev(lambda a: a.sin(), chunk_size=5)(x)
f.jacrev(lambda a: (a.sin(), a), has_aux=True)(x)
f.jacrev(f.jacrev(lambda a: a.sin()))(x[0])
f.jacfwd(lambda a: a.sin())(x)
f.jacfwd(lambda a: a.sum())(x)
f.jacfwd(lambda a, b: (a * b, a.sum(0)), argnums=(0, 1))(x, y)
f.jacfwd(lambda d: {"k": d["a"] * 2})({"a": x})
f.jacfwd(lambda a: (a.sin(), a), has_aux=True)(x)
f.jacfwd(f.jacrev(lambda a: (a ** 3).sum()))(x[0])
f.jacfwd(f.jacfwd(lambda a: (a ** 3).sum()))(x[0])
f.jacrev(f.jacfwd(lambda a: (a ** 3).sum()))(x[0])
f.jacrev(lambda a: vmap(lambda b: b.cumsum(0))(a))(x[:2, :2])
f.jacrev(lambda a: F.conv2d(a.unsqueeze(0), w))(im[0, :, :4, :4])
f.jacfwd(lambda a: F.conv2d(im, a).sum((2, 3)))(w)
f.hessian(lambda a: (a ** 3).sum())(x[0])
f.hessian(lambda a: a.prod())(x[0])
f.hessian(lambda a, b: (a @ b).sum(), argnums=(0, 1))(x[:2, :2], y[:2, :2])
f.hessian(lambda a: F.cross_entropy(a, i[0, :3]))(x)
f.functional_call(nn.Linear(4, 2).double(), {"weight": m[:2], "bias": m[0, :2]}, (x,))
f.functional_call(nn.Linear(4, 2, bias=False).double(), {"weight": m[:2], "bias": m[0, :2], "nothing": m}, (x,))
f.functional_call(nn.Linear(4, 2).double(), ({"weight": m[:2]}, {"bias": m[0, :2]}), x)
"""


@pytest.mark.parametrize("text", BATCHED_MORE.strip().split("\n"))
def test_batched_functions(text):
    same(text)


@pytest.mark.parametrize("text", DERIVED.strip().split("\n"))
def test_derivatives(text):
    same(text)


WRONG = """
vmap(lambda x: x.sum().item())(x)
vmap(lambda x: float(x.sum()))(x)
vmap(lambda x: x if x.sum() > 0 else -x)(x)
vmap(lambda x: x.numpy())(x)
vmap(lambda x: x.tolist())(x)
vmap(lambda x: x.nonzero())(x)
vmap(lambda x: x[x > 0])(x)
vmap(lambda x: x + T.rand(4))(x)
vmap(lambda x: x, randomness="bad")(x)
vmap(lambda x: m[0].copy_(x))(x)
vmap(lambda x: x, in_dims=None)(x)
vmap(lambda x: x, in_dims=(None,))(x)
vmap(lambda: 3)()
vmap(lambda x: 3)(x)
vmap(lambda x: (x, None))(x)
vmap(lambda x: x, in_dims=3)(x)
vmap(lambda x: x, in_dims="a")(x)
vmap(lambda x: x, in_dims=(0, 0))(x)
vmap(lambda x, y: x, in_dims=(0, 0))(x, 3)
vmap(lambda x, y: x)(x, m)
vmap(lambda x: x)(x[0, 0])
vmap(lambda x: x, out_dims=3)(x)
vmap(lambda x: x, out_dims=(0, 0))(x)
vmap(lambda x: (x, x), out_dims=(0,))(x)
vmap(lambda x: x, out_dims=None)(x)
vmap(lambda x: x, out_dims="a")(x)
vmap(lambda x: x, chunk_size=0)(x)
vmap(3)(x)
grad(lambda x: x)(x)
grad(lambda x: 3)(x)
grad(lambda x: x.sum(), argnums=2)(x)
grad(lambda x: x.sum(), argnums="a")(x)
grad(lambda x: x.sum(), argnums=())(x)
grad(lambda x: x.sum(), argnums=(0, 0))(x)
grad(lambda x: x.sum())(i)
grad(lambda x: x.sum())(3.0)
grad(lambda x: x.sum(), has_aux=True)(x)
f.vjp(lambda x: 3, x)
f.vjp(lambda x: x.long(), x)
f.vjp(lambda x: x, x)[1](m)
f.vjp(lambda x: (x, x), x)[1](x)
f.jvp(lambda x: x, (x,), (m,))
f.jvp(lambda x: x, x, x)
f.jvp(lambda x: x, (x,), (x, x))
f.jvp(lambda x: 3, (x,), (x,))
f.jvp(lambda x: T.ones(2), (x,), (x,), strict=True)
f.jacrev(lambda x: 3)(x)
f.jacrev(lambda x: x, chunk_size=0)(x)
f.functional_call(nn.Linear(4, 2), 3, x)
f.functional_call(nn.Linear(4, 2), ({"weight": m}, {"weight": m}), x)
f.functional_call(nn.Linear(4, 2), {"weight": m}, x, strict=True)
f.functional_call(nn.Linear(4, 2), {"no.thing": m}, x)
f.functional_call(nn.Linear(4, 2), {"weight": 3}, x)
f.stack_module_state([])
f.stack_module_state([nn.Linear(2, 2), nn.ReLU()])
f.stack_module_state([nn.Linear(2, 2), nn.Linear(2, 2).eval()])
"""


@pytest.mark.parametrize("text", WRONG.strip().split("\n"))
def test_errors(text):
    with pytest.raises(Exception) as theirs:
        run(torch, text)
    with pytest.raises(Exception) as ours:
        run(rushlight, text)
    assert type(ours.value).__name__ == type(theirs.value).__name__
    words = str(theirs.value).split(" 0x")[0].split("<lambda>")[-1].split("TreeSpec")[0]
    assert words[:60] in str(ours.value), str(ours.value)


RANDOM = ["T.rand(3)", "T.rand(5, 7)", "T.randn(3)", "T.randn(20)", "T.randint(0, 9, (4,))", "T.rand(3) + T.randn(2, 3)",
          "T.randperm(6)", "T.bernoulli(T.full((4,), 0.5))", "F.dropout(T.ones(40), 0.3)"]


@pytest.mark.parametrize("mode", ["same", "different"])
@pytest.mark.parametrize("body", RANDOM)
def test_random_streams(body, mode):
    text = f"(T.manual_seed(3), vmap(lambda x: x.sum() * 0 + {body}, randomness='{mode}')(x), T.rand(3))[1:]"
    if "dropout" not in body:
        return same(text)
    ours = run(rushlight, text)[0].numpy()
    assert (ours[0] == ours[1]).all() == (mode == "same")


def test_stacked_modules():
    def program(T):
        T.manual_seed(0)
        nets = [T.nn.Linear(4, 2) for _ in range(3)]
        params, buffers = T.func.stack_module_state(nets)
        call = lambda p, b, x: T.func.functional_call(nets[0], (p, b), (x,))
        y = T.vmap(call, in_dims=(0, 0, None))(params, buffers, T.tensor(X, dtype=T.float32))
        y.sum().backward()
        return [y.detach(), *[p.grad for p in params.values()]]
    for a, b in zip(program(rushlight), program(torch)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_outer_backward():
    def program(T):
        a, p = T.tensor(X, requires_grad=True), T.tensor(M, requires_grad=True)
        q = p * 2
        y = T.vmap(lambda b: ((q @ b).tanh() * (p.sum(0) * b.detach())).sum())(a * a)
        first = T.autograd.grad(y.pow(2).sum(), [a, p], create_graph=True)
        second = T.autograd.grad(sum(g.pow(2).sum() for g in first), [a, p])
        return [y.detach(), *[g.detach() for g in first], *second]
    for a, b in zip(program(rushlight), program(torch)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-9)


def test_batched_seeds():
    def program(T):
        a, b, unused = (T.tensor(X, requires_grad=True) for _ in range(3))
        y = (a * b).sin()
        seeds = T.tensor(RNG_SEEDS)
        got = T.autograd.grad(y, [a, b, unused], seeds, is_grads_batched=True, allow_unused=True, create_graph=True)
        assert got[2] is None
        (second,) = T.autograd.grad((got[0] * got[1]).sum(), a)
        return [g.detach() for g in got[:2]] + [second]
    for a, b in zip(program(rushlight), program(torch)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-9)


RNG_SEEDS = RNG.uniform(-1, 1, (5, 3, 4))
