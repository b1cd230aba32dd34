"""torch.torch_version: a version that can be compared with tuples and strings."""
from __future__ import annotations

import re
from itertools import zip_longest

from .version import __version__ as _text


def _parts(version) -> tuple:
    """Numbers of a version before its local part."""
    if not isinstance(version, str):
        return tuple(int(n) for n in version)
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    if found is None:
        raise ValueError(f"Invalid version: '{version}'")
    return tuple(int(n) for n in found.group(1).split("."))


class TorchVersion(str):
    """A version as text, ordered as versions are."""

    def _compared(self, other) -> int:
        pairs = zip_longest(_parts(str(self)), _parts(other), fillvalue=0)
        return next(((a > b) - (a < b) for a, b in pairs if a != b), 0)

    def __lt__(self, other):
        return self._compared(other) < 0

    def __le__(self, other):
        return self._compared(other) <= 0

    def __gt__(self, other):
        return self._compared(other) > 0

    def __ge__(self, other):
        return self._compared(other) >= 0

    def __eq__(self, other):
        return str.__eq__(self, other) if isinstance(other, str) and "+" in other else self._compared(other) == 0

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


__version__ = TorchVersion(_text)
