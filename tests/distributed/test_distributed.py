"""Groups of 2 and 3 processes on this machine, over a store in a file or on a free port."""
import datetime
import os
import re
import socket
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest

import rushlight as torch
import rushlight.distributed as dist
import rushlight.multiprocessing as mp
from rushlight import nn
from rushlight.nn.parallel import DistributedDataParallel as DDP
from rushlight.utils.data import DistributedSampler

SECONDS = datetime.timedelta(seconds=120)


def member(rank, size, path, job):
    dist.init_process_group("gloo", f"file://{path}", rank=rank, world_size=size, timeout=SECONDS)
    try:
        job(rank, size)
    except BaseException:
        traceback.print_exc()       # of all processes: spawn tells of one
        raise
    finally:
        dist.destroy_process_group()


def together(job, size, tmp_path):
    path = tmp_path / "store"
    mp.start_processes(member, (size, path, job), nprocs=size, start_method="fork")
    assert not path.exists()


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def data(rank, n=7, dtype=torch.float32):
    return torch.tensor(np.random.default_rng(rank).standard_normal(n)).to(dtype)


def collectives(rank, size):
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (rank, size, "gloo")
    whole = [data(r) for r in range(size)]
    x = data(rank)
    dist.all_reduce(x)
    assert torch.allclose(x, sum(whole))
    copies = [torch.empty(7) for _ in range(size)]
    dist.all_gather(copies, x)
    assert all(torch.equal(c, x) for c in copies)            # the same bits everywhere
    for op, want in ((dist.ReduceOp.MAX, torch.stack(whole).amax(0)), (dist.ReduceOp.MIN, torch.stack(whole).amin(0)),
                     (dist.ReduceOp.PRODUCT, torch.stack(whole).prod(0)), (dist.ReduceOp.AVG, sum(whole) / size)):
        y = data(rank)
        dist.all_reduce(y, op)
        assert torch.allclose(y, want)
    x = data(rank)
    dist.reduce(x, 1)
    assert torch.allclose(x, sum(whole) if rank == 1 else whole[rank])
    x = data(rank)
    dist.broadcast(x, size - 1)
    assert torch.equal(x, whole[-1])
    n = torch.tensor(rank + 1)
    dist.all_reduce(n)
    assert n.item() == size * (size + 1) // 2
    b = torch.full((3,), rank + 0.5, dtype=torch.bfloat16)
    dist.all_reduce(b)
    assert b.tolist() == [sum(r + 0.5 for r in range(size))] * 3
    dist.barrier()


def moves(rank, size):
    whole = torch.empty(size, 7)
    dist.all_gather_into_tensor(whole, data(rank))
    assert torch.equal(whole, torch.stack([data(r) for r in range(size)]))
    parts = [torch.empty(7) for _ in range(size)] if rank == 0 else None
    dist.gather(data(rank), parts)
    assert rank or torch.equal(torch.stack(parts), whole)
    x = torch.empty(7)
    dist.scatter(x, [data(10 + r) for r in range(size)] if rank == 1 else None, src=1)
    assert torch.equal(x, data(10 + rank))
    dist.reduce_scatter(x, [data(r) * (rank + 1) for r in range(size)])
    assert torch.allclose(x, data(rank) * (size * (size + 1) / 2))
    y = torch.empty(2)
    dist.reduce_scatter_tensor(y, torch.arange(2. * size))
    assert y.tolist() == [size * 2. * rank, size * (2. * rank + 1)]
    out = [torch.empty(1) for _ in range(size)]
    dist.all_to_all(out, [torch.tensor([10. * rank + r]) for r in range(size)])
    assert [o.item() for o in out] == [10. * r + rank for r in range(size)]
    out = torch.empty(size, dtype=torch.int64)
    dist.all_to_all_single(out, torch.arange(size) + 10 * rank)
    assert out.tolist() == [10 * r + rank for r in range(size)]
    transposed = torch.empty(4, 2).t()
    dist.broadcast(transposed, 0) if rank else dist.broadcast(torch.arange(8.).view(2, 4), 0)
    assert rank == 0 or transposed.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def messages(rank, size):
    peer = 1 - rank
    big = torch.full((400_000,), float(rank))               # more than a socket holds, both ways at once
    got = torch.empty(400_000)
    expected = dist.irecv(got, peer)
    dist.isend(big, peer).wait()
    expected.wait()
    assert expected.is_completed() and got.unique().tolist() == [float(peer)]
    if rank == 0:
        dist.send(torch.tensor([1.]), 1, tag=1)
        dist.send(torch.tensor([2.]), 1, tag=2)
    else:
        x = torch.empty(1)
        assert dist.recv(x, 0, tag=2) == 0 and x.item() == 2
        assert dist.recv(x, tag=1) == 0 and x.item() == 1
    x, y = torch.ones(3), torch.ones(2) * rank
    works = [dist.all_reduce(x, async_op=True), dist.broadcast(y, 1, async_op=True)]
    for work in reversed(works):
        assert work.wait() and work.is_completed()
    assert x.tolist() == [2, 2, 2] and y.tolist() == [1, 1]
    found = [None, None]
    dist.all_gather_object(found, {"rank": rank})
    assert found == [{"rank": 0}, {"rank": 1}]
    names = ["a", 1] if rank == 0 else [None, None]
    dist.broadcast_object_list(names)
    assert names == ["a", 1]
    mine = [None]
    dist.scatter_object_list(mine, ["x", "y"] if rank == 0 else None)
    assert mine == [["x", "y"][rank]]


