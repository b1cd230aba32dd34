"""Forward-mode differentiation by dual numbers: a tensor that carries a tangent. `torch.autograd.forward_ad`.

A dual tensor has a place on the tape. What is computed from it is taped like anything else, and
`unpack_dual` takes the tangent from the tape by pulling twice, as `func.jvp` does: the
vector-Jacobian product v -> vJ is linear in v, and pulling the tangents along its tape gives Jt.
So every operation that has a gradient has a tangent, and tangents are differentiable themselves.
"""
from __future__ import annotations

from typing import NamedTuple

from ..tensor import Tensor, wrap
from ..trace import record
from .function import by_jvp
from .grad_mode import mode
from .node import SAVE_HOOKS, GradFn, accumulator, count, edge_to, grad_fn_of, is_tracked

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, None if it has none."""

    primal: Tensor
    tangent: Tensor | None


class DualFn(GradFn):
    """The tape's entry of a dual tensor, or of one that has lost its tangent."""

    __slots__ = ()

    def name(self):
        return "DualBackward0"

    def pull(self, grads):
        return list(grads)


def _entered(x, is_open) -> Tensor:
    """An alias of x with an entry of its own on the tape, that leads to x if `is_open`."""
    fn, y = DualFn(), wrap(Tensor, x.storage, x.layout, x.offset)
    fn.gradient, fn.params, fn.positions, fn.saved, fn.where = None, {}, (), (), record.latest
    fn.edges = (edge_to(x) if is_open else None,)
    y._requires_grad, y._grad_fn, y._output_nr = True, fn, 0
    return y


class Level:
    """A block in which there are dual tensors: their tangents by the tape's entries.

    `barred` are entries of tensors that have lost their tangents; `left` says whether there were operations
    that were not taped, whose results' tangents are not known therefore.
    """

    def __init__(self):
        self.start, self.outside = count(), mode.enabled
        self.tangents: dict = {}
        self.barred: set = set()
        self.left = False

    def dual(self, x, tangent) -> Tensor:
        y = _entered(x, self.outside)
        self.tangents[y._grad_fn] = tangent
        return y

    def unpacked(self, x) -> UnpackedDualTensor:
        if not is_tracked(x):
            if self.left and x.dtype.rank >= 2:
                raise NotImplementedError("forward_ad: tangents of what is computed under no_grad inside of dual_level(). "
                                          "Put no_grad around dual_level()")
            return UnpackedDualTensor(x, None)
        stretch = self._stretch(x)
        reached = [fn for fn, _ in stretch.ends if fn in self.tangents]
        is_open = self.outside and self._is_open(stretch)
        primal = self._primal(x, is_open)
        return UnpackedDualTensor(primal, self._tangent(x, stretch, reached, is_open) if reached else None)

    def _stretch(self, x):
        from ..func.tape import Stretch
        return Stretch([x], self.start, [*self.tangents, *self.barred])

    def _is_open(self, stretch):
        """Whether it leads to anything that the user asked to be taped."""
        return any(fn not in self.tangents or fn.edges[0] is not None or is_tracked(self.tangents[fn])
                   for fn, _ in stretch.ends)

    def _primal(self, x, is_open):
        if not is_open:
            return x.detach()
        y = _entered(x, True)
        self.barred.add(y._grad_fn)
        return y

    def _tangent(self, x, stretch, reached, is_open):
        from ..func.tape import Stretch, place
        before, mode.enabled = mode.enabled, True
        start = count()
        try:
            v = x.new_zeros(x.shape).requires_grad_()
            with by_jvp():
                got = stretch.pull({place(x): v}, [(fn, 0) for fn in reached], True)
            pairs = [(u, self.tangents[fn]) for u, fn in zip(got, reached) if u is not None and is_tracked(u)]
            back = Stretch([u for u, _ in pairs], start)
            t, = back.pull(_summed(pairs), [place(v)], is_open)
        finally:
            mode.enabled = before
        return x.new_zeros(x.shape) if t is None else t


def _summed(pairs):
    """Tangents by the places of what they are pulled along."""
    found: dict = {}
    for u, t in pairs:
        p = grad_fn_of(u) or accumulator(u), u._output_nr
        found[p] = t if p not in found else found[p] + t
    return found


def _kept(x) -> Tensor:
    """What is saved for the tape, as it is now: in-place writes do not spoil tangents as they do gradients."""
    from ..func.batching import own
    return own(x)


KEPT = _kept, lambda x: x


def enter_dual_level() -> int:
    """Begin a block of dual tensors; operations are taped in it.

    Raises:
        RuntimeError: there is such a block already.
    """
    if mode.level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    mode.level = Level()
    SAVE_HOOKS.append(KEPT)
    mode.enabled = mode.allows(True)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the block: its tensors have no tangents any more.

    Raises:
        RuntimeError: there is no such block, or `level` is another one than that entered last.
    """
    if mode.level is None:
        raise RuntimeError("Dual level must be a positive number.")
    if level not in (None, 0):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. "
                           "This is not supported.")
    SAVE_HOOKS.remove(KEPT)
    mode.level, mode.enabled = None, mode.level.outside


class dual_level:
    """Inside there are dual tensors: `with dual_level(): d = make_dual(x, t); y, dy = unpack_dual(f(d))`."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *_):
        exit_dual_level()

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapped(*args, **kwargs):
            with dual_level():
                return fn(*args, **kwargs)
        return wrapped


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A dual tensor: shows the elements of `tensor` and carries `tangent`, of the same shape.

    Raises:
        RuntimeError: outside of a dual level, shapes that differ, a tensor that is dual already.
        ValueError: elements that are not floating point or complex.
    """
    if mode.level is None:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to "
                           "enter_dual_level() first.")
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype!r}")
    if level not in (None, 0):
        raise RuntimeError("Invalid level given to _make_dual")
    if tensor.shape != tangent.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original Tensor, "
                           f"this is not supported. Tensor is of size {list(tensor.shape)} while the given forward "
                           f"gradient is of size {list(tangent.shape)}.")
    if is_tracked(tensor) and any(fn in mode.level.tangents for fn, _ in mode.level._stretch(tensor).ends):
        raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 "
                           "is not supported.")
    return mode.level.dual(tensor, tangent)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(primal, tangent) of what was computed from dual tensors; the tangent is None where none arrives.

    Raises:
        TypeError: not a tensor.
        NotImplementedError: the tensor may have been computed under a no_grad inside of the level.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    return UnpackedDualTensor(tensor, None) if mode.level is None else mode.level.unpacked(tensor)
