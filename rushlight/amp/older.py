"""What the older names in `torch.cpu.amp` and `torch.cuda.amp` share."""
from __future__ import annotations

import warnings


def warn_of(old: str, new: str) -> None:
    """Say what to write instead."""
    warnings.warn(f"`{old}` is deprecated. Please use `{new}` instead.", FutureWarning,
                  stacklevel=3)
