"""From a URL to a store, a rank and a world size."""
from __future__ import annotations

import datetime
import os
from urllib.parse import parse_qs, urlparse

from .store import TIMEOUT, FileStore, Store, TCPStore


def plan(url: str, rank: int, world_size: int):
    """(how to open the store, rank, world size), all checked; nothing is connected yet."""
    parsed = urlparse(url)
    if parsed.scheme not in PLANS:
        raise RuntimeError(f"No rendezvous handler for {parsed.scheme}://")
    query = {key: values[-1] for key, values in parse_qs(parsed.query).items()}
    return PLANS[parsed.scheme](parsed, int(query.get("rank", rank)), int(query.get("world_size", world_size)))


def rendezvous(url: str, rank: int = -1, world_size: int = -1,
               timeout: datetime.timedelta = TIMEOUT):
    """Yields (store, rank, world_size) of `env://`, `tcp://host:port` or `file:///path`."""
    opened, rank, world_size = plan(url, rank, world_size)
    yield opened(timeout), rank, world_size


def from_environment(parsed, rank, world_size):
    rank = rank if rank >= 0 else int(variable("RANK"))
    world_size = world_size if world_size >= 0 else int(variable("WORLD_SIZE"))
    return tcp(variable("MASTER_ADDR"), int(variable("MASTER_PORT")), rank, world_size)


def variable(name: str) -> str:
    if not os.environ.get(name):
        raise ValueError("Error initializing torch.distributed using env:// rendezvous: "
                         f"environment variable {name} expected, but not set")
    return os.environ[name]


def from_address(parsed, rank, world_size):
    check("tcp", port=parsed.port or -1, rank=rank, world_size=world_size)
    return tcp(parsed.hostname, parsed.port, rank, world_size)


def tcp(host, port, rank, world_size):
    def opened(timeout: datetime.timedelta) -> Store:
        return TCPStore(host, port, world_size, is_master=rank == 0, timeout=timeout, wait_for_workers=False)
    return opened, rank, world_size


def from_file(parsed, rank, world_size):
    if not parsed.path:
        raise ValueError("Error initializing torch.distributed using file:// rendezvous: path missing")
    check("file", rank=rank, world_size=world_size)

    def opened(timeout: datetime.timedelta) -> Store:
        store = FileStore(parsed.path, world_size)
        store.set_timeout(timeout)
        return store
    return opened, rank, world_size


def check(scheme: str, **found) -> None:
    for name, value in found.items():
        if value < 0:
            what = {"port": "port number", "rank": "rank parameter", "world_size": "world size parameter"}[name]
            raise ValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: {what} missing")


PLANS = {"env": from_environment, "tcp": from_address, "file": from_file}