def groups(rank, size):
    pair, other = dist.new_group([0, 2]), dist.new_group([1])
    x = torch.tensor([rank + 1.])
    dist.all_reduce(x, group=pair)
    assert x.item() == (2 if rank == 1 else 4)
    assert dist.get_rank(pair) == {0: 0, 1: -1, 2: 1}[rank]
    assert dist.get_world_size(other) == (1 if rank == 1 else -1)
    if rank != 1:
        assert dist.get_global_rank(pair, 1) == 2 and dist.get_group_rank(pair, 2) == 1
    assert dist.group.WORLD.size() == 3
    mine, singles = dist.new_subgroups(1)
    assert dist.get_process_group_ranks(mine) == [rank] and len(singles) == 3
    assert list(DistributedSampler(list(range(10)), shuffle=False)) == [
        [0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]][rank]


@pytest.mark.parametrize("job, size", [(collectives, 3), (collectives, 2), (moves, 3), (messages, 2), (groups, 3)])
def test_together(job, size, tmp_path):
    together(job, size, tmp_path)


# -- one that fails ----------------------------------------------------------------------------------

def lonely(rank, size):
    if rank == 1:
        return
    with pytest.raises(RuntimeError, match="rank 1 has left the group or has died"):
        dist.all_reduce(torch.ones(3))


def late(rank, size):
    if rank == 1:
        dist.recv(torch.empty(1), 0)
        return
    with pytest.raises(RuntimeError, match="Timed out waiting 100ms.*rank 1"):
        dist.monitored_barrier(timeout=datetime.timedelta(milliseconds=100))
    dist.send(torch.ones(1), 1)


def unequal(rank, size):
    with pytest.raises(RuntimeError, match="same size"):
        dist.all_reduce(torch.ones(4 if rank else 2))


@pytest.mark.parametrize("job", [lonely, late, unequal])
def test_failures(job, tmp_path):
    together(job, 2, tmp_path)


