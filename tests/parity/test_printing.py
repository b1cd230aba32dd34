"""repr of tensors, character for character, on random tensors of all kinds."""
import ml_dtypes
import numpy as np
import pytest

from rushlight import printing

torch = pytest.importorskip("torch")

SIZES = [0, 1, 2, 3, 5, 7, 8, 12, 40]
ODDS = [.03, .2, .2, .15, .12, .1, .1, .07, .03]
DTYPES = ["float32"] * 4 + ["float64", "float16", "bfloat16", "int64", "int32", "uint8", "int8",
                            "bool", "complex64"]
OPTIONS = [{}] * 4 + [
    dict(precision=2), dict(threshold=20), dict(threshold=5, edgeitems=1), dict(linewidth=40),
    dict(profile="short"), dict(profile="full"), dict(sci_mode=True), dict(sci_mode=False),
    dict(edgeitems=0, threshold=10), dict(profile="short", precision=7, sci_mode=True)]
SHAPES_OF_VALUES = {
    "normal": lambda rng, x: x,
    "scaled": lambda rng, x: x * 10.0 ** rng.integers(-7, 10),
    "integral": lambda rng, x: np.round(x * 10.0 ** rng.integers(0, 9)),
    "spread": lambda rng, x: x * 10.0 ** rng.integers(-5, 5, x.shape),
    "nan": lambda rng, x: np.where(rng.random(x.shape) < .3, np.nan, x),
    "infinite": lambda rng, x: np.where(rng.random(x.shape) < .3, np.inf * np.sign(x), np.round(x)),
    "zeros": lambda rng, x: np.where(rng.random(x.shape) < .5, 0, x * 10.0 ** rng.integers(-5, 5)),
    "nothing": lambda rng, x: np.where(rng.random(x.shape) < .6, np.nan, 0 * x),
}


@pytest.fixture(autouse=True)
def default_options():
    yield
    torch.set_printoptions(profile="default")
    printing.set_printoptions(profile="default")


def make_tensor(rng):
    shape = tuple(rng.choice(SIZES, rng.integers(0, 5), p=ODDS))
    if len(shape) == 1 and rng.random() < .3:
        shape = (rng.choice([900, 1000, 1001, 2500]),)
    kind = SHAPES_OF_VALUES[rng.choice(list(SHAPES_OF_VALUES))]
    x = torch.from_numpy(np.asarray(kind(rng, np.asarray(rng.standard_normal(shape)))))
    dtype = getattr(torch, rng.choice(DTYPES))
    x = torch.complex(x, x * 3 + 1).to(dtype) if dtype.is_complex else x.to(dtype)
    return x.transpose(0, 1) if x.dim() > 1 and rng.random() < .2 else x


def as_array(x):
    x = x.detach()
    return x.float().numpy().astype(ml_dtypes.bfloat16) if x.dtype is torch.bfloat16 else x.numpy()


def taped(rng, x):
    """The tensor, perhaps on the tape, and what its text then ends with."""
    if not x.dtype.is_floating_point or rng.random() < .7:
        return x, []
    x.requires_grad_()
    if rng.random() < .5:
        return x, ["requires_grad=True"]
    return x.clone(), ["grad_fn=<CloneBackward0>"]


@pytest.mark.parametrize("seed", range(8))
def test_random_tensors(seed):
    rng = np.random.default_rng(seed)
    for _ in range(120):
        options = OPTIONS[rng.integers(len(OPTIONS))]
        for target in (torch, printing):
            target.set_printoptions(profile="default")
            target.set_printoptions(**options)
        x, suffixes = taped(rng, make_tensor(rng))
        assert printing.show_tensor(as_array(x), None, suffixes) == repr(x), options
