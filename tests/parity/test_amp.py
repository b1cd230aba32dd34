"""Mixed precision against PyTorch: which dtypes operations compute in, values, gradients, loss scaling."""
from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402

RNG = np.random.default_rng(5)
X, SQUARE = RNG.uniform(0.1, 1, (3, 4)), RNG.uniform(0.1, 1, (4, 4)) + 4 * np.eye(4)
SPD, VECTOR, STACK = SQUARE @ SQUARE.T, RNG.uniform(0.1, 1, 4), RNG.uniform(0.1, 1, (2, 3, 4))
LINE, IMAGE, CUBE = (RNG.uniform(0.1, 1, (1, 2, *[6] * n)) for n in (1, 2, 3))
TAPS = {n: RNG.uniform(-1, 1, (2, 2, *[3] * n)) for n in (1, 2, 3)}
GRID2, GRID3 = RNG.uniform(-1, 1, (1, 2, 2, 2)), RNG.uniform(-1, 1, (1, 2, 2, 2, 3))
CLASSES, SIGNS = np.array([0, 1, 2]), np.array([1.0, -1.0, 1.0])


def f(name, *arrays, **options):
    """A case: a function of torch or of nn.functional, of arrays."""
    def call(T, dtype):
        room = T.nn.functional if hasattr(T.nn.functional, name) else T
        for part in name.split("."):
            room = getattr(room, part)
        return room(*[tensor(T, a, dtype) for a in arrays], **options)
    call.__name__ = name
    return call


def tensor(T, a, dtype):
    if isinstance(a, (tuple, list)):
        return type(a)(tensor(T, part, dtype) for part in a)
    if not isinstance(a, np.ndarray):
        return a
    return T.tensor(a) if a.dtype.kind in "ib" else T.tensor(a, dtype=getattr(T, dtype))


CASES = [
    f("mm", X, SQUARE), f("matmul", X, SQUARE), f("matmul", VECTOR, VECTOR), f("bmm", STACK, STACK.transpose(0, 2, 1)),
    f("mv", SQUARE, VECTOR), f("dot", VECTOR, VECTOR), f("vdot", VECTOR, VECTOR), f("addmm", X, X, SQUARE),
    f("addmv", VECTOR, SQUARE, VECTOR), f("addr", SQUARE, VECTOR, VECTOR), f("inner", X, X),
    f("addbmm", SQUARE[:3, :3], STACK, STACK.transpose(0, 2, 1)),
    f("baddbmm", STACK[:, :, :3], STACK, STACK.transpose(0, 2, 1)), f("outer", VECTOR, VECTOR),
    f("nn.functional.linear", X, SQUARE, VECTOR), f("einsum", "ij,jk->ik", X, SQUARE), f("einsum", "ij->i", X),
    f("tensordot", X, SQUARE, dims=1), f("chain_matmul", X, SQUARE), f("linalg.multi_dot", [X, SQUARE, SQUARE]),
    f("linalg.vecdot", X, X), f("matrix_power", SQUARE, 2), f("kron", X, X), f("trace", SQUARE),
    f("prod", X), f("prod", X, 0), f("cumprod", X, 0), f("sum", X), f("softmax", X, 0), f("cumsum", X, 0),
    f("logsumexp", X, 0), f("cov", X), f("norm", X), f("layer_norm", X, (4,)), f("gelu", X), f("normalize", X),
    f("group_norm", IMAGE, 1), f("bilinear", X, X, STACK[:, :, :1].repeat(4, 2)[:, :1].repeat(4, 1)),
    *[f(f"conv{n}d", x, TAPS[n]) for n, x in ((1, LINE), (2, IMAGE), (3, CUBE))],
    *[f(f"conv_transpose{n}d", x, TAPS[n]) for n, x in ((1, LINE), (2, IMAGE), (3, CUBE))],
    f("scaled_dot_product_attention", STACK, STACK, STACK), f("prelu", X, VECTOR),
    *[f(name, X, X) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "kl_div",
                                 "binary_cross_entropy_with_logits", "poisson_nll_loss", "hinge_embedding_loss",
                                 "soft_margin_loss", "multilabel_soft_margin_loss", "cross_entropy")],
    f("cross_entropy", X, CLASSES), f("nll_loss", X, CLASSES), f("gaussian_nll_loss", X, X, X),
    f("cosine_embedding_loss", X, X, SIGNS), f("margin_ranking_loss", VECTOR[:3], VECTOR[1:], SIGNS),
    f("triplet_margin_loss", X, X, X), f("multi_margin_loss", X, CLASSES),
    f("avg_pool2d", IMAGE, 2), f("avg_pool3d", CUBE, 2), f("max_pool2d", IMAGE, 2), f("max_pool3d", CUBE, 2),
    f("adaptive_avg_pool2d", IMAGE, 2), f("adaptive_avg_pool3d", CUBE, 2), f("adaptive_max_pool3d", CUBE, 2),
    f("lp_pool2d", IMAGE, 2, 2), f("grid_sample", IMAGE, GRID2, align_corners=False),
    f("grid_sample", CUBE, GRID3, align_corners=False),
    *[f("nn.functional.pad", x, (1, 1) * n, mode) for n, x in ((1, LINE), (2, IMAGE), (3, CUBE))
      for mode in ("reflect", "replicate", "circular", "constant")],
    f("interpolate", IMAGE, scale_factor=2, mode="bilinear", align_corners=False),
    f("unfold", IMAGE, 2), f("fold", RNG.uniform(0.1, 1, (1, 8, 4)), (3, 3), 2), f("cosine_similarity", X, X),
    f("quantile", X, 0.5), f("nanquantile", X, 0.5), f("cdist", X, X), f("pairwise_distance", X, X),
    *[f(f"linalg.{name}", SPD) for name in ("cholesky", "inv", "svdvals", "eigvalsh", "cond", "matrix_norm",
                                            "vector_norm")],
    f("linalg.solve", SQUARE, SQUARE), f("cholesky_inverse", SPD), f("inverse", SPD),
    f("index_copy", X, 0, CLASSES, X), f("stack", [X, X]), f("addcmul", X, X, X),
]
IDS = [f"{c.__name__}{n}" for n, c in enumerate(CASES)]


