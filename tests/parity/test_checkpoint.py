"""Activation checkpointing: gradients against PyTorch and against the same program without it."""
from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
from rushlight.runtime import memory     # noqa: E402


def net(T, dropout=0.3):
    T.manual_seed(2)
    nn = T.nn
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(dropout), nn.Linear(8, 8), nn.BatchNorm1d(8),
                         nn.Tanh(), nn.Linear(8, 3))


def gradients(T, way, autocast=False):
    """Loss and gradients of two steps of backward with one graph each, and the generator's state after."""
    from importlib import import_module
    ways = import_module(f"{T.__name__}.utils.checkpoint")
    model, x = net(T), T.linspace(-1, 1, 20).reshape(5, 4).requires_grad_()
    calls = []

    def run(x, scale):
        calls.append(T.is_grad_enabled())
        return model(x) * scale
    T.manual_seed(7)
    with T.autocast("cpu", enabled=autocast):
        if way == "plain":
            y = run(x, 2.0)
        elif way == "sequential":
            y = ways.checkpoint_sequential(model, 3, x, use_reentrant=False) * 2.0
        elif way == "nested":
            y = ways.checkpoint(lambda a: ways.checkpoint(run, a, 2.0, use_reentrant=False), x, use_reentrant=False)
        else:
            y = ways.checkpoint(run, x, 2.0, use_reentrant=way == "reentrant", preserve_rng_state=True)
        loss = y.float().pow(2).sum()
    loss.backward()
    after = T.rand(3).tolist()
    return [loss.item(), after, x.grad.tolist(), *[p.grad.tolist() for p in model.parameters()],
            *[b.tolist() for b in model.buffers()]], len(calls)


WAYS = ["reentrant", "hooks", "sequential", "nested"]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_like_pytorch(way, autocast):
    ours, theirs = gradients(rushlight, way, autocast), gradients(torch, way, autocast)
    assert ours[1] == theirs[1]
    close(ours[0], theirs[0], 0.1 if autocast else 1e-4)


def close(a, b, tolerance):
    import numpy as np
    for x, y in zip(a, b):
        x, y = np.array(x), np.array(y)
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * max(1, abs(y).max()))


@pytest.mark.parametrize("way", ["reentrant", "hooks", "nested"])
def test_same_gradients_as_without(way):
    (a, _), (b, _) = gradients(rushlight, "plain"), gradients(rushlight, way)
    assert a[:10] == b[:10]             # to the bit; batch norm's buffers are updated twice


def second_order(T, checkpointed):
    from importlib import import_module
    ways = import_module(f"{T.__name__}.utils.checkpoint")
    w, x = T.linspace(0.1, 1, 9).reshape(3, 3).requires_grad_(), T.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()

    def f(x, extra):
        return {"y": (T.tanh(x @ w) * extra["k"], x.sum())}
    call = (lambda *a: ways.checkpoint(f, *a, use_reentrant=False)) if checkpointed else f
    y = call(x, {"k": x * 2})["y"][0]
    g, = T.autograd.grad(y.sum(), x, create_graph=True)
    (g * g).sum().backward()
    return [g.tolist(), w.grad.tolist(), x.grad.tolist()]


def test_gradients_of_gradients_and_structures():
    plain = second_order(torch, False)
    close(second_order(torch, True), plain, 1e-5)
    close(second_order(rushlight, True), plain, 1e-5)
    close(second_order(rushlight, False), plain, 1e-5)


def twice(T):
    from importlib import import_module
    ways = import_module(f"{T.__name__}.utils.checkpoint")
    x, n = T.ones(3, requires_grad=True), []

    def f(x):
        n.append(1)
        return (x * x).exp().sin()
    y = ways.checkpoint(f, x, use_reentrant=False)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return x.grad.tolist(), len(n)


def test_backward_twice():
    (a, n), (b, m) = twice(rushlight), twice(torch)
    close([a], [b], 1e-5)
    assert n == m == 3


def errors(T):
    from importlib import import_module
    ways = import_module(f"{T.__name__}.utils.checkpoint")
    x, count, said = T.ones(3, requires_grad=True), [], []

    def changing(x):
        count.append(1)
        return x.exp().sin() if len(count) == 1 else x.cos()

    def reshaping(x):
        count.append(1)
        return (x.exp().sum() if len(count) == 1 else x.exp()).sin()
    for call in (lambda: ways.checkpoint(changing, x, use_reentrant=False).sum().backward(),
                 lambda: (count.clear(), ways.checkpoint(reshaping, x, use_reentrant=False).sum().backward()),
                 lambda: T.autograd.grad(ways.checkpoint(T.sin, x, use_reentrant=True).sum(), x),
                 lambda: ways.checkpoint(T.sin, x, use_reentrant=True, debug=True),
                 lambda: ways.checkpoint(T.sin, x, use_reentrant=True, odd=1),
                 lambda: ways.checkpoint(T.sin, x, use_reentrant=False, determinism_check="odd"),
                 lambda: ways.detach_variable([x])):
        try:
            call()
            said.append("nothing")
        except (RuntimeError, ValueError) as error:
            said.append((type(error).__name__, str(error)[:45]))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        ways.checkpoint(T.sin, T.ones(2))
    return said, len(heard), [str(w.message)[:60] for w in heard][-1:]


def test_errors_and_warnings():
    assert errors(rushlight) == errors(torch)


