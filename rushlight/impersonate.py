"""Let `import torch` mean rushlight: in this process, and in those it starts.

One module, two names: `torch.nn.functional` is the very object that `rushlight.nn.functional` is.
This file imports nothing of rushlight until somebody imports torch, because `rushlight run` loads
it at the start of every Python process below it, also of those that never look at a tensor.
"""
from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys

NAME, OURS = "torch", "rushlight"
SWITCH = "RUSHLIGHT_RUN"        # in the environment: "<sys.prefix><os.pathsep><package's folder>"
STAND_INS = {"opacus": "rushlight.privacy", "torchvision": "rushlight.vision", "visdom": "rushlight.utils.visdom"}


def is_torch(name: str) -> bool:
    return name == NAME or name.startswith(NAME + ".")


def is_stood_in_for(name: str) -> bool:
    """Whether a package that needs torch is meant, is not installed, and has its counterpart here."""
    package = name.partition(".")[0]
    return package in STAND_INS and importlib.machinery.PathFinder.find_spec(package) is None


def our_name(name: str) -> str:
    """`torch.nn.functional` -> `rushlight.nn.functional`."""
    package, dot, rest = name.partition(".")
    if package in STAND_INS:
        return STAND_INS[package] + dot + rest
    return OURS + name[len(NAME):]


class TwoNames(importlib.machinery.SourceFileLoader):
    """Loads `torch.x` by handing out the module `rushlight.x`."""

    def __init__(self, name, ours):
        self.name, self.ours, self.path = name, ours.name, ours.origin

    def create_module(self, spec):
        module = importlib.import_module(self.ours)
        self.spec = module.__spec__         # the import system is about to overwrite it
        return module

    def exec_module(self, module):
        module.__spec__ = self.spec
        name_what_is_missing(module, self.name)


def name_what_is_missing(module, name: str) -> None:
    """Give the module an AttributeError that says what rushlight does not have yet."""
    def __getattr__(attribute):
        raise AttributeError(f"rushlight has no {name}.{attribute} yet", name=attribute, obj=module)
    module.__dict__.setdefault("__getattr__", __getattr__)


class Impersonator:
    """Answers on sys.meta_path for torch and all below it, and for what stands in for others."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if not is_torch(name) and not is_stood_in_for(name):
            return None
        ours = spec_or_none(our_name(name))
        if ours is not None:
            return spec_of(name, ours)
        if only_asks(sys._getframe(1)):
            return None
        raise ModuleNotFoundError(f"rushlight has no {name} yet", name=name)

    @classmethod
    def find_distributions(cls, context=None):
        """What importlib.metadata knows about the distribution "torch"."""
        if context is None or context.name is None or context.name.lower() == NAME:
            yield distribution()

    @classmethod
    def invalidate_caches(cls):
        """Nothing is cached here; the import system calls this on every finder."""


def spec_of(name, ours):
    loader = TwoNames(name, ours)
    spec = importlib.machinery.ModuleSpec(name, loader, origin=ours.origin)
    spec.submodule_search_locations = ours.submodule_search_locations
    spec.has_location = ours.has_location
    return spec


def spec_or_none(name):
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as missing:
        if not name.startswith(str(missing.name)):
            raise       # rushlight is there, something that it needs is not
        return None


def only_asks(frame) -> bool:
    """Whether importlib.util.find_spec() is the caller, to whom "no" is an answer."""
    while frame is not None and frame.f_globals.get("__name__") == "importlib._bootstrap":
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "importlib.util"


def distribution():
    from importlib.metadata import Distribution

    class Torch(Distribution):
        """The installed distribution "torch" as this process sees it."""

        def read_text(self, filename):
            if filename == "METADATA":
                from rushlight.version import __version__
                return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\n"
            return None

        def locate_file(self, path):
            import pathlib
            return pathlib.Path(package_folder()) / path

    return Torch()


def package_folder() -> str:
    """The folder that holds the package rushlight."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def startup_folder() -> str:
    """The folder whose sitecustomize installs the impersonator in child processes."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli", "startup")


def install() -> None:
    """Make `import torch` mean rushlight in this process from now on."""
    refuse_a_loaded_torch()
    if not any(getattr(finder, "__name__", "") == "Impersonator" for finder in sys.meta_path):
        sys.meta_path.insert(0, Impersonator)


def refuse_a_loaded_torch() -> None:
    loaded = sys.modules.get(NAME)
    if loaded is not None and loaded is not sys.modules.get(OURS):
        raise RuntimeError("PyTorch is already imported in this process; "
                           "rushlight can take its name only before that")


def environment(base=None) -> dict[str, str]:
    """The environment in which a Python process, and all below it, take rushlight for torch."""
    env = dict(os.environ if base is None else base)
    env[SWITCH] = sys.prefix + os.pathsep + package_folder()
    rest = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and p != startup_folder()]
    env["PYTHONPATH"] = os.pathsep.join([startup_folder(), *rest])
    return env


def take_over(switch: str) -> None:
    """At the start of a child process: install, unless it is another environment's Python."""
    prefix, _, folder = switch.partition(os.pathsep)
    if prefix != sys.prefix:
        return
    if importlib.machinery.PathFinder.find_spec(OURS) is None:
        sys.path.append(folder)
    install()
