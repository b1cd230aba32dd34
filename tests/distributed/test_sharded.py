"""Models spread over processes train as one process does."""
import functools

import pytest

import rushlight as torch
import rushlight.distributed as dist
from rushlight import nn
from rushlight.distributed.fsdp import (FSDPModule, FullStateDictConfig, FullyShardedDataParallel as FSDP,
                                        MixedPrecision, MixedPrecisionPolicy, ShardingStrategy, StateDictType,
                                        fully_shard)
from rushlight.distributed.fsdp.wrap import ModuleWrapPolicy, size_based_auto_wrap_policy
from tests.distributed.test_distributed import data, together


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 15), nn.Linear(15, 6)

    def forward(self, x):
        return x + self.down(self.up(self.norm(x)).tanh())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.blocks, self.head = nn.Embedding(11, 6), nn.ModuleList(Block() for _ in range(2)), nn.Linear(6, 11)
        self.head.weight = self.embed.weight            # one parameter under two names
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        h = self.embed(x)
        h = h * self.scale.to(h.dtype)
        for block in self.blocks:
            h = block(h)
        return self.head(h)


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


def batch(step, part=slice(None)):
    x = (torch.arange(48).view(12, 4) * (step + 3)) % 11
    return x[part], (x[part] * 2 + 1) % 11


def step(model, optimizer, i, part=slice(None), clip=None):
    optimizer.zero_grad()
    x, y = batch(i, part)
    nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
    norm = clip(model) if clip else None
    optimizer.step()
    return norm


def reference(steps=3, clip=None):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    return model, optimizer, [step(model, optimizer, i, clip=clip) for i in range(steps)]


def near(ours, alone, atol=2e-5):
    assert list(ours) == list(alone)
    for k in ours:
        assert torch.allclose(ours[k].float(), alone[k], atol=atol), (k, (ours[k] - alone[k]).abs().max())


def wrappers(rank, size):
    """Every strategy, way of wrapping and kind of parameters."""
    part = slice(rank, None, size)
    alone = reference()[0]
    for strategy in (ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP, ShardingStrategy.NO_SHARD):
        for policy in (None, ModuleWrapPolicy({Block}), functools.partial(size_based_auto_wrap_policy, min_num_params=200)):
            for keeps in (False, True):
                model = FSDP(net(), sharding_strategy=strategy, auto_wrap_policy=policy, use_orig_params=keeps)
                if policy is not None:
                    assert len(FSDP.fsdp_modules(model)) > 2
                shared = sum(p.numel() for p in model.parameters())
                total = sum(p.numel() for p in net().parameters())
                assert shared == total if strategy is ShardingStrategy.NO_SHARD else shared <= total / size + 60
                optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
                for i in range(3):
                    step(model, optimizer, i, part)
                near(model.state_dict(), alone.state_dict())
                x, _ = batch(7)
                assert torch.allclose(model(x), alone(x), atol=1e-4)


def accumulation_and_clipping(rank, size):
    part = slice(rank, None, size)
    alone, _, norms = reference(clip=lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.3))
    model = FSDP(net(), auto_wrap_policy=ModuleWrapPolicy({Block}))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    found = [step(model, optimizer, i, part, lambda m: m.clip_grad_norm_(0.3)) for i in range(3)]
    assert torch.allclose(torch.stack(found), torch.stack(norms), atol=1e-5)
    near(model.state_dict(), alone.state_dict())
    inplace = fully_shard(net())
    optimizer = torch.optim.AdamW(inplace.parameters(), lr=0.05)
    found = [step(inplace, optimizer, i, part, lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.3)) for i in range(3)]
    assert torch.allclose(torch.stack(found), torch.stack(norms), atol=1e-5)
    for ours in (FSDP(net()), fully_shard(net())):
        single = net()
        x, _ = batch(0, part)
        with ours.no_sync() if isinstance(ours, FSDP) else nothing(ours):
            ours(x).square().mean().backward()
        ours(x + 1 - (x == 10) * 11).square().mean().backward()
        for r in range(size):
            x, _ = batch(0, slice(r, None, size))
            ((single(x).square().mean() + single(x + 1 - (x == 10) * 11).square().mean()) / size).backward()
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (ours, single)]
        [o.step() for o in optimizers]
        full = ours.state_dict() if isinstance(ours, FSDP) else whole(ours)
        near(full, single.state_dict())


