"""torch.utils.swap_tensors."""
from __future__ import annotations


def swap_tensors(t1, t2) -> None:
    """Exchange two tensors: class, elements, place on the tape, attributes; references to one now show the other.

    Raises:
        RuntimeError: somebody refers to one of them weakly.
    """
    import weakref
    for name, x in (("t1", t1), ("t2", t2)):
        if any(r.__callback__ is not None for r in weakref.getweakrefs(x)):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    one, two = dict(t1.__dict__), dict(t2.__dict__)
    t1.__class__, t2.__class__ = type(t2), type(t1)
    for x, fields in ((t1, two), (t2, one)):
        x.__dict__.clear()
        x.__dict__.update(fields, _accumulator=None)
