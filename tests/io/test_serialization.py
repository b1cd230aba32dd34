import io
import os
import pickle
import subprocess
import sys
import textwrap
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import rushlight
from rushlight import serialization
from rushlight.io.archive import Reader, Writer

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
          "float64", "uint16", "uint32", "uint64"]


def saved(value, **options):
    stream = io.BytesIO()
    rushlight.save(value, stream, **options)
    stream.seek(0)
    return stream


def through(value, **options):
    return rushlight.load(saved(value), **options)


def same(a, b):
    return a.dtype is b.dtype and a.shape == b.shape and a.tolist() == b.tolist()


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(name, weights_only):
    tensor = rushlight.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(rushlight, name))
    assert same(through(tensor, weights_only=weights_only), tensor)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
def test_every_shape(shape):
    tensor = rushlight.rand(shape)
    assert same(through(tensor), tensor)


def test_views_stay_views():
    base = rushlight.arange(12.0).view(3, 4)
    loaded = through([base, base.t(), base[1], base[:, 1::2], base.expand(2, 3, 4)])
    for ours, theirs in zip(loaded, [base, base.t(), base[1], base[:, 1::2],
                                     base.expand(2, 3, 4)]):
        assert same(ours, theirs) and ours.stride() == theirs.stride()
    loaded[0][1, 1] = 100.0
    assert loaded[1][1, 1].item() == loaded[2][1].item() == loaded[3][1, 0].item() == 100.0


def test_a_view_takes_its_whole_storage_along():
    loaded = through(rushlight.arange(10)[3:5])
    assert loaded.storage_offset() == 3
    assert Reader(saved(rushlight.arange(10)[3:5])).size("data/0") == 80


def test_pending_work_is_run_first():
    x = rushlight.ones(3)
    assert through(x * 2 + 1).tolist() == [3, 3, 3]


def test_what_is_saved_does_not_change_afterwards():
    x = rushlight.ones(3)
    stream = saved(x)
    x += 1
    assert rushlight.load(stream).tolist() == [1, 1, 1]


def test_containers():
    value = OrderedDict(a=[1, 2.5, None, True, "x", b"y", 1 + 2j], b=({1, 2}, {"c": (1,)}),
                        size=rushlight.Size([1, 2]), dtype=rushlight.float16,
                        device=rushlight.device("cpu"), big=2**80)
    assert through(value) == value and type(through(value)) is OrderedDict
    assert through(value)["dtype"] is rushlight.float16


def test_one_tensor_twice_stays_one():
    x = rushlight.ones(2)
    a, b = through([x, x])
    assert a is b


def test_requires_grad_and_parameters():
    loaded = through([rushlight.ones(2, requires_grad=True),
                      rushlight.nn.Parameter(rushlight.ones(2)),
                      rushlight.nn.Parameter(rushlight.ones(2), requires_grad=False)])
    assert [t.requires_grad for t in loaded] == [True, True, False]
    assert [type(t) is rushlight.nn.Parameter for t in loaded] == [False, True, True]
    assert all(t.is_leaf for t in loaded)


def test_a_models_state():
    model = rushlight.nn.Sequential(rushlight.nn.Linear(3, 4), rushlight.nn.Linear(4, 2))
    other = rushlight.nn.Sequential(rushlight.nn.Linear(3, 4), rushlight.nn.Linear(4, 2))
    state = through(model.state_dict())
    assert state._metadata[""] == {"version": 1}
    other.load_state_dict(state)
    x = rushlight.rand(5, 3)
    assert other(x).tolist() == model(x).tolist()


def test_an_optimizers_state():
    layer = rushlight.nn.Linear(3, 1)
    optimizer = rushlight.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(2):
        layer(rushlight.ones(1, 3)).sum().backward()
        optimizer.step()
    state = through(optimizer.state_dict())
    assert state["param_groups"][0]["lr"] == 0.1
    optimizer.load_state_dict(state)


