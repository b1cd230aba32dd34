"""repr of tensors: PyTorch's text, pinned."""
import warnings

import ml_dtypes
import numpy as np
import pytest

import rushlight as rl
from rushlight import printing
from rushlight.printing import show_tensor

FLOAT = np.float32


def f32(*values):
    return np.array(values, FLOAT)


PINNED = [
    (f32(3)[0], "tensor(3.)"),
    (f32(1, 2.5), "tensor([1.0000, 2.5000])"),
    (np.arange(6).reshape(2, 3), "tensor([[0, 1, 2],\n        [3, 4, 5]])"),
    (np.array([True, False]), "tensor([ True, False])"),
    (np.empty((0, 3), FLOAT), "tensor([], size=(0, 3))"),
    (np.empty(0, FLOAT), "tensor([])"),
    (np.empty(0, np.int64), "tensor([], dtype=torch.int64)"),
    (f32(1e-8, 1), "tensor([1.0000e-08, 1.0000e+00])"),
    (f32(1e9, 2), "tensor([1.0000e+09, 2.0000e+00])"),
    (f32(np.nan, 1, -np.inf), "tensor([nan, 1., -inf])"),
    (f32(-0.0, np.nan), "tensor([-0., nan])"),
    (np.arange(2000, dtype=FLOAT),
     "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.9970e+03, 1.9980e+03,\n"
     "        1.9990e+03])"),
    (np.zeros((2, 2, 2), FLOAT),
     "tensor([[[0., 0.],\n         [0., 0.]],\n\n        [[0., 0.],\n         [0., 0.]]])"),
    (np.array([1, 2], np.int32), "tensor([1, 2], dtype=torch.int32)"),
    (np.array([1.5], np.float16), "tensor([1.5000], dtype=torch.float16)"),
    (np.array([1.5], ml_dtypes.bfloat16), "tensor([1.5000], dtype=torch.bfloat16)"),
    (np.ones(30, FLOAT),
     "tensor([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.,\n"
     "        1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.])"),
    (np.array([1 + 2j, 3 - .5j], np.complex64), "tensor([1.+2.0000j, 3.-0.5000j])"),
    (np.arange(1600).reshape(40, 40),
     "tensor([[   0,    1,    2,  ...,   37,   38,   39],\n"
     "        [  40,   41,   42,  ...,   77,   78,   79],\n"
     "        [  80,   81,   82,  ...,  117,  118,  119],\n"
     "        ...,\n"
     "        [1480, 1481, 1482,  ..., 1517, 1518, 1519],\n"
     "        [1520, 1521, 1522,  ..., 1557, 1558, 1559],\n"
     "        [1560, 1561, 1562,  ..., 1597, 1598, 1599]])"),
]


@pytest.fixture(autouse=True)
def default_options():
    yield
    printing.set_printoptions(profile="default")


@pytest.mark.parametrize("array, text", PINNED, ids=[text[:30] for _, text in PINNED])
def test_text(array, text):
    assert show_tensor(np.asarray(array)) == text


def test_strides_do_not_matter():
    x = np.arange(12.0, dtype=FLOAT).reshape(3, 4)
    assert show_tensor(x.T) == show_tensor(x.T.copy())


def test_suffixes_move_to_the_next_line_when_they_do_not_fit():
    assert show_tensor(np.ones(14, FLOAT), None, ["requires_grad=True"]) == \
        "tensor([" + "1., " * 13 + "1.],\n       requires_grad=True)"
    assert show_tensor(f32(1), None, ["requires_grad=True"]) == "tensor([1.], requires_grad=True)"


@pytest.mark.parametrize("options, text", [
    (dict(precision=2), "tensor([1.23e+00, 1.00e-03])"),
    (dict(sci_mode=True), "tensor([1.2346e+00, 1.0000e-03])"),
    (dict(profile="short"), "tensor([1.23e+00, 1.00e-03])"),
    (dict(linewidth=20), "tensor([1.2346e+00,\n        1.0000e-03])"),
])
def test_options(options, text):
    with printing.printoptions(**options):
        assert show_tensor(f32(1.23456, 0.001)) == text


def test_profiles_and_sci_mode_reset():
    rl.set_printoptions(precision=7, sci_mode=True)
    rl.set_printoptions(threshold=5)
    assert printing.get_printoptions() == dict(precision=7, threshold=5, edgeitems=3, linewidth=80,
                                               sci_mode=None)
    rl.set_printoptions(profile="full")
    assert printing.get_printoptions()["threshold"] == float("inf")


def test_a_shortened_tensor_is_formatted_by_what_it_shows():
    x = np.ones(2000, FLOAT)
    x[1000] = 1e30
    assert show_tensor(x) == "tensor([1., 1., 1.,  ..., 1., 1., 1.])"


def test_tensors_say_where_they_are_on_the_tape():
    x = rl.ones(2, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"
    assert repr((x * 2).detach()) == "tensor([2., 2.])"
    assert repr(rl.nn.Parameter(rl.zeros(2))) == \
        "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    assert f"{rl.tensor(2.5)}" == "2.5" and f"{rl.tensor(2.5):.1f}" == "2.5"


def test_the_default_dtype_goes_without_saying():
    before = rl.get_default_dtype()
    try:
        rl.set_default_dtype(rl.float64)
        assert repr(rl.ones(1)) == "tensor([1.])"
        assert repr(rl.ones(1, dtype=rl.float32)) == "tensor([1.], dtype=torch.float32)"
    finally:
        rl.set_default_dtype(before)


def test_subclasses_give_their_name():
    class Weight(rl.Tensor):
        """A subclass of no further meaning."""

    x = rl.ones(2)
    x.__class__ = Weight
    assert repr(x) == "Weight([1., 1.])"


def test_bits_that_are_no_numbers_print_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(rl.tensor([0x7FA00000, 0x3F800000], dtype=rl.int32).view(rl.float32)) == \
            "tensor([nan, 1.])"
        assert repr(rl.tensor([1e300, 1e-300], dtype=rl.float64)) == \
            "tensor([1.0000e+300, 1.0000e-300], dtype=torch.float64)"
