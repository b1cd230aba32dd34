"""Calls that the class of an argument, or a mode, answers: `__torch_function__`.

Nothing on the way of a plain call looks out for them. The first class that overrides something (`Tensor.__init_subclass__`),
the first mode, or the first stranger that is met where a call would fail puts a guard before every public function. The
function stays the object that it is and gets other code, so names that were imported before are guarded, too.
"""
from __future__ import annotations

import functools
import sys
import threading
from contextlib import contextmanager
from types import FunctionType

from .. import dtypes
from ..layout import Size
from ..tensor import Tensor, device, wrap
from . import arguments


class Here(threading.local):
    """What answers calls of this thread."""

    modes: tuple = ()       # the innermost one last
    subclasses = True       # whether classes of arguments are asked
    functions = True        # whether anybody is


class Overridden(TypeError):
    """An argument has a class of its own, which has not answered; or whoever called the public function is to ask it."""


here = Here()
former: dict = {}           # guarded function -> what it does without its guard
codes: dict = {}            # guarded function -> its own code
users: list = []            # what keeps the guards in place
COMMON = frozenset((Tensor, int, float, bool, str, complex, type(None), slice, type(Ellipsis), Size, dtypes.dtype, device))


def disabled(func, types, args=(), kwargs=None):
    """The __torch_function__ of classes that are treated as plain tensors."""
    with switched(subclasses=False):
        return func(*args, **(kwargs or {}))


@contextmanager
def switched(**settings):
    """Other settings of `here` within a block."""
    before = {name: getattr(here, name) for name in settings}
    here.__dict__.update(settings)
    try:
        yield
    finally:
        here.__dict__.update(before)


def overrides(kind: type) -> bool:
    """Whether a class answers calls with its instances."""
    if kind in COMMON:
        return False
    found = getattr(kind, "__torch_function__", None)
    return found is not None and (found is not disabled or getattr(kind, "__torch_dispatch__", disabled) is not disabled)


def overriding(values, found: tuple = ()) -> tuple:
    """The arguments, one of each class, whose classes are to be asked: subclasses before their bases."""
    for x in values:
        kind = type(x)
        if kind in COMMON:
            continue
        if kind is list or kind is tuple:
            found = overriding(x, found)
        elif overrides(kind) and not any(type(y) is kind for y in found):
            at = next((i for i, y in enumerate(found) if issubclass(kind, type(y))), len(found))
            found = (*found[:at], x, *found[at:])
    return found


def dispatch(public, found: tuple, args: tuple, kwargs: dict):
    """The call, as the innermost mode or the class of an argument answers it."""
    kinds = tuple(map(type, found))
    if here.modes:
        mode = here.modes[-1]
        with switched(modes=here.modes[:-1]):
            y = mode.__torch_function__(public, kinds, args, kwargs)
        if y is not NotImplemented:
            return y
    for x in found:
        answer = type(x).__torch_function__
        answer = x.__torch_function__ if answer is not disabled else functools.partial(by_default, type(x))
        y = answer(public, kinds, args, kwargs)
        if y is not NotImplemented:
            return y
    raise Overridden(refusal(public, found))


def refusal(public, found) -> str:
    from ..overrides import resolve_name
    name = resolve_name(public) or getattr(public, "__name__", public)
    if ".functional." in name:
        return f"no implementation found for '{name}' on types that implement __torch_function__: {[*map(type, found)]}"
    kinds = "".join(f"  - tensor subclass {type(x)}\n" for x in found)
    return f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n{kinds}"


# -- subclasses of Tensor ----------------------------------------------------------------------------
def by_default(cls, func, types, args, kwargs):
    """Tensor.__torch_function__: the call on plain tensors, or what the class makes of it below; results as `cls`."""
    if not all(issubclass(cls, kind) for kind in types):
        return NotImplemented
    with switched(subclasses=False):
        below = getattr(cls, "__torch_dispatch__", None)
        if below is not None and below is not disabled:
            from .._ops import OpOverload, overload_of
            op = overload_of(func)
            return below(op, types, args, kwargs) if isinstance(op, OpOverload) else func(*args, **kwargs)
        y = func(*args, **kwargs)
    return y if func in (Tensor.grad.__get__, Tensor._base.__get__) else converted(y, cls)


def converted(y, cls):
    """A result whose tensors are of this subclass."""
    if isinstance(y, Tensor):
        return y if isinstance(y, cls) else as_subclass(y, cls)
    if isinstance(y, (tuple, list)) and not isinstance(y, Size):
        parts = [converted(part, cls) for part in y]
        return type(y)._make(parts) if hasattr(y, "_make") else type(y)(parts)
    return y


def as_subclass(x, cls):
    from .interop import as_subclass
    return as_subclass(x, cls)


def shell(cls, size, strides=None, storage_offset=None, memory_format=None, dtype=None, layout=None, device=None,
          pin_memory=False, requires_grad=False, **kwargs):
    """A tensor of a subclass without elements: all of them are one zero."""
    from .. import ops
    zero = ops.zeros((), dtype=dtype).expand(tuple(size))
    return leaf(wrap(cls, zero.storage, zero.layout, 0), requires_grad)