def outcome(T, case, dtype, to):
    try:
        with T.autocast("cpu", dtype=getattr(T, to)):
            y = case(T, dtype)
    except (RuntimeError, NotImplementedError, IndexError, ValueError) as error:
        return error
    return y


@pytest.mark.parametrize("to", ["bfloat16", "float16"])
@pytest.mark.parametrize("given", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_dtype_and_value(case, given, to):
    theirs = outcome(torch, case, given, to)
    if isinstance(theirs, Exception):
        pytest.skip(f"PyTorch refuses: {str(theirs)[:60]}")
    ours = outcome(rushlight, case, given, to)
    assert str(ours.dtype) == str(theirs.dtype)
    low = str(theirs.dtype) == "torch.bfloat16" or "bfloat16" in (given, to) and given != "float64"
    np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=4e-2 if low else 5e-3,
                               atol=5e-2 if low else 5e-3)


def layers(T):
    nn = T.nn
    return {"lstm": nn.LSTM(4, 5, 2), "gru": nn.GRU(4, 5, bidirectional=True), "rnn": nn.RNN(4, 5),
            "lstm_cell": nn.LSTMCell(4, 5), "gru_cell": nn.GRUCell(4, 5), "rnn_cell": nn.RNNCell(4, 5),
            "attention": nn.MultiheadAttention(4, 2), "encoder": nn.TransformerEncoderLayer(4, 2, 8, 0.0),
            "norm": nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 2))}


def flat(y):
    return [y] if not isinstance(y, tuple) else [x for part in y for x in flat(part)]


