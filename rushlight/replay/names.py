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


_backend = "inductor"


def set_default_backend(backend) -> None:
    """Accepted and kept; there is one way to compile."""
    global _backend
    _backend = backend


def get_default_backend():
    return _backend


def wrap_numpy(fn):
    """A function of arrays as a function of tensors, whose results are tensors again."""
    from ..func.pytree import mapped

    @functools.wraps(fn)
    def call(*args, **kwargs):
        from .. import Tensor, from_numpy
        args, kwargs = mapped(lambda x: x.numpy() if isinstance(x, Tensor) else x, (args, kwargs))
        return mapped(lambda x: from_numpy(x) if hasattr(x, "__array_interface__") else x, fn(*args, **kwargs))
    return call


def substitute_in_graph(original_fn, *, can_constant_fold_through=False, skip_signature_check=False):
    """A decorator that changes nothing: the function is called as Python calls it."""
    return lambda fn: fn


def nested_compile_region(fn=None, **options):
    """The function itself; also a decorator with arguments."""
    return fn if fn is not None else lambda fn: fn


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Accepted; processes guard for themselves."""
    return False


def save_cache_artifacts():
    """None: the caches on disk need no saving."""


def load_cache_artifacts(serialized_artifacts):
    """None: the caches on disk need no loading."""


def keep_tensor_guards_unsafe(guard_entries, keep_parameters=False) -> list[bool]:
    """All guards are kept."""
    return [True] * len(guard_entries)


def _all_kept(guard_entries) -> list[bool]:
    """All guards are kept."""
    return [True] * len(guard_entries)


keep_portable_guards_unsafe = skip_guard_on_inbuilt_nn_modules_unsafe = skip_guard_on_all_nn_modules_unsafe = _all_kept
skip_guard_on_globals_unsafe = skip_all_guards_unsafe = _all_kept
