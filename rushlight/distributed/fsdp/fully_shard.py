"""Modules sharded in place: their parameters become rows of themselves."""
from __future__ import annotations

from dataclasses import dataclass

from ...nn import Module
from ...tensor import Tensor
from ..device_mesh import DeviceMesh
from ..groups import current
from .unit import Places, RowCut, Unit

__all__ = ["CPUOffloadPolicy", "FSDPModule", "MixedPrecisionPolicy", "OffloadPolicy", "fully_shard",
           "register_fsdp_forward_method"]


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """In which dtype to compute, to average gradients, and to return; None: as they are."""

    param_dtype: object = None
    reduce_dtype: object = None
    output_dtype: object = None
    cast_forward_inputs: bool = True


@dataclass
class OffloadPolicy:
    """Nothing is moved."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Accepted: all is on the CPU."""

    pin_memory: bool = True


class FSDPModule:
    """What `fully_shard` adds to a module's class."""

    _unit: Unit | None = None
    _policy = MixedPrecisionPolicy()

    def forward(self, *args, **kwargs):
        return self._with_whole(super().forward, args, kwargs)

    def _with_whole(self, method, args, kwargs):
        dtype = self._policy.param_dtype
        if dtype is not None and self._policy.cast_forward_inputs:
            args, kwargs = cast((args, kwargs), dtype)
        if self._unit is None:
            output = method(*args, **kwargs)
        else:
            with self._unit.whole():
                output = method(*args, **kwargs)
        return output if self._policy.output_dtype is None else cast(output, self._policy.output_dtype)

    def _units(self, recurse=True):
        modules = self.modules() if recurse else [self]
        return [m._unit for m in modules if isinstance(m, FSDPModule) and m._unit is not None]

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether backward passes average gradients, or only add them up."""
        for unit in self._units(recurse):
            unit.syncs = requires_gradient_sync

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Accepted: nothing waits for the last pass."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether whole parameters are given back between the passes."""
        for unit in self._units(recurse):
            unit.reshards = reshard_after_forward

    def unshard(self, async_op: bool = False) -> None:
        """Accepted: parameters are gathered when they are needed."""

    def reshard(self) -> None:
        """Give back what the backward pass has gathered."""
        for unit in self._units(recurse=False):
            unit.again = None


def cast(x, dtype):
    """Floating point tensors in a structure, in another dtype."""
    if isinstance(x, Tensor):
        return x.to(dtype) if x.is_floating_point() else x
    if isinstance(x, dict):
        return {k: cast(v, dtype) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        items = [cast(v, dtype) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return x


def fully_shard(module: Module, *, mesh: DeviceMesh | None = None, reshard_after_forward: bool | int | None = None,
                shard_placement_fn=None, mp_policy: MixedPrecisionPolicy | None = None,
                offload_policy: OffloadPolicy | None = None, ignored_params: set | None = None) -> Module:
    """Spread the parameters of a module that are in no unit yet over the processes, by rows.

    Call it for inner modules first. All processes must have the same parameters before; optimisers
    are made afterwards, and step the rows of each process.

    Args:
        mesh: 1-D, or (replicas, shards); None for the world.
        reshard_after_forward: False keeps the whole parameters from the forward to the backward pass.

    Raises:
        NotImplementedError: `shard_placement_fn`: parameters cut along another dimension.
    """
    if shard_placement_fn is not None:
        raise NotImplementedError("fully_shard: shard_placement_fn")
    if isinstance(module, FSDPModule):
        raise AssertionError(f"Each distinct module may only be passed to fully_shard once: {type(module).__name__}")
    group = current(None) if mesh is None else mesh.get_group(mesh.ndim - 1)
    replicas = mesh.get_group(0) if mesh is not None and mesh.ndim == 2 else None
    policy, ignored = mp_policy or MixedPrecisionPolicy(), {id(p) for p in ignored_params or ()}
    named = [(n, o, k, p) for n, o, k, p in parameters_of(module, FSDPModule) if id(p) not in ignored]
    if named:
        places = Places(named)
        unit = Unit(places, RowCut(places, group, mesh), replicas, reshard_after_forward is not False,
                    (policy.param_dtype, policy.reduce_dtype))
        for i, owner, name in places:
            owner._parameters[name] = unit.leaves[i]
        module.__dict__["_unit"] = unit
    module.__dict__["_policy"] = policy
    module.__class__ = type("FSDP" + type(module).__name__, (FSDPModule, type(module)), {})
    return module


def parameters_of(module, border, prefix=""):
    """(full name, module, name, parameter) of a module and those below it, up to other units."""
    for name, p in module._parameters.items():
        if p is not None:
            yield prefix + name, module, name, p
    for name, child in module._modules.items():
        if child is not None and not isinstance(child, border):
            yield from parameters_of(child, border, f"{prefix}{name}.")


def register_fsdp_forward_method(module: Module, method_name: str) -> None:
    """Let another method than `forward` see whole parameters."""
    if not isinstance(module, FSDPModule):
        return
    method = getattr(module, method_name)
    module.__dict__[method_name] = lambda *args, **kwargs: module._with_whole(method, args, kwargs)
