"""Process groups: who belongs to them, and the state of this process."""
from __future__ import annotations

import datetime
import itertools
import os

from . import exchanges
from .exchanges import Line
from .mesh import Mesh
from .rendezvous import plan
from .store import PrefixStore, Store

default_pg_timeout = datetime.timedelta(minutes=30)
UNSET = "Default process group has not been initialized, please make sure to call init_process_group."
BUILT_IN = {"nccl": "NCCL", "ucc": "UCC", "xccl": "XCCL"}
NO_MPI = ("Distributed package doesn't have MPI built in. MPI is only included if you build PyTorch from "
          "source on a host that has MPI installed.")


class ProcessGroup:
    """Processes that call collectives together; `ranks` are their ranks in the world."""

    def __init__(self, mesh: Mesh, ranks: list[int], name: str, timeout: datetime.timedelta):
        self.mesh, self.ranks, self.group_name, self.timeout = mesh, ranks, name, timeout
        self.calls = itertools.count()

    def rank(self) -> int:
        """This process' rank within the group."""
        return self.ranks.index(self.mesh.rank)

    def size(self) -> int:
        """How many processes there are."""
        return len(self.ranks)

    def name(self) -> str:
        """The backend."""
        return "gloo"

    def line(self) -> Line:
        """Mail for the next collective: all processes must call the same ones in the same order."""
        return Line(self.mesh, self.ranks, f"{self.group_name}:{next(self.calls)}".encode(),
                    self.timeout.total_seconds())

    def message_key(self, tag: int) -> bytes:
        return f"{self.group_name}:tag {tag}".encode()


class Backend(str):
    """The name of a backend, in small letters."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"

    def __new__(cls, name: str):
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {name!r}")
        return super().__new__(cls, name.lower())


class State:
    """The groups of this process."""

    world: ProcessGroup | None = None
    store: Store | None = None
    groups: dict[str, ProcessGroup] = {}
    names = itertools.count()


class _Outsider:
    """In place of a group, for processes that do not belong to it."""

    def __repr__(self) -> str:
        return "-100"


OUTSIDE = _Outsider()


class _Names(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        return State.world


class group(metaclass=_Names):
    """`group.WORLD`: all processes."""

    NON_GROUP_MEMBER = OUTSIDE


GroupMember = group


def init_process_group(backend: str | None = None, init_method: str | None = None,
                       timeout: datetime.timedelta | None = None, world_size: int = -1, rank: int = -1,
                       store: Store | None = None, group_name: str = "", pg_options=None, device_id=None) -> None:
    """Join the group of all processes.

    Args:
        backend: "gloo", or None for it.
        init_method: where the processes meet: "env://" (MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE),
            "tcp://host:port" or "file:///path".
        timeout: how long one operation waits for the others.
        world_size, rank: how many processes there are, and which of them this one is.
        store: in place of `init_method`.

    Raises:
        ValueError: there is a group already; something is missing.
        RuntimeError: the backend does not exist here; the others do not come in time.
    """
    if State.world is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if store is not None and (world_size < 1 or rank < 0):
        raise AssertionError("world_size must be positive and rank must be non-negative if using store")
    timeout = default_pg_timeout if timeout is None else timeout
    opened = None
    if store is None:
        opened, rank, world_size = plan(init_method or "env://", rank, world_size)
    check_backend(backend)
    check_rank(rank, world_size)
    join(opened(timeout) if store is None else PrefixStore("default_pg", store), rank, world_size, timeout)


def join(store, rank, world_size, timeout):
    mesh = Mesh(store, rank, world_size, timeout.total_seconds())
    State.store = store
    State.world = register(mesh, list(range(world_size)), timeout)
    exchanges.barrier(State.world.line())


def register(mesh, ranks, timeout):
    """A group with the next name; all processes make all groups in the same order."""
    name = str(next(State.names))
    found = ProcessGroup(mesh, ranks, name, timeout)
    if mesh.rank in ranks:
        State.groups[name] = found
        return found
    return OUTSIDE


def check_backend(backend) -> None:
    """Raise PyTorch's error for what is not gloo."""
    name = "gloo" if backend is None else str(backend).lower()
    kinds = dict(part.split(":", 1) for part in name.split(",")) if ":" in name else {"cpu": name}
    name = kinds.get("cpu", name)
    if name in BUILT_IN:
        raise RuntimeError(f"Distributed package doesn't have {BUILT_IN[name]} built in")
    if name == "mpi":
        raise RuntimeError(NO_MPI)
    if name not in ("gloo", "undefined"):
        raise AssertionError(f"Unknown backend type {name}")


