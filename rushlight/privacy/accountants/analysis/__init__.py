"""The mathematics of the accountants."""
from __future__ import annotations

from . import gdp, prv, rdp

__all__ = ["gdp", "prv", "rdp"]
