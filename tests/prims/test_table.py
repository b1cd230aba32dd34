"""What every primitive must survive: generated from the table, so that a new primitive brings its own tests."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight
from rushlight.prims.table import Variadic
from tests.prims.cases import ALL, CALLED, OPERATORS, Case, admissible, array, cases, in_float64, rng_of, tensor

named = lambda prims: pytest.mark.parametrize("prim", prims, ids=lambda p: p.name)


def has_gradient(prim, i) -> bool:
    return isinstance(prim.gradient, Variadic) or i < len(prim.vjp) and prim.vjp[i] is not None


def differentiable(prims):
    return [p for p in prims if isinstance(p.gradient, Variadic) or any(v is not None for v in p.vjp)]


REFUSE = [p for p in OPERATORS if p.name in ("gamma_slope", "dirichlet_slope")]      # as PyTorch's, their rules raise
SMOOTH = [p for p in differentiable(OPERATORS) if p not in REFUSE]


# -- the record --------------------------------------------------------------------------------------------------
@named(ALL)
def test_record_is_complete(prim):
    assert callable(prim.reference) and callable(prim.shape) and callable(prim.dtype)
    assert prim.samples is not None and cases(prim), "no samples"
    if prim.without:
        return
    assert callable(prim.jvp), "no tangent rule"
    assert callable(prim.batch), "no batching rule"
    assert prim.kind != "pointwise" or callable(prim.body), "no body"
    operands = max(len(c.arrays) for c in cases(prim))
    assert isinstance(prim.gradient, Variadic) or not operands or prim.vjp, "gradients are not even denied"
    assert prim.may_fail == (prim.raises is not None)


@named(ALL)
def test_rules_agree_with_the_meaning(prim):
    for case in cases(prim):
        got, shapes = case.meaning(), [a.shape for a in case.arrays]
        assert got.shape == tuple(prim.shape(shapes, **case.recorded)), case
        assert got.dtype == prim.dtype(case.dtypes(), **case.recorded).numpy, case


@named(ALL)
def test_meaning_leaves_its_operands(prim):
    for case in cases(prim)[:5]:
        before = [a.copy() for a in case.arrays]
        prim.reference(*case.arrays, **case.params)
        for a, b in zip(before, case.arrays):
            np.testing.assert_array_equal(a, b, err_msg=str(case))


@named(CALLED)
def test_recorded_means_reference(prim):
    for case in cases(prim):
        y, want = case.call(*case.tensors()), case.meaning()
        assert tuple(y.shape) == want.shape and y.dtype.numpy == want.dtype and y.is_contiguous(), case
        np.testing.assert_allclose(wide(array(y)), wide(want), err_msg=str(case), **tolerance(prim, want))


def wide(a):
    """With full precision."""
    return a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)


def tolerance(prim, want):
    """`ulp` units of the result's dtype: relative to each element, absolutely near the largest for sums."""
    if want.dtype.kind in "biu":
        return dict(rtol=0, atol=0)
    import ml_dtypes
    eps = float(ml_dtypes.finfo(want.dtype).eps) * max(prim.ulp, 0.5)
    finite = np.abs(wide(want))[np.isfinite(wide(want))]
    spread = finite.max(initial=0) if prim.kind in ("reduce", "contract", "scatter") else float(prim.ulp > 30)   # has roots
    return dict(rtol=eps, atol=eps * spread + (float(ml_dtypes.finfo(want.dtype).smallest_subnormal) if prim.ulp else 0))


# -- gradients, along random directions: one number each ---------------------------------------------------------------
def moved(case, t, step):
    arrays = tuple(a + step * t[i] if i in t else a for i, a in enumerate(case.arrays))
    return Case(case.prim, arrays, case.params)


def direction(case, rng):
    return {i: admissible(case.prim, like(case.arrays[i], rng))
            for i in case.floats if has_gradient(case.prim, i)}


def like(a, rng):
    """Random numbers, complex where those of an array are."""
    return rng.normal(size=a.shape) + (1j * rng.normal(size=a.shape) if a.dtype.kind == "c" else 0)


def along(weights, y) -> float:
    """The real part of <weights, y>: a loss whose gradient is `weights`, by PyTorch's convention."""
    return float(np.vdot(weights, y).real)


def leaves(case, t):
    return [tensor(a).requires_grad_(i in t) for i, a in enumerate(case.arrays)]


