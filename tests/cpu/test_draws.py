"""Random words drawn straight into a plan's memory."""
import numpy as np
import pytest

import rushlight
from rushlight import config
from rushlight.random import (
    NORMAL_BLOCK, PAIRED_NORMALS, PERMUTATION, STREAMED, WORD_PAIRS, WORDS, BlockNormals, DoubleNormals, Generator, aligned,
)

KINDS = [WORDS, WORD_PAIRS, BlockNormals(), PAIRED_NORMALS, PERMUTATION]


@pytest.mark.parametrize("draws", KINDS, ids=lambda d: type(d).__name__)
def test_memory_gets_what_draw_gives(draws):
    one, other = (Generator().manual_seed(11) for _ in range(2))
    least = NORMAL_BLOCK if isinstance(draws, BlockNormals) else 1
    for count in (0, least, 17, 623, 624, 2000):
        tickets = [g.reserve(count, draws) for g in (one, other)]
        out = aligned(count, draws.dtype)
        tickets[0].draw_into(out.ctypes.data)
        assert (out == tickets[1].draw()).all()
        assert (tickets[0].draw() == out).all()             # a repetition
        again = aligned(count, draws.dtype)
        tickets[0].draw_into(again.ctypes.data)
        assert (again == out).all()
    assert one.state_bytes() == other.state_bytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count, used", [(STREAMED, 0), (STREAMED + 5, 7), (2 * STREAMED + 624, 623), (3 * STREAMED - 1, 16)])
def test_many_normals_are_made_while_their_words_come(count, used, threads):
    one, other, draws = Generator().manual_seed(13), Generator().manual_seed(13), BlockNormals(0.5, 2.0)
    before = rushlight.get_num_threads()
    rushlight.set_num_threads(threads)
    try:
        one.take(used), other.take(used)
        out = aligned(count, np.float32)
        one.reserve(count, draws).draw_into(out.ctypes.data)
        assert (out == other.take(count, draws)).all()
        assert one.state_bytes() == other.state_bytes()
    finally:
        rushlight.set_num_threads(before)


def test_earlier_tickets_come_first():
    one, other = (Generator().manual_seed(12) for _ in range(2))
    first, second = one.reserve(10), one.reserve(5)
    out = aligned(5)
    second.draw_into(out.ctypes.data)
    assert (np.concatenate([first.draw(), out]) == other.take(15)).all()


def test_a_run_that_failed_is_repeated_with_the_same_numbers():
    rushlight.manual_seed(5)
    wanted = rushlight.rand(5).tolist(), rushlight.rand(700).tolist(), rushlight.rand(4).tolist()
    rushlight.manual_seed(5)
    a, b = rushlight.rand(5), rushlight.rand(700)
    bad = rushlight.zeros(3)[rushlight.tensor([7])]
    with pytest.raises(IndexError):
        bad.tolist()
    assert (a.tolist(), b.tolist(), rushlight.rand(4).tolist()) == wanted


@pytest.mark.parametrize("count", [16, 17, 1000, 20011])
def test_normals_of_float64_are_those_of_numpy(count):
    def drawn():
        return Generator().manual_seed(5).reserve(count, DoubleNormals(0.5, 2.0)).draw()
    with config.backend.override("reference"):
        wanted = drawn()
    np.testing.assert_allclose(drawn(), wanted, rtol=1e-14, atol=2e-15)
