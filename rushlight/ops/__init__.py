"""Public operations, as compositions over primitives; `torch.NAME` and `Tensor.NAME` are these."""
from importlib import import_module

# Functions of these rooms that serve other rooms and are not part of `torch`.
INTERNAL = set("""
    TensorType UntypedStorage TypedStorage as_subclass storage_of_elements new_like type_named as_element axes binary border_index check_value constant_pad conv conv_transpose copy_ deepcopy_tensor each
    embedding_rows fill_ fill_in filled finished fold from_array into is_channels_last legacy_tensor max_pool new
    numpy_T L_inverse own_buffer one_hot pool_size rebuild_tensor reduce_tensor return_type rows set_data in_memory_order zero_of sizes
    slice_ storage_of to to_array to_numpy truth type_ vector_norm view_dtype view_of window_index windows zero_
    cuda Exporter record_stream getitem setitem new_storage view view_as expand expand_as cast shift_left shift_right
    standard_gamma sample_dirichlet Reader memory_format trigamma one_axis picked where_method contiguous linear mT repeat reshape_as index_put_
""".split())

PUBLIC: list[str] = []


def _collect():
    for room in ("create", "decompositions", "index", "interop", "legacy", "matmul", "neural", "pad", "pointwise", "reduce", "shape", "statistics", "random", "variates"):
        module = import_module(f"{__name__}.{room}")
        for name, value in vars(module).items():
            if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__:
                globals()[name] = value
                if name not in INTERNAL:
                    PUBLIC.append(name)


_collect()
