"""Random numbers: the stream, its reservations and its states, with values that PyTorch gives."""
import copy
import gc
import hashlib
import pickle
import threading

import numpy as np
import pytest

import rushlight as rl
from rushlight import config
from rushlight import random as streams
from rushlight.cpu import rng

FIRST_WORDS_OF_7 = [327741615, 976413892, 3349725721, 1369975286]


def generator(seed=7):
    return rl.Generator().manual_seed(seed)


def digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:16]


def floats(*texts) -> list[float]:
    return [float.fromhex(text) for text in texts]


# -- the stream ------------------------------------------------------------------------------------

def test_words_are_those_of_mt19937():
    assert generator().take(4).tolist() == FIRST_WORDS_OF_7
    source = np.random.MT19937()
    source._legacy_seeding(5)
    assert (generator(5).take(5000) == source.random_raw(5000)).all()


@pytest.mark.parametrize("cuts", [[1] * 700, [623, 1, 1, 624, 1248], [625, 5, 3000, 2], [0, 1, 0]])
def test_the_cuts_do_not_matter(cuts):
    whole, pieces = generator().take(sum(cuts)), generator()
    assert (np.concatenate([pieces.take(n) for n in cuts]) == whole).all()


def test_native_kernels_mean_the_numpy_ones():
    native, plain, words = rng.Native(), rng.Numpy(), generator().take(16 * 500)
    a, b = np.empty(words.size, np.float32), np.empty(words.size, np.float32)
    native.normals(words, 0.5, 2.0, a)
    plain.normals(words, 0.5, 2.0, b)
    np.testing.assert_array_max_ulp(a, b, 1)
    assert (native.permute(words, 4000) == plain.permute(words, 4000)).all()


def test_reference_backend_gives_the_same_words():
    with config.override(backend="reference"):
        plain = generator().take(2000)
    assert (plain == generator().take(2000)).all()


# -- reservations ----------------------------------------------------------------------------------

def test_tickets_are_drawn_in_the_order_of_reservation():
    g, expected = generator(), generator().take(30)
    first, second = g.reserve(10), g.reserve(20)
    assert (second.draw() == expected[10:]).all()
    assert (first.draw() == expected[:10]).all()
    assert first.draw() is first.draw()


def test_a_dropped_ticket_is_skipped():
    g, expected = generator(), generator().take(1010)
    g.reserve(1000)
    gc.collect()
    assert (g.reserve(10).draw() == expected[1000:]).all()


def test_a_dropped_ticket_of_normals_leaves_the_cached_one():
    g, other = generator(), generator()
    g.reserve(3, streams.PAIRED_NORMALS)
    expected = other.take(4, streams.PAIRED_NORMALS)[3:]
    assert g.take(1, streams.PAIRED_NORMALS) == expected
    assert g.state_bytes() == other.state_bytes()


def test_seeding_settles_what_is_held():
    g, expected = generator(), generator().take(10)
    held = g.reserve(10)
    g.reserve(100)
    g.manual_seed(1)
    assert (held.draw() == expected).all()
    assert (g.take(5) == generator(1).take(5)).all()


def test_many_open_reservations_stay_bounded():
    g = generator()
    for _ in range(3 * streams.LIMIT):
        g.reserve(3)
    assert len(g._open) <= streams.LIMIT
    assert (g.take(2) == generator().take(9 * streams.LIMIT + 2)[-2:]).all()


def test_threads_share_a_generator():
    g, drawn = generator(), []

    def work():
        for _ in range(200):
            drawn.append(g.reserve(7).draw())
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expected = generator().take(7 * 800).reshape(-1, 7)
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, expected))


# -- seeds and states ------------------------------------------------------------------------------

@pytest.mark.parametrize("seed, kept", [(0, 0), (-1, 2**64 - 1), (2**64 - 1, 2**64 - 1),
                                        (-2**63, 2**63)])
def test_seeds(seed, kept):
    assert generator(seed).initial_seed() == kept


@pytest.mark.parametrize("seed, error", [(2**64, ValueError), (-2**63 - 1, ValueError),
                                         (1.5, RuntimeError)])
