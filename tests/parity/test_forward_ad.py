"""Dual numbers and users' jvp and vmap rules against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.autograd.forward_ad                # noqa: E402

import rushlight                                # noqa: E402

LIBRARIES = torch, rushlight
X, D = np.array([[.1, .2, .3], [.5, -.6, .7]]), np.array([[1., 0, 2], [1, 1, -1]])


def arrays(T, outs):
    return [None if y is None else y.detach().numpy() if isinstance(y, T.Tensor) else y for y in outs]


def same(program):
    theirs, ours = (arrays(T, program(T, T.autograd.forward_ad, T.tensor(X), T.tensor(D))) for T in LIBRARIES)
    assert len(theirs) == len(ours)
    for a, b in zip(ours, theirs):
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def in_place(T, fw, x, d):
    x = x.clone()
    x.mul_(2)
    x[0] = x[1] * x[0]
    x[1, :2].exp_()
    z = T.zeros(3, dtype=x.dtype)
    z[1] = x.sum()
    return T.cat([x.flatten(), z])


def layers(T, fw, x, d):
    T.manual_seed(0)
    net = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.BatchNorm1d(4), T.nn.Linear(4, 2)).double()
    return net(x).softmax(-1)


FUNCTIONS = [lambda T, fw, x, d: x.sin() * x.sum(), lambda T, fw, x, d: T.linalg.norm(x @ x.T),
             lambda T, fw, x, d: x[1].sort().values, lambda T, fw, x, d: (x.detach() * x).view(-1)[1:],
             lambda T, fw, x, d: x.detach(), lambda T, fw, x, d: x * 0, in_place, layers]


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("taped", [True, False])
def test_tangents(f, taped):
    def program(T, fw, x, d):
        with T.set_grad_enabled(taped), fw.dual_level():
            return fw.unpack_dual(f(T, fw, fw.make_dual(x, d), d))
    same(program)


def test_tangents_are_differentiable_and_gradients_have_tangents():
    def program(T, fw, x, d):
        w, d = x.clone().requires_grad_(), d.requires_grad_()
        with fw.dual_level():
            dual = fw.make_dual(w, d)
            t = fw.unpack_dual((dual ** 3).sum()).tangent
            both = T.autograd.grad(t, (w, d))
            g, = T.autograd.grad((dual ** 3).prod(), dual)
            return *both, fw.unpack_dual(g).tangent
    same(program)


def test_an_unpacked_primal_has_no_tangent_and_levels_end():
    def program(T, fw, x, d):
        w = x.clone().requires_grad_()
        with fw.dual_level():
            dual = fw.make_dual(w, d)
            primal = fw.unpack_dual(dual.exp()).primal
            inside = fw.unpack_dual(primal * 2).tangent
        level = fw.enter_dual_level()
        fresh = fw.unpack_dual(fw.make_dual(x, d)).tangent
        fw.exit_dual_level(level=level)
        return inside, fresh, fw.unpack_dual(dual).tangent
    same(program)


@pytest.mark.parametrize("bad", [
    lambda fw, T, x: fw.make_dual(x, x[0]), lambda fw, T, x: fw.make_dual(x.long(), x.long()),
    lambda fw, T, x: fw.make_dual(x, x, level=3), lambda fw, T, x: fw.enter_dual_level(),
    lambda fw, T, x: fw.make_dual(fw.make_dual(x, x), x), lambda fw, T, x: fw.unpack_dual(3)])
def test_refusals(bad):
    found = []
    for T in LIBRARIES:
        fw = T.autograd.forward_ad
        with fw.dual_level(), pytest.raises((RuntimeError, ValueError, TypeError)) as error:
            bad(fw, T, T.tensor(X))
        found.append((type(error.value), str(error.value)))
    assert found[0] == found[1]


def test_refusals_outside_of_a_level():
    for T in LIBRARIES:
        fw = T.autograd.forward_ad
        with pytest.raises(RuntimeError, match="no level exists"):
            fw.make_dual(T.ones(2), T.ones(2))
        with pytest.raises(RuntimeError, match="must be a positive number"):
            fw.exit_dual_level()


def test_untaped_work_inside_of_a_level_is_refused_rather_than_wrong():
    fw = rushlight.autograd.forward_ad
    with fw.dual_level():
        dual = fw.make_dual(rushlight.ones(2), rushlight.ones(2))
        with rushlight.no_grad():
            y = dual * 2
        with pytest.raises(NotImplementedError, match="no_grad"):
            fw.unpack_dual(y)


# -- functions with rules of their own -----------------------------------------------------------
def tenfold(T, seen):
    """x exp(y) with a jvp that is ten times too large, so that one sees who used it, and a rule for vmap."""
    class Tenfold(T.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x.exp() * y, y * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs, output[0])

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return g * y * x.exp(), g * x.exp() + 2 * h

        @staticmethod
        def jvp(ctx, dx, dy):
            x, y, out = ctx.saved_tensors
            return 10 * (out * dx + x.exp() * dy), dy * 2

        @staticmethod
        def vmap(info, in_dims, x, y):
            seen.append((info.batch_size, info.randomness, [d is None for d in in_dims]))
            x, y = (a.expand(info.batch_size, *a.shape) if d is None else a.movedim(d, 0) for a, d in zip((x, y), in_dims))
            return Tenfold.apply(x.movedim(0, -1), y.movedim(0, -1)), (-1, -1)
    return Tenfold


def both_ways(program):
    found = []
    for T in LIBRARIES:
        seen: list = []
        out = program(T, tenfold(T, seen), T.tensor(X), T.tensor(D))
        found.append((arrays(T, out if isinstance(out, tuple) else (out,)), seen))
    (theirs, their_calls), (ours, our_calls) = found
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert our_calls == their_calls


@pytest.mark.parametrize("program", [
    lambda T, f, x, d: T.func.jvp(f.apply, (x, x + 1), (d, d))[1],
    lambda T, f, x, d: T.func.jvp(lambda x: f.apply(x, d)[0].sum(), (x,), (d,))[1],
    lambda T, f, x, d: T.func.grad(lambda x: f.apply(x, d)[0].sum())(x),
    lambda T, f, x, d: T.func.jvp(T.func.grad(lambda x: f.apply(x, d)[0].sum()), (x,), (d,))[1],
])
def test_jvp_of_a_function(program):
    both_ways(program)


@pytest.mark.parametrize("program", [
    lambda T, f, x, d: T.vmap(f.apply)(x, d),
    lambda T, f, x, d: T.vmap(f.apply, (1, None), (1, 0))(x, d[:, 0]),
    lambda T, f, x, d: T.vmap(lambda a: f.apply(a * 2, d[0])[0].sum())(x),
    lambda T, f, x, d: T.vmap(T.func.grad(lambda a: f.apply(a, d[0])[0].sum()))(x),
    lambda T, f, x, d: T.func.grad(lambda x: T.vmap(f.apply, (0, None))(x, d[0])[0].sum())(x),
    lambda T, f, x, d: T.vmap(lambda a: T.vmap(lambda b: f.apply(a, b)[0])(d))(x),
])
def test_vmap_of_a_function(program):
    both_ways(program)


def test_writes_go_on_after_a_rule():
    def program(T, f, x, d):
        def g(a):
            b = T.zeros_like(a)
            b[0] = a[1]
            y = f.apply(a, b)[0]
            b += y
            return b
        return T.vmap(g)(x)
    both_ways(program)


def test_rules_that_do_not_fit_are_refused():
    for T in LIBRARIES:
        Both = type("Both", (tenfold(T, []),), {"generate_vmap_rule": True})
        with pytest.raises(RuntimeError, match="has both generate_vmap_rule=True and an overridden vmap staticmethod"):
            T.vmap(Both.apply)(T.tensor(X), T.tensor(D))
        One = type("One", (tenfold(T, []),), {"vmap": staticmethod(lambda info, dims, x, y: x)})
        with pytest.raises(RuntimeError, match="Expected the vmap staticmethod to have two returns"):
            T.vmap(One.apply)(T.tensor(X), T.tensor(D))


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("part", [1, slice(None, None, 2)])
def test_gradient_of_a_partial_write_that_arrives_as_a_part_of_a_larger_tensor(create_graph, part):
    """The gradient of z is a part of cat's gradient: it begins in the middle of a memory."""
    def run(T, alone):
        x, b = (T.tensor(a, dtype=T.float64, requires_grad=True) for a in ([1., 2, 3], [.5, .25, .125]))
        z = b * 2
        z[part] = (x * x)[:2].sum() if part == 1 else (x * x)[:2]
        y = z if alone else T.cat([x * 2, z])
        return T.autograd.grad(y, (x, b), T.arange(float(y.numel()), dtype=T.float64) + 1, create_graph=create_graph)
    for alone in (False, False, True, False, True, False, False):       # remembered gradient rules included
        for ours, theirs in zip(run(rushlight, alone), run(torch, alone)):
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