class nothing:
    """no_sync of fully_shard."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.model.set_requires_gradient_sync(False)

    def __exit__(self, *_):
        self.model.set_requires_gradient_sync(True)


def whole(model):
    return {k: p.full_tensor() if hasattr(p, "full_tensor") else p for k, p in model.state_dict().items()}


def in_place(rank, size):
    part = slice(rank, None, size)
    alone = reference()[0]
    for reshard in (True, False):
        model = net()
        for block in model.blocks:
            fully_shard(block, reshard_after_forward=reshard)
        fully_shard(model)
        assert isinstance(model, FSDPModule) and isinstance(model, Net) and type(model).__name__ == "FSDPNet"
        assert [n for n, _ in model.named_parameters()] == [n for n, _ in net().named_parameters()]
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        for i in range(3):
            step(model, optimizer, i, part)
        near(whole(model), alone.state_dict())
        rows = model.embed.weight.to_local()
        assert rows.shape == ((6, 6) if rank == 0 else (5, 6)) or size != 2
    mesh = dist.init_device_mesh("cpu", (1, size), mesh_dim_names=("replicas", "shards"))
    model = fully_shard(net(), mesh=mesh)
    assert model.head.weight.device_mesh is mesh
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for i in range(3):
        step(model, optimizer, i, part)
    near(whole(model), alone.state_dict())
    with pytest.raises(AssertionError, match="only be passed to fully_shard once"):
        fully_shard(model)


def dictionaries(rank, size):
    part = slice(rank, None, size)
    make = lambda seed, keeps=False: FSDP(net(seed), auto_wrap_policy=ModuleWrapPolicy({Block}), use_orig_params=keeps)
    model = make(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    step(model, optimizer, 0, part)
    with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, FullStateDictConfig(True, True)):
        assert bool(model.state_dict()) == (rank == 0)
    full = model.state_dict()
    with FSDP.state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        rows = model.state_dict()
    assert rows["embed.weight"].shape[0] < 11 and torch.equal(rows["embed.weight"].full_tensor(), full["embed.weight"])
    state = FSDP.optim_state_dict(model, optimizer)
    alone, other, _ = reference(1)
    names = [n for n, _ in alone.named_parameters()]
    for i, s in other.state_dict()["state"].items():
        assert torch.allclose(s["exp_avg"], state["state"][names[i]]["exp_avg"], atol=1e-5)
    for saved in (full, rows):
        for keeps in (False, True):
            again = make(9, keeps)
            again.load_state_dict(saved)
            fresh = torch.optim.AdamW(again.parameters(), lr=1.0)
            fresh.load_state_dict(FSDP.optim_state_dict_to_load(again, fresh, state))
            step(again, fresh, 1, part)
            reached, _, _ = reference(2)
            near(again.state_dict(), reached.state_dict())
    with FSDP.summon_full_params(model):
        assert model.module.embed.weight.shape == (11, 6)
        with torch.no_grad():
            model.module.embed.weight.fill_(2.0)
    assert (model.state_dict()["embed.weight"] == 2).all()
    alike = FSDP(net(rank), sync_module_states=True)
    near(alike.state_dict(), net(0).state_dict(), 0)


def lower_precision(rank, size):
    part = slice(rank, None, size)
    model = FSDP(net(), mixed_precision=MixedPrecision(torch.bfloat16, torch.float32))
    other = fully_shard(net(), mp_policy=MixedPrecisionPolicy(torch.bfloat16, torch.float32, torch.float32))
    x, _ = batch(0)
    assert model(x).dtype == torch.bfloat16 and other(x).dtype == torch.float32
    for m in (model, other):
        optimizer = torch.optim.SGD(m.parameters(), lr=0.1)
        single = net()
        step(m, optimizer, 0, part)
        step(single, torch.optim.SGD(single.parameters(), lr=0.1), 0)
        near(m.state_dict() if m is model else whole(m), single.state_dict(), 5e-3)
    with pytest.raises(ValueError, match="uniform dtype"):
        FSDP(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))


def memory(rank, size):
    """Whole parameters are not kept between the passes."""
    from rushlight.distributed.fsdp.unit import Unit
    model = fully_shard(nn.Linear(30, 30))
    seen, gather = [], Unit.gather
    Unit.gather = lambda self: seen.append(1) or gather(self)
    try:
        out = model(data(rank, 60).view(2, 30).requires_grad_())
        assert len(seen) == 1 and model._unit.again is None
        out.sum().backward()
        assert len(seen) == 2 and model._unit.again is None
    finally:
        Unit.gather = gather


@pytest.mark.parametrize("job, size", [(wrappers, 2), (wrappers, 3), (accumulation_and_clipping, 2), (in_place, 2),
                                       (in_place, 3), (dictionaries, 2), (lower_precision, 2), (memory, 2)])
def test_together(job, size, tmp_path):
    together(job, size, tmp_path)
