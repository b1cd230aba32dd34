"""Which values a parameter or a sample may have. `check(value)` is a bool tensor over the batch."""
from __future__ import annotations

from .. import ops as o


class Constraint:
    """A set of values; is_discrete, and event_dim axes that are judged together."""

    is_discrete = False
    event_dim = 0

    def check(self, value):
        """True where a value belongs to the set."""
        raise NotImplementedError

    def __repr__(self):
        return self.__class__.__name__[1:] + "()"


class _Dependent(Constraint):
    """Depends on other parameters; also a decorator for a property that works it out."""

    def __init__(self, *, is_discrete=False, event_dim=0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, is_discrete=None, event_dim=None):
        return _Dependent(is_discrete=bool(is_discrete), event_dim=event_dim or 0)

    def check(self, value):
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint) -> bool:
    return isinstance(constraint, (_Dependent, dependent_property))


class dependent_property(property):
    """A constraint as a property of the distribution, which the parameters decide."""

    def __init__(self, fn=None, *, is_discrete=False, event_dim=0):
        super().__init__(fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn):
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _IndependentConstraint(Constraint):
    """The last axes of a constraint judged together."""

    def __init__(self, base_constraint, reinterpreted_batch_ndims):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self):
        return self.base_constraint.is_discrete

    @property
    def event_dim(self):
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value):
        result, n = self.base_constraint.check(value), self.reinterpreted_batch_ndims
        if result.dim() < n:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return result.reshape(*result.shape[:result.dim() - n], -1).all(-1)

    def __repr__(self):
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value):
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Bounded(Constraint):
    """Between bounds that are numbers or tensors; which ends belong to it, subclasses say."""

    names = ("lower_bound", "upper_bound")

    def __init__(self, *bounds):
        for name, bound in zip(self.names, bounds, strict=True):
            setattr(self, name, bound)

    def __repr__(self):
        bounds = ", ".join(f"{n}={getattr(self, n)}" for n in self.names)
        return f"{self.__class__.__name__[1:]}({bounds})"


class _IntegerInterval(_Bounded):
    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & (self.lower_bound <= value) & (value <= self.upper_bound)


class _IntegerGreaterThan(_Bounded):
    names, is_discrete = ("lower_bound",), True

    def check(self, value):
        return (value % 1 == 0) & (value >= self.lower_bound)


class _Interval(_Bounded):
    def check(self, value):
        return (self.lower_bound <= value) & (value <= self.upper_bound)


class _HalfOpenInterval(_Bounded):
    def check(self, value):
        return (self.lower_bound <= value) & (value < self.upper_bound)


class _GreaterThan(_Bounded):
    names = ("lower_bound",)

    def check(self, value):
        return self.lower_bound < value


class _GreaterThanEq(_Bounded):
    names = ("lower_bound",)

    def check(self, value):
        return self.lower_bound <= value


class _LessThan(_Bounded):
    names = ("upper_bound",)

    def check(self, value):
        return value < self.upper_bound


class _Real(Constraint):
    def check(self, value):
        return value == value           # not nan


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound):
        self.upper_bound = upper_bound

    def check(self, x):
        return (x >= 0).all(-1) & (x.sum(-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1) & (value.diagonal(0, -2, -1) > 0).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value):
        return o.full(tuple(value.shape[:-2]), value.shape[-2] == value.shape[-1])


class _Symmetric(_Square):
    def check(self, value):
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return o.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveDefinite(_Symmetric):
    def check(self, value):
        from ..ops.linalg import cholesky_ex
        symmetric = super().check(value)
        if not symmetric.all():
            return symmetric
        return cholesky_ex(value.detach()).info == 0


class _PositiveSemidefinite(_Symmetric):
    def check(self, value):
        from ..ops.linalg import eigvalsh
        symmetric = super().check(value)
        if not symmetric.all():
            return symmetric
        return eigvalsh(value).ge(0).all(-1)


class _Cat(Constraint):
    """Constraints of neighbouring stretches of one axis."""

    def __init__(self, cseq, dim=0, lengths=None):
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    @property
    def is_discrete(self):
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self):
        return max(c.event_dim for c in self.cseq)

    def check(self, value):
        parts = value.split(self.lengths, self.dim)
        return o.cat([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(_Cat):
    """Constraints of the slices of one axis."""

    @property
    def event_dim(self):
        n = super().event_dim
        return n + (self.dim + n < 0)       # the axis is one of the event

    def check(self, value):
        slices = value.unbind(self.dim)
        return o.stack([c.check(v) for c, v in zip(self.cseq, slices, strict=True)], self.dim)


class _CorrCholesky(_LowerCholesky):
    """Lower triangular, of positive diagonal and rows of length 1."""

    def check(self, value):
        from ..dtypes import finfo
        off = (value.detach().norm(dim=-1) - 1).abs() <= 10 * value.shape[-1] * finfo(value.dtype).eps
        return super().check(value) & off.all(-1)


class MixtureSameFamilyConstraint(Constraint):
    """A constraint of the components, judged for all of them."""

    def __init__(self, base_constraint):
        if not isinstance(base_constraint, Constraint):
            raise AssertionError(f"base_constraint must be a Constraint, got {type(base_constraint).__name__}")
        self.base_constraint = base_constraint

    @property
    def is_discrete(self):
        return self.base_constraint.is_discrete

    @property
    def event_dim(self):
        return self.base_constraint.event_dim

    def check(self, value):
        n = self.event_dim
        if value.dim() < n:
            raise ValueError(f"Expected value.dim() >= {n} but got {value.dim()}")
        result = self.base_constraint.check(value.unsqueeze(-1 - n))
        return result.reshape(*result.shape[:value.dim() - n], -1).all(-1)

    def __repr__(self):
        return f"{type(self).__name__}({self.base_constraint!r})"


dependent, independent = _Dependent(), _IndependentConstraint
boolean, one_hot, real = _Boolean(), _OneHot(), _Real()
real_vector = independent(real, 1)
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
integer_interval, interval, half_open_interval = _IntegerInterval, _Interval, _HalfOpenInterval
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
positive, nonnegative, unit_interval = _GreaterThan(0.0), _GreaterThanEq(0.0), _Interval(0.0, 1.0)
multinomial, simplex, cat, stack = _Multinomial, _Simplex(), _Cat, _Stack
lower_triangular, lower_cholesky = _LowerTriangular(), _LowerCholesky()
square, symmetric, positive_definite = _Square(), _Symmetric(), _PositiveDefinite()
positive_semidefinite, corr_cholesky = _PositiveSemidefinite(), _CorrCholesky()