def run_layer(T, name):
    T.manual_seed(1)
    layer = layers(T)[name]
    x = T.tensor(STACK if "cell" not in name else X, dtype=T.float32).requires_grad_()
    given = (x, x, x) if name == "attention" else (x,)
    with T.autocast("cpu"):
        outs = flat(layer(*given))
    sum(y.float().pow(2).sum() for y in outs).backward()
    return outs, [x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("name", layers(torch))
def test_layers(name):
    (ours, our_grads), (theirs, their_grads) = run_layer(rushlight, name), run_layer(torch, name)
    assert [str(y.dtype) for y in ours] == [str(y.dtype) for y in theirs]
    assert [str(g.dtype) for g in our_grads] == [str(g.dtype) for g in their_grads]
    for a, b in zip([*ours, *our_grads], [*theirs, *their_grads]):
        a, b = a.detach().float().numpy(), b.detach().float().numpy()
        np.testing.assert_allclose(a, b, rtol=5e-2, atol=5e-2 * max(1, np.abs(b).max()))


def cached(T):
    """Weights are cast once in a block: the gradient of two uses is summed in bfloat16."""
    w = T.linspace(0.1, 1.7, 9).reshape(3, 3).requires_grad_()
    x, seen = T.linspace(-1, 1, 6).reshape(2, 3), []
    with T.autocast("cpu"):
        before = x @ w
        (before.sum() + 1e-3 * (x @ w * 1.01).sum()).backward()
        seen.append(w.grad.clone())
        with T.no_grad():
            w.add_(1)
        seen.append(x @ w - before)
        with T.autocast("cpu", enabled=False):
            seen.append(x @ w)
        with T.no_grad():
            low = x @ w
        seen.append(low)
    with T.autocast("cpu", cache_enabled=False):
        seen.append(x @ w)
    return [(str(y.dtype), y.requires_grad, y.detach().float().tolist()) for y in seen]


def test_weights_are_cast_once():
    for a, b in zip(cached(rushlight), cached(torch)):
        assert a[:2] == b[:2]
        np.testing.assert_allclose(a[2], b[2], rtol=1e-2, atol=1e-2)


def custom(T):
    amp, kinds = T.amp, []

    class Double(T.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=T.float32)
        def forward(ctx, x, w):
            kinds.append((x.dtype, T.is_autocast_enabled("cpu"), (x @ w).dtype))
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            kinds.append((g.dtype, T.is_autocast_enabled("cpu"), (g @ w).dtype))
            return g @ w.t(), x.t() @ g

    class Plain(Double):
        @staticmethod
        @amp.custom_fwd(device_type="cpu")
        def forward(ctx, x, w):
            kinds.append((x.dtype, T.is_autocast_enabled("cpu"), (x @ w).dtype))
            ctx.save_for_backward(x, w)
            return x @ w
    x, w = (T.ones(2, 2, dtype=d, requires_grad=True) for d in (T.bfloat16, T.float32))
    for function in (Double, Plain):
        with T.autocast("cpu"):
            y = function.apply(x, w)
        y.float().sum().backward()
    return str(kinds), x.grad.tolist(), w.grad.tolist()


def test_custom_functions():
    assert custom(rushlight) == custom(torch)


def switches(T):
    said = [T.is_autocast_enabled(), T.is_autocast_enabled("cpu"), T.get_autocast_dtype("cpu"),
            T.get_autocast_dtype("cuda"), T.is_autocast_cache_enabled(), T.amp.is_autocast_available("cpu")]
    T.set_autocast_enabled("cpu", True)
    T.set_autocast_dtype("cpu", T.float16)
    said += [T.is_autocast_cpu_enabled(), (T.ones(2, 2) @ T.ones(2, 2)).dtype, T.get_autocast_cpu_dtype()]
    T.set_autocast_dtype("cpu", T.bfloat16)
    T.set_autocast_enabled("cpu", False)
    said.append((T.ones(2, 2) @ T.ones(2, 2)).dtype)

    @T.autocast("cpu", dtype=T.float16)
    def decorated(x):
        return (x @ x).dtype
    said += [decorated(T.ones(2, 2)), T.is_autocast_enabled("cpu")]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with T.autocast("cuda"):
            said.append(T.is_autocast_enabled("cuda"))
        with T.autocast("cpu", dtype=T.float32):
            said.append(T.is_autocast_enabled("cpu"))
        T.cuda.amp.autocast(), T.cpu.amp.autocast(), T.cuda.amp.GradScaler()
    said += [(w.category.__name__, str(w.message)) for w in heard]
    for bad in (3, "nothing"):
        with pytest.raises((ValueError, RuntimeError)) as error:
            T.autocast(bad)
        said.append(str(error.value))
    return [str(s) for s in said]


def test_switches_warnings_and_errors():
    assert switches(rushlight) == switches(torch)


def scaled(T):
    w = T.nn.Parameter(T.ones(3))
    opt = T.optim.SGD([w], 0.1)
    scaler, seen = T.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2), []
    for k in range(7):
        opt.zero_grad()
        loss = (w * (float("inf") if k == 3 else k + 1.0)).sum()
        scaler.scale(loss).backward()
        if k % 2:
            scaler.unscale_(opt)
            seen.append(w.grad.tolist())
        scaler.step(opt)
        scaler.update()
        seen.append((scaler.get_scale(), np.round(w.tolist(), 5).tolist(), scaler.state_dict()))
    other = T.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    for call in (lambda: scaler.step(opt), lambda: other.unscale_(opt), lambda: other.load_state_dict({}),
                 lambda: scaler.scale(3), lambda: T.amp.GradScaler("cpu", growth_factor=1.0)):
        try:
            call()
        except (AssertionError, RuntimeError, ValueError) as error:
            seen.append((type(error).__name__, str(error)[:60]))
    off = T.amp.GradScaler("cpu", enabled=False)
    scaler.update(3.0)
    return str([*seen, other.state_dict(), off.state_dict(), off.get_scale(), off.is_enabled(), scaler.get_scale(),
                scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval(),
                [x.item() for x in scaler.scale([T.ones(()), T.ones(())])]])


def test_loss_scaling():
    assert scaled(rushlight) == scaled(torch)