def leaf(x, requires_grad):
    """x, taped or not; nobody is asked."""
    with switched(functions=False):
        return x.requires_grad_(requires_grad)


# -- guards ----------------------------------------------------------------------------------------
@functools.cache
def _front(n: int):
    """Code that hands its call on to a guard, for functions with n free variables."""
    names = ", ".join(f"v{i}" for i in range(n))
    text = (f"def outer({names}):\n    def front(*args, **kwargs):\n        guard = 'guard'\n"
            f"        return guard(args, kwargs)\n        {names or 'None'}\n    return front")
    scope: dict = {}
    exec(compile(text, __file__, "exec"), scope)
    return scope["outer"](*range(n)).__code__


def guard(fn, reported=None, scans=True) -> None:
    """From now on fn asks modes and, if `scans`, the classes of its arguments."""
    plain, public = former.get(fn) or former.setdefault(fn, _copied(fn)), reported or fn
    is_operator = reported is not None

    def call(args, kwargs):
        if here.functions:
            found = overriding((*args, *kwargs.values())) if here.subclasses else ()
            if found and not scans:
                with switched(subclasses=False):
                    return call(args, kwargs)
            if found or here.modes:
                return answered(public, found, args, kwargs) if is_operator else dispatch(public, found, args, kwargs)
        return plain(*args, **kwargs)
    code = _front(len(fn.__code__.co_freevars))
    codes[fn] = fn.__code__
    fn.__code__ = code.replace(co_consts=tuple(call if c == "guard" else c for c in code.co_consts))
    fn.__dict__.setdefault("__wrapped__", plain)


def answered(public, found, args, kwargs):
    """An operator that nobody answers is left to the other operand."""
    try:
        return dispatch(public, found, args, kwargs)
    except Overridden:
        if len(args) < 2:
            raise
        return NotImplemented


def is_written(fn) -> bool:
    """Whether fn's code is made when it is called, with a scope of its own (autograd/recall.py, numpy_names.py)."""
    return "__name__" not in fn.__globals__


def _copied(fn):
    """A function that does what fn does now."""
    if is_written(fn):
        return fn.remade()
    made = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    made.__kwdefaults__, made.__qualname__ = fn.__kwdefaults__, fn.__qualname__
    return made


def arm(user) -> None:
    """Guard the public functions as long as `user` needs it."""
    users.append(user)
    if len(users) == 1:
        from .overridable import public
        for entry in public():
            guard(*entry)


def disarm(user) -> None:
    users.remove(user)
    if not users:
        for fn, code in codes.items():
            fn.__code__ = code


def is_armed() -> bool:
    return bool(users)


# -- strangers: objects that are no tensors and answer calls --------------------------------------------
def stranger(public, args, kwargs):
    """(the answer,) to a call that failed, or would, if an argument's class has one.

    Raises:
        Overridden: another public function of ours has made the call.
    """
    found = overriding((*args, *kwargs.values())) if here.functions and here.subclasses else ()
    if not found or users and users[0] != "strangers":
        return None
    if not users:
        arm("strangers")
    caller = _caller(sys._getframe(1))
    if caller.f_code.co_name in DIRECT and caller.f_globals["__name__"].startswith(WITHIN):
        import rushlight
        public, caller = getattr(rushlight, caller.f_code.co_name), _caller(caller.f_back)
    if caller.f_globals.get("__name__", "").startswith(WITHIN):
        raise Overridden(refusal(public, found))
    return (dispatch(public, found, args, kwargs),)


def asked(public, args, kwargs):
    """What a stranger answers to a call that has just failed, or what it gives with numbers for tensors, or None.

    Raises:
        TypeError: an argument is of another kind than it is to be.
    """
    found = stranger(public, args, kwargs)
    if found is None:
        arguments.refuse(public, args, kwargs)
        again = arguments.numbered(public, args, kwargs)
        return again and (public(*again[0], **again[1]),)
    return found


def _caller(frame):
    """The frame that called a public function."""
    while frame.f_globals.get("__name__") in FINDING or frame.f_code.co_name in ("op", "getitem"):
        frame = frame.f_back
    return frame


FINDING = (None, __name__, "rushlight.ops.promote", "rushlight.ops.methods")
# Where a caller is a public function itself; modules and optimisers are programs here.
WITHIN = tuple(f"rushlight.{room}" for room in ("ops", "autograd", "linalg", "fft", "special", "nn.functional"))
DIRECT = frozenset("add sub subtract div divide true_divide pow remainder".split())   # hand on to a primitive


def catching(fn):
    """fn, which lets the classes of strangers answer where it fails."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except Exception:
            y = asked(call, args, kwargs)
            if y is None:
                raise
        return y[0]
    return call


def answer_one(public, args, out):
    """A public function of one argument that is no tensor.

    Raises:
        TypeError: nobody answers.
    """
    found = stranger(public, args, {} if out is None else {"out": out})
    if found is None:
        raise TypeError(f"{public.__name__}(): argument 'input' (position 1) must be Tensor, not {type(args[0]).__name__}")
    return found[0]