def test_messages_without_a_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    unset = "Default process group has not been initialized"
    for call in (dist.get_rank, lambda: dist.all_reduce(torch.ones(1)), lambda: DDP(nn.Linear(1, 1)),
                 lambda: DistributedSampler([1])):
        with pytest.raises(ValueError, match=unset):
            call()
    with pytest.raises(ValueError, match="environment variable RANK expected, but not set"):
        dist.init_process_group("gloo")
    with pytest.raises(RuntimeError, match="doesn't have NCCL built in"):
        dist.init_process_group("nccl", "tcp://127.0.0.1:1", rank=0, world_size=1)
    with pytest.raises(RuntimeError, match="No rendezvous handler"):
        dist.init_process_group("gloo", "pigeon://")
    assert dist.is_available() and not dist.is_initialized() and not dist.is_nccl_available()


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_messages_with_a_group(alone):
    with pytest.raises(ValueError, match="trying to initialize the default process group twice"):
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    with pytest.raises(ValueError, match="device_ids can only be None or contain a single element"):
        DDP(nn.Linear(1, 1), device_ids=[0, 1])
    with pytest.raises(RuntimeError, match="doesn't have any parameter that requires a gradient"):
        DDP(nn.ReLU())
    with pytest.raises(RuntimeError, match="invalid tensor size"):
        dist.all_gather([torch.ones(2)], torch.ones(3))
    with pytest.raises(ValueError, match="should not be the same as the rank"):
        dist.send(torch.ones(1), 0)
    with pytest.raises(RuntimeError, match="BAND with non-integral"):
        dist.all_reduce(torch.ones(1), dist.ReduceOp.BAND)
    with pytest.raises(TypeError, match="Expected parameter `tensor`"):
        dist.all_reduce([1])


# -- stores ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["hash", "file", "tcp", "prefix"])
def test_store(kind, tmp_path):
    store = {"hash": dist.HashStore, "file": lambda: dist.FileStore(tmp_path / "f", 1),
             "tcp": lambda: dist.TCPStore("127.0.0.1", 0, is_master=True),
             "prefix": lambda: dist.PrefixStore("p", dist.HashStore())}[kind]()
    store.set("a", "1")
    assert store.get("a") == b"1"
    assert [store.add("n", 2), store.add("n", -5), store.get("n")] == [2, -3, b"-3"]
    assert store.compare_set("a", "0", "2") == b"1" and store.compare_set("a", "1", "2") == b"2"
    assert store.compare_set("new", "", "x") == b"x" and store.compare_set("none", "y", "z") == b"y"
    assert store.check(["a", "n"]) and not store.check(["a", "none"])
    with pytest.raises(RuntimeError, match="wait timeout after 20ms, keys: none"):
        store.wait(["none"], datetime.timedelta(milliseconds=20))
    if kind != "tcp":
        threading.Timer(0.05, store.set, ("later", "now")).start()
        assert store.get("later") == b"now"
    assert store.delete_key("a") and not store.delete_key("a")
    store.close()


def test_clients_of_a_store():
    master = dist.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    client = dist.TCPStore("127.0.0.1", master.port, timeout=SECONDS)
    setter = threading.Timer(0.05, master.set, ("key", b"\0\xff"))
    setter.start()
    assert client.get("key") == b"\0\xff"
    setter.join()
    master.close()
    with pytest.raises(RuntimeError, match="is gone"):
        client.set("key", "")
    client.close()


# -- training ----------------------------------------------------------------------------------------

def model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def batch():
    return data(5, 24).view(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])


def training(rank, size):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)) if rank == 0 else None
    torch.manual_seed(rank)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    ours = DDP(net, bucket_cap_mb=0.0001)
    assert len(ours.reducer.buckets) > 1 and all(k.startswith("module.") for k in ours.state_dict())
    torch.manual_seed(0)
    alone = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = batch()
    pairs = [(m, torch.optim.SGD(m.parameters(), lr=0.5, momentum=0.9)) for m in (ours, alone)]
    for _ in range(3):
        for (m, optimizer), part in zip(pairs, (slice(rank, None, size), slice(None))):
            optimizer.zero_grad()
            nn.functional.cross_entropy(m(x[part]), y[part]).backward()
            optimizer.step()
    for p, q in zip(ours.parameters(), alone.parameters()):
        assert torch.allclose(p.grad, q.grad, atol=1e-6) and torch.allclose(p, q, atol=1e-6)
    same_everywhere(ours, size)


def same_everywhere(ours, size):
    for p in ours.parameters():
        copies = [torch.empty_like(p) for _ in range(size)]
        dist.all_gather(copies, p.detach())
        assert all(torch.equal(p, c) for c in copies)


