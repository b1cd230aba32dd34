"""What PyTorch's programs find in `torch.compiler`."""
from __future__ import annotations

import functools

from ..compiler import plan as plans
from ..trace import record
from .compiled import compiled_functions

def is_compiling() -> bool:
    """False: what `compile` records runs as it would without it."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def disable(fn=None, recursive: bool = True, *, reason: str | None = None):
    """A function whose callers are not replayed: it is called each time. Also a decorator with arguments."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)

    @functools.wraps(fn)
    def called(*args, **kwargs):
        if plans.observer is not None:
            plans.observer.__self__.effects.append(
                (f"calls {fn.__name__}, which is not to be compiled" + (f" ({reason})" if reason else ""), record.user_line()))
        return fn(*args, **kwargs)
    return called


def reset() -> None:
    """Forget the programs of all compiled functions; the next calls are recorded anew."""
    for compiled in list(compiled_functions):
        compiled.forget()


def list_backends(exclude_tags=None) -> list[str]:
    """The one way to compile."""
    return ["rushlight"]


def allow_in_graph(fn):
    """The function itself: all that it records is in the graph."""
    return fn


def assume_constant_result(fn):
    """The function itself: its result is guarded like everything else."""
    return fn


def cudagraph_mark_step_begin() -> None:
    """Accepted; there are no CUDA graphs."""


def set_stance(stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend=None):
    """Accepted for 'default' and 'eager_on_recompile'; others raise NotImplementedError."""
    if stance not in ("default", "eager_on_recompile"):
        raise NotImplementedError(f"set_stance({stance!r}): only 'default' and 'eager_on_recompile'")
