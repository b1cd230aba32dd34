"""The same program in two processes, by PyTorch's gloo and by rushlight's."""
import json
import os
import socket
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

PROGRAM = """
import json, os
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
rank, size, found = dist.get_rank(), dist.get_world_size(), {}
def mine(dtype):
    return (torch.arange(7) * (rank + 1) + 1).to(dtype)
def show(name, x):
    found[name] = x.to(torch.float64).flatten().tolist()
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.uint8):
    for op in ("SUM", "PRODUCT", "MIN", "MAX"):
        x = mine(dtype)
        dist.all_reduce(x, getattr(dist.ReduceOp, op))
        show(f"{op} {dtype}", x)
    x = mine(dtype)
    dist.reduce(x, 1)
    if rank == 1:
        show(f"reduce {dtype}", x)
for op in ("BAND", "BOR", "BXOR"):
    x = mine(torch.int64)
    dist.all_reduce(x, getattr(dist.ReduceOp, op))
    show(op, x)
x = torch.zeros(14)
dist.all_gather_into_tensor(x, mine(torch.float32))
show("gathered", x)
x = torch.zeros(3)
dist.all_to_all_single(x, torch.arange(3.) + 10 * rank, *([[1, 2], [1, 2]] if rank == 0 else [[2, 1], [2, 1]]))
show("exchanged unequally", x)
y = torch.zeros(2)
dist.all_to_all_single(y, torch.arange(2.) + 10 * rank)
show("exchanged", y)
works = [dist.broadcast(x, 1, async_op=True), dist.all_reduce(y, async_op=True)]
[w.wait() for w in works]
show("broadcast", x), show("async", y)
torch.manual_seed(rank)
ddp = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)))
optimizer = torch.optim.Adam(ddp.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    data = torch.arange(6.).view(2, 3) * (rank + 1) / (step + 3)
    if step == 1:
        with ddp.no_sync():
            ddp(data).square().mean().backward()
    ddp(data).square().mean().backward()
    optimizer.step()
for name, p in ddp.state_dict().items():
    show(name, p)
for name, p in ddp.named_parameters():
    show("grad " + name, p.grad)
for call in (lambda: DistributedDataParallel(torch.nn.ReLU()),
             lambda: DistributedDataParallel(torch.nn.Linear(1, 1), device_ids=[0, 1]),
             lambda: dist.init_process_group("gloo"), lambda: dist.send(x, rank)):
    try:
        call()
    except Exception as error:
        found.setdefault("errors", []).append([type(error).__name__, str(error)])
dist.destroy_process_group()
with open(os.environ["RESULTS"] + str(rank), "w") as file:
    json.dump(found, file)
"""

TRAINING = """
import json, os
import torch, torch.distributed as dist
import torch.distributed.nn.functional as functional
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
dist.init_process_group("gloo")
rank, size, found = dist.get_rank(), dist.get_world_size(), {}
def show(name, x):
    found[name] = x.detach().to(torch.float64).flatten().tolist()
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(20, 30, bias=False), torch.nn.Tanh(), torch.nn.Linear(30, 2))
def batch(step):
    return torch.sin(torch.arange(80.).view(4, 20) * (rank + 1) + step)
def train(model, optimizer, steps=4):
    for step in range(steps):
        optimizer.zero_grad()
        model(batch(step)).square().mean().backward()
        optimizer.step()
    for i, p in enumerate(model.parameters()):
        show(f"{name} {i}", p)
x = (torch.arange(6.) * (rank + 1)).requires_grad_()
for name, call in {
    "all_reduce": lambda: functional.all_reduce(x), "broadcast": lambda: functional.broadcast(x, 1),
    "all_gather": lambda: torch.stack(functional.all_gather(x)),
    "reduce_scatter": lambda: functional.reduce_scatter(torch.empty(6), [x, x * 2]),
    "all_to_all": lambda: torch.stack(functional.all_to_all([torch.empty(6), torch.empty(6)], [x, x * 3])),
    "scatter": lambda: functional.scatter([x, x * 2], 0), "gather": lambda: torch.stack(functional.gather(x, 1)),
    "all_to_all_single": lambda: functional.all_to_all_single(torch.empty(6), x),
}.items():
    y = call()
    show(name, y)
    show("gradient of " + name, torch.autograd.grad((y.square() * (rank + 2)).sum(), x)[0])
for hook in ("allreduce_hook", "fp16_compress_hook"):
    name, model = hook, DDP(net())
    model.register_comm_hook(None, getattr(default_hooks, hook))
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
for rank_of in (1, 2, 3):
    name, model = f"PowerSGD {rank_of}", DDP(net())
    state = powerSGD_hook.PowerSGDState(None, rank_of, 2)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), 6)
    found[name] = list(state.compression_stats())
name, model = "zero", DDP(net())
optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
train(model, optimizer)
optimizer.consolidate_state_dict(to=0)
if rank == 0:
    saved = optimizer.state_dict()
    for i, state in saved["state"].items():
        show(f"state {i}", state["exp_avg_sq"])
name, model = "local", net()
train(model, PostLocalSGDOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), PeriodicModelAverager(2, 1)))
for by in (True, False):
    name, model = f"join {by}", DDP(net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with model.join(divide_by_initial_world_size=by):
        train(model, optimizer, 2 + rank)
    for i, p in enumerate(model.parameters()):
        show(f"joined {by} {i}", p)
mesh = dist.init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
found["mesh"] = [*mesh["tp"].mesh.tolist(), mesh["tp"].size(), *mesh.get_coordinate(), *mesh.shape]
dist.destroy_process_group()
with open(os.environ["RESULTS"] + str(rank), "w") as file:
    json.dump(found, file)
"""

