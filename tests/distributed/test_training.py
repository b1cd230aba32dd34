"""Ways to train in several processes beside plain DistributedDataParallel."""
import pytest



import rushlight as torch
import rushlight.distributed as dist
from rushlight import nn
from rushlight.distributed.algorithms import Join
from rushlight.distributed.algorithms.ddp_comm_hooks import DDPCommHookType, default_hooks, register_ddp_comm_hook
from rushlight.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from rushlight.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import (PowerSGDState, batched_powerSGD_hook,
                                                                           powerSGD_hook)
from rushlight.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from rushlight.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
from rushlight.futures import Future, collect_all, wait_all
from rushlight.nn.parallel import DistributedDataParallel as DDP
from tests.distributed.test_distributed import batch, data, same_everywhere, together


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))


def loss_of(model, x, y):
    return nn.functional.cross_entropy(model(x), y)


def near(ours, alone, atol=1e-6):
    for p, q in zip(ours.parameters(), alone.parameters(), strict=True):
        assert torch.allclose(p, q, atol=atol), (p - q).abs().max()


# -- collectives with gradients ----------------------------------------------------------------------

def differentiable(rank, size):
    """Each loss is the sum over the processes; the gradient is that of the same sum in one process."""
    functional = dist.nn.functional
    xs = [data(r, 6).requires_grad_() for r in range(size)]
    x = data(rank, 6).requires_grad_()
    weight = lambda r: torch.arange(6.) * (r + 1) + 1
    total = sum(xs)
    cases = {
        "all_reduce": (lambda: functional.all_reduce(x), lambda r: total),
        "broadcast": (lambda: functional.broadcast(x, 1), lambda r: xs[1]),
        "all_gather": (lambda: torch.stack(functional.all_gather(x)).sin().sum(0),
                       lambda r: torch.stack(xs).sin().sum(0)),
        "reduce_scatter": (lambda: functional.reduce_scatter(torch.empty(6), [x * (i + 1) for i in range(size)]),
                           lambda r: total * (r + 1)),
        "all_to_all": (lambda: sum(functional.all_to_all([torch.empty(6)] * size, [x * (i + 1) for i in range(size)])),
                       lambda r: total * (r + 1)),
        "scatter": (lambda: functional.scatter([x * (i + 1) for i in range(size)], 0), lambda r: xs[0] * (r + 1)),
        "gather": (lambda: sum(functional.gather(x, 1)), lambda r: total if r == 1 else total * 0),
        "reduce": (lambda: functional.reduce(x, 1) * (rank == 1), lambda r: total * (r == 1)),
        "all_to_all_single": (lambda: functional.all_to_all_single(torch.empty(size * 6), x.repeat(size)).view(size, 6).sum(0),
                              lambda r: total),
    }
    for name, (ours, alone) in cases.items():
        got = (ours().square() * weight(rank)).sum()
        grad, = torch.autograd.grad(got, x)
        want = sum((alone(r).square() * weight(r)).sum() for r in range(size))
        expected, = torch.autograd.grad(want, xs[rank], allow_unused=True)
        expected = torch.zeros(6) if expected is None else expected
        assert torch.allclose(grad, expected, atol=1e-4), (name, grad, expected)


# -- hooks -------------------------------------------------------------------------------------------

def trained(model, rank, size, steps=4):
    x, y = batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model, x[rank::size], y[rank::size]).backward()
        optimizer.step()
    return model


def hooks(rank, size):
    plain = trained(DDP(net()), rank, size)
    for kind, atol in ((DDPCommHookType.ALLREDUCE, 1e-7), (DDPCommHookType.FP16_COMPRESS, 2e-3),
                       (DDPCommHookType.BF16_COMPRESS, 1e-2)):
        ours = DDP(net(), bucket_cap_mb=0.0001)
        register_ddp_comm_hook(kind, ours)
        trained(ours, rank, size)
        near(ours, plain, atol)
        same_everywhere(ours, size)
        with pytest.raises(RuntimeError, match="can only be called once"):
            ours.register_comm_hook(None, default_hooks.allreduce_hook)
    with pytest.raises(TypeError, match="must be callable"):
        plain.register_comm_hook(None, 3)
    seen = []

    def mine(state, bucket):
        seen.append((bucket.index(), bucket.is_last(), [g.shape for g in bucket.gradients()], bucket.buffer().numel()))
        state[0] += 1
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda done: [done.value()[0] / size])
    state, ours = [0], DDP(net())
    ours.register_comm_hook(state, mine)
    near(trained(ours, rank, size), plain)
    assert state == [4] and seen[0] == (0, True, [p.shape for p in reversed(list(ours.parameters()))], 131)
    noop = DDP(net())
    register_ddp_comm_hook(DDPCommHookType.NOOP, noop)
    trained(noop, rank, size)
    near(noop.module, trained(net(), rank, size))
    wrapped = DDP(net())
    wrapped.register_comm_hook(None, default_hooks.fp16_compress_wrapper(default_hooks.allreduce_hook))
    near(trained(wrapped, rank, size), plain, 2e-3)


