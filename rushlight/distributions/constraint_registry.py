"""Transforms by the constraint that they map all numbers to: biject_to, transform_to."""
from __future__ import annotations

from . import constraints, transforms


class ConstraintRegistry:
    """Rules by class of constraint; calling it gives a transform onto one."""

    def __init__(self):
        self._registry = {}

    def register(self, constraint, factory=None):
        """The rule for a class of constraints (or an instance's); a decorator without `factory`."""
        if factory is None:
            return lambda made: self.register(constraint, made)
        class_ = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(class_, type) or not issubclass(class_, constraints.Constraint):
            raise TypeError("Expected constraint to be either a Constraint subclass or instance, "
                            f"but got {constraint}")
        self._registry[class_] = factory
        return factory

    def __call__(self, constraint):
        if type(constraint) not in self._registry:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return self._registry[type(constraint)](constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _both(*classes):
    def decorate(factory):
        for class_ in classes:
            biject_to.register(class_, factory)
            transform_to.register(class_, factory)
        return factory
    return decorate


@_both(constraints._Real)
def _to_real(_constraint):
    return transforms.identity_transform


@_both(constraints._GreaterThan, constraints._GreaterThanEq)
def _to_above(constraint):
    if constraint.lower_bound == 0:
        return transforms.ExpTransform()
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)])


@_both(constraints._LessThan)
def _to_below(constraint):
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)])


@_both(constraints._Interval, constraints._HalfOpenInterval)
def _to_interval(constraint):
    low, high = constraint.lower_bound, constraint.upper_bound
    if (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(),
                                        transforms.AffineTransform(low, high - low)])


@transform_to.register(constraints._LowerCholesky)
def _to_cholesky(_constraint):
    return transforms.LowerCholeskyTransform()


@transform_to.register(constraints._PositiveSemidefinite)
@transform_to.register(constraints._PositiveDefinite)
def _to_definite(_constraint):
    return transforms.PositiveDefiniteTransform()


@_both(constraints._CorrCholesky)
def _to_correlations(_constraint):
    return transforms.CorrCholeskyTransform()


@biject_to.register(constraints._Simplex)
def _stick_breaking(_constraint):
    return transforms.StickBreakingTransform()


@transform_to.register(constraints._Simplex)
def _softmax(_constraint):
    return transforms.SoftmaxTransform()


def _independent(registry):
    def factory(constraint):
        base = registry(constraint.base_constraint)
        return transforms.IndependentTransform(base, constraint.reinterpreted_batch_ndims)
    return factory


def _cat(registry):
    return lambda c: transforms.CatTransform([registry(part) for part in c.cseq], c.dim, c.lengths)


def _stack(registry):
    return lambda c: transforms.StackTransform([registry(part) for part in c.cseq], c.dim)


for _r in (biject_to, transform_to):
    _r.register(constraints._IndependentConstraint, _independent(_r))
    _r.register(constraints._Cat, _cat(_r))
    _r.register(constraints._Stack, _stack(_r))
