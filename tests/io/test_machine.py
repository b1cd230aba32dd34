"""The machine agrees with Python's unpickler on data, and stops at everything else."""
import os
import pickle
import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.io import allowed
from rushlight.io.machine import MAX_DEPTH, Machine
from rushlight.io.storages import StorageType


def run(data, load_storage=lambda name: name):
    return Machine(data, allowed.Allowed(), load_storage).run()


keys = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.binary(),
                 st.tuples(st.integers(), st.text()))
values = st.recursive(
    st.one_of(keys, st.floats(allow_nan=False), st.complex_numbers(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner), st.sets(keys),
                            st.tuples(inner), st.tuples(inner, inner, inner, inner),
                            st.dictionaries(keys, inner).map(OrderedDict)), max_leaves=20)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values, st.integers(2, 5))
def test_data_comes_back(value, protocol):
    made = run(pickle.dumps(value, protocol))
    assert made == value and type(made) is type(value)


def test_long_things_come_back():
    value = ["x" * 70_000, b"y" * 300, bytearray(b"z"), 2**1000, -2**70, [None] * 5000,
             {i: i for i in range(3000)}, "ü\ud800"]
    for protocol in range(2, 6):
        assert run(pickle.dumps(value, protocol)) == value


def test_one_object_named_twice_stays_one():
    inner = [1]
    made = run(pickle.dumps([inner, inner, (inner,)], 2))
    assert made[0] is made[1] is made[2][0]


def test_an_ordered_dict_keeps_its_attributes():
    value = OrderedDict(a=1)
    value._metadata = {"": {"version": 1}}
    assert run(pickle.dumps(value, 2))._metadata == {"": {"version": 1}}


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("/should/never/be/made",)


@pytest.mark.parametrize("attack", [
    pickle.dumps(Exploit(), 2), pickle.dumps(Exploit(), 4),
    b"cos\nsystem\n.", b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", b"cbuiltins\ngetattr\n.",
    b"ctorch\nload\n.", b"crushlight.serialization\nload\n.", b"ctorch.nn\nLinear\n.",
    b"ctorch.serialization\nload\n.",
])
def test_what_is_not_allowed_is_named(attack):
    with pytest.raises(pickle.UnpicklingError,
                       match=r"GLOBAL \S+ was not an allowed global by default"):
        run(attack)


@pytest.mark.parametrize("attack, message", [
    (b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.", "bytearray: argument 1 is a int, not bytes"),
    (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x06\x00\x00\x00base64tR.", "encode"),
    (b"ctorch\nFloatStorage\n)R.", "cannot call"),
    (b"ctorch\nfloat32\n)R.", "cannot call"),
    (b"X\x01\x00\x00\x00a)R.", "cannot call a str"),
    (b"ctorch\nTensor\n)R.", "rebuilt by"),
    (b"ctorch._utils\n_rebuild_tensor_v2\n(]K\x00))\x89}tR.", "v2: argument 1 is a list, not a storage"),
    (b"ctorch\nSize\n(K\x01tR.", "Size: argument 1 is a int, not a tuple of ints"),
    (b"ctorch\nSize\n(X\x01\x00\x00\x001\x85tR.", "Size: argument 1 is a tuple"),
    (b"cbuiltins\ncomplex\n)R.", "complex: 0 arguments, where 2 to 2 belong"),
    (b"cbuiltins\nset\n(N)tR.", "set: 2 arguments"),
    (b"X\xff\xff\xff\x7fa.", "truncated"),
    (b"\x8b\xff\xff\xff\x7fa.", "truncated"),
    (b"}](K\x01e}s.", "damaged|cannot be a key"),
    (b"}]K\x01s.", "a list cannot be a key"),
    (b"}K\x01a.", "can only append to lists"),
    (b"]K\x01K\x02s.", "can only set items of dicts"),
    (b"K\x01}b.", "cannot set the state"),
    (b"h\x07.", "damaged"), (b"R.", "damaged"), (b".", "damaged"), (b"", "truncated"),
    (b"]", "truncated"), (b"\xff.", "unsupported opcode"), (b"I1\n.", "unsupported opcode"),
    (b"(" * (MAX_DEPTH + 1), "nested more than"),
    (b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "nested more than"),
    (b"cx" * 2000, "truncated"),
])
def test_nonsense_is_refused(attack, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        run(attack)


def test_deep_nesting_alone_is_no_danger():
    depth = 50_000
    made = run(b"]" * depth + b"a" * (depth - 1) + b".")
    for _ in range(depth - 1):
        made, = made


def test_random_damage_never_gets_through():
    good = pickle.dumps({"weight": (StorageType, [1.5, "a", OrderedDict(b=(1, 2))])}, 2)
    good = good.replace(b"crushlight.io.storages\nStorageType\n", b"ctorch\nFloatStorage\n")
    dice = random.Random(0)
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            run(bytes(data))
        except (pickle.UnpicklingError, NotImplementedError):
            continue