def power(rank, size):
    """Full rank loses nothing; a low rank trains alike in all processes and remembers what it loses."""
    plain = trained(DDP(net()), rank, size)
    for hook in (powerSGD_hook, batched_powerSGD_hook):
        whole = DDP(net())
        whole.register_comm_hook(PowerSGDState(None, 64, 2, min_compression_rate=0.1), hook)
        near(trained(whole, rank, size), plain, 1e-4)
        low, state = DDP(net()), PowerSGDState(None, 1, 2, min_compression_rate=1)
        low.register_comm_hook(state, hook)
        same_everywhere(trained(low, rank, size, 8), size)
        assert state.iter == 8 and state.error_dict[0].abs().sum() > 0
        if hook is powerSGD_hook:
            rate, before, after = state.compression_stats()
            assert (before, after) == (6 * 131, 6 * (19 + 20 + 19)) and rate == before / after
    with pytest.raises(ValueError, match="start_powerSGD_iter"):
        PowerSGDState(None, 1, 1)


def local(rank, size):
    """Gradients are averaged in the first steps, then parameters every third."""
    ours = DDP(net())
    ours.register_comm_hook(PostLocalSGDState(None, None, 2, False), post_localSGD_hook)
    optimizer = PostLocalSGDOptimizer(torch.optim.SGD(ours.parameters(), lr=0.1), PeriodicModelAverager(3, 2))
    models = [net() for _ in range(size)]
    x, y = batch()
    for step in range(6):
        optimizer.zero_grad()
        loss_of(ours, x[rank::size], y[rank::size]).backward()
        optimizer.step()
        grads = [torch.autograd.grad(loss_of(m, x[r::size], y[r::size]), list(m.parameters()))
                 for r, m in enumerate(models)]
        with torch.no_grad():
            for i, ps in enumerate(zip(*(m.parameters() for m in models))):
                mean = sum(g[i] for g in grads) / size
                for r, p in enumerate(ps):
                    p -= 0.1 * (mean if step < 2 else grads[r][i])
                if step in (2, 5):
                    average = sum(p.clone() for p in ps) / size
                    for p in ps:
                        p.copy_(average)
        near(ours, models[rank])
    saved = optimizer.state_dict()
    assert saved["step"] == 6
    optimizer.load_state_dict({**saved, "step": 4})
    assert optimizer.averager.step == 4


# -- processes with fewer batches --------------------------------------------------------------------

def uneven(rank, size):
    """Process r has 2 + r batches; the mean of gradients is over all, those that are through giving zeros."""
    x, y = batch()
    for by_initial in (True, False):
        ours, alone = DDP(net()), net()
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.3) for m in (ours, alone)]
        with ours.join(divide_by_initial_world_size=by_initial):
            for _ in range(2 + rank):
                optimizers[0].zero_grad()
                loss_of(ours, x[rank::size], y[rank::size]).backward()
                optimizers[0].step()
        for step in range(1 + size):
            active = [r for r in range(size) if step < 2 + r]
            optimizers[1].zero_grad()
            total = sum(loss_of(alone, x[r::size], y[r::size]) for r in active)
            (total / (size if by_initial else len(active))).backward()
            optimizers[1].step()
        near(ours, alone)
        same_everywhere(ours, size)
    with pytest.raises(RuntimeError, match="exhausted inputs"), ours.join(throw_on_early_termination=True):
        for _ in range(2 + rank):
            loss_of(ours, x, y).backward()
    with ours.join(enable=False):
        loss_of(ours, x, y).backward()
    with pytest.raises(ValueError, match="at least one joinable"):
        Join([])


def uneven_buffers(rank, size):
    """Who is through takes over statistics of those that are not."""
    torch.manual_seed(0)
    ours = DDP(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)))
    x, y = batch()
    with ours.join():
        for _ in range(1 + 2 * rank):
            loss_of(ours, x[rank::size], y[rank::size]).backward()
    assert ours.module[1].num_batches_tracked == 1 + 2 * (size - 1)
    same_everywhere(ours, size)


# -- optimisers whose state is spread ----------------------------------------------------------------