def test_a_whole_model_needs_trust():
    stream = saved(rushlight.nn.Linear(3, 2))
    names = serialization.get_unsafe_globals_in_checkpoint(stream)
    assert "torch.nn.modules.linear.Linear" in names
    stream.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"torch.nn.modules.linear.Linear was not an"):
        rushlight.load(stream)
    stream.seek(0)
    assert rushlight.load(stream, weights_only=False).weight.shape == (2, 3)


Point = namedtuple("Point", "x y")


def test_allowing_more():
    stream = saved(Point(1, rushlight.ones(2)))
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        rushlight.load(stream)
    with serialization.safe_globals([Point]):
        assert serialization.get_safe_globals() == [Point]
        assert rushlight.load(saved(Point(1, 2))) == Point(1, 2)
    assert serialization.get_safe_globals() == []
    serialization.add_safe_globals([(dict, f"{Point.__module__}.Point")])
    serialization.clear_safe_globals()


def test_paths_and_files(tmp_path):
    path = tmp_path / "model.v1.pt"
    for target in (path, str(path)):
        rushlight.save({"a": 1}, target)
        assert rushlight.load(target) == {"a": 1}
    with open(path, "wb") as file:
        rushlight.save([2], file)
    with open(path, "rb") as file:
        assert rushlight.load(file) == [2]
    rushlight.save(0, path)
    assert Reader(open(path, "rb")).name == "model.v1"
    assert os.listdir(tmp_path) == ["model.v1.pt"]


def test_a_mapped_file(tmp_path):
    path = tmp_path / "x.pt"
    rushlight.save({"a": rushlight.arange(1000.0), "b": rushlight.ones(3)}, path)
    loaded = rushlight.load(path, mmap=True)
    assert loaded["a"].sum().item() == 499500
    loaded["a"].zero_()
    assert loaded["a"].sum().item() == 0
    assert rushlight.load(path)["a"].sum().item() == 499500
    with pytest.raises(ValueError, match="f must be a file path"):
        rushlight.load(saved(1), mmap=True)


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    rushlight.save([1], path)
    code = ("import rushlight, os, sys\n"
            "from rushlight.io import archive\n"
            "archive.Writer.close = lambda self: os._exit(9)\n"
            f"rushlight.save([rushlight.ones(9)], {str(path)!r})\n")
    folder = os.path.dirname(os.path.dirname(rushlight.__file__))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": folder})
    assert done.returncode == 9
    assert rushlight.load(path) == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits the size of files")
