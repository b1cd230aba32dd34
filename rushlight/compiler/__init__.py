"""The compiler: passes over recorded graphs, plans, kernels.

PyTorch has a room of this name, too: its functions (`is_compiling`, `disable`, `reset`, ...) are
found here as well, and live in `replay/names.py`.
"""


_OF_PYTORCH = frozenset(("allow_in_graph", "assume_constant_result", "cudagraph_mark_step_begin", "disable", "is_compiling",
                         "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance"))


def __getattr__(name):
    if name in _OF_PYTORCH:
        from ..replay import names
        return getattr(names, name)
    raise AttributeError(f"module 'torch.compiler' has no attribute {name!r}: rushlight does not have it (yet)")