def check_rank(rank, world_size) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be between 0 and world_size - 1, found rank {rank} and world_size {world_size}")


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group; None or the world: all of them."""
    if State.world is None:
        raise AssertionError("Process group cannot be None")
    if group is not None and group is not State.world:
        State.groups.pop(group.group_name, None)
        return
    State.world.mesh.close()
    State.store.close()
    State.world, State.store, State.groups, State.names = None, None, {}, itertools.count()


def new_group(ranks: list[int] | None = None, timeout: datetime.timedelta | None = None, backend=None,
              pg_options=None, use_local_synchronization: bool = False, group_desc=None, device_id=None):
    """A group of some processes; all processes must call this, in the same order.

    Returns:
        The group, or `GroupMember.NON_GROUP_MEMBER` in processes that do not belong to it.
    """
    world = current(None)
    check_backend(backend)
    ranks = list(world.ranks) if ranks is None else sorted(ranks)
    if len(ranks) > world.size():
        raise ValueError("the new group's world size should be less or equal to the world size set by "
                         "init_process_group")
    if any(not 0 <= r < world.size() for r in ranks):
        raise ValueError("The new group's rank should be within the world_size set by init_process_group")
    if len(set(ranks)) < len(ranks):
        raise ValueError("Ranks in new_group must be unique")
    return register(world.mesh, ranks, world.timeout if timeout is None else timeout)


def new_subgroups(group_size: int | None = None, group: ProcessGroup | None = None,
                  timeout: datetime.timedelta | None = None, backend=None, pg_options=None, group_desc=None):
    """Groups of `group_size` neighbouring processes; by default, as many as are on one machine.

    Returns:
        (this process' group, all groups).
    """
    whole = current(group)
    size = int(os.environ.get("LOCAL_WORLD_SIZE", whole.size())) if group_size is None else group_size
    if size <= 0 or whole.size() % size:
        raise ValueError(f"The world size {whole.size()} must be divisible by group_size={size}")
    groups = [new_group(whole.ranks[i:i + size], timeout, backend) for i in range(0, whole.size(), size)]
    return next((g for g in groups if is_member(g)), OUTSIDE), groups


def current(found: ProcessGroup | None) -> ProcessGroup:
    """A group, None for the world; ValueError where there is none."""
    if State.world is None:
        raise ValueError(UNSET)
    return State.world if found is None else found


def is_member(found) -> bool:
    return found is not OUTSIDE


def is_initialized() -> bool:
    """Whether there is a default group."""
    return State.world is not None


def get_rank(group: ProcessGroup | None = None) -> int:
    """This process' rank in a group; -1 outside of it."""
    found = current(group)
    return found.rank() if is_member(found) else -1


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes a group has; -1 outside of it."""
    found = current(group)
    return found.size() if is_member(found) else -1


def get_backend(group: ProcessGroup | None = None) -> str:
    """The name of a group's backend."""
    if not is_member(current(group)):
        raise ValueError("Invalid process group specified")
    return "gloo"


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """The ranks in the world of a group's processes."""
    return list(current(group).ranks)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The rank in a group of a rank in the world."""
    found = current(group)
    if global_rank not in found.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {found}")
    return found.ranks.index(global_rank)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank in the world of a rank in a group."""
    found = current(group)
    if not 0 <= group_rank < found.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {found}")
    return found.ranks[group_rank]


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The rank on this machine, as torchrun says."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow "
                           "`get_node_local_rank` to work, assuming you are not running in a multi-device context "
                           "and want the code to run locally instead.")
    return int(fallback_rank)
