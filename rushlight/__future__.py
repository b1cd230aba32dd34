"""torch.__future__: how modules are converted; kept, and without effect: parameters stay the objects that they are."""
_overwrite = _swap = False


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    global _overwrite
    _overwrite = value


def get_overwrite_module_params_on_conversion() -> bool:
    return _overwrite


def set_swap_module_params_on_conversion(value: bool) -> None:
    global _swap
    _swap = value


def get_swap_module_params_on_conversion() -> bool:
    return _swap