def slope(f, step=1e-5):
    """df/ds at 0 by a difference of fourth order."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


def inner(xs, t):
    return sum(along(array(x), d) for x, d in zip(xs, t.values()) if x is not None)


def gradients(case, t, g, create_graph=False):
    xs = leaves(case, t)
    wanted = [xs[i] for i in t]
    return rushlight.autograd.grad(case.call(*xs), wanted, g, create_graph=create_graph, allow_unused=True), wanted


@named(SMOOTH)
def test_gradient_agrees_with_differences(prim):
    rng = rng_of(prim)
    chosen = in_float64(prim)
    assert chosen
    for case in chosen:
        t, weights = direction(case, rng), like(case.meaning(), rng)
        got, _ = gradients(case, t, tensor(weights))
        want = slope(lambda s: along(weights, moved(case, t, s).meaning()))
        np.testing.assert_allclose(inner(got, t), want, rtol=1e-6, atol=1e-7, err_msg=str(case))


@named(SMOOTH)
def test_second_gradient_agrees_with_differences(prim):
    rng = rng_of(prim)
    for case in in_float64(prim, count=2):
        t, weights = direction(case, rng), like(case.meaning(), rng)
        u = direction(case, rng)

        def first(s):
            got, _ = gradients(moved(case, t, s), t, tensor(weights))
            return inner(got, u)
        got, wanted = gradients(case, t, tensor(weights), create_graph=True)
        taped = [(g, tensor(d)) for g, d in zip(got, u.values()) if g is not None and g.requires_grad]
        again = rushlight.autograd.grad([g for g, _ in taped], wanted, [d for _, d in taped], allow_unused=True) if taped else []
        np.testing.assert_allclose(inner(again, t), slope(first, 1e-4), rtol=1e-5, atol=1e-6, err_msg=str(case))


@named(SMOOTH)
def test_tangent_is_the_transpose_of_the_gradient(prim):
    rng = rng_of(prim)
    for case in in_float64(prim):
        t, weights = direction(case, rng), like(case.meaning(), rng)
        got, _ = gradients(case, t, tensor(weights))
        xs = case.tensors()
        for some in subsets(t):
            tangents = [tensor(t[i]) if i in some else None for i in range(len(xs))]
            out = prim.jvp(tangents, case.call(*xs), *xs, **case.recorded)
            forward = 0.0 if out is None else along(weights, array(out))
            backward = inner([g for i, g in zip(t, got) if i in some], {i: t[i] for i in some})
            np.testing.assert_allclose(forward, backward, rtol=1e-8, atol=1e-9, err_msg=f"{case} along {some}")


def subsets(items):
    items = list(items)
    return [s for n in range(1, len(items) + 1) for s in itertools.combinations(items, n)]


@named(REFUSE)
def test_refused_gradients_say_so(prim):
    case = in_float64(prim)[0]
    with pytest.raises(RuntimeError, match="is not implemented"):
        gradients(case, direction(case, rng_of(prim)), tensor(np.ones_like(case.meaning())))


@named([p for p in OPERATORS if p not in SMOOTH + REFUSE and not p.without])
def test_what_is_flat_has_no_tangent(prim):
    for case in cases(prim)[:3]:
        xs = case.tensors()
        ts = [tensor(np.ones_like(a)) if i in case.floats else None for i, a in enumerate(case.arrays)]
        assert prim.jvp(ts, case.call(*xs), *xs, **case.recorded) is None


# -- batching ----------------------------------------------------------------------------------------------------------
def variants(a, n):
    """n arrays like a: other numbers, the same kind of numbers."""
    if a.dtype.kind in "iub":
        return [np.roll(a, k) for k in range(n)]
    return [(wide(a) * (1 - 0.1 * k)).astype(a.dtype) for k in range(n)]


@named(OPERATORS)
def test_batched_is_the_loop(prim):
    seen = set()
    for case in cases(prim):
        signature = (tuple(a.shape for a in case.arrays), str(case.recorded))
        if case.size > 5000 or signature in seen or len(seen) == 4 or not all(a.size for a in case.arrays):
            continue
        seen.add(signature)
        for some in subsets(range(len(case.arrays))):
            check_batched(case, some)


def check_batched(case, some, n=3):
    made = [variants(a, n) for a in case.arrays]
    loop = [array(case.call(*[tensor(v[k] if i in some else v[0]) for i, v in enumerate(made)])) for k in range(n)]
    xs = [tensor(np.stack(v)) if i in some else tensor(v[0]) for i, v in enumerate(made)]
    got = case.prim.batch(case.prim, n, xs, tuple(i in some for i in range(len(xs))), **case.recorded)
    want = np.stack(loop)
    assert tuple(got.shape) == want.shape, f"{case} batched over {some}"
    np.testing.assert_allclose(wide(array(got)), wide(want), err_msg=f"{case} batched over {some}",
                               **tolerance(case.prim, want))


# -- what must fail ----------------------------------------------------------------------------------------------------
@named([p for p in CALLED if p.raises is not None])
def test_bad_inputs_raise(prim):
    for arrays, params, exception, phrase in prim.raises(rng_of(prim)):
        case = Case(prim, tuple(np.asarray(a) for a in arrays), params)
        with pytest.raises(exception, match=phrase):
            array(case.call(*case.tensors()))
        with pytest.raises(exception, match=phrase):
            case.meaning()
