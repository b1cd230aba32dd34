"""A compiled Module: the module itself behind a compiled call."""
from __future__ import annotations

from ..nn.modules.module import Module
from .compiled import Compiled


class OptimizedModule(Module):
    """What `compile` makes of a Module: the same parameters, under `_orig_mod`, as in PyTorch."""

    def __init__(self, module: Module, disable: bool = False):
        super().__init__()
        self._orig_mod = module
        self.training = module.training
        self.__dict__["_compiled_call"] = Compiled(module.__call__, disable)

    def forward(self, *args, **kwargs):
        return self._compiled_call(*args, **kwargs)

    def train(self, mode: bool = True):
        super().train(mode)
        return self

    def __getattr__(self, name):
        if name == "_orig_mod":
            return self.__dict__["_modules"]["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __getitem__(self, key):
        return self._orig_mod[key]

    def __len__(self):
        return len(self._orig_mod)

    def __iter__(self):
        return iter(self._orig_mod)

    def __reduce__(self):
        return OptimizedModule, (self._orig_mod,)
