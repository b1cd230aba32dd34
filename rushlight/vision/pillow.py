"""Pillow, where images are worked on: imported on first use, an extra of the installation."""
from __future__ import annotations

import importlib
import sys


def pillow(part: str = "Image"):
    """A module of Pillow, such as PIL.Image.

    Raises:
        ImportError: Pillow is not installed; names the extra.
    """
    try:
        return importlib.import_module(f"PIL.{part}")
    except ImportError as error:
        raise ImportError("images need Pillow: pip install 'rushlight[vision]'") from error


def is_image(value) -> bool:
    """Whether a value is a Pillow image; does not import Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)
