"""Files go both ways between rushlight and PyTorch."""
import io
from collections import OrderedDict

import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "uint16", "uint32", "uint64"]
WAYS = [(rushlight, torch), (torch, rushlight)]


def across(value, writer, reader, **options):
    stream = io.BytesIO()
    writer.save(value, stream)
    stream.seek(0)
    return reader.load(stream, **options)


def values(t, name):
    x = t.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(t, name))
    return OrderedDict(x=x, t=x.t(), row=x[1], empty=x[:0], scalar=x[0, 1])


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("writer, reader", WAYS)
def test_tensors(writer, reader, name, weights_only):
    got = across(values(writer, name), writer, reader, weights_only=weights_only)
    assert type(got) is OrderedDict
    for key, expected in values(reader, name).items():
        tensor = got[key]
        assert type(tensor) is reader.Tensor and tensor.dtype is expected.dtype
        assert tensor.stride() == expected.stride() and tensor.shape == expected.shape
        assert tensor.storage_offset() == expected.storage_offset()
        assert tensor.tolist() == expected.tolist()
    assert got["t"].data_ptr() == got["x"].data_ptr()


@pytest.mark.parametrize("writer, reader", WAYS)
def test_other_things(writer, reader):
    value = {"dtype": writer.float16, "size": writer.Size([1, 2]), "device": writer.device("cpu"),
             "grad": writer.ones(2, requires_grad=True), "parameter": writer.nn.Parameter(
                 writer.zeros(2)), "list": [1, 2.5, None, "x", b"y", {1}, (1, 2)], "big": 2**80}
    got = across(value, writer, reader)
    assert got["dtype"] is reader.float16 and got["size"] == (1, 2)
    assert type(got["size"]) is reader.Size and got["device"] == reader.device("cpu")
    assert got["grad"].requires_grad and type(got["parameter"]) is reader.nn.Parameter
    assert got["list"] == value["list"] and got["big"] == 2**80


def network(t):
    nn = t.nn
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                         nn.Linear(16, 3))


@pytest.mark.parametrize("writer, reader", WAYS)
def test_a_model_goes_on_where_the_other_left_off(writer, reader):
    source, target = network(writer), network(reader)
    target.load_state_dict(across(source.state_dict(), writer, reader))
    data = [[[[float(i * j % 5) for i in range(4)] for j in range(4)]]]
    ours, theirs = source.eval()(writer.tensor(data)), target.eval()(reader.tensor(data))
    assert theirs.tolist()[0] == pytest.approx(ours.tolist()[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("writer, reader", WAYS)
def test_optimizers(writer, reader, kind):
    def train(t, layer, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (layer(t.ones(2, 3)) ** 2).sum().backward()
            optimizer.step()

    options = dict(lr=0.1, **({"momentum": 0.9} if kind == "SGD" else {}))
    source = writer.nn.Linear(3, 2)
    optimizer = getattr(writer.optim, kind)(source.parameters(), **options)
    train(writer, source, optimizer, 3)
    state = across({"m": source.state_dict(), "o": optimizer.state_dict()}, writer, reader)
    target = reader.nn.Linear(3, 2)
    other = getattr(reader.optim, kind)(target.parameters(), lr=7.0)
    target.load_state_dict(state["m"])
    other.load_state_dict(state["o"])
    train(writer, source, optimizer, 3)
    train(reader, target, other, 3)
    assert target.bias.tolist() == pytest.approx(source.bias.tolist(), rel=1e-5, abs=1e-6)


def test_whole_modules_unpickle_here():
    layer = across(torch.nn.Linear(3, 2), torch, rushlight, weights_only=False)
    assert type(layer) is rushlight.nn.Linear and layer.weight.shape == (2, 3)


def test_pytorch_maps_our_files(tmp_path):
    path = tmp_path / "x.pt"
    rushlight.save({"a": rushlight.arange(100.0), "b": rushlight.ones(3)}, path)
    assert torch.load(path, mmap=True)["a"].sum().item() == 4950
    torch.save({"a": torch.arange(100.0), "b": torch.ones(3)}, path)
    assert rushlight.load(path, mmap=True)["a"].sum().item() == 4950


@pytest.mark.parametrize("weights_only", [True, False])
def test_files_from_before_the_zip_container(weights_only):
    x = torch.arange(6.0).view(2, 3)
    stream = io.BytesIO()
    torch.save({"x": x, "t": x.t(), "i": torch.arange(3), "p": torch.nn.Parameter(x)}, stream,
               _use_new_zipfile_serialization=False)
    stream.seek(0)
    got = rushlight.load(stream, weights_only=weights_only)
    assert got["x"].tolist() == x.tolist() and got["t"].tolist() == x.t().tolist()
    assert got["i"].tolist() == [0, 1, 2] and got["p"].tolist() == x.tolist()


def test_tensors_with_attributes():
    x = torch.ones(2)
    x.note = "kept"
    assert across(x, torch, rushlight).note == "kept"
    y = rushlight.ones(2)
    y.note = "kept"
    assert across(y, rushlight, torch).note == "kept"
