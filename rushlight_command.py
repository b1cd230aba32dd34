"""The console script.

`rushlight run` (and `torchrun`) replaces this process by Python, so it must not wait for a package that nobody will
use here: the package stands empty while its command line is imported.
"""
import importlib.util
import sys


def main() -> int:
    if sys.argv[1:2] in (["run"], ["torchrun"]):
        sys.modules["rushlight"] = importlib.util.module_from_spec(
            importlib.util.find_spec("rushlight"))
    from rushlight.__main__ import main
    return main()