def test_a_full_disk_at_any_byte_leaves_the_old_file(tmp_path):
    code = textwrap.dedent(f"""
        import os, resource, signal, rushlight as torch
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path, other = {str(tmp_path / "m.pt")!r}, {str(tmp_path / "other")!r}
        new = {{"w": torch.arange(300.0), "step": 2}}
        torch.save(new, other)
        size = os.path.getsize(other)
        os.unlink(other)
        torch.save({{"w": torch.zeros(3)}}, path)
        with open(path, "rb") as file:
            old = file.read()
        for limit in (*range(0, size, 29), size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                torch.save(new, path)
                raise AssertionError(f"{{limit}} bytes of {{size}} were enough")
            except OSError:
                pass
            with open(path, "rb") as file:
                assert file.read() == old
            assert os.listdir(os.path.dirname(path)) == ["m.pt"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        torch.save(new, path)
        print(torch.load(path)["w"].sum().item())
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("44850.0\n", "")


def test_map_location():
    stream = saved(rushlight.ones(2))
    asked = []

    def keep(storage, location):
        asked.append(location)
        return storage

    for where in ("cpu", rushlight.device("cpu"), {"cpu": "cpu"}, keep, lambda s, l: None):
        stream.seek(0)
        assert rushlight.load(stream, map_location=where).tolist() == [1, 1]
    assert asked == ["cpu"]
    stream.seek(0)
    with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
        rushlight.load(stream, map_location="cuda:0")


def rewritten(stream, **changes):
    """The same file with other bytes in some records (. stands for / in their names)."""
    reader, made = Reader(stream), io.BytesIO()
    writer = Writer(made)
    for record in ("data.pkl", "data/0"):
        writer.write(record, changes.get(record.replace(".", "_").replace("/", "_"),
                                         reader.read(record)))
    writer.close()
    made.seek(0)
    return made


def test_a_file_from_a_gpu_needs_a_place():
    stream = saved(rushlight.ones(2))
    pickled = Reader(stream).read("data.pkl").replace(b"\x03\x00\x00\x00cpu",
                                                      b"\x06\x00\x00\x00cuda:0")
    gpu = rewritten(stream, data_pkl=pickled)
    with pytest.raises(RuntimeError, match=r"torch\.cuda\.is_available\(\) is False"):
        rushlight.load(gpu)
    gpu.seek(0)
    assert rushlight.load(gpu, map_location="cpu").tolist() == [1, 1]
    gpu.seek(0)
    assert rushlight.load(gpu, map_location={"cuda:0": "cpu"}).tolist() == [1, 1]


@pytest.mark.parametrize("change, error, message", [
    (dict(data_0=b"\0" * 7), RuntimeError, "has 7 bytes where a tensor needs 8"),
    (dict(data_pkl=b"garbage"), pickle.UnpicklingError, "unsupported opcode"),
    (dict(data_pkl=b""), pickle.UnpicklingError, "truncated"),
])
def test_records_that_do_not_fit(change, error, message):
    with pytest.raises(error, match=message):
        rushlight.load(rewritten(saved(rushlight.ones(2)), **change))


@pytest.mark.parametrize("old, new", [
    (b"\x89ccoll", b"\x88ccoll"),                   # an integer tensor that requires gradients
    (b"K\x02\x85", b"K\x09\x85"),                   # a shape beyond the storage
    (b"K\x00K\x02", b"K\x07K\x02"),                 # an offset beyond the storage
])
def test_views_beyond_their_storage(old, new):
    stream = saved(rushlight.arange(2))
    pickled = pickletools_optimized(Reader(stream).read("data.pkl"))
    assert old in pickled
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        rushlight.load(rewritten(stream, data_pkl=pickled.replace(old, new)))


def pickletools_optimized(data):
    import pickletools
    return pickletools.optimize(data)


@pytest.mark.parametrize("data, error", [
    (b"", EOFError), (b"nonsense", pickle.UnpicklingError),
    (b"PK\x03\x04 nonsense", RuntimeError), (b"\x80\x02K\x01.", pickle.UnpicklingError),
])
def test_files_that_are_none(data, error):
    with pytest.raises(error):
        rushlight.load(io.BytesIO(data))


def test_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError):
        rushlight.load(tmp_path / "nothing.pt")
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        rushlight.save(1, tmp_path / "no" / "x.pt")
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like"):
        rushlight.save(1, 3)
    with pytest.raises(AttributeError, match="only torch.load from a file that is seekable"):
        rushlight.load(3)
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        rushlight.load(saved(1), pickle_module=pickle, weights_only=True)


def test_plain_pickle():
    x = rushlight.arange(6.0).view(2, 3).t()
    loaded = pickle.loads(pickle.dumps(x))
    assert same(loaded, x) and loaded.stride() == x.stride()
    assert pickle.loads(pickle.dumps(rushlight.float32)) is rushlight.float32


def test_bytes_of_the_other_order():
    from rushlight.io.storages import native
    order = "big" if sys.byteorder == "little" else "little"
    values = np.array([1.5, -2.0], np.float32)
    swapped = values.byteswap().view(np.uint8)
    assert native(swapped, rushlight.float32, order).view(np.float32).tolist() == [1.5, -2.0]


def test_safetensors_by_its_package(tmp_path):
    pytest.importorskip("safetensors")
    program = tmp_path / "program.py"
    program.write_text("import sys, torch\nfrom safetensors.torch import load_file, save_file\n"
                       "x = {'a': torch.arange(6.).view(2, 3), 'b': torch.ones(3, dtype=torch.bfloat16)}\n"
                       "save_file(x, 'x.safetensors')\ny = load_file('x.safetensors')\n"
                       "print(all(torch.equal(x[k], y[k]) and x[k].dtype is y[k].dtype for k in x), type(y['a']).__module__)\n")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", program], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout == "True rushlight.tensor\n", done.stderr
