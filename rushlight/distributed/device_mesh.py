"""Processes in a grid, with a group for each of its lines."""
from __future__ import annotations

import math

import numpy as np

from . import groups

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """Ranks in an n-dimensional grid; all processes of the world make it, in the same order.

    Args:
        device_type: "cpu".
        mesh: ranks in the world, nested lists or an integer tensor.
        mesh_dim_names: names of the dimensions.
    """

    def __init__(self, device_type: str, mesh, *, mesh_dim_names: tuple[str, ...] | None = None,
                 _init_backend: bool = True, _groups=None):
        self.device_type = device_type
        self._ranks = np.array(mesh.tolist() if hasattr(mesh, "tolist") else mesh, int)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        if self.mesh_dim_names is not None and len(self.mesh_dim_names) != self._ranks.ndim:
            raise RuntimeError("mesh shape and mesh_dim_names should have the same length: "
                               f"{self._ranks.ndim} dimensions and {self.mesh_dim_names}")
        self._groups = [self._lines(d) for d in range(self._ranks.ndim)] if _groups is None else _groups

    def _lines(self, dim):
        """This process' group along a dimension; all groups are made."""
        world = groups.current(None)
        if self._ranks.ndim == 1 and self._ranks.tolist() == world.ranks:
            return world
        lines = np.moveaxis(self._ranks, dim, -1).reshape(-1, self._ranks.shape[dim])
        made = [groups.new_group(line.tolist()) for line in lines]
        return next((g for g in made if groups.is_member(g)), groups.OUTSIDE)

    @property
    def mesh(self):
        """The ranks as a tensor."""
        from ..ops.create import tensor
        return tensor(self._ranks)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._ranks.shape

    @property
    def ndim(self) -> int:
        return self._ranks.ndim

    def size(self, mesh_dim: int | None = None) -> int:
        """How many processes there are, in all or along a dimension."""
        return self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim]

    def _dim(self, mesh_dim) -> int:
        if mesh_dim is None:
            if self.ndim > 1:
                raise RuntimeError(f"Found the DeviceMesh have {self.ndim} dimensions: mesh_dim needs to be "
                                   "specified when device_mesh.ndim > 1.")
            return 0
        if isinstance(mesh_dim, int):
            return mesh_dim
        if mesh_dim not in (self.mesh_dim_names or ()):
            raise KeyError(f"Mesh dimension '{mesh_dim}' does not exist. Available mesh dimensions are: "
                           f"mesh_dim_names={self.mesh_dim_names}")
        return self.mesh_dim_names.index(mesh_dim)

    def get_group(self, mesh_dim: int | str | None = None):
        """The group of the line through this process along a dimension."""
        return self._groups[self._dim(mesh_dim)]

    def get_all_groups(self) -> list:
        """The groups along all dimensions."""
        return list(self._groups)

    def get_rank(self) -> int:
        """This process' rank in the world."""
        return groups.get_rank()

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This process' rank along a dimension."""
        return groups.get_rank(self.get_group(mesh_dim))

    def get_coordinate(self) -> list[int] | None:
        """Where in the grid this process is; None outside of it."""
        found = np.argwhere(self._ranks == groups.get_rank())
        return found[0].tolist() if len(found) else None

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        """The part of the grid through this process along the named dimensions."""
        names = (names,) if isinstance(names, str) else tuple(names)
        if self.mesh_dim_names is None:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        dims = [self._dim(name) for name in names]
        at = self.get_coordinate() or [0] * self.ndim
        ranks = self._ranks[tuple(slice(None) if d in dims else at[d] for d in range(self.ndim))]
        order = [sorted(dims).index(d) for d in dims]
        return DeviceMesh(self.device_type, ranks.transpose(order), mesh_dim_names=names,
                          _groups=[self._groups[d] for d in dims])

    @staticmethod
    def from_group(group, device_type: str, mesh=None, *, mesh_dim_names=None) -> DeviceMesh:
        """The mesh of a group that exists, or of one for each dimension."""
        if not isinstance(group, (list, tuple)):
            return DeviceMesh(device_type, groups.current(group).ranks, mesh_dim_names=mesh_dim_names,
                              _groups=[groups.current(group)])
        if mesh is None:
            raise ValueError("Must pass mesh if passing multiple ProcessGroups")
        return DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names, _groups=list(group))

    def __eq__(self, other):
        return isinstance(other, DeviceMesh) and (self._ranks.tolist(), self.mesh_dim_names) == (
            other._ranks.tolist(), other.mesh_dim_names)

    def __hash__(self):
        return hash((str(self._ranks.tolist()), self.mesh_dim_names))

    def __repr__(self):
        if self.mesh_dim_names is None:
            return f"DeviceMesh({self.shape}, '{self.device_type}', stride={self._strides()})"
        sizes = ", ".join(f"{n}={s}" for n, s in zip(self.mesh_dim_names, self.shape))
        return f"DeviceMesh(({sizes}), '{self.device_type}', stride={self._strides()})"

    def _strides(self):
        return tuple(math.prod(self.shape[d + 1:]) for d in range(self.ndim))


def init_device_mesh(device_type: str, mesh_shape: tuple[int, ...], *, mesh_dim_names=None,
                     backend_override=None) -> DeviceMesh:
    """All processes in a grid of a shape, row by row; the default group is made if there is none.

    Raises:
        RuntimeError: names that are not different, or not as many as dimensions; a grid larger than the world.
    """
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError("Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names "
                               f"{mesh_dim_names}")
        if len(mesh_shape) != len(mesh_dim_names):
            raise RuntimeError("mesh_shape and mesh_dim_names should have same length!: Found len(mesh_dim_names): "
                               f"{len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}.")
    if not groups.is_initialized():
        groups.init_process_group("gloo")
    if math.prod(mesh_shape) > groups.get_world_size():
        raise RuntimeError(f"Mesh should not be bigger than default world size {groups.get_world_size()}, but found "
                           f"{math.prod(mesh_shape)} ranks!")
    ranks = np.arange(math.prod(mesh_shape)).reshape(mesh_shape)
    return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names)