def zero(rank, size):
    x, y = batch()
    ours, alone = DDP(net(rank)), net()
    optimizer = ZeroRedundancyOptimizer(ours.parameters(), torch.optim.Adam, lr=0.05)
    other = torch.optim.Adam(alone.parameters(), lr=0.05)
    schedules = [torch.optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (optimizer, other)]

    def step(opt, model, part):
        opt.zero_grad()
        loss_of(model, x[part], y[part]).backward()
        opt.step()
    for _ in range(3):
        step(optimizer, ours, slice(rank, None, size))
        step(other, alone, slice(None))
        [s.step() for s in schedules]
    near(ours, alone, 1e-5)
    same_everywhere(ours, size)
    assert 0 < len(optimizer.state) < 4 and optimizer.param_groups[0]["lr"] == 0.025
    with pytest.raises(RuntimeError, match="has not been consolidated"):
        optimizer.state_dict()
    optimizer.consolidate_state_dict(to=1)
    saved = [optimizer.state_dict()] if rank == 1 else [None]
    dist.broadcast_object_list(saved, 1)
    want = other.state_dict()
    assert saved[0]["state"].keys() == want["state"].keys()
    for i, state in want["state"].items():
        assert torch.allclose(saved[0]["state"][i]["exp_avg"], state["exp_avg"], atol=1e-5)
    again = ZeroRedundancyOptimizer(ours.parameters(), torch.optim.Adam, lr=1.0)
    again.load_state_dict(saved[0])
    step(again, ours, slice(rank, None, size))
    step(other, alone, slice(None))
    near(ours, alone, 1e-5)


def zero_uneven(rank, size):
    x, y = batch()
    ours, alone = DDP(net(), gradient_as_bucket_view=True), net()
    optimizer = ZeroRedundancyOptimizer(ours.parameters(), torch.optim.SGD, lr=0.3)
    other = torch.optim.SGD(alone.parameters(), lr=0.3)
    with Join([ours, optimizer]):
        for _ in range(1 + rank):
            optimizer.zero_grad()
            loss_of(ours, x[rank::size], y[rank::size]).backward()
            optimizer.step()
    for step in range(size):
        other.zero_grad()
        (sum(loss_of(alone, x[r::size], y[r::size]) for r in range(size) if step < 1 + r) / size).backward()
        other.step()
    near(ours, alone)


# -- grids -------------------------------------------------------------------------------------------

def grid(rank, size):
    mesh = dist.init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    assert mesh.mesh.tolist() == [[0, 1], [2, 3]] and mesh.get_coordinate() == [rank // 2, rank % 2]
    rows, columns = mesh["tp"], mesh["dp"]
    assert rows.mesh.tolist() == [rank // 2 * 2, rank // 2 * 2 + 1] and rows.size() == 2
    x = torch.tensor(float(rank))
    dist.all_reduce(x, group=columns.get_group())
    assert x.item() == 2 + 2 * (rank % 2)
    assert mesh.get_local_rank("dp") == rank // 2 and mesh["tp"].get_local_rank() == rank % 2
    assert mesh["dp", "tp"] == mesh and mesh.get_group("tp") is rows.get_group()
    assert repr(mesh) == "DeviceMesh((dp=2, tp=2), 'cpu', stride=(2, 1))"
    line = dist.init_device_mesh("cpu", (size,))
    assert line.get_group() is dist.group.WORLD and dist.DeviceMesh.from_group(None, "cpu").size() == size
    with pytest.raises(RuntimeError, match="bigger than default world size"):
        dist.init_device_mesh("cpu", (size, 2))
    with pytest.raises(KeyError, match="pp"):
        mesh["pp"]


@pytest.mark.parametrize("job, size", [
    (differentiable, 3), (hooks, 2), (power, 2), (local, 2), (uneven, 3), (uneven_buffers, 2), (zero, 2), (zero, 3),
    (zero_uneven, 2), (grid, 4)])
def test_together(job, size, tmp_path):
    together(job, size, tmp_path)


def test_futures():
    first = Future()
    second = first.then(lambda f: f.value() + 1)
    all_of = collect_all([first, second])
    assert not second.done() and not all_of.done()
    with pytest.raises(RuntimeError, match="completed"):
        first.value()
    first.set_result(1)
    assert second.done() and second.wait() == 2 and [f.value() for f in all_of.wait()] == [1, 2]
    assert wait_all([first, second]) == [1, 2] and wait_all([]) == []
    with pytest.raises(RuntimeError, match="complete again"):
        first.set_result(2)
    failed = first.then(lambda f: 1 // 0)
    with pytest.raises(RuntimeError, match="Got the following error when running the callback: ZeroDivisionError"):
        failed.wait()
    other = Future()
    other.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        wait_all([first, other])
    calls = []
    late = Future.of(lambda: calls.append(1) or 5)
    after = late.then(lambda f: f.value() * 2)
    assert not calls and after.wait() == 10 and calls == [1] and late.done()
