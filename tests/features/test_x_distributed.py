"""Rows X of the notes' features: training by several processes."""
import datetime
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rushlight as torch
import rushlight.distributed as dist
import rushlight.multiprocessing as mp
from rushlight import nn
from rushlight.nn.parallel import DistributedDataParallel as DDP
from rushlight.utils.data import DataLoader, TensorDataset
from rushlight.utils.data.distributed import DistributedSampler

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.create_server(("localhost", 0)) as door:
        return str(door.getsockname()[1])


def member(rank, world_size, port, job, *args):
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "localhost", port
    dist.init_process_group(backend="gloo", rank=rank, world_size=world_size,
                            timeout=datetime.timedelta(seconds=120))
    job(rank, world_size, *args)
    dist.destroy_process_group()


def together(job, *args, world_size=2):
    mp.start_processes(member, args=(world_size, free_port(), job, *args), nprocs=world_size,
                       start_method="fork")


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def program(folder, text, command, *options):
    (folder / "train.py").write_text(text)
    return subprocess.run([sys.executable, "-m", "rushlight", command, *options, "train.py"], text=True,
                          capture_output=True, cwd=folder, timeout=240,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_x01_group_by_address_in_the_environment(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", free_port())
    with pytest.raises(RuntimeError, match="Distributed package doesn't have NCCL built in"):
        dist.init_process_group("nccl", rank=0, world_size=1)
    dist.init_process_group("gloo", rank=0, world_size=1)
    assert dist.get_backend() == "gloo"
    dist.destroy_process_group()


def test_x02_group_is_ended():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    dist.destroy_process_group()
    assert not dist.is_initialized()


def places(rank, world_size):
    assert (dist.get_rank(), dist.get_world_size()) == (rank, world_size) == (rank, 3)


def test_x03_rank_and_world_size():
    together(places, world_size=3)


def train(rank, world_size):
    torch.manual_seed(rank)                     # DDP hands out the weights of rank 0
    model = DDP(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.arange(12.).view(4, 3)[rank::world_size] / 12
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()
    weights = [torch.empty(1, 3) for _ in range(world_size)]
    dist.all_gather(weights, model.module.weight.detach())
    assert torch.equal(weights[0], weights[1])


def test_x04_replicas_stay_equal():
    together(train)


def test_x05_replica_without_a_group():
    with pytest.raises(ValueError, match="Default process group has not been initialized, please make sure "
                                         "to call init_process_group."):
        DDP(nn.Linear(1, 1))


def test_x06_each_process_passes_its_own_device(alone):
    with pytest.raises(ValueError, match="device_ids can only be None or contain a single element."):
        DDP(nn.Linear(1, 1), device_ids=[0, 1])


def mean_gradient(rank, world_size):
    torch.manual_seed(0)
    net, x = nn.Linear(3, 1), torch.randn(8, 3)
    (whole,) = torch.autograd.grad((net(x) ** 2).mean(), net.weight)
    model = DDP(net)
    (model(x.chunk(world_size)[rank]) ** 2).mean().backward()
    assert torch.allclose(net.weight.grad, whole, atol=1e-6)


def test_x07_gradients_are_those_of_the_full_batch():
    together(mean_gradient)


def test_x08_sampler_hands_out_shards():
    def shards(**options):
        return [list(DistributedSampler(range(10), 4, r, shuffle=False, **options)) for r in range(4)]
    assert shards() == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]
    assert shards(drop_last=True) == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_x09_loader_with_a_sampler():
    data = TensorDataset(torch.arange(10))
    sampler = DistributedSampler(data, num_replicas=2, rank=1, shuffle=False)
    loader = DataLoader(data, batch_size=2, shuffle=False, sampler=sampler)
    assert [x.tolist() for x, in loader] == [[1, 3], [5, 7], [9]]


def save_once(rank, world_size, folder):
    model = DDP(nn.Linear(2, 1))
    if rank == 0:
        torch.save(model.module.state_dict(), folder / "ckp.pt")
    assert list(model.state_dict()) == ["module.weight", "module.bias"]


def test_x10_saved_by_rank_0_without_the_wrapper(tmp_path):
    together(save_once, tmp_path)
    assert list(torch.load(tmp_path / "ckp.pt")) == ["weight", "bias"]


def test_x11_spawn_adds_the_rank(tmp_path):
    done = program(tmp_path, """
import torch.multiprocessing as mp

def main(rank, world_size):
    with open(f"{rank} of {world_size}", "w"):
        pass

if __name__ == "__main__":
    mp.spawn(main, args=(2,), nprocs=2)
""", "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0 of 2", "1 of 2", "train.py"], done.stderr


def fail(rank, how):
    os._exit(3) if how == "exit" else [][rank]


def test_x12_failed_worker_is_an_error_of_the_parent():
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with exit code 3"):
        mp.start_processes(fail, args=("exit",), nprocs=1, start_method="fork")
    with pytest.raises(mp.ProcessRaisedException, match="IndexError: list index out of range"):
        mp.start_processes(fail, args=("raise",), nprocs=1, start_method="fork")


def test_x13_torchrun_sets_the_environment(tmp_path):
    done = program(tmp_path, """
import os, torch, torch.distributed as dist
dist.init_process_group(backend="gloo")
assert int(os.environ["LOCAL_RANK"]) == int(os.environ["RANK"]) == dist.get_rank()
assert int(os.environ["WORLD_SIZE"]) == 2 and os.environ["MASTER_ADDR"] and os.environ["MASTER_PORT"]
dist.barrier()
if dist.get_rank() == 0:
    print("a group of", dist.get_world_size())
""", "torchrun", "--standalone", "--nproc_per_node=2")
    assert done.stdout == "a group of 2\n", done.stderr


def test_x14_failed_workers_start_again_from_the_snapshot(tmp_path):
    done = program(tmp_path, """
import os, sys, torch
start = torch.load("snapshot.pt") if os.path.exists("snapshot.pt") else 0
for epoch in range(start, 4):
    torch.save(epoch + 1, "snapshot.pt")
    if epoch == 1:
        sys.exit(1)
print("went on from epoch", start)
""", "torchrun", "--standalone", "--nproc_per_node=1", "--max-restarts=1")
    assert done.stdout == "went on from epoch 2\n", done.stderr


def by_hand(rank, world_size):
    weight = torch.ones(3, requires_grad=True)
    x = torch.arange(8.).view(4, 2).repeat(1, 2)[:, :3]
    ((x.chunk(world_size)[rank] @ weight) ** 2).mean().backward()       # 1. gradients of a part each
    dist.all_reduce(weight.grad)                                        # 2. their mean
    weight.grad /= world_size
    with torch.no_grad():                                               # 3. the same update everywhere
        weight -= 0.01 * weight.grad
    alone = torch.ones(3, requires_grad=True)
    (whole,) = torch.autograd.grad(((x @ alone) ** 2).mean(), alone)
    assert torch.allclose(weight, 1 - 0.01 * whole)


def test_x15_synchronised_data_parallelism():
    together(by_hand)


def reduced(rank, world_size):
    x = torch.tensor([1., 2.]) * (rank + 1)
    dist.all_reduce(x, op=dist.ReduceOp.SUM)
    assert x.tolist() == [3, 6]


def test_x16_all_reduce():
    together(reduced)


def naive(rank, world_size):
    x = torch.full((3,), float(rank))
    parts = [torch.empty(3) for _ in range(world_size)] if rank == 0 else None
    dist.gather(x, parts)                       # P - 1 messages to the master
    total = sum(parts) if rank == 0 else torch.empty(3)
    dist.broadcast(total, 0)                    # and P - 1 back
    dist.all_reduce(x)
    assert torch.equal(total, x)


def test_x17_naive_all_reduce_by_a_master():
    together(naive, world_size=3)


def ring(rank, world_size):
    x = torch.arange(12.).view(world_size, 4) * (rank + 1)
    left, right = (rank - 1) % world_size, (rank + 1) % world_size
    got = torch.empty(4)
    for step in range(2 * (world_size - 1)):    # first the sums, then all of them
        mine = (rank - step) % world_size
        sending = dist.isend(x[mine].clone(), right)
        dist.recv(got, left)
        sending.wait()
        at = (mine - 1) % world_size
        x[at] = got if step >= world_size - 1 else got + x[at]
    assert torch.equal(x, torch.arange(12.).view(world_size, 4) * 6)
    y = torch.arange(12.) * (rank + 1)
    dist.all_reduce(y)
    assert torch.equal(y, x.flatten())


def test_x18_ring_all_reduce():
    together(ring, world_size=3)


def halving(rank, world_size):
    x = torch.arange(8.) * (rank + 1)
    lo, hi, peers = 0, 8, []
    for distance in (2, 1):                     # recursive halving: sums of a quarter each
        peer, middle = rank ^ distance, (lo + hi) // 2
        keep, give = ((lo, middle), (middle, hi)) if rank < peer else ((middle, hi), (lo, middle))
        got = torch.empty(keep[1] - keep[0])
        sending = dist.isend(x[give[0]:give[1]].clone(), peer)
        dist.recv(got, peer)
        sending.wait()
        x[keep[0]:keep[1]] += got
        peers.append((peer, keep, give))
        lo, hi = keep
    for peer, keep, give in reversed(peers):    # recursive doubling: all quarters
        got = torch.empty(give[1] - give[0])
        sending = dist.isend(x[keep[0]:keep[1]].clone(), peer)
        dist.recv(got, peer)
        sending.wait()
        x[give[0]:give[1]] = got
    assert torch.equal(x, torch.arange(8.) * 10)


def test_x19_recursive_halving_and_doubling():
    together(halving, world_size=4)


def collectives(rank, world_size):
    x = torch.empty(1)
    dist.scatter(x, [torch.tensor([10.]), torch.tensor([20.])] if rank == 0 else None, src=0)
    assert x.item() == [10, 20][rank]
    parts = [torch.empty(1) for _ in range(2)]
    dist.all_gather(parts, x)
    assert [p.item() for p in parts] == [10, 20]
    dist.gather(x, parts if rank == 1 else None, dst=1)
    dist.reduce(x, dst=0)
    assert x.item() == (30 if rank == 0 else 20)
    dist.broadcast(x, src=0)
    assert x.item() == 30


def test_x20_collectives():
    together(collectives)


def test_x21_backend_of_the_cpu():
    assert dist.is_gloo_available() and not dist.is_nccl_available()


def count(rank, total):
    for _ in range(1000):
        total[rank] += 1


def test_x22_processes_share_tensors_not_an_interpreter():
    total = torch.zeros(2).share_memory_()
    mp.start_processes(count, args=(total,), nprocs=2, start_method="fork")
    assert total.tolist() == [1000, 1000]


def test_x23_parts_of_a_batch_do_not_overlap():
    parts = [set(DistributedSampler(range(12), 3, rank, seed=5)) for rank in range(3)]
    assert set.union(*parts) == set(range(12)) and sum(map(len, parts)) == 12


def double(queue):
    queue.get().mul_(2)


def test_x24_multiprocessing_is_pythons_with_tensors():
    context, x = mp.get_context("fork"), torch.arange(3)
    queue = context.Queue()
    queue.put(x)                                # its memory, not its numbers, goes to the other process
    process = context.Process(target=double, args=(queue,))
    process.start()
    process.join()
    assert x.tolist() == [0, 2, 4] and process.exitcode == 0


@pytest.mark.skip(reason="an explanation; rows X12 and X22 show processes")
def test_x25_race_conditions():
    """What depends on the order of steps."""
