"""Images: datasets, transforms, models and operations under torchvision's names."""
import importlib
import importlib.util

ROOMS = ("datasets", "io", "models", "ops", "transforms", "tv_tensors", "utils")
__all__ = ["datasets", "get_image_backend", "io", "models", "ops", "set_image_backend", "transforms", "tv_tensors", "utils"]
__version__ = "0.28.0"


def get_image_backend() -> str:
    """The package that loads images: Pillow."""
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Accepted for "PIL".

    Raises:
        ValueError: another package is asked for.
    """
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")


def __getattr__(name):
    if name in ROOMS and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"rushlight.vision has no {name} yet")