def test_custom_functions_are_checkpointed():
    class Square(rushlight.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]
    from rushlight.utils.checkpoint import checkpoint
    x, seen = rushlight.ones(3, requires_grad=True), []

    def f(x):
        seen.append(1)
        return Square.apply(x * 3)
    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert len(seen) == 2 and x.grad.tolist() == [18.0] * 3


def peak(checkpointed):
    from rushlight.utils.checkpoint import checkpoint
    rushlight.manual_seed(0)
    layers = [rushlight.nn.Sequential(rushlight.nn.Linear(64, 256), rushlight.nn.GELU(), rushlight.nn.Linear(256, 64))
              for _ in range(24)]
    x = rushlight.randn(2048, 64)

    def step():
        h = x
        for f in layers:
            h = checkpoint(f, h, use_reentrant=False) if checkpointed else f(h)
        h.sum().backward()
        return [p.grad.sum().item() for f in layers for p in f.parameters()]
    step()
    for f in layers:
        f.zero_grad()
    memory.reset_peak()
    return step(), memory.statistics().peak


def test_24_layers_need_less_memory():
    (a, high), (b, low) = peak(False), peak(True)
    assert a == b
    assert low < high / 2, (low, high)


# -- selective -------------------------------------------------------------------------------------------

def kept(T, which):
    """Gradients of a small net, and what the policy was asked."""
    import functools
    from importlib import import_module
    ways = import_module(f"{T.__name__}.utils.checkpoint")
    asked, policies = [], ways.CheckpointPolicy
    aten = T.ops.aten

    def policy(context, op, *args, **kwargs):
        asked.append((str(op), context.is_recompute, tuple(getattr(context.op_output, "shape", ()))))
        return policies.PREFER_SAVE if op in (aten.gelu.default, aten.tanh.default) else policies.PREFER_RECOMPUTE
    chosen = {"list": [aten.addmm.default, aten.gelu.default], "policy": policy, "bool": lambda context, op, *args, **kwargs: "addmm" in str(op)}
    context_fn = functools.partial(ways.create_selective_checkpoint_contexts, chosen[which])
    T.manual_seed(5)
    model, x = net(T), T.linspace(-1, 1, 20).reshape(5, 4).requires_grad_()
    y = ways.checkpoint(model, x, use_reentrant=False, context_fn=context_fn)
    y.pow(2).sum().backward()
    return [x.grad, *[p.grad for p in model.parameters()]], asked


@pytest.mark.parametrize("which", ["list", "policy", "bool"])
def test_selective_like_pytorch(which):
    (ours, asked), (theirs, _) = kept(rushlight, which), kept(torch, which)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(torch.from_numpy(a.numpy()), b, rtol=1e-4, atol=1e-4)
    assert which != "policy" or ("aten.gelu.default", False, (5, 8)) in asked and ("aten.addmm.default", False, (5, 3)) in asked


def kernels_of_backward(chosen):
    """How many matrix products the backward pass runs."""
    import functools

    from rushlight.profiler import profile
    from rushlight.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts, noop_context_fn
    nn = rushlight.nn
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh())])
    x = rushlight.randn(32, 64, requires_grad=True)
    context_fn = noop_context_fn if chosen is None else functools.partial(create_selective_checkpoint_contexts, chosen)
    y = checkpoint(model, x, use_reentrant=False, context_fn=context_fn)
    rushlight.cpu.synchronize()
    with profile() as seen:
        y.sum().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    return sum(e.count for e in seen.key_averages() if e.key.startswith("matmul "))


def test_what_is_kept_is_not_computed_again():
    aten = rushlight.ops.aten
    assert kernels_of_backward(None) == 12
    assert kernels_of_backward([aten.addmm.default]) == kernels_of_backward([aten.tanh.default]) == 8


def test_selective_errors():
    from rushlight.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    aten, w = rushlight.ops.aten, rushlight.randn(4, 4, requires_grad=True)
    for chosen, kind, words in ((3, TypeError, "must be either a function or a list of ops"),
                                ([aten.mm], ValueError, "Please update the OpOverloadPacket to a specific OpOverload")):
        with pytest.raises(kind, match=words):
            create_selective_checkpoint_contexts(chosen)
    y = checkpoint(lambda w: rushlight.sigmoid(w @ w), w, use_reentrant=False,
                   context_fn=lambda: create_selective_checkpoint_contexts([aten.mm.default]))
    y.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="Trying to backward an extra time"):
        y.sum().backward()
    first = iter([lambda w: w @ w, lambda w: w.exp()])
    y = checkpoint(lambda w: next(first)(w).sigmoid(), w, use_reentrant=False,
                   context_fn=lambda: create_selective_checkpoint_contexts([aten.mm.default]))
    with pytest.raises(RuntimeError, match="aten.exp.default encountered during backward but not found in storage"):
        y.sum().backward()


def test_overwriting_what_is_kept_changes_no_gradient():
    from rushlight.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

    def f(w):
        h = w @ w
        h.relu_()
        return (h * h).sum()
    w = rushlight.randn(4, 4, requires_grad=True)
    found = rushlight.autograd.grad(checkpoint(f, w, use_reentrant=False, context_fn=lambda: create_selective_checkpoint_contexts(
        [rushlight.ops.aten.mm.default])), w)[0]
    assert rushlight.equal(found, rushlight.autograd.grad(f(w), w)[0])
