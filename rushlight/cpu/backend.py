"""What the compiler asks of a machine: loop nests, contractions, scatters."""
from __future__ import annotations

from .loops import nest_code as nest
from .scatter import can_fill, can_scatter, lower_scatter


def contract(name, params, out, operands, temp, epilogue) -> list:
    """Calls of a contraction primitive."""
    if name == "matmul":
        from .gemm import lower_matmul
        return lower_matmul(out, *operands, temp, epilogue)
    from . import conv
    geometry = (params["stride"], params["padding"], params["dilation"], params["groups"], temp)
    if name == "conv":
        return conv.lower_conv(out, *operands, *geometry, epilogue)
    if name == "conv_input_grad":
        return conv.lower_conv_input_grad(out, *operands, *geometry, epilogue)
    return conv.lower_conv_weight_grad(out, *operands, *geometry)


__all__ = ["can_fill", "can_scatter", "contract", "lower_scatter", "nest"]
