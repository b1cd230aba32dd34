"""Accounts of the privacy that training has spent."""
from __future__ import annotations

from .accountant import IAccountant
from .gdp import GaussianAccountant
from .prv import PRVAccountant
from .rdp import RDPAccountant
from .registry import create_accountant, register_accountant
from . import utils

__all__ = ["GaussianAccountant", "IAccountant", "PRVAccountant", "RDPAccountant", "create_accountant",
           "register_accountant", "utils"]
