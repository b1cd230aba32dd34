"""A pytest plugin: `import rushlight` means PyTorch, so that tests written for rushlight show what PyTorch does."""
import importlib
import importlib.machinery
import importlib.util
import sys

import pytest
import torch

from tests.parity.theirs import torchvision_in_python

ELSEWHERE = {"vision": "torchvision", "tensor": "torch._tensor"}


class Loader:
    """Hands out `torch.x` as `rushlight.x`; a test that needs what PyTorch has not is skipped."""

    def create_module(self, spec):
        first, dot, rest = spec.name.removeprefix("rushlight.").partition(".")
        if first == "vision":
            torchvision_in_python()
        try:
            return importlib.import_module(ELSEWHERE.get(first, "torch." + first) + dot + rest)
        except ModuleNotFoundError:
            pytest.skip(f"PyTorch has no counterpart of {spec.name}", allow_module_level=True)

    def exec_module(self, module):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("rushlight."):
            return importlib.machinery.ModuleSpec(name, Loader(), is_package=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    try:
        return (yield)
    except ImportError as error:
        pytest.skip(f"PyTorch has not what is imported: {error}")
    except RuntimeError as error:
        if "torchvision::" not in str(error) and "custom C++ ops" not in str(error):
            raise
        pytest.skip(f"torchvision has no native part: {error}")


sys.modules["rushlight"] = torch
sys.meta_path.insert(0, Finder)
