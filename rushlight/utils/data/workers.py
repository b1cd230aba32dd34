"""The parent's side of a data loader's worker processes."""
from __future__ import annotations

import multiprocessing
import os
import signal
import time
from itertools import cycle
from multiprocessing.connection import wait

from rushlight.multiprocessing.channel import Channel, Closed, pair
from rushlight.trace.flush import boundary
from rushlight.utils.data import worker
from rushlight.utils.data.dataloader import LoaderIterator

LOOK = 0.5          # seconds after which a silent worker is looked after
GRACE = 2.0         # seconds that a worker has to leave before it is stopped


class Worker:
    """A worker process, as its parent sees it."""

    def __init__(self, context, setup: worker.Setup):
        ours, theirs = pair()
        self.id, self.channel = setup.id, Channel(ours)
        self.process = context.Process(target=worker.main, args=(theirs, setup), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.begin_pass()

    def begin_pass(self) -> None:
        self.ended = False      # its stream has no more samples in this pass
        self.tasks = 0          # requests without an answer that was used

    def death(self) -> RuntimeError:
        """What to raise about a process that is gone."""
        self.process.join(LOOK)
        code = self.process.exitcode
        how = f"killed by signal: {signal.strsignal(-code)}" if code and code < 0 \
            else f"exit code {code}; rerunning with num_workers=0 may show the error"
        return RuntimeError(f"DataLoader worker (pid(s) {self.process.pid}) exited unexpectedly: "
                            f"worker {self.id}, {how}")

    def stop(self, deadline: float) -> None:
        """Let the process end by itself, then make it end."""
        for action in (None, self.process.terminate, self.process.kill):
            if action is not None:
                action()
            self.process.join(max(deadline - time.monotonic(), 0) if action is None else GRACE)
            if self.process.exitcode is not None:
                break


class WorkerIterator(LoaderIterator):
    """Passes over a loader's dataset, its batches made by worker processes.

    Each request has a number; request k goes to the next worker in turn, whose answers come in
    order. At most `prefetch_factor` requests for each worker are open.
    """

    def start(self):
        boundary()      # so that forked workers do not inherit pending work
        loader = self.loader
        context = loader.multiprocessing_context or multiprocessing
        self.workers: list[Worker] = []
        self.run, self.closed, self.failure = 0, False, None
        self.process = os.getpid()
        try:
            for number in range(loader.num_workers):
                setup = worker.Setup(loader._fetching, number, loader.num_workers, self.seed,
                                     loader.worker_init_fn)
                self.workers.append(Worker(context, setup))
            self.fill()
        except BaseException:
            self.shutdown()
            raise

    def begin_pass(self) -> None:
        """The next pass with the same workers."""
        if self.failure is not None:
            raise self.failure
        self.run += 1
        self.yielded = 0
        self.keys = iter(self.loader._index_sampler)
        for one in self.workers:
            one.begin_pass()
        self.fill()

    def fill(self) -> None:
        self.sent = self.expected = 0       # numbers of the next request and of the next batch
        self.owner: dict[int, Worker] = {}  # of requests whose answer was not used yet
        self.answers: dict = {}
        self.turns = cycle(self.workers)
        for _ in range(self.loader.prefetch_factor * self.loader.num_workers):
            self.request()

    def next_batch(self):
        if self.failure is not None:
            raise self.failure
        while True:
            number = self.awaited()
            if number is None:
                if not self.loader.persistent_workers:
                    self.shutdown()
                raise StopIteration
            if number in self.answers:
                answer, owner = self.answers.pop(number), self.owner.pop(number)
                owner.tasks -= 1
                if not isinstance(answer, worker.Ended):
                    return self.result(answer)
                self.retire(owner)
            else:
                self.receive()

    def awaited(self) -> int | None:
        """The number of the batch to give next; None at the end of the pass."""
        if not self.loader.in_order and self.answers:
            return next(iter(self.answers))
        while self.expected < self.sent and self.expected not in self.owner:
            self.expected += 1
        return self.expected if self.expected < self.sent else None

    def result(self, answer):
        self.request()
        if isinstance(answer, worker.Failure):
            raise answer.exception()
        return answer

    def retire(self, owner: Worker) -> None:
        """A stream has ended: what else was asked of this worker will not be answered."""
        owner.ended = True
        for number in [n for n, one in self.owner.items() if one is owner]:
            del self.owner[number]
            self.answers.pop(number, None)
        self.request()

    def request(self) -> None:
        """Send the next keys to the next worker, if there are more of both."""
        chosen = self.next_worker()
        if chosen is None:
            return
        try:
            keys = next(self.keys)
        except StopIteration:
            return
        try:
            chosen.channel.send(worker.Request(self.run, self.sent, keys))
        except Closed:
            self.give_up(chosen.death())
        self.owner[self.sent] = chosen
        chosen.tasks += 1
        self.sent += 1

    def next_worker(self) -> Worker | None:
        active = [one for one in self.workers if not one.ended]
        share = self.loader.prefetch_factor * len(self.workers) // max(len(active), 1)
        for _ in self.workers:
            one = next(self.turns)
            if not one.ended and (self.loader.in_order or one.tasks < share):
                return one
        return None

    # -- waiting -----------------------------------------------------------------------------------
    def receive(self) -> None:
        """Take at least one answer, from whichever worker has one."""
        limit = self.loader.timeout
        deadline = time.monotonic() + limit if limit else float("inf")
        while True:
            ready = self.ready(min(LOOK, max(deadline - time.monotonic(), 0)))
            if ready:
                return self.take(ready)
            for one in self.workers:
                if one.process.exitcode is not None and one.tasks:
                    self.give_up(one.death())
            if time.monotonic() >= deadline:
                raise RuntimeError(f"DataLoader timed out after {limit} seconds")

    def ready(self, seconds: float) -> list[Worker]:
        by_channel = {one.channel: one for one in self.workers if one.tasks}
        already = [one for one in self.workers if one.channel.inbox]
        return already or [by_channel[c] for c in wait(list(by_channel), seconds)]

    def take(self, ready: list[Worker]) -> None:
        for one in ready:
            try:
                run, number, answer = one.channel.receive()
            except Closed:
                if one.tasks:
                    self.give_up(one.death())
                continue
            if run == self.run and number in self.owner:
                self.answers[number] = answer

    def give_up(self, error: Exception) -> None:
        """Raise this now and whenever another batch is wanted."""
        self.failure = error
        self.shutdown()
        raise error

    def shutdown(self) -> None:
        if self.closed:
            return
        self.closed = True
        for one in self.workers:
            one.channel.close()
        if os.getpid() != self.process:     # a copy that a fork has made: the workers are the parent's
            return
        deadline = time.monotonic() + GRACE
        for one in self.workers:
            one.stop(deadline)

    def __del__(self):
        if hasattr(self, "workers"):
            self.shutdown()

    def surplus_hint(self) -> str:
        return ("For multiprocessing data-loading, this could be caused by not properly configuring "
                "the IterableDataset replica at each worker: see `get_worker_info`.")