def without_sync(rank, size):
    ours = DDP(nn.Linear(2, 1))
    x = torch.tensor([[1., 2.]]) * (rank + 1)
    with ours.no_sync():
        ours(x).sum().backward()
    assert ours.module.weight.grad.tolist() == x.tolist()
    ours(x).sum().backward()
    assert ours.module.weight.grad.tolist() == [[3., 6.]]        # the mean of 2 x over both


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x, which):
        return getattr(self, which)(x)


def unused(rank, size):
    ours = DDP(Choosing(), find_unused_parameters=True)
    for _ in range(2):
        ours.zero_grad()
        ours(torch.ones(1, 2), "ab"[rank]).sum().backward()
        assert ours.module.a.bias.grad.tolist() == ours.module.b.bias.grad.tolist() == [0.5, 0.5]
        assert ours.module.c.bias.grad is None
    strict = DDP(Choosing())
    strict(torch.ones(1, 2), "a").sum().backward()
    with pytest.raises(RuntimeError, match="(?s)Expected to have finished reduction.*b.bias"):
        strict(torch.ones(1, 2), "a")


def buffers(rank, size):
    ours = DDP(model(rank))
    x, y = batch()
    for i in range(2):
        nn.functional.cross_entropy(ours(x[rank::size] + rank), y[rank::size]).backward()
    ours.eval()
    ours(x)                                                      # takes over rank 0's statistics
    copies = [torch.empty(8) for _ in range(size)]
    dist.all_gather(copies, ours.module[1].running_mean)
    assert all(torch.equal(copies[0], c) for c in copies) and ours.module[1].num_batches_tracked == 2
    with pytest.raises(RuntimeError, match="same model across all ranks"):
        DDP(nn.Linear(1, 1, bias=rank == 0))


@pytest.mark.parametrize("job, size", [(training, 2), (training, 3), (without_sync, 2), (unused, 2), (buffers, 2)])
def test_data_parallel(job, size, tmp_path):
    together(job, size, tmp_path)


# -- torchrun ----------------------------------------------------------------------------------------

PROGRAM = """
import os, sys
import torch, torch.distributed as dist
dist.init_process_group("gloo")
rank, restarts = int(os.environ["LOCAL_RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
path = sys.argv[1]
start = torch.load(path)["epoch"] if os.path.exists(path) else 0
for epoch in range(start, 4):
    x = torch.tensor([float(rank)])
    dist.all_reduce(x)
    if rank == 0:
        torch.save({"epoch": epoch + 1}, path)
    dist.barrier()
    if rank == 1 and restarts == 0 and epoch == 1:
        sys.exit(3)
if rank == 0:
    print("from", start, "sum", x.item(), dist.get_world_size(), torch.__name__)
dist.destroy_process_group()
"""


def launched(tmp_path, *options, program=PROGRAM):
    script = tmp_path / "train.py"
    script.write_text(program)
    root = os.path.dirname(os.path.dirname(os.path.abspath(torch.__file__)))
    command = [sys.executable, "-m", "rushlight", "torchrun", *options, str(script), str(tmp_path / "snapshot.pt")]
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


def test_torchrun_starts_again_from_the_snapshot(tmp_path):
    done = launched(tmp_path, "--standalone", "--nproc-per-node=2", "--max-restarts=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "from 2 sum 1.0 2 rushlight"
    assert re.search(r"rank 1 \(local rank 1, pid \d+\) has failed: exit code 3", done.stderr)
    assert "all start again (1 of 1)" in done.stderr


RECORDED = """
import os, time
from torch.distributed.elastic.multiprocessing.errors import record
@record
def main():
    if os.environ["RANK"] == "1":
        raise ValueError("no such data")
    time.sleep(600)
main()
"""


def test_torchrun_ends_all_when_one_fails(tmp_path):
    done = launched(tmp_path, "--nproc_per_node", "2", program=RECORDED)
    assert done.returncode == 1
    assert "exit code 1: ValueError: no such data" in done.stderr


def test_environment(monkeypatch):
    for name, value in {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()), "RANK": "0",
                        "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    dist.init_process_group()
    x = torch.ones(2)
    dist.all_reduce(x)
    assert x.tolist() == [1, 1] and not dist.is_torchelastic_launched()
    dist.destroy_process_group()
