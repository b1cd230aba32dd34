from collections import OrderedDict, UserDict, namedtuple

import numpy as np
import pytest

import rushlight
from rushlight.utils.data import default_collate, default_convert
from rushlight.utils.data.collate import collate, default_collate_fn_map

Point = namedtuple("Point", "x y")


def plain(value):
    """Tensors as (dtype, list); containers keep their type."""
    if isinstance(value, rushlight.Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "_fields"):
        return type(value)(*map(plain, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value


@pytest.mark.parametrize("sample, batch", [
    (3, ("torch.int64", [3, 3])),
    (2.5, ("torch.float64", [2.5, 2.5])),
    (True, ("torch.bool", [True, True])),
    ("text", ["text", "text"]),
    (b"bytes", [b"bytes", b"bytes"]),
    (np.float32(3), ("torch.float32", [3.0, 3.0])),
    (np.int8(3), ("torch.int8", [3, 3])),
    (np.arange(2, dtype=np.int16), ("torch.int16", [[0, 1], [0, 1]])),
    ([1, 2.0], [("torch.int64", [1, 1]), ("torch.float64", [2.0, 2.0])]),
    ((1, "a"), [("torch.int64", [1, 1]), ("a", "a")]),
    ({"a": 1, "b": [2]}, {"a": ("torch.int64", [1, 1]), "b": [("torch.int64", [2, 2])]}),
    (OrderedDict(a=1), OrderedDict(a=("torch.int64", [1, 1]))),
    (Point(1, 2.0), Point(("torch.int64", [1, 1]), ("torch.float64", [2.0, 2.0]))),
])
def test_samples_of_each_kind(sample, batch):
    collated = default_collate([sample, sample])
    assert plain(collated) == batch
    assert type(collated) is type(batch) or isinstance(collated, rushlight.Tensor)


def test_tensors_are_stacked():
    batch = default_collate([rushlight.zeros(2, 3), rushlight.ones(2, 3)])
    assert batch.shape == (2, 2, 3) and batch.sum().item() == 6


def test_a_mapping_keeps_its_type():
    assert type(default_collate([UserDict(a=1)])) is UserDict


@pytest.mark.parametrize("batch, kind, message", [
    ([None], TypeError, "batch must contain tensors"),
    ([{1, 2}], TypeError, "found <class 'set'>"),
    ([np.array(["a"])], TypeError, "batch must contain tensors"),
    ([[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
    ([rushlight.zeros(2), rushlight.zeros(3)], RuntimeError, "equal size"),
])
def test_what_cannot_be_collated(batch, kind, message):
    with pytest.raises(kind, match=message):
        default_collate(batch)


def test_a_program_can_collate_its_own_types():
    class Box:
        def __init__(self, value):
            self.value = value

    def collate_boxes(batch, *, collate_fn_map):
        return collate([box.value for box in batch], collate_fn_map=collate_fn_map)

    made = collate([(Box(1), 2)] * 2, collate_fn_map=default_collate_fn_map | {Box: collate_boxes})
    assert plain(made) == [("torch.int64", [1, 1]), ("torch.int64", [2, 2])]


def test_convert_touches_arrays_only():
    array = np.arange(2)
    converted = default_convert({"a": array, "b": [array, "x"], "c": Point(1, array)})
    as_tensor = ("torch.int64", [0, 1])
    assert plain(converted) == {"a": as_tensor, "b": [as_tensor, "x"], "c": Point(1, as_tensor)}
    assert default_convert(5) == 5
    assert default_convert(np.array(["a"])).dtype.kind == "U"


def test_small_samples_are_copied_as_bytes_whatever_they_are():
    rows = rushlight.arange(24.).view(4, 6)
    for samples in (list(rows), [row[::2] for row in rows], [row.to(rushlight.bfloat16) for row in rows],
                    [rushlight.tensor(3 * i) for i in range(4)], [rushlight.tensor([True, False])] * 3, [rows[:0]] * 2,
                    [rows[1:3, 2], *rows[:2, :2]], list(rows.view(rushlight.int32)), [rows.t()] * 3):
        batch = default_collate(samples)
        assert rushlight.equal(batch, rushlight.stack(samples)) and batch.dtype is samples[0].dtype