SHARDED = """
import functools, json, os
import torch, torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP, ShardingStrategy, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy, size_based_auto_wrap_policy, transformer_auto_wrap_policy
dist.init_process_group("gloo")
rank, size, found = dist.get_rank(), dist.get_world_size(), {}
def show(name, x):
    found[name] = x.detach().to(torch.float64).flatten().tolist()
class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(6, 15), torch.nn.Linear(15, 6)
    def forward(self, x):
        return x + self.down(self.up(x).tanh())
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 6), Block(), Block(), torch.nn.Linear(6, 2))
def train(model, optimizer, steps=3, first=0, clip=None):
    for step in range(first, first + steps):
        optimizer.zero_grad()
        x = torch.sin(torch.arange(20.).view(4, 5) * (rank + 1) + step)
        model(x).square().sum().backward()
        if clip:
            show(f"norm {step}", clip(model))
        optimizer.step()
policies = {"none": None, "blocks": ModuleWrapPolicy({Block}),
            "transformer": functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Block}),
            "size": functools.partial(size_based_auto_wrap_policy, min_num_params=100)}
for policy, function in policies.items():
    for keeps in (False, True):
        model = FSDP(net(), auto_wrap_policy=function, use_orig_params=keeps, device_id=torch.device("cpu"))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        train(model, optimizer, clip=lambda m: m.clip_grad_norm_(0.5))
        found[f"wrappers {policy}"] = [len(FSDP.fsdp_modules(model))]
        state = model.state_dict()
        found[f"names {policy} {keeps}"] = list(state) + [n for n, _ in model.named_parameters()]
        for name, x in state.items():
            show(f"{policy} {keeps} {name}", x)
        state = FSDP.optim_state_dict(model, optimizer)
        for name, s in state["state"].items():
            show(f"moments {policy} {keeps} {name}", s["exp_avg_sq"])
model = net()
for block in model[1:3]:
    fully_shard(block, mesh=init_device_mesh("cpu", (size,)))
fully_shard(model, mesh=init_device_mesh("cpu", (size,)))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
train(model, optimizer)
found["in place"] = [n for n, _ in model.named_parameters()] + [type(model).__name__]
for name, p in model.named_parameters():
    show("rows " + name, p.to_local())
    show("whole " + name, p.full_tensor())
folder = os.environ["RESULTS"] + "checkpoint"
m, o = get_state_dict(model, optimizer)
dcp.save({"model": m, "optimizer": o}, checkpoint_id=folder)
again = net()
fully_shard(again, mesh=init_device_mesh("cpu", (size,)))
fresh = torch.optim.Adam(again.parameters(), lr=1.0)
m, o = get_state_dict(again, fresh)
dcp.load({"model": m, "optimizer": o}, checkpoint_id=folder)
set_state_dict(again, fresh, model_state_dict=m, optim_state_dict=o)
train(again, fresh, 2, 3)
for name, x in get_model_state_dict(again, options=StateDictOptions(full_state_dict=True)).items():
    show("continued " + name, x)
found["groups"] = [fresh.param_groups[0]["lr"]]
dist.destroy_process_group()
with open(os.environ["RESULTS"] + str(rank), "w") as file:
    json.dump(found, file)
"""


def results(start, tmp_path, name, program=PROGRAM):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    script = tmp_path / "program.py"
    script.write_text(program)
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
              "RESULTS": str(tmp_path / name), "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, *start, str(script)], env={**common, "RANK": str(rank)},
                                stderr=subprocess.PIPE, text=True) for rank in (0, 1)]
    for process in running:
        _, text = process.communicate(timeout=100)
        assert process.returncode == 0, text
    return [json.loads((tmp_path / f"{name}{rank}").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes(tmp_path):
    for ours, theirs in zip(results(["-m", "rushlight", "run"], tmp_path, "ours"), results([], tmp_path, "theirs")):
        assert ours.keys() == theirs.keys() and ours.pop("errors") == theirs.pop("errors")
        for name, values in theirs.items():
            assert ours[name] == pytest.approx(values, rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_ways_to_train(tmp_path):
    ways = results(["-m", "rushlight", "run"], tmp_path, "ours", TRAINING), results([], tmp_path, "theirs", TRAINING)
    for ours, theirs in zip(*ways):
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            loose = "compress" in name or "Power" in name
            assert ours[name] == pytest.approx(values, rel=1e-4, abs=1e-3 if loose else 1e-6), name


@pytest.mark.slow
def test_sharded_models(tmp_path):
    ways = results(["-m", "rushlight", "run"], tmp_path, "ours", SHARDED), results([], tmp_path, "theirs", SHARDED)
    for ours, theirs in zip(*ways):
        for name, values in theirs.items():
            if isinstance(values[0] if values else 0, str):
                assert ours[name] == values, name
            else:
                assert ours[name] == pytest.approx(values, rel=1e-3, abs=2e-5), name
        assert ours.keys() == theirs.keys()
