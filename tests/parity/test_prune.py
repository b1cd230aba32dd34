"""Pruning, linear_cross_entropy, gather and scatter of modules against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)

BOTH = (torch, rushlight)


def network(T):
    T.manual_seed(3)
    return T.nn.Sequential(T.nn.Conv2d(2, 4, 3), T.nn.Flatten(), T.nn.Linear(16, 6))


def several(prune, T, m):
    prune.l1_unstructured(m[2], "weight", 0.3)
    prune.ln_structured(m[2], "weight", 2, n=1, dim=0)
    prune.random_unstructured(m[2], "weight", 10)


WAYS = {
    "identity": lambda p, T, m: p.identity(m[2], "weight"),
    "random": lambda p, T, m: p.random_unstructured(m[2], "weight", 0.4),
    "random number": lambda p, T, m: p.random_unstructured(m[0], "bias", 2),
    "l1": lambda p, T, m: p.l1_unstructured(m[2], "weight", 0.4),
    "l1 scores": lambda p, T, m: p.l1_unstructured(m[2], "bias", 2, importance_scores=T.arange(6.)),
    "nothing": lambda p, T, m: p.l1_unstructured(m[2], "weight", 0),
    "random channels": lambda p, T, m: p.random_structured(m[0], "weight", 0.5, dim=0),
    "channels by norm": lambda p, T, m: p.ln_structured(m[0], "weight", 2, n=2, dim=1 - 1),
    "columns by norm": lambda p, T, m: p.ln_structured(m[2], "weight", 0.25, n=float("inf"), dim=-1),
    "mask": lambda p, T, m: p.custom_from_mask(m[2], "bias", T.tensor([1, 0, 1, 0, 0, 1])),
    "several": several,
    "global": lambda p, T, m: p.global_unstructured([(m[0], "weight"), (m[2], "weight")], p.L1Unstructured, amount=0.3),
    "global twice": lambda p, T, m: [p.global_unstructured([(m[0], "weight"), (m[2], "weight")], p.RandomUnstructured,
                                                           amount=20) for _ in range(2)],
}


def pruned(T, way, then_remove):
    from importlib import import_module
    prune = import_module(f"{T.__name__}.nn.utils.prune")
    m = network(T)
    WAYS[way](prune, T, m)
    x = T.arange(32.).reshape(1, 2, 4, 4) / 32
    y = m(x)
    y.square().sum().backward()
    grads = {n: p.grad.numpy() for n, p in m.named_parameters()}
    assert prune.is_pruned(m)
    if then_remove:
        for part in (m[0], m[2]):
            for name in ("weight", "bias"):
                if hasattr(part, name + "_mask"):
                    prune.remove(part, name)
        assert not prune.is_pruned(m)
    return y.detach().numpy(), {k: v.numpy() for k, v in m.state_dict().items()}, grads, m(x).detach().numpy()


@pytest.mark.parametrize("then_remove", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_pruning(way, then_remove):
    theirs, ours = (pruned(T, way, then_remove) for T in BOTH)
    for a, b in zip(theirs, ours, strict=True):
        if isinstance(a, dict):
            assert list(a) == list(b)
            a, b = list(a.values()), list(b.values())
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(y, x, 1e-4, 1e-5)


WRONG = {
    "amount": lambda p, m: p.l1_unstructured(m[2], "weight", 1.5),
    "negative": lambda p, m: p.l1_unstructured(m[2], "weight", -1),
    "too many": lambda p, m: p.l1_unstructured(m[2], "bias", 7),
    "no number": lambda p, m: p.l1_unstructured(m[2], "bias", "x"),
    "vector": lambda p, m: p.ln_structured(m[2], "bias", 1, 2, 0),
    "dim": lambda p, m: p.ln_structured(m[2], "weight", 1, 2, 5),
    "not pruned": lambda p, m: p.remove(m[2], "weight"),
    "structured": lambda p, m: p.global_unstructured([(m[2], "weight")], p.LnStructured, amount=1, n=1),
    "scores": lambda p, m: p.l1_unstructured(m[2], "bias", 1, importance_scores=m[2].weight),
}


@pytest.mark.parametrize("name", WRONG)
def test_words_of_errors(name):
    from importlib import import_module
    said = []
    for T in BOTH:
        m = network(T)
        with pytest.raises(Exception) as caught:
            WRONG[name](import_module(f"{T.__name__}.nn.utils.prune"), m)
        said.append((type(caught.value).__name__, str(caught.value)[:60]))
        assert sorted(m.state_dict()) == sorted(network(T).state_dict())
    assert said[0] == said[1]


# -- linear_cross_entropy -----------------------------------------------------------------------------
@pytest.mark.parametrize("out_features", [(), (2, 3)])
@pytest.mark.parametrize("options", [dict(), dict(reduction="sum", bias=True), dict(reduction="none", label_smoothing=.1),
                                     dict(ignore_index=1, bias=True), dict(weight=True)])
@pytest.mark.parametrize("probabilities", [False, True])
def test_linear_cross_entropy(out_features, options, probabilities):
    if probabilities and "ignore_index" in options:
        return
    out = []
    for T in BOTH:
        T.manual_seed(1)
        given = options | ({"weight": T.tensor([1., 2, .5, 1, 1])} if "weight" in options else {})
        loss = T.nn.LinearCrossEntropyLoss(4, 5, out_features=out_features, **given)
        x = T.randn(6, 4, requires_grad=True)
        target = T.randn(6, 5, *out_features).softmax(1) if probabilities else T.randint(0, 5, (6, *out_features))
        y = loss(x, target)
        y.sum().backward()
        out.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in loss.parameters())])
        assert list(loss.state_dict()) == [*(["weight"] if "weight" in options else []), "linear.weight",
                                           *(["linear.bias"] if options.get("bias") else [])]
    for a, b in zip(*out, strict=True):
        np.testing.assert_allclose(b, a, 1e-5, 1e-6)


@pytest.mark.parametrize("shapes", [((2, 3, 4), (5, 4)), ((3,), (4,)), ((3,), (4, 5)), ((3,), (2, 3, 3))])
def test_linear_cross_entropy_refuses(shapes):
    said = []
    for T in BOTH:
        with pytest.raises(RuntimeError) as caught:
            T.nn.functional.linear_cross_entropy(T.ones(shapes[0]), T.ones(shapes[1]), T.tensor(0))
        said.append(str(caught.value))
    assert said[0] == said[1]


# -- parallel ----------------------------------------------------------------------------------------
def test_replicas_share_parameters():
    nn, net = rushlight.nn, network(rushlight)
    replicas = nn.parallel.replicate(net, ["cpu", "cpu"])
    x = rushlight.randn(4, 2, 4, 4)
    parts = nn.parallel.scatter({"x": x, "k": 3}, ["cpu", "cpu"])
    assert [p["k"] for p in parts] == [3, 3]
    y = nn.parallel.gather(nn.parallel.parallel_apply(replicas, [p["x"] for p in parts]), "cpu")
    assert rushlight.allclose(y, net(x))
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert nn.parallel.gather([{"a": x[0], "b": (x, x)}] * 2)["b"][1].shape == (8, 2, 4, 4)


# -- writes to saved values --------------------------------------------------------------------------
def test_saved_values_may_be_overwritten():
    out = []
    for T in BOTH:
        a = T.tensor([1., 2, 3], requires_grad=True)
        with T.autograd.graph.allow_mutation_on_saved_tensors():
            b = a * 2
            y = (b ** 2).sum()
            b.zero_()
            y.backward()
        out.append(a.grad.tolist())
        with pytest.raises(RuntimeError), T.autograd.graph.allow_mutation_on_saved_tensors():
            with T.autograd.graph.allow_mutation_on_saved_tensors():
                pass
        with T.autograd.graph.allow_mutation_on_saved_tensors():
            y = (a ** 2).sum()
        with pytest.raises(AssertionError, match="Trying to backward outside"):
            y.backward()
    assert out[0] == out[1]


# -- interpolate(antialias=True) ----------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("given", [dict(size=(4, 5)), dict(size=(20, 3)), dict(size=(9, 11)), dict(scale_factor=0.4),
                                   dict(scale_factor=(1.7, 0.5)), dict(size=(5, 4), align_corners=True),
                                   dict(scale_factor=0.3, recompute_scale_factor=True)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_antialias(mode, given, dtype):
    given = given if mode != "lanczos" else {k: v for k, v in given.items() if k != "align_corners"}
    out = []
    for T in BOTH:
        T.manual_seed(0)
        x = (T.rand(2, 3, 9, 11, dtype=T.float64) * 255).to(getattr(T, dtype))
        x = x.requires_grad_() if dtype != "uint8" else x
        kwargs = {"align_corners": False} | given
        y = T.nn.functional.interpolate(x, mode=mode, antialias=True, **kwargs)
        if dtype != "uint8":
            (y * T.arange(y.numel()).reshape(y.shape)).sum().backward()
        out.append([y.detach().numpy()] + ([x.grad.numpy()] if dtype != "uint8" else []))
    for a, b in zip(*out, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        if dtype == "uint8":
            assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
        else:
            scale = np.abs(a).max()
            np.testing.assert_allclose(b / scale, a / scale, 0, 1e-5 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("given", [dict(mode="nearest", antialias=True), dict(mode="lanczos", align_corners=False),
                                   dict(mode="lanczos", align_corners=True, antialias=True)])
def test_antialias_refuses(given):
    said = []
    for T in BOTH:
        with pytest.raises(ValueError) as caught:
            T.nn.functional.interpolate(T.ones(1, 1, 4, 4), size=2, **given)
        said.append(str(caught.value))
    assert said[0] == said[1]
