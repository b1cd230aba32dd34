"""Gradients against differences: gradcheck and gradgradcheck."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import dtypes
from . import forward_ad
from .engine import grad
from .grad_mode import enable_grad, no_grad


class GradcheckError(RuntimeError):
    """A gradient that does not agree with the differences of the function."""


def gradcheck(func: Callable, inputs, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
              check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
              masked: bool | None = None, is_sparse: bool = False) -> bool:
    """Whether the gradients of `func` with respect to those `inputs` that require one are right.

    Each is compared with central differences of step `eps`; inputs should be float64 or complex128, whose
    real and imaginary parts count as two numbers. A wrong one raises GradcheckError, or gives False without `raise_exception`.
    With `check_forward_ad` tangents of dual numbers are compared as well, without `check_backward_ad` they alone.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    try:
        if check_backward_ad:
            _check(func, _tuple(inputs), eps, atol, rtol, nondet_tol)
        if check_forward_ad:
            _check_forward(func, _tuple(inputs), eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func: Callable, inputs, grad_outputs=None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
                  gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
                  **options) -> bool:
    """gradcheck of the gradients of `func`: whether its second derivatives are right."""
    inputs = _tuple(inputs)
    given = _outputs(func(*inputs)) if grad_outputs is None else _tuple(grad_outputs)
    rng = np.random.default_rng(0)
    seeds = [_filled_like(y, rng.normal(size=y.numel() * _width(y))).requires_grad_() for y in given] if grad_outputs is None \
        else list(given)
    n, flags = len(inputs), [_is_checked(x) for x in inputs]

    def gradients(*args):
        with enable_grad():
            xs = [_tracked(x) if on else x for x, on in zip(args[:n], flags)]
            wanted = [x for x, on in zip(xs, flags) if on]
            got = grad(_outputs(func(*xs)), wanted, [_tracked(s) for s in args[n:]], create_graph=True, allow_unused=True)
            return tuple(g for g in got if g is not None and g.requires_grad)
    return gradcheck(gradients, (*inputs, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol)


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _is_checked(x) -> bool:
    return getattr(x, "requires_grad", False)


def _outputs(result):
    return [y for y in _tuple(result) if _is_checked(y)]


def _tracked(x):
    return x if x.requires_grad else x.detach().requires_grad_()


def _width(x) -> int:
    """Of how many real numbers an element consists."""
    return 1 + x.dtype.is_complex


def _filled_like(y, reals):
    """A tensor like y of these real numbers."""
    from ..ops import tensor
    values = np.asarray(reals).reshape(-1)
    return tensor((values.view(np.complex128) if y.dtype.is_complex else values).reshape(tuple(y.shape)), dtype=y.dtype)


def _reals(x) -> np.ndarray:
    """The real numbers that a tensor consists of, as a vector."""
    x = x.detach().to(dtypes.complex128 if x.dtype.is_complex else dtypes.float64)
    return np.array(x.contiguous().numpy()).reshape(-1).view(np.float64)


def _check(func, inputs, eps, atol, rtol, nondet_tol):
    checked = [x for x in inputs if _is_checked(x)]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have "
                         "requires_grad=True.")
    for x in checked:
        if x.dtype not in (dtypes.float64, dtypes.complex128):
            import warnings
            warnings.warn("Input requires gradient and is not a double precision floating point or complex. This check "
                          "will likely fail if all the inputs are not of double precision floating point or complex. ",
                          stacklevel=4)
    outs, again = _floating(func(*inputs)), _floating(func(*inputs))
    differences = [_numerical(func, inputs, x, eps) for x in checked]
    for i in (i for i, y in enumerate(outs) if _is_checked(y)):
        for j, (first, second) in enumerate(zip(_analytical(outs[i], checked), _analytical(again[i], checked))):
            if not np.allclose(first, second, rtol=0, atol=nondet_tol):
                raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and grad_output "
                                     "multiple times gives different values, although analytical gradient matches numerical "
                                     f"gradient.The tolerance for nondeterminism was {nondet_tol}.")
            if not np.allclose(first, differences[j][i], rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(f"Jacobian mismatch for output {i} with respect to input {j},\n"
                                     f"numerical:{differences[j][i]}\nanalytical:{first}\n")


def _check_forward(func, inputs, eps, atol, rtol):
    """Compare tangents with differences, for one input at a time."""
    n = len(_floating(func(*inputs)))
    for j, x in enumerate([x for x in inputs if _is_checked(x)]):
        found, wanted = _forward(func, inputs, x, n), _numerical(func, inputs, x, eps)
        for i in range(n):
            if not np.allclose(found[i], wanted[i], rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(f"Jacobian computed with forward mode mismatch for output {i} with respect to input {j},\n"
                                     f"numerical:{wanted[i]}\nanalytical:{found[i]}\n")


def _forward(func, inputs, x, n) -> list:
    """The Jacobians [inputs, outputs] of n outputs by one dual number for each input element."""
    rows: list = [[] for _ in range(n)]
    for k in range(x.numel() * _width(x)):
        seed = np.zeros(x.numel() * _width(x))
        seed[k] = 1
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.detach(), _filled_like(x, seed))
            outs = _tuple(func(*[dual if v is x else v.detach() if hasattr(v, "detach") else v for v in inputs]))
            duals = [forward_ad.unpack_dual(y) for y in outs if y.dtype.rank >= 2]
        for row, (y, t) in zip(rows, duals):
            row.append(np.zeros(y.numel() * _width(y)) if t is None else _reals(t))
    return [np.stack(row) if row else np.zeros((0, 0)) for row in rows]


def _analytical(y, xs) -> list[np.ndarray]:
    """The Jacobians [inputs, outputs] of y by one backward pass for each of its elements."""
    n = y.numel() * _width(y)
    jacobians = [np.zeros((x.numel() * _width(x), n)) for x in xs]
    for k in range(n):
        seed = np.zeros(n)
        seed[k] = 1
        found = grad(y, xs, _filled_like(y, seed), retain_graph=True, allow_unused=True)
        for jacobian, g in zip(jacobians, found):
            if g is not None:
                jacobian[:, k] = _reals(g)
    return jacobians


def _numerical(func, inputs, x, eps) -> list[np.ndarray]:
    """The Jacobians [inputs, outputs] of all outputs by central differences."""
    with no_grad():
        flat, rows = _reals(x), []
        for k in range(flat.size):
            sides = []
            for step in (eps, -eps):
                before, flat[k] = flat[k], flat[k] + step
                moved = [_filled_like(x, flat) if v is x else v for v in inputs]
                sides.append([_reals(y) for y in _floating(func(*moved))])
                flat[k] = before
            rows.append([(high - low) / (2 * eps) for high, low in zip(*sides)])
        return list(map(np.stack, zip(*rows))) if rows else [np.zeros((0, _reals(y).size)) for y in _floating(func(*inputs))]


def _floating(result) -> list:
    return [y for y in _tuple(result) if hasattr(y, "dtype") and y.dtype.rank >= 2]
