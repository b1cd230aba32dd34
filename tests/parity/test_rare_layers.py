"""Fractional max pooling and adaptive softmax against PyTorch, values and gradients."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402

RNG = np.random.default_rng(8)
IMAGE, CUBE = RNG.normal(size=(2, 3, 9, 11)), RNG.normal(size=(2, 2, 7, 8, 9))
CASES = [(IMAGE, 2, dict(output_size=(4, 5))), (IMAGE, (3, 2), dict(output_ratio=(0.4, 0.6))), (IMAGE[0], 2, dict(output_size=3)),
         (CUBE, 2, dict(output_size=3)), (CUBE, (2, 3, 1), dict(output_ratio=0.5)), (CUBE[1], 3, dict(output_size=(2, 1, 3)))]


def pooled(T, array, kernel, how, dtype):
    T.manual_seed(5)
    x = T.tensor(array, dtype=getattr(T, dtype), requires_grad=True)
    n = 2 if array is IMAGE or array.ndim == 3 else 3
    layer = getattr(T.nn, f"FractionalMaxPool{n}d")(kernel, return_indices=True, **how)
    y, at = layer(x)
    (y * y).sum().backward()
    return y.detach().numpy(), at.numpy(), x.grad.numpy(), T.rand(2).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_fractional_max_pool(case, dtype):
    for a, b in zip(pooled(rushlight, *CASES[case], dtype), pooled(torch, *CASES[case], dtype)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5)


def adaptive(T, classes, bias):
    T.manual_seed(6)
    layer = T.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 11], div_value=2.0, head_bias=bias)
    x = T.tensor(RNG_X, dtype=T.float32, requires_grad=True)
    target = T.tensor(classes)
    output, loss = layer(x if target.dim() else x[0], target)
    loss.backward()
    return [list(layer.state_dict()), output.detach().numpy(), loss.detach().numpy(), x.grad.numpy(),
            *[p.grad.numpy() for p in layer.parameters() if p.grad is not None], layer.log_prob(x).detach().numpy(),
            layer.predict(x * 3).numpy()]


RNG_X = RNG.normal(size=(6, 16))


@pytest.mark.parametrize("classes, bias", [([0, 3, 5, 12, 19, 4], True), ([0, 1, 2, 3, 0, 1], False), (7, True)])
def test_adaptive_softmax(classes, bias):
    ours, theirs = adaptive(rushlight, classes, bias), adaptive(torch, classes, bias)
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("call", [
    lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(4, 5, []), lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(4, 5, [3, 2]),
    lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(1, 4), T.tensor([9])),
    lambda T: T.nn.AdaptiveLogSoftmaxWithLoss(4, 5, [2])(T.ones(2, 4), T.tensor([1])),
    lambda T: T.nn.FractionalMaxPool2d(2), lambda T: T.nn.FractionalMaxPool2d(2, 3, 0.5),
    lambda T: T.nn.FractionalMaxPool2d(2, output_ratio=1.5), lambda T: T.nn.functional.fractional_max_pool2d(T.ones(1, 4, 4), 2),
    lambda T: T.nn.functional.fractional_max_pool2d(T.ones(1, 4, 4), 3, output_size=3)])
def test_errors(call):
    said = []
    for T in (rushlight, torch):
        with pytest.raises((RuntimeError, ValueError)) as error:
            call(T)
        said.append((error.type.__name__, str(error.value)[:50]))
    assert said[0] == said[1]


def parallel(T):
    from importlib import import_module
    import_module(f"{T.__name__}.nn.parallel")
    T.manual_seed(0)
    net = T.nn.Linear(3, 2)
    wrapped = T.nn.DataParallel(net)
    x = T.ones(4, 3)
    return (list(wrapped.state_dict()), wrapped(x).tolist() == net(x).tolist(), wrapped.device_ids)


def test_data_parallel_without_devices():
    assert parallel(rushlight) == parallel(torch)
    net, x = rushlight.nn.Linear(3, 2), rushlight.ones(4, 3)
    assert rushlight.nn.parallel.data_parallel(net, x).tolist() == net(x).tolist()


def test_positive_semidefinite():
    a = np.array([[[2.0, 1], [1, 2]], [[1, 2], [2, 1]], [[1, 0], [0, 0]]])
    found = [T.distributions.constraints.positive_semidefinite.check(T.tensor(a)).tolist() for T in (rushlight, torch)]
    assert found[0] == found[1] == [True, False, True]


def by_vjp(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(x):
            return x ** 3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def vjp(ctx, g):
            x, = ctx.saved_tensors
            return 3 * x * x * g
    x = T.tensor([1.0, 2.0], requires_grad=True)
    Cube.apply(x).sum().backward()
    return x.grad.tolist(), Cube.generate_vmap_rule


def test_function_with_vjp():
    assert by_vjp(rushlight) == by_vjp(torch)