def test_bad_seeds(seed, error):
    with pytest.raises(error):
        generator(seed)


def test_manual_seed_returns_the_default_generator():
    assert rl.manual_seed(3) is rl.default_generator
    assert rl.initial_seed() == 3
    assert rl.manual_seed(3.7).initial_seed() == 3


def test_seed_is_remembered():
    g = rl.Generator()
    assert g.seed() == g.initial_seed()
    assert g.device == rl.device("cpu")


def test_state_bytes_are_those_of_pytorch():
    g = generator()
    assert digest(g.state_bytes()) == "daf9268b18e87b02"
    g.take(1000)
    g.take(3, streams.PAIRED_NORMALS)
    assert digest(g.state_bytes()) == "b63322cb92ae9872"


def test_states_round_trip():
    g = generator()
    g.take(3, streams.PAIRED_NORMALS)
    state = g.get_state()
    assert state.dtype is rl.uint8 and state.shape == (5056,)
    expected = g.take(10, streams.PAIRED_NORMALS)
    g.set_state(state)
    assert (g.take(10, streams.PAIRED_NORMALS) == expected).all()


@pytest.mark.parametrize("copied", [rl.Generator.clone_state, copy.deepcopy,
                                    lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_go_on_alike(copied):
    g = generator()
    g.take(700)
    assert (copied(g).take(900) == g.take(900)).all()


@pytest.mark.parametrize("state, error", [
    (rl.zeros(5056, dtype=rl.uint8), RuntimeError), (rl.zeros(5055, dtype=rl.uint8), RuntimeError),
    (rl.zeros(5056), TypeError), (None, TypeError)])
def test_bad_states(state, error):
    with pytest.raises(error):
        generator().set_state(state)


def test_fork_rng_restores():
    rl.manual_seed(7)
    with rl.random.fork_rng():
        rl.rand(5)
        rl.manual_seed(1)
    assert rl.random.default_generator.take(4).tolist() == FIRST_WORDS_OF_7
    with rl.random.fork_rng(enabled=False):
        rl.manual_seed(1)
    assert rl.initial_seed() == 1


def test_generators_live_on_the_cpu():
    with pytest.raises(RuntimeError, match="cuda"):
        rl.Generator("cuda")


# -- PyTorch's values ------------------------------------------------------------------------------

WEIGHTS = rl.tensor([.1, .2, .3, .4])
PINNED = {
    "rand": (lambda g: rl.rand(4, generator=g), floats(
        "0x1.11e15ep-1", "0x1.972620p-3", "0x1.518432p-1", "0x1.5053ecp-1")),
    "rand float64": (lambda g: rl.rand(3, dtype=rl.float64, generator=g), floats(
        "0x1.1e15e7465c988p-2", "0x1.18432a35053ecp-2", "0x1.b9643fa6cd0d3p-1")),
    "rand float16": (lambda g: rl.rand(3, dtype=rl.float16, generator=g), floats(
        "0x1.120p-1", "0x1.974p-3", "0x1.518p-1")),
    "rand, transposed": (lambda g: rl.rand_like(rl.ones(3, 2).t(), generator=g).flatten(), floats(
        "0x1.11e15ep-1", "0x1.518432p-1", "0x1.dcb218p-3",
        "0x1.972620p-3", "0x1.5053ecp-1", "0x1.b3434cp-2")),
    "uniform_": (lambda g: rl.empty(3).uniform_(-2, 3, generator=g), floats(
        "0x1.5966d6p-1", "-0x1.01882cp+0", "0x1.4bca7cp+0")),
    "randn, few": (lambda g: rl.randn(3, generator=g), floats(
        "-0x1.2ca2e8p-3", "0x1.92811cp-1", "0x1.e4c5cep-1")),
    "randn, blocks": (lambda g: rl.randn(17, generator=g)[[0, 1, 8, 9, 15, 16]], floats(
        "-0x1.a3e8acp-1", "-0x1.4c5b32p-2", "-0x1.b2a426p-1",
        "-0x1.b904fap-3", "-0x1.5c19d2p+0", "-0x1.bbc050p-1")),
    "randint": (lambda g: rl.randint(0, 100, (8,), generator=g), [15, 92, 21, 86, 83, 47, 87, 79]),
    "randint, wide": (lambda g: rl.randint(-5, 2**40, (3,), generator=g),
                      [752589289487, 108678733351, 291927467744]),
    "randperm": (lambda g: rl.randperm(10, generator=g), [5, 0, 3, 4, 1, 7, 9, 6, 8, 2]),
    "bernoulli_": (lambda g: rl.empty(12).bernoulli_(.3, generator=g),
                   [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]),
    "bernoulli": (lambda g: rl.bernoulli(rl.full((12,), .3), generator=g),
                  [0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]),
    "exponential_": (lambda g: rl.empty(3).exponential_(1.5, generator=g), floats(
        "0x1.bf57dap-3", "0x1.b49c6cp-3", "0x1.521ee0p+0")),
    "geometric_": (lambda g: rl.empty(6).geometric_(.2, generator=g), [6, 6, 1, 2, 1, 1]),
    "cauchy_": (lambda g: rl.empty(3).cauchy_(generator=g), floats(
        "-0x1.a93e9cp-1", "-0x1.b8ef9cp-1", "0x1.14b8e2p+1")),
    "log_normal_": (lambda g: rl.empty(3).log_normal_(generator=g), floats(
        "0x1.036af8p+1", "0x1.a30fd4p+3", "0x1.20f198p+4")),
    "multinomial": (lambda g: rl.multinomial(WEIGHTS, 3, generator=g), [1, 3, 0]),
    "multinomial, replacement": (lambda g: rl.multinomial(WEIGHTS, 6, True, generator=g),
                                 [1, 1, 3, 3, 3, 3]),
    "poisson": (lambda g: rl.poisson(rl.tensor([0, .5, 3, 12, 100]), generator=g),
                [0, 0, 5, 13, 108]),
}
RANDOM_BY_DTYPE = {
    "uint8": [175, 196, 25], "int8": [47, 68, 25], "int16": [28847, 25796, 16921],
    "int32": [327741615, 976413892, 1202242073], "float32": [8974492, 3335306, 11059538],
    "int64": [1407639518939636932, 5163590386780219894, 8087222774582268115],
    "float64": [2516435200042024, 2465213813629881, 7765043079597394], "bool": [True, False, True],
}


@pytest.mark.parametrize("name", PINNED)
def test_values(name):
    sample, expected = PINNED[name]
    actual = sample(generator()).tolist()
    exact = name.startswith(("rand", "uniform", "bern", "geo", "multi", "poisson"))
    np.testing.assert_allclose(actual, expected, rtol=0 if exact else 2.0**-22)


@pytest.mark.parametrize("name", RANDOM_BY_DTYPE)
def test_random_by_dtype(name):
    x = rl.empty(3, dtype=getattr(rl, name)).random_(generator=generator())
    assert x.tolist() == RANDOM_BY_DTYPE[name]


# -- recording -------------------------------------------------------------------------------------

def test_reading_out_of_order_changes_nothing():
    rl.manual_seed(7)
    a, b, c = rl.rand(4), rl.randn(20), rl.rand(3)
    late = c.tolist(), b.tolist(), a.tolist()
    rl.manual_seed(7)
    early = [x().tolist() for x in (lambda: rl.rand(4), lambda: rl.randn(20), lambda: rl.rand(3))]
    assert late == tuple(reversed(early))


def test_a_value_never_read_advances_the_state():
    rl.manual_seed(7)
    rl.rand(1000)
    rl.randn(5)
    x = rl.rand(2)
    state = rl.get_rng_state().tolist()
    rl.manual_seed(7)
    rl.rand(1000).tolist(), rl.randn(5).tolist(), rl.rand(2).tolist()
    assert rl.get_rng_state().tolist() == state
    assert x.shape == (2,)


def test_a_seed_in_between():
    rl.manual_seed(7)
    before = rl.rand(4)
    rl.manual_seed(7)
    after = rl.rand(4)
    assert before.tolist() == after.tolist() == PINNED["rand"][1]


def test_factories_take_pytorchs_arguments():
    assert rl.rand((2, 3)).shape == rl.rand(2, 3).shape == rl.rand(size=(2, 3)).shape == (2, 3)
    assert rl.randn(2, requires_grad=True).requires_grad
    assert rl.randint(5, (2,)).dtype is rl.int64
    assert rl.randint(low=1, high=2, size=(3,)).tolist() == [1, 1, 1]
    assert rl.randint(5, (2,), dtype=rl.float32).dtype is rl.float32
    out = rl.empty(3)
    assert rl.rand(3, out=out) is out and out.max() > 0
    assert rl.rand_like(rl.ones(3, 2).t()).stride() == (1, 2)
    assert rl.normal(rl.zeros(3, 1), rl.ones(2)).shape == (3, 2)
    assert rl.rand(0, 3).shape == (0, 3)


BAD = [
    (lambda: rl.rand(2, dtype=rl.int64), NotImplementedError, "not implemented for 'Long'"),
    (lambda: rl.rand(-1), RuntimeError, "negative dimension -1"),
    (lambda: rl.randint(3, 3, (2,)), RuntimeError, "random_ expects 'from' to be less than 'to'"),
    (lambda: rl.randint(0, 257, (2,), dtype=rl.uint8), RuntimeError, "to - 1 is out of bounds"),
    (lambda: rl.randint(5, 2), TypeError, "argument 'size'"),
    (lambda: rl.randint(5.5, (2,)), TypeError, "argument 'high'"),
    (lambda: rl.randint(5, (2,), requires_grad=True), RuntimeError, "can require gradients"),
    (lambda: rl.randperm(-1), RuntimeError, "negative dimension"),
    (lambda: rl.randperm(3000, dtype=rl.float16), RuntimeError, "greater than 2049 for Half"),
    (lambda: rl.normal(0., -1., (3,)), RuntimeError, "normal expects std >= 0.0"),
    (lambda: rl.empty(3).bernoulli_(-.1), RuntimeError, "expects p to be in"),
    (lambda: rl.bernoulli(rl.ones(3) * 2), RuntimeError, "p_in >= 0 && p_in <= 1"),
    (lambda: rl.empty(3).uniform_(2, 1), RuntimeError, "found from=2 > to=1"),
    (lambda: rl.empty(3).exponential_(0), RuntimeError, "lambda > 0.0"),
    (lambda: rl.empty(3).geometric_(1), RuntimeError, "geometric_ expects p"),
    (lambda: rl.empty(3).cauchy_(0, -1), RuntimeError, "sigma > 0.0"),
    (lambda: rl.empty(3).log_normal_(0, -1), RuntimeError, "std > 0.0"),
    (lambda: rl.multinomial(rl.ones(3), 4), RuntimeError, "without replacement"),
    (lambda: rl.multinomial(rl.zeros(3), 1), RuntimeError, "sum of probabilities <= 0"),
    (lambda: rl.multinomial(rl.tensor([-1., 2]), 1), RuntimeError, "element < 0"),
    (lambda: rl.ones(3, requires_grad=True).uniform_(), RuntimeError, "leaf Variable"),
    (lambda: rl.ones(1).expand(3).uniform_(), RuntimeError, "single memory location"),
    (lambda: rl.rand(2, generator=5), TypeError, "generator"),
]


@pytest.mark.parametrize("call, error, phrase", BAD)
def test_bad_arguments(call, error, phrase):
    with pytest.raises(error, match=phrase):
        call()


@pytest.mark.parametrize("name, extra", [("rand_like", {"low": 0}), ("randn_like", {"low": 0}),
                                         ("randn_like", {"mean": 5}), ("randint_like", {"p": 1})])
def test_likes_refuse_what_they_do_not_know(name, extra):
    arguments = (3,) if name == "randint_like" else ()
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument '{next(iter(extra))}'"):
        getattr(rl, name)(rl.rand(2), *arguments, **extra)


def test_threads_change_no_deviate():
    before, found = rl.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            rl.set_num_threads(threads)
            rl.manual_seed(4)
            found.append(rl.randn(400_003).numpy())
    finally:
        rl.set_num_threads(before)
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
