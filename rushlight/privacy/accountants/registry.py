"""Accountants by name."""
from __future__ import annotations

from .accountant import IAccountant
from .gdp import GaussianAccountant
from .prv import PRVAccountant
from .rdp import RDPAccountant

_ACCOUNTANTS: dict[str, type[IAccountant]] = {
    "rdp": RDPAccountant, "gdp": GaussianAccountant, "prv": PRVAccountant}


def register_accountant(mechanism: str, accountant: type[IAccountant], force: bool = False) -> None:
    """Make an accountant known by a name; ValueError if the name is taken, unless by `force`."""
    if mechanism in _ACCOUNTANTS and not force:
        raise ValueError(f"Accountant for mechanism {mechanism} is already registered")
    _ACCOUNTANTS[mechanism] = accountant


def create_accountant(mechanism: str) -> IAccountant:
    """A new accountant: "rdp", "prv", "gdp" or a registered one; ValueError for other names."""
    if mechanism not in _ACCOUNTANTS:
        raise ValueError(f"Unexpected accounting mechanism: {mechanism}. Available mechanisms are: "
                         f"{', '.join(_ACCOUNTANTS)}")
    return _ACCOUNTANTS[mechanism]()
