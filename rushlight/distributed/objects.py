"""Collectives of Python objects, which travel pickled: only among processes that trust each other."""
from __future__ import annotations

import pickle

from . import exchanges
from .collectives import collective, peer_in, rank_in
from .groups import ProcessGroup

TAG = -1        # of messages that hold objects


@collective
def all_gather_object(object_list: list, obj, group: ProcessGroup | None = None) -> None:
    """object_list[i] becomes the object of process i."""
    data = pickle.dumps(obj)
    object_list[:] = map(pickle.loads, exchanges.exchange(group.line(), [data] * group.size()))


@collective
def gather_object(obj, object_gather_list: list | None = None, dst: int | None = None,
                  group: ProcessGroup | None = None, group_dst: int | None = None) -> None:
    """In process `dst`, object_gather_list[i] becomes the object of process i."""
    root = rank_in(group, dst, group_dst)
    if root == group.rank() and not object_gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    found = exchanges.gather(group.line(), root, pickle.dumps(obj))
    if found is not None:
        object_gather_list[:] = map(pickle.loads, found)


@collective
def broadcast_object_list(object_list: list, src: int | None = None, group: ProcessGroup | None = None,
                          device=None, group_src: int | None = None) -> None:
    """The list of process `src`, to all others."""
    root = rank_in(group, src, group_src)
    data = exchanges.broadcast(group.line(), root, pickle.dumps(object_list) if root == group.rank() else b"")
    if root != group.rank():
        object_list[:] = pickle.loads(data)


@collective
def scatter_object_list(scatter_object_output_list: list, scatter_object_input_list: list | None = None,
                        src: int | None = None, group: ProcessGroup | None = None,
                        group_src: int | None = None) -> None:
    """The first element of the output list of process i becomes the i-th of the input list of `src`."""
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = rank_in(group, src, group_src)
    messages = [pickle.dumps(x) for x in scatter_object_input_list] if root == group.rank() else None
    if messages is not None and len(messages) != group.size():
        raise ValueError(f"scatter_object_list: {len(messages)} objects for {group.size()} processes")
    scatter_object_output_list[0] = pickle.loads(exchanges.scatter(group.line(), root, messages))


@collective
def send_object_list(object_list: list, dst: int | None = None, group: ProcessGroup | None = None,
                     device=None, group_dst: int | None = None, use_batch: bool = False) -> None:
    """Send a list to process `dst`, which calls recv_object_list."""
    peer = peer_in(group, dst, group_dst, "destination")
    group.mesh.send(peer, group.message_key(TAG), pickle.dumps(object_list))


@collective
def recv_object_list(object_list: list, src: int | None = None, group: ProcessGroup | None = None,
                     device=None, group_src: int | None = None, use_batch: bool = False) -> int:
    """Receive a list from process `src`, None for any; the rank of the sender."""
    peers = ([r for r in group.ranks if r != group.mesh.rank] if src is None and group_src is None
             else [peer_in(group, src, group_src, "source")])
    peer, data = group.mesh.receive_any(peers, group.message_key(TAG), group.timeout.total_seconds())
    object_list[:] = pickle.loads(data)
    return peer
