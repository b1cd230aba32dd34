"""`p.grad_sample`: the gradients of all samples with respect to one parameter, made when looked at.

What layers report (pieces) is kept by generation: all forward passes up to a backward pass belong
together, and their gradients are added; later ones follow as further batches, as in Opacus.
"""
from __future__ import annotations

from ...nn.parameter import Parameter
from ...tensor import Tensor
from .pieces import Given, Piece, together

SPENT = ("the gradients of the samples were used up by optimizer.step(), which does not keep them. Look at "
         "p.grad_sample between backward() and step(), or set optimizer.keeps_grad_sample = True")


class Generation:
    """The uses of a parameter in one batch. `scale` undoes the mean that the loss has taken."""

    def __init__(self, number: int, scale: float):
        self.number, self.scale = number, scale
        self.parts: list[Piece] = []
        self.whole = self.found = None

    def add(self, piece: Piece) -> None:
        self.parts.append(piece)
        self.whole = self.found = None

    @property
    def piece(self) -> Piece:
        if self.whole is None:
            self.whole = together(self.parts)
        return self.whole

    @property
    def n(self) -> int:
        return self.parts[0].n

    def per_sample(self) -> Tensor:
        g = self.piece.per_sample()
        return g if self.scale == 1 else g * self.scale

    def squares(self) -> Tensor:
        """Squared norms (n); those of a mean's gradients, so norms come times the scale."""
        if self.found is None:
            self.found = self.piece.squares()
        return self.found

    def weighted(self, c: Tensor) -> Tensor:
        """sum_i c_i g_i; of a mean's gradients those of the samples, so c comes times the scale."""
        return self.piece.weighted(c)


class Uses:
    """What one parameter was used for since its gradients were cleared."""

    def __init__(self):
        self.generations: list[Generation] = []
        self.shown, self.is_spent = None, False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been reported, nor used up."""
        return not self.generations and self.shown is None and not self.is_spent

    def generation(self, number: int, scale: float) -> Generation:
        last = self.generations[-1] if self.generations else None
        if last is None or last.number != number:
            last = Generation(number, scale)
            self.generations.append(last)
        self.shown = None
        return last

    def give(self, value) -> None:
        """Gradients that somebody has computed himself: a tensor, or one for each batch."""
        values = value if isinstance(value, list) else [value]
        self.generations = [Generation(-1 - i, 1.0) for i in range(len(values))]
        for generation, x in zip(self.generations, values):
            generation.add(Given(x))
        self.shown = value

    def spend(self) -> None:
        """They have been summed: let go of what they are made of."""
        self.generations, self.shown, self.is_spent = [], None, True

    def show(self):
        """(n, *shape), or a list of such if several batches were accumulated; None for none."""
        if self.is_spent:
            raise RuntimeError(SPENT)
        if self.shown is None and self.generations:
            found = [g.per_sample() for g in self.generations]
            self.shown = found[0] if len(found) == 1 else found
        return self.shown


class GradSample:
    """The attribute `grad_sample` of parameters that a GradSampleModule looks after."""

    def __get__(self, p, owner=None):
        if p is None:
            return self
        uses = uses_of(p)
        if uses is None:
            raise AttributeError(f"'{type(p).__name__}' object has no attribute 'grad_sample'")
        return uses.show()

    def __set__(self, p, value):
        uses = uses_of(p)
        if uses is None or value is not None or not uses.is_empty:
            uses = p.__dict__["_uses"] = Uses()
        if value is not None:
            uses.give(value)

    def __delete__(self, p):
        if p.__dict__.pop("_uses", None) is None:
            raise AttributeError("grad_sample")


def uses_of(p) -> Uses | None:
    return p.__dict__.get("_uses")


Parameter.grad_sample = GradSample()
