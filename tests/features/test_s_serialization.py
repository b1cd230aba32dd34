"""Rows S of the notes' features: saving and loading."""
import copy
import inspect
import os
import pickle

import pytest

import rushlight as torch
from rushlight import nn

NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def test_s01_save_writes_a_file(tmp_path):
    names = list(inspect.signature(torch.save).parameters)
    assert names[:5] == ["obj", "f", "pickle_module", "pickle_protocol",
                         "_use_new_zipfile_serialization"]
    torch.save(torch.ones(2), tmp_path / "x.pt")
    assert (tmp_path / "x.pt").read_bytes().startswith(b"PK")


def test_s02_load_gives_the_same_tensor(tmp_path):
    torch.save(torch.tensor([1., 2.]), tmp_path / "x.pt")
    found = torch.load(tmp_path / "x.pt")
    assert torch.equal(found, torch.tensor([1., 2.])) and found.dtype == torch.float32


@pytest.mark.parametrize("where", [None, "cpu", torch.device("cpu"), lambda storage, place: storage])
def test_s03_map_location(tmp_path, where):
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", map_location=where)["x"].device.type == "cpu"


def test_s04_state_dict_has_parameters_and_buffers_in_order():
    state = nn.BatchNorm1d(3).state_dict()
    assert list(state) == NORM and type(state).__name__ == "OrderedDict"


def test_s05_load_state_dict_tells_that_all_keys_match():
    layer = nn.BatchNorm1d(3)
    assert repr(layer.load_state_dict(nn.BatchNorm1d(3).state_dict())) == "<All keys matched successfully>"


def test_s06_errors_of_load_state_dict_name_each_key():
    state = nn.BatchNorm1d(4).state_dict()
    del state["bias"]
    state["extra"] = torch.ones(1)
    with pytest.raises(RuntimeError) as caught:
        nn.BatchNorm1d(3).load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for BatchNorm1d:")
    assert 'Missing key(s) in state_dict: "bias"' in text
    assert 'Unexpected key(s) in state_dict: "extra"' in text
    assert "size mismatch for weight: copying a param with shape torch.Size([4]) from checkpoint, the " \
           "shape in current model is torch.Size([3])." in text


def test_s07_state_dict_or_the_whole_module(tmp_path):
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.ones(1, 3)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    torch.save(model, tmp_path / "model.pt")
    whole = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.equal(other(x), model(x)) and torch.equal(whole(x), model(x))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))


class Net(nn.Module):
    """The template of the note: a model that saves and loads itself."""

    def __init__(self, exp_name, name, root, device=None):
        super().__init__()
        self.path, self.device = os.path.join(root, "saved_models", exp_name, name), device
        self.layer = nn.Linear(2, 2)

    def save_checkpoint(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        torch.save(self.state_dict(), self.path)

    def load_checkpoint(self, path=None):
        self.load_state_dict(torch.load(path or self.path, map_location=self.device))


def test_s08_checkpoint_methods_on_a_model(tmp_path):
    first, second = Net("exp", "net.pt", tmp_path), Net("exp", "net.pt", tmp_path)
    first.save_checkpoint()
    first.save_checkpoint()
    second.load_checkpoint()
    assert torch.equal(first.layer.weight, second.layer.weight)
    second.load_checkpoint(tmp_path / "saved_models" / "exp" / "net.pt")


def test_s09_checkpoint_by_one_process(tmp_path):
    model = nn.Linear(2, 1)
    for gpu_id in range(3):
        if gpu_id == 0:
            torch.save(model.state_dict(), tmp_path / "ckp.pt")
    assert os.listdir(tmp_path) == ["ckp.pt"]
    assert list(torch.load(tmp_path / "ckp.pt")) == ["weight", "bias"]


def test_s10_keys_of_a_wrapped_model():
    model = nn.DataParallel(nn.Linear(2, 1))
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    assert list(model.module.state_dict()) == ["weight", "bias"]


def test_s11_copies_of_models():
    model = nn.Linear(2, 1)
    assert copy.copy(model).weight is model.weight
    deep = copy.deepcopy(model)
    assert deep.weight is not model.weight and torch.equal(deep.weight, model.weight)
    with pytest.raises(RuntimeError, match=r"Only Tensors created explicitly by the user \(graph leaves\) "
                                           r"support the deepcopy protocol at the moment."):
        copy.deepcopy(model.weight * 2)
