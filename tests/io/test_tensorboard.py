"""Event files: checksums and fields, and what TensorBoard reads from them if it is there."""
from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import wave

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.tensorboard import SummaryWriter, events
from rushlight.utils.tensorboard.crc import crc32c


def records(folder):
    """The data of all records of the one file in a folder; checksums are checked."""
    path, = [p for p in folder.iterdir() if p.is_file()]
    raw, found = path.read_bytes(), []
    while raw:
        length, = struct.unpack("<Q", raw[:8])
        data = raw[12:12 + length]
        assert struct.unpack("<I", raw[8:12])[0] == events.masked_crc(raw[:8])
        assert struct.unpack("<I", raw[12 + length:16 + length])[0] == events.masked_crc(data)
        found.append(data)
        raw = raw[16 + length:]
    return found


def test_checksums_are_those_of_the_standard():
    crc = (events.masked_crc(b"123456789") - 0xA282EAD8) & 0xFFFFFFFF
    assert (crc >> 17 | crc << 15) & 0xFFFFFFFF == 0xE3069283        # RFC 3720's check value


def test_checksums_of_all_lengths():
    def slowly(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        return crc ^ 0xFFFFFFFF
    data = np.random.default_rng(0).integers(0, 256, 9000, np.uint8).tobytes()
    for n in (*range(20), 255, 256, 257, 4095, 4096, 4097, 8191, 8999, 9000):
        assert crc32c(data[:n]) == slowly(data[:n])


def test_a_full_disk_leaves_whole_records(tmp_path):
    class Full:
        """Takes half of a record, then no more."""

        def __init__(self, file):
            self.file, self.left = file, 20

        def write(self, data):
            if not self.left:
                raise OSError(28, "No space left on device")
            n, self.left = min(len(data), self.left), 0
            return self.file.write(data[:n])

        def __getattr__(self, name):
            return getattr(self.file, name)

    w = SummaryWriter(tmp_path)
    w.add_scalar("x", 1.0, 1)
    w.file_writer.file = Full(w.file_writer.file)
    with pytest.raises(OSError, match="No space left"):
        w.add_scalar("x", 2.0, 2)
    w.file_writer.file = w.file_writer.file.file
    w.add_scalar("x", 3.0, 3)
    w.close()
    assert len(records(tmp_path)) == 3


def test_records(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_scalar("loss", torch.tensor(0.5), 3, walltime=1.0)
        w.add_text("note", "**bold**", 1)
    first, scalar, text = records(tmp_path)
    assert b"brain.Event:2" in first
    assert scalar == events.event(1.0, 3, events.summary(events.scalar("loss", 0.5)))
    assert b"note/text_summary" in text and b"**bold**" in text


def test_what_tensorboard_reads(tmp_path):
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with SummaryWriter(tmp_path / "run") as w:
        for k in range(3):
            w.add_scalar("a/loss", 1.0 / (k + 1), k)
        w.add_histogram("h", torch.linspace(-1, 1, 101), 2)
        w.add_image("i", torch.rand(3, 5, 7), 1)
        w.add_images("n", torch.rand(3, 1, 4, 4), 1)
        w.add_text("t", "hello", 0)
        w.add_scalars("many", {"x": 1.0, "y": torch.tensor(2.0)}, 5)
        assert w.get_logdir() == str(tmp_path / "run")
    read = module.EventAccumulator(str(tmp_path / "run"), {module.TENSORS: 0})
    read.Reload()
    assert [(e.step, round(e.value, 4)) for e in read.Scalars("a/loss")] == [(0, 1.0), (1, 0.5), (2, 0.3333)]
    h = read.Histograms("h")[0].histogram_value
    assert h.num == 101 and abs(h.min + 1) < 1e-6 and np.isclose(sum(h.bucket), 101)
    image = read.Images("i")[0]
    assert (image.height, image.width) == (5, 7) and image.encoded_image_string.startswith(b"\x89PNG")
    assert (read.Images("n")[0].height, read.Images("n")[0].width) == (4, 12)
    assert read.Tensors("t/text_summary")[0].tensor_proto.string_val[0] == b"hello"
    other = module.EventAccumulator(str(tmp_path / "run" / "many_y"))
    other.Reload()
    assert [(e.step, e.value) for e in other.Scalars("many")] == [(5, 2.0)]


def read_back(folder):
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = module.EventAccumulator(str(folder), {module.TENSORS: 0, module.IMAGES: 0, module.AUDIO: 0})
    read.Reload()
    return read


def arrays(read, tag):
    util = pytest.importorskip("tensorboard.util.tensor_util")
    return [(e.step, util.make_ndarray(e.tensor_proto)) for e in read.Tensors(tag)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32",
                                   "int64", "bool", "complex64", "complex128"])
def test_tensors_of_every_dtype(tmp_path, dtype):
    x = torch.tensor([[1, -2, 0], [3, 100, -7]]).abs().to(getattr(torch, dtype))
    x = -x if dtype not in ("uint8", "bool") else x
    with SummaryWriter(tmp_path) as w:
        w.add_tensor("x", x, 4)
    if dtype == "bfloat16":         # TensorBoard without TensorFlow has no such arrays
        kept = read_back(tmp_path).Tensors("x")[0].tensor_proto
        assert list(kept.half_val) == [v & 0xFFFF for v in x.view(torch.int16).reshape(-1).tolist()]
        return
    (step, found), = arrays(read_back(tmp_path), "x")
    assert step == 4 and str(found.dtype) == dtype
    assert found.tolist() == x.tolist()


def test_new_style_keeps_double_precision(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_scalar("single", 0.1, 1, new_style=True)
        w.add_scalar("double", 0.1, 1, new_style=True, double_precision=True)
    read = read_back(tmp_path)
    assert arrays(read, "double")[0][1].item() == 0.1
    assert arrays(read, "single")[0][1].item() == np.float32(0.1)
    assert read.SummaryMetadata("double").plugin_data.plugin_name == "scalars"


def test_sound(tmp_path):
    sound = torch.linspace(-1, 1, 100)
    with SummaryWriter(tmp_path) as w:
        w.add_audio("a", sound.unsqueeze(0), 2, sample_rate=8000)
        with pytest.warns(UserWarning, match="clipped"):
            w.add_audio("loud", sound * 3, 2)
        with pytest.raises(AssertionError, match="1 dimensional"):
            w.add_audio("stereo", torch.zeros(2, 5))
    a = read_back(tmp_path).Audio("a")[0]
    assert (a.sample_rate, a.length_frames, a.content_type, a.step) == (8000, 100, "audio/wav", 2)
    with wave.open(io.BytesIO(a.encoded_audio_string)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        frames = np.frombuffer(file.readframes(100), "<i2")
    assert np.array_equal(frames, (sound.numpy() * 32767).astype(np.int16))


def test_video_is_a_gif_of_a_grid(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    video = torch.zeros(3, 4, 3, 6, 8)
    video[0, :, 0] = 1                                          # red, top left
    video[2, torch.arange(4), 1, torch.arange(4)] = 1           # so that frames differ, bottom left
    with SummaryWriter(tmp_path) as w:
        w.add_video("v", video, 1, fps=5)
    v = read_back(tmp_path).Images("v")[0]
    assert (v.height, v.width) == (12, 16)
    with Image.open(io.BytesIO(v.encoded_image_string)) as gif:
        assert gif.format == "GIF" and gif.n_frames == 4 and gif.info["duration"] == 200
        gif.seek(2)
        frame = np.asarray(gif.convert("RGB"))
    assert frame[0, 0].tolist() == [255, 0, 0] and frame[6 + 2, 0].tolist() == [0, 255, 0]
    assert frame[0, 8].tolist() == [0, 0, 0]


def test_boxes_are_drawn(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    with SummaryWriter(tmp_path) as w:
        boxes = torch.tensor([[2.0, 3.0, 20.0, 25.0]])
        w.add_image_with_boxes("b", torch.zeros(3, 30, 40), boxes, 1, labels="cat")
        w.add_image_with_boxes("half", torch.zeros(3, 30, 40), boxes, 1, rescale=0.5)
    read = read_back(tmp_path)
    b = read.Images("b")[0]
    pixels = np.asarray(Image.open(io.BytesIO(b.encoded_image_string)))
    assert pixels.shape == (30, 40, 3) and pixels[10, 2].tolist() == [255, 0, 0]
    assert pixels[10, 10].tolist() == [0, 0, 0] and pixels[29, 39].tolist() == [0, 0, 0]
    assert (read.Images("half")[0].height, read.Images("half")[0].width) == (15, 20)


def test_figures(tmp_path):
    plt = pytest.importorskip("matplotlib.figure")
    figures = [plt.Figure(figsize=(2, 1), dpi=50) for _ in range(2)]
    figures[0].patch.set_facecolor("blue")
    with SummaryWriter(tmp_path) as w:
        w.add_figure("one", figures[0], 3)
        w.add_figure("both", figures, close=False)
    read = read_back(tmp_path)
    assert (read.Images("one")[0].height, read.Images("one")[0].width, read.Images("one")[0].step) == (50, 100, 3)
    assert read.Images("both")[0].width == 200


def test_precision_and_recall(tmp_path):
    labels, predictions = torch.tensor([1, 0, 1, 1, 0]), torch.tensor([0.9, 0.8, 0.6, 0.2, 0.1])
    with SummaryWriter(tmp_path) as w:
        w.add_pr_curve("p", labels, predictions, 1, num_thresholds=11)
        w.add_pr_curve("weighted", labels, predictions, 1, num_thresholds=11, weights=torch.full((5,), 2.0))
        w.add_pr_curve_raw("raw", *torch.arange(12.0).reshape(6, 2), 1, num_thresholds=2)
    read = read_back(tmp_path)
    (_, found), = arrays(read, "p")
    thresholds = np.arange(11) / 10
    on = predictions.double().numpy()[:, None] >= thresholds - 1e-6
    tp, fp = (on & (labels.numpy() == 1)[:, None]).sum(0), (on & (labels.numpy() == 0)[:, None]).sum(0)
    expected = np.stack([tp, fp, 2 - fp, 3 - tp, tp / np.maximum(1e-7, tp + fp), tp / 3])
    assert np.allclose(found, expected)
    assert np.allclose(arrays(read, "weighted")[0][1][:4], 2 * expected[:4])
    assert np.array_equal(arrays(read, "raw")[0][1], np.arange(12.0).reshape(6, 2))
    about = pytest.importorskip("tensorboard.plugins.pr_curve.metadata")
    assert about.parse_plugin_metadata(read.SummaryMetadata("p").plugin_data.content).num_thresholds == 11


def test_meshes(tmp_path):
    about = pytest.importorskip("tensorboard.plugins.mesh.metadata")
    points = torch.rand(1, 4, 3)
    with SummaryWriter(tmp_path) as w:
        w.add_mesh("m", points, faces=torch.tensor([[[0, 1, 2]]]), config_dict={"camera": {"cls": "X"}}, global_step=7)
        with pytest.raises(ValueError, match="BxNx3"):
            w.add_mesh("flat", points[0])
    read = read_back(tmp_path)
    (step, found), = arrays(read, "m_VERTEX")
    assert step == 7 and np.array_equal(found, points.numpy())
    assert arrays(read, "m_FACE")[0][1].tolist() == [[[0, 1, 2]]]
    data = about.parse_plugin_metadata(read.SummaryMetadata("m_FACE").plugin_data.content)
    assert (data.name, data.content_type, data.components) == ("m", 2, 0b110)
    assert list(data.shape) == [1, 1, 3] and data.json_config == '{"camera": {"cls": "X"}}'


def test_custom_scalars(tmp_path):
    layout = pytest.importorskip("tensorboard.plugins.custom_scalar.layout_pb2")
    with SummaryWriter(tmp_path) as w:
        w.add_custom_scalars({"A": {"many": ["Multiline", ["x", "y"]], "band": ["Margin", ["v", "lo", "hi"]]}})
        with pytest.raises(AssertionError, match="Expected 3 tags, got 1"):
            w.add_custom_scalars_marginchart(["v"])
    with SummaryWriter(tmp_path / "other") as w:
        w.add_custom_scalars_multilinechart(["x"], "C", "T")
    for folder, names in ((tmp_path, ("A", "many")), (tmp_path / "other", ("C", "T"))):
        read = read_back(folder)
        assert read.SummaryMetadata("custom_scalars__config__").plugin_data.plugin_name == "custom_scalars"
        data = read.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
        category, = layout.Layout.FromString(data).category
        assert (category.title, category.chart[0].title) == names
        assert category.chart[0].multiline.tag[0] == "x"
    data = read_back(tmp_path).Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    series, = layout.Layout.FromString(data).category[0].chart[1].margin.series
    assert (series.value, series.lower, series.upper) == ("v", "lo", "hi")


def test_hyper_parameters(tmp_path):
    pb = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    given = {"lr": torch.tensor(0.5), "layers": 3, "name": "sgd", "bias": True, "none": None, "np": np.float32(2)}
    with SummaryWriter(tmp_path) as w:
        w.add_hparams(given, {"acc": 0.75}, {"layers": [1, 3]}, run_name="r", global_step=2)
        with pytest.raises(TypeError, match="should be a list of same type"):
            w.add_hparams({"a": 1}, {}, {"a": ["x"]})
        with pytest.raises(ValueError, match="int, float, str, bool"):
            w.add_hparams({"a": [1]}, {})
    read = read_back(tmp_path / "r")
    assert [(e.step, e.value) for e in read.Scalars("acc")] == [(2, 0.75)]
    about = {k: pb.HParamsPluginData.FromString(read.SummaryMetadata(f"_hparams_/{k}").plugin_data.content)
             for k in ("experiment", "session_start_info", "session_end_info")}
    values = about["session_start_info"].session_start_info.hparams
    assert (values["lr"].number_value, values["layers"].number_value, values["np"].number_value) == (0.5, 3, 2)
    assert values["name"].string_value == "sgd" and values["bias"].bool_value is True and "none" not in values
    infos = {i.name: i for i in about["experiment"].experiment.hparam_infos}
    assert {k: i.type for k, i in infos.items()} == {"lr": 3, "layers": 3, "name": 1, "bias": 2, "np": 3}
    assert list(infos["layers"].domain_discrete) == [1, 3]
    assert about["experiment"].experiment.metric_infos[0].name.tag == "acc"
    assert about["session_end_info"].session_end_info.status == 1


def test_embeddings(tmp_path):
    text_format = pytest.importorskip("google.protobuf.text_format")
    config = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    vectors = torch.tensor([[1.5, 2.0], [3.0, 4.0], [5.0, 6.0]])
    with SummaryWriter(tmp_path) as w:
        w.add_embedding(vectors, ["a", "b", "c"], torch.ones(3, 3, 4, 5), 2, tag='x/"y"')
    with SummaryWriter(tmp_path) as w:              # a later session keeps what is there
        w.add_embedding(vectors, [["a", 1], ["b", 2], ["c", 3]], metadata_header=["n", "k"])
        with pytest.raises(AssertionError, match="#labels should equal"):
            w.add_embedding(vectors, ["a"])
    found = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config.ProjectorConfig())
    first, second = found.embeddings
    assert first.tensor_name == 'x/"y":00002' and second.tensor_name == "default:00000"
    assert (tmp_path / first.tensor_path).read_text() == "1.5\t2.0\n3.0\t4.0\n5.0\t6.0\n"
    assert (tmp_path / first.metadata_path).read_text() == "a\nb\nc\n"
    assert list(first.sprite.single_image_dim) == [5, 4]
    sprite = (tmp_path / first.sprite.image_path).read_bytes()
    assert struct.unpack(">II", sprite[16:24]) == (10, 8)
    assert (tmp_path / second.metadata_path).read_text() == "n\tk\na\t1\nb\t2\nc\t3\n"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout())
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x, y):
        return self.head(self.body(x)) * y


def test_graph_has_the_scopes_of_the_modules(tmp_path):
    net = Net()
    state = torch.get_rng_state()
    with SummaryWriter(tmp_path) as w:
        for _ in range(3):                  # calls that come again are drawn alike
            w.add_graph(net, (torch.rand(3, 4), torch.rand(3, 2)))
    assert net.training and net.body[2].training
    assert not torch.equal(state, torch.get_rng_state())        # by torch.rand above, not by the dropout
    pb = pytest.importorskip("tensorboard.compat.proto.graph_pb2")
    nodes = {n.name: n for n in pb.GraphDef.FromString(read_back(tmp_path).Graph().SerializeToString()).node}
    for name in ("Net/Sequential[body]/Linear[0]/weight", "Net/Linear[head]/bias", "input/input.0", "input/input.1",
                 "output/output.1"):
        assert name in nodes
    assert all(x in nodes for n in nodes.values() for x in n.input)
    assert any(n.startswith("Net/Sequential[body]/ReLU[1]/") for n in nodes)
    last, = nodes["output/output.1"].input
    assert last.startswith("Net/") and "input/input.1" in nodes[last].input
    assert [d.size for d in nodes[last].attr["_output_shapes"].list.shape[0].dim] == [3, 2]
    read = set()
    todo = ["output/output.1"]
    while todo:                             # the output hangs on all inputs and parameters
        name = todo.pop()
        read.add(name)
        todo += [x for x in nodes[name].input if x not in read]
    assert {"input/input.0", "Net/Sequential[body]/Linear[0]/bias", "Net/Linear[head]/weight"} <= read


def test_graph_of_a_model_that_looks_at_values(tmp_path):
    class Looks(torch.nn.Module):
        def forward(self, x):
            y = x.exp()
            return y * 2 if y.sum().item() > 0 else y

    with SummaryWriter(tmp_path) as w:
        w.add_graph(Looks(), torch.rand(3))
    names = [n.name for n in read_back(tmp_path).Graph().node]
    assert any("exp" in n for n in names) and "output/output.1" in names and "Looks/constant" not in names


def onnx_model() -> bytes:
    """y = Conv(x, w) with three attributes; the numbers are those of onnx.proto."""
    from rushlight.utils.tensorboard.events import part, single, whole
    ints, number = b"".join(whole(8, n) for n in (3, -1)), single(2, 0.5)
    attributes = [part(1, "pads") + ints + whole(20, 7), part(1, "alpha") + number + whole(20, 1),
                  part(1, "value") + part(5, whole(1, 2) + whole(1, 4) + whole(2, 7)) + whole(20, 4)]
    node = part(1, "x") + part(1, "w") + part(2, "y") + part(4, "Conv") + b"".join(part(5, a) for a in attributes)

    def value(name, kind, *sizes):
        dims = b"".join(part(1, part(2, n) if isinstance(n, str) else whole(1, n)) for n in sizes)
        return part(1, name) + part(2, part(1, whole(1, kind) + part(2, dims)))
    graph = part(1, node) + part(2, "g") + part(11, value("x", 1, "N", 3)) + part(12, value("y", 7, 4))
    return whole(1, 7) + part(7, graph)


def test_operators_of_an_onnx_file(tmp_path):
    pb = pytest.importorskip("tensorboard.compat.proto.graph_pb2")
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_model())
    with SummaryWriter(tmp_path / "run") as w:
        w.add_onnx_graph(str(file))
        for bad in (b"", b"nonsense", onnx_model()[:-3], onnx_model().replace(b"Conv", b"\xff" * 4)[:40]):
            file.write_bytes(bad)
            with pytest.raises(ValueError, match="holds no ONNX model"):
                w.add_onnx_graph(file)
        with pytest.raises(FileNotFoundError):
            w.add_onnx_graph(tmp_path / "nothing")
    graph = pb.GraphDef.FromString(read_back(tmp_path / "run").Graph().SerializeToString())
    x, y, conv = graph.node
    assert (x.name, x.op, x.attr["dtype"].type, [d.size for d in x.attr["shape"].shape.dim]) == ("x", "Variable", 1, [0, 3])
    assert (y.name, y.attr["dtype"].type) == ("y", 9)              # int64, by TensorFlow's number
    assert (conv.name, conv.op, list(conv.input)) == ("y", "Conv", ["x", "w"])
    assert conv.attr["parameters"].s == b"pads = [3, -1] = 7, alpha = 0.5 = 1, value = int64[2, 4] = 4"


def test_what_was_added_is_in_the_file_at_once(tmp_path):
    w = SummaryWriter(tmp_path)
    w.add_scalar("x", 1.0, 1)
    assert len(records(tmp_path)) == 2
    w.close()


def test_a_killed_run_and_its_restart_are_one(tmp_path):
    code = ("import os, sys, rushlight as torch\n"
            "from rushlight.utils.tensorboard import SummaryWriter\n"
            f"w = SummaryWriter({str(tmp_path)!r})\n"
            "for k in range(5): w.add_scalar('x', k, k)\n"
            "os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    time.sleep(1.1)                 # files are read in the order of their names, which begin with the second
    with SummaryWriter(tmp_path, purge_step=3) as w:
        w.add_scalar("x", 30.0, 3)
    read = read_back(tmp_path)
    assert [(e.step, e.value) for e in read.Scalars("x")] == [(0, 0), (1, 1), (2, 2), (3, 30)]


def test_errors(tmp_path):
    with SummaryWriter(tmp_path) as w:
        with pytest.raises(AssertionError, match="scalar should be 0D"):
            w.add_scalar("x", torch.ones(2))
        with pytest.raises(ValueError, match="no element"):
            w.add_histogram("x", torch.ones(0))
        with pytest.raises(AssertionError, match="input format are different"):
            w.add_image("x", torch.ones(2, 2))
