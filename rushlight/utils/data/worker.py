"""A worker process of a data loader: it fetches batches by keys and sends them to its parent."""
from __future__ import annotations

import random
import traceback
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import rushlight
from rushlight.multiprocessing.channel import Channel, Closed
from rushlight.multiprocessing.segments import Pool
from rushlight.utils.data import fetch

MASK32 = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What `get_worker_info()` says in a worker.

    id: 0 to num_workers - 1; seed: the worker's own, as Python's and rushlight's generators were
    seeded; dataset: the worker's copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


class Setup(NamedTuple):
    """What a worker is told when it starts."""
    fetching: fetch.Fetching
    id: int
    num_workers: int
    base_seed: int
    init_fn: Any


class Request(NamedTuple):
    """Fetch what `keys` name; the answer carries the same pass and number."""
    run: int
    number: int
    keys: Any


class Ended:
    """The answer of a worker whose stream has no more samples."""


class Failure:
    """An exception on its way to the parent, as a type and a text."""

    def __init__(self, error: BaseException, worker: int):
        self.type = type(error)
        trace = "".join(traceback.format_exception(error))
        self.text = f"Caught {self.type.__name__} in DataLoader worker process {worker}.\nOriginal {trace}"

    def exception(self) -> BaseException:
        """The exception to raise: of the same type if that can be made of a text."""
        text = KeyText(self.text) if self.type is KeyError else self.text
        try:
            return self.type(text)
        except Exception:
            return RuntimeError(self.text)


class KeyText(str):
    """A text that KeyError prints as it is, with its line breaks."""

    def __repr__(self):
        return str(self)


info: WorkerInfo | None = None      # of this process, if it is a worker
pool: Pool | None = None            # where it puts tensors that its parent will read


def get_worker_info() -> WorkerInfo | None:
    """What worker process this is; None in the main process."""
    return info


def main(end, setup: Setup) -> None:
    """The life of a worker: until its parent closes the channel, or is gone."""
    global pool
    channel = Channel(end)
    pool = channel.pool
    try:
        answer_all(channel, setup)
    except (Closed, KeyboardInterrupt):
        return


def answer_all(channel: Channel, setup: Setup) -> None:
    begin(setup)
    failure = initialise(setup)
    run, fetched = None, None
    while True:
        request = channel.receive()
        if request.run != run:
            run, fetched = request.run, None
        if failure is None and fetched is None:
            failure, fetched = start(setup)
        if failure is not None:
            answer = failure
        elif isinstance(fetched, Ended):
            continue
        else:
            answer = answer_to(request, fetched, setup)
        if isinstance(answer, Ended):
            fetched = answer
        reply(channel, request, answer, setup.id)
        del request, answer


def begin(setup: Setup) -> None:
    """One thread, and the worker's own seeds."""
    global info
    seed = setup.base_seed + setup.id
    rushlight.set_num_threads(1)
    random.seed(seed)
    rushlight.manual_seed(seed)
    words = (setup.id, setup.base_seed & MASK32, setup.base_seed >> 32, 0)
    np.random.seed(np.random.SeedSequence(words).generate_state(4))
    info = WorkerInfo(setup.id, setup.num_workers, seed, setup.fetching.dataset)


def initialise(setup: Setup) -> Failure | None:
    if setup.init_fn is None:
        return None
    try:
        setup.init_fn(setup.id)
    except Exception as error:
        return Failure(error, setup.id)


def start(setup: Setup):
    """Make the function that fetches in this pass: (failure, function)."""
    try:
        return None, setup.fetching.function()
    except Exception as error:
        return Failure(error, setup.id), None


def answer_to(request: Request, fetched, setup: Setup):
    try:
        return fetched(request.keys)
    except StopIteration as error:
        return Ended() if setup.fetching.streams else Failure(error, setup.id)
    except Exception as error:
        return Failure(error, setup.id)


def reply(channel: Channel, request: Request, answer, worker: int) -> None:
    try:
        channel.send((request.run, request.number, answer))
    except (Closed, KeyboardInterrupt):
        raise
    except Exception as error:      # of pickling
        failure = answer if isinstance(answer, Failure) else Failure(error, worker)
        if failure is answer:       # its type cannot be pickled
            failure.type = RuntimeError
        channel.send((request.run, request.number, failure))


def shared_buffer(nbytes: int):
    """Memory for a batch, where the parent will read it."""
    return pool.take(nbytes).buffer(nbytes)
