"""Random numbers: the only primitive with state. Every sampler is a composition over it.

Numbers are reserved from a generator when the node is recorded and drawn when the plan runs, in
recording order (random.py), so that the stream is that of eager execution. Mostly they are plain
words, which pointwise primitives turn into samples; what is no map of single words (Box and
Muller's blocks, a permutation) is drawn as such.
"""
from __future__ import annotations

from .. import dtypes
from ..trace import record
from ..trace.record import pending
from .table import Primitive


def _draw(*, n, dtype, ticket):
    return ticket.draw()


def _samples(rng):
    from ..random import PERMUTATION, WORDS, BlockNormals, Generator
    generator = Generator().manual_seed(int(rng.integers(1 << 31)))
    kinds = [(0, WORDS), (1, WORDS), (700, WORDS), (700, BlockNormals()), (700, PERMUTATION)]
    return [((), dict(n=n, dtype=dtypes.from_numpy(draws.dtype),
                      ticket=generator.reserve(n, draws))) for n, draws in kinds]


def _batch(prim, size, xs, batched, *, ticket, n, dtype):
    """Numbers of its own for each entry, in the place of the stream where one entry's stood."""
    from ..ops.promote import source
    wide = ticket.generator.widen(ticket, size)
    return source(random_words, dict(n=wide.count, dtype=dtype), extra=wide).view(size, n)


random_words = Primitive("random_words", "random", _draw, lambda shapes, *, n, dtype: (n,),
                         lambda ds, *, n, dtype: dtype, (), lambda ts, y, **_: None, _batch,
                         samples=_samples)


def words(generator, n: int):
    """A uint32 tensor [n] of the generator's next n words."""
    from ..random import WORDS
    return drawn(generator, n, WORDS)


def drawn(generator, n: int, draws):
    """A tensor [n] of the generator's next n numbers of a kind."""
    from ..ops.promote import source
    params = dict(n=n, dtype=dtypes.from_numpy(draws.dtype))
    with record.lock:           # another thread's capture is over then
        capture = pending.capture
        extra = generator.reserve(n, draws) if capture is None else capture.reserve(generator, n, draws)
    return source(random_words, params, extra=extra)
