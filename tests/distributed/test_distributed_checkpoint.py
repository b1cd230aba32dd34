"""Checkpoints of several processes, read again by other numbers of them."""
import os

import pytest

import rushlight as torch
import rushlight.distributed as dist
import rushlight.distributed.checkpoint as dcp
from rushlight.distributed.checkpoint.format_utils import dcp_to_torch_save, torch_save_to_dcp
from rushlight.distributed.checkpoint.state_dict import (StateDictOptions, get_model_state_dict, get_state_dict,
                                                         set_model_state_dict, set_state_dict)
from rushlight.distributed.fsdp import FullyShardedDataParallel as FSDP, fully_shard
from rushlight.distributed.fsdp.wrap import ModuleWrapPolicy
from rushlight.nn.parallel import DistributedDataParallel as DDP
from tests.distributed.test_distributed import together
from tests.distributed.test_sharded import Block, near, net, reference, step

FOLDER = "RUSHLIGHT_TEST_FOLDER"
KINDS = {
    "plain": lambda seed: net(seed),
    "ddp": lambda seed: DDP(net(seed)),
    "fsdp": lambda seed: FSDP(net(seed), auto_wrap_policy=ModuleWrapPolicy({Block})),
    "fsdp names": lambda seed: FSDP(net(seed), use_orig_params=True),
    "in place": lambda seed: fully_shard(net(seed)),
}


class App:
    """Model and optimiser as one object with a state."""

    def __init__(self, kind, seed, lr):
        self.model = KINDS[kind](seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer}

    def load_state_dict(self, state):
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"],
                       optim_state_dict=state["optimizer"])


def part_of(kind, rank, size):
    return slice(None) if kind == "plain" else slice(rank, None, size)


def writing(rank, size):
    for kind in KINDS:
        app = App(kind, 0, 0.05)
        step(app.model, app.optimizer, 0, part_of(kind, rank, size))
        folder = os.path.join(os.environ[FOLDER], kind)
        content = {"app": app, "epoch": 3, "rows": [torch.arange(3), {"x": torch.tensor(2.5)}], "only": {rank: rank}}
        if kind == "ddp":
            future = dcp.async_save(content, checkpoint_id=folder)
            dist.all_reduce(torch.ones(1))
            future.wait()
        else:
            dcp.save(content, checkpoint_id=folder)
        assert sorted(os.listdir(folder)) == [".metadata", *(f"__{r}_0.distcp" for r in range(size))]


def reading(rank, size):
    """Each kind of model reads what each kind has written, and trains on as one process would."""
    reached = reference(2)[0].state_dict()
    for saved in KINDS:
        for kind in KINDS:
            app = App(kind, 9, 1.0)
            content = {"app": app, "epoch": 0, "rows": [torch.zeros(3).long(), {"x": torch.zeros(())}]}
            dcp.load(content, checkpoint_id=os.path.join(os.environ[FOLDER], saved))
            assert content["epoch"] == 3 and content["rows"][0].tolist() == [0, 1, 2]
            assert content["rows"][1]["x"].item() == 2.5
            step(app.model, app.optimizer, 1, part_of(kind, rank, size))
            near(get_model_state_dict(app.model, options=StateDictOptions(full_state_dict=True)), reached)
    whole = get_model_state_dict(app.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    assert bool(whole) == (rank == 0)
    other = KINDS["in place"](5)
    set_model_state_dict(other, whole, options=StateDictOptions(broadcast_from_rank0=True))
    near(get_model_state_dict(other, options=StateDictOptions(full_state_dict=True)), reached)


@pytest.mark.slow
def test_any_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    together(writing, 2, tmp_path)
    together(reading, 3, tmp_path)
    model = get_model_state_dict(net())
    dcp.load({"app": {"model": model}}, checkpoint_id=tmp_path / "fsdp")
    near(model, reference(1)[0].state_dict())


def failing(rank, size):
    folder = os.path.join(os.environ[FOLDER], "f")
    dcp.save({"a": torch.ones(3) * rank}, checkpoint_id=folder)
    x = {"a": torch.zeros(3)}
    dcp.load(x, checkpoint_id=folder)
    assert x["a"].tolist() == [0, 0, 0]             # of the first process
    with pytest.raises(dcp.CheckpointException, match="(?s)ranks:.*Missing key in checkpoint state_dict: b"):
        dcp.load({"b" if rank else "a": torch.zeros(3)}, checkpoint_id=folder)
    with pytest.raises(dcp.CheckpointException, match="Size mismatch"):
        dcp.load({"a": torch.zeros(4)}, checkpoint_id=folder)
    with pytest.raises(dcp.CheckpointException, match="exists"):
        dcp.save({}, storage_writer=dcp.FileSystemWriter(folder, overwrite=False))


def test_failures_are_told_to_all(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    together(failing, 2, tmp_path)


def test_alone(tmp_path):
    content = {"a": {"b": torch.arange(4), 3: "text"}, "n": [1, 2]}
    dcp.save(content, checkpoint_id=tmp_path / "c")
    dcp_to_torch_save(tmp_path / "c", tmp_path / "one.pt")
    one = torch.load(tmp_path / "one.pt")
    assert one["a"]["b"].tolist() == [0, 1, 2, 3] and one["a"][3] == "text" and one["n"] == [1, 2]
    torch_save_to_dcp(tmp_path / "one.pt", tmp_path / "d")
    found = {"a": {"b": torch.zeros(4).long(), 3: ""}, "n": []}
    dcp.load(found, checkpoint_id=tmp_path / "d")
    assert found["a"]["b"].tolist() == [0, 1, 2, 3] and found["a"][3] == "text" and found["n"] == [1, 2]
    with pytest.raises(dcp.CheckpointException, match="No such file"):
        dcp.load(found, checkpoint_id=tmp_path / "nowhere")
