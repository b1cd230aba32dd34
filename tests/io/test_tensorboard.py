"""Event files: checksums and fields, and what TensorBoard reads from them if it is there."""
from __future__ import annotations

import struct

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.tensorboard import SummaryWriter, events


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


def test_errors(tmp_path):
    with SummaryWriter(tmp_path) as w:
        with pytest.raises(AssertionError, match="scalar should be 0D"):
            w.add_scalar("x", torch.ones(2))
        with pytest.raises(ValueError, match="no element"):
            w.add_histogram("x", torch.ones(0))
        with pytest.raises(AssertionError, match="input format are different"):
            w.add_image("x", torch.ones(2, 2))
