"""torch.distributed over TCP: groups of processes, collectives, and the launcher `torchrun`.

The backend is called gloo, as PyTorch's for CPUs. Processes find each other through a store and
then talk directly, each with each. Messages are neither encrypted nor, for objects, safe to load
from strangers: for machines and networks that are trusted.
"""
import os

from .collectives import (
    P2POp, all_gather, all_gather_into_tensor, all_reduce, all_to_all, all_to_all_single, barrier,
    batch_isend_irecv, broadcast, gather, irecv, isend, monitored_barrier, recv, reduce, reduce_scatter,
    reduce_scatter_tensor, scatter, send,
)
from .device_mesh import DeviceMesh, init_device_mesh
from .errors import DistBackendError, DistError, DistNetworkError, DistStoreError
from .groups import (
    Backend, GroupMember, ProcessGroup, default_pg_timeout, destroy_process_group, get_backend,
    get_global_rank, get_group_rank, get_node_local_rank, get_process_group_ranks, get_rank, get_world_size, group,
    init_process_group, is_initialized, new_group, new_subgroups,
)
from .grad_bucket import GradBucket
from .objects import (
    all_gather_object, broadcast_object_list, gather_object, recv_object_list, scatter_object_list,
    send_object_list,
)
from .reduce_op import ReduceOp
from .rendezvous import rendezvous
from .store import FileStore, HashStore, PrefixStore, Store, TCPStore
from .work import Work

_all_gather_base, _reduce_scatter_base = all_gather_into_tensor, reduce_scatter_tensor


def is_available() -> bool:
    """Whether processes can form groups: always."""
    return True


def is_gloo_available() -> bool:
    """Whether there is the backend for CPUs: always."""
    return True


def is_nccl_available() -> bool:
    return False


def is_mpi_available() -> bool:
    return False


def is_ucc_available() -> bool:
    return False


def is_xccl_available() -> bool:
    return False


def is_backend_available(backend: str) -> bool:
    """Whether there is a backend of that name."""
    return backend.lower() == "gloo"


def is_torchelastic_launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


_ROOMS = frozenset(("algorithms", "checkpoint", "elastic", "fsdp", "nn", "optim", "tensor"))


def __getattr__(name):
    """What builds on collectives is imported when it is first entered."""
    if name in _ROOMS:
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.distributed' has no attribute {name!r}")