def test_gradcheck_looks_at_tangents():
    for T in LIBRARIES:
        class Wrong(T.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * 2

            @staticmethod
            def jvp(ctx, t):
                return t * 3
        x = T.tensor(X, requires_grad=True)
        assert T.autograd.gradcheck(lambda a: (a.sin(), a.sum() * a[0]), x, check_forward_ad=True)
        assert T.autograd.gradcheck(Wrong.apply, x)
        with pytest.raises(RuntimeError, match="Jacobian computed with forward mode mismatch for output 0 with respect to input 0"):
            T.autograd.gradcheck(Wrong.apply, x, check_forward_ad=True)
        with pytest.raises(AssertionError, match="at least one of check_forward_ad or check_backward_ad"):
            T.autograd.gradcheck(Wrong.apply, x, check_backward_ad=False)


S = np.array([[[2., 1], [.5, 3]], [[4., .3], [1, 3]]])


@pytest.mark.parametrize("f", [
    lambda T, a: T.linalg.cholesky(a @ a.mT), lambda T, a: T.cholesky(a @ a.mT), lambda T, a: T.linalg.inv(a),
    lambda T, a: T.linalg.inv_ex(a)[0], lambda T, a: T.linalg.solve(a, a[0]), lambda T, a: T.linalg.solve_ex(a, a)[0],
    lambda T, a: T.linalg.eigvals(a).abs(), lambda T, a: T.linalg.cond(a, 1), lambda T, a: T.linalg.lu_factor(a)[0],
    lambda T, a: a[:, :0].sum(0), lambda T, a: T.quantile(a, T.tensor([.2, .5], dtype=a.dtype))])
def test_what_looks_at_values_outside_of_vmap_does_not_inside(f):
    a = rushlight.tensor(S, requires_grad=True)
    for dim in (0, -1):
        got = rushlight.vmap(lambda b: f(rushlight, b), dim)(a.movedim(0, dim))
        alone = rushlight.stack([f(rushlight, b) for b in a])
        np.testing.assert_allclose(got.detach().numpy(), alone.detach().numpy(), rtol=1e-12)
        if alone.numel():
            wanted, = rushlight.autograd.grad(alone.sum(), a)
            np.testing.assert_allclose(rushlight.autograd.grad(got.sum(), a)[0].numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)


def test_chunks_share_the_same_random_numbers():
    for T in LIBRARIES:
        T.manual_seed(0)
        y = T.vmap(lambda a: a + T.rand(2), chunk_size=2, randomness="same")(T.zeros(5, 2))
        assert bool((y == y[0]).all())
        T.manual_seed(0)
        assert T.equal(y[0], T.rand(2))


def test_functionalize_refuses_unknown_words():
    for T in LIBRARIES:
        with pytest.raises(RuntimeError, match="received invalid argument for remove=views"):
            T.func.functionalize(lambda a: a, remove="views")(T.ones(1))
