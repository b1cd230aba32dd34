"""Public operations, as compositions over primitives; `torch.NAME` and `Tensor.NAME` are these."""
from importlib import import_module

from .numpy_names import accepting

# Functions of these rooms that serve other rooms and are not part of `torch`.
INTERNAL = set("""
    check_dtype entry_of few_numbers not_complex remembered show sum_of_sizes views_of
    as_element as_subclass axes binary border_index cast check_pairs check_parts
    check_value constant_pad contiguous dim_order Segments conv conv_transpose copy_ cuda deepcopy_tensor each
    embedding_rows expand expand_as Exporter fill_ fill_in filled finished fold from_array getitem good H
    imag_part in_memory_order index_put_ into into_complex is_channels_last L_inverse legacy_tensor
    linear max_pool memory_format mT neg_view new new_like new_storage numpy_T one_axis one_hot own_buffer
    picked pool_size readable Reader real_only real_part rebuild_tensor recast record_stream
    repeat reshape_as resolved rows sample_dirichlet seen_through set_data setitem shift_left shift_right
    sizes slice_ standard_gamma storage_of storage_of_elements TensorType times_i to to_array
    to_numpy trigamma truth type_ type_named TypedStorage unpooled UntypedStorage vector_norm view view_as
    view_dtype view_of where_method window_index windows within_vmap zero_ zero_of
""".split())

PUBLIC: list[str] = []
ROOMS = ("create", "digits", "decompositions", "fake_quantize", "index", "interop", "legacy", "matmul", "neural", "pad",
         "pointwise", "complex", "spectra", "recurrent", "reduce", "shape", "statistics", "random", "segments", "variates")


def _collect():
    for room in ROOMS:
        module = import_module(f"{__name__}.{room}")
        for name, value in vars(module).items():
            if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__:
                value = globals()[name] = accepting(value)
                if name not in INTERNAL:
                    PUBLIC.append(name)


_collect()


def __getattr__(name):
    """`torch.ops.NAMESPACE`: the operations of a library."""
    from .. import _ops
    if name == "load_library":
        return _ops.load_library
    if name in _ops.namespaces:
        return _ops.namespaces[name]
    raise AttributeError(f"module 'torch.ops' has no attribute {name!r}")
