"""The compiler: passes over recorded graphs, plans, kernels.

PyTorch has a room of this name, too: its functions (`is_compiling`, `disable`, `reset`, ...) are
found here as well, and live in `replay/names.py`.
"""


_OF_PYTORCH = frozenset("""allow_in_graph assume_constant_result cudagraph_mark_step_begin disable
    get_default_backend is_compiling is_dynamo_compiling is_exporting keep_portable_guards_unsafe
    keep_tensor_guards_unsafe list_backends load_cache_artifacts nested_compile_region reset save_cache_artifacts
    set_default_backend set_enable_guard_collectives set_stance skip_all_guards_unsafe
    skip_guard_on_all_nn_modules_unsafe skip_guard_on_globals_unsafe skip_guard_on_inbuilt_nn_modules_unsafe
    substitute_in_graph wrap_numpy""".split())


def __getattr__(name):
    if name in _OF_PYTORCH:
        from ..replay import names
        return getattr(names, name)
    if name == "compile":
        from .. import compile
        return compile
    raise AttributeError(f"module 'torch.compiler' has no attribute {name!r}: rushlight does not have it (yet)")
