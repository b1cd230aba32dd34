"""The switches of a library as a module, for `import torch.backends.cudnn as cudnn`."""
from __future__ import annotations

import sys

from rushlight import backends


def become(name: str, spec) -> None:
    """Put the switches in the place of the module that is being imported under this name."""
    switches = vars(backends)[name.rpartition(".")[2]]
    switches.__name__, switches.__spec__ = name, spec
    sys.modules[name] = switches
