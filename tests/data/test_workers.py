"""Data loaders with worker processes."""
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import rushlight
from rushlight.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from tests.data import kills

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked here")
ROOT = Path(__file__).resolve().parents[2]


class Squares(Dataset):
    def __init__(self, size=20, shape=()):
        self.size, self.shape = size, shape

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        return rushlight.full(self.shape, float(i * i)), i


class Raising(Squares):
    def __init__(self, error, at=5):
        super().__init__()
        self.error, self.at = error, at

    def __getitem__(self, i):
        if i == self.at:
            raise self.error
        return i


class Where(Squares):
    def __getitem__(self, i):
        info = get_worker_info()
        return info.id, info.num_workers, info.seed, os.getpid(), rushlight.get_num_threads()


class Draws(Squares):
    def __getitem__(self, i):
        return random.random(), np.random.rand(), rushlight.rand(())


class Shard(IterableDataset):
    def __init__(self, size, split=True):
        self.size, self.split = size, split

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.size, info.num_workers) if self.split else range(self.size))


class Dies(Squares):
    def __getitem__(self, i):
        if i == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return i


class Sleeps(Squares):
    def __getitem__(self, i):
        time.sleep(600 if i == 3 else 0)
        return i


def flat(loader):
    return [batch.tolist() for batch in loader]


def labels(loader):
    return [y.tolist() for _, y in loader]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), (200, 100)])
def test_batches_are_those_of_one_process(workers, shape):
    def passes(workers):
        rushlight.manual_seed(3)
        loader = DataLoader(Squares(shape=shape), batch_size=3, shuffle=True, num_workers=workers)
        return [[(x.tolist(), y.tolist()) for x, y in loader] for _ in range(2)]
    assert passes(workers) == passes(0)


def test_batches_lie_in_shared_memory_that_is_used_again():
    loader = DataLoader(Squares(size=200, shape=(100, 100)), batch_size=4, num_workers=1)
    it = iter(loader)
    [one] = it.workers
    used = set()
    for x, _ in it:
        assert x.sum().item() > -1
        used |= set(one.channel.mapped)
    assert 1 <= len(used) <= 6          # for 50 batches


def test_what_is_kept_is_not_overwritten():
    batches = list(DataLoader(Squares(size=40, shape=(100, 100)), batch_size=2, num_workers=2))
    for k, (x, y) in enumerate(batches):
        assert y.tolist() == [2 * k, 2 * k + 1]
        assert x[:, 0, 0].tolist() == x[:, 99, 99].tolist() == [(2 * k) ** 2, (2 * k + 1) ** 2]


def test_a_batch_can_be_changed_in_place_and_trained_on():
    layer = rushlight.nn.Linear(100, 1)
    for x, _ in DataLoader(Squares(shape=(400, 100)), batch_size=4, num_workers=1):
        x.mul_(2).add_(1)
        layer(x).mean().backward()
    assert layer.weight.grad.shape == (1, 100) and layer.weight.grad[0, 0] > 1


Point = namedtuple("Point", "x y")


def structured(samples):
    view = rushlight.arange(60000.).view(3, 20000)
    return {"point": Point(view[1], view), "array": np.arange(50000), "text": ["a"], "none": None,
            "parameter": rushlight.nn.Parameter(rushlight.ones(20000)), "dtype": rushlight.int8,
            "half": rushlight.ones(40000, dtype=rushlight.bfloat16), "turned": view.t()}


def test_any_structure_comes_over():
    [batch] = DataLoader(Squares(), batch_size=20, num_workers=1, collate_fn=structured)
    assert type(batch["point"]) is Point and batch["point"].x.tolist() == list(range(20000, 40000))
    assert batch["array"].tolist() == list(range(50000)) and batch["none"] is None
    assert type(batch["parameter"]) is rushlight.nn.Parameter and batch["parameter"].requires_grad
    assert batch["dtype"] is rushlight.int8 and batch["half"].sum() == 40000
    assert batch["turned"].stride() == (1, 20000)
    batch["point"].y[0] = 0
    assert batch["turned"][0, 0] == 0       # still views of one storage


def test_samples_of_a_large_tensor_do_not_take_it_along():
    rows = rushlight.arange(300000.).view(300, 1000)
    loader = DataLoader(TensorDataset(rows), batch_size=None, num_workers=1)
    for k, (row,) in enumerate(loader):
        assert row.untyped_storage().nbytes() <= 8000 and row[0] == 1000 * k


def test_get_worker_info_and_one_thread():
    rows = list(DataLoader(Where(), batch_size=None, num_workers=2))
    assert [r[0] for r in rows] == [0, 1] * 10 and {r[1] for r in rows} == {2}
    assert rows[1][2] == rows[0][2] + 1 and {r[4] for r in rows} == {1}
    assert len({r[3] for r in rows}) == 2 and get_worker_info() is None


def test_workers_draw_different_numbers_that_follow_the_seed():
    def draws():
        generator = rushlight.Generator().manual_seed(7)
        return [[float(v) for v in row] for row in DataLoader(
            Draws(size=6), batch_size=None, num_workers=2, generator=generator)]
    first = draws()
    assert first == draws() and len({v for row in first for v in row}) == 18


def test_worker_init_fn():
    def init(number):
        get_worker_info().dataset.size += 100 * number
    class Size(Squares):
        def __getitem__(self, i):
            return self.size
    assert flat(DataLoader(Size(4), num_workers=2, worker_init_fn=init)) == [[4], [104], [4], [104]]

    def fails(number):
        raise ValueError("no")
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
        list(DataLoader(Size(4), num_workers=1, worker_init_fn=fails))


def test_streams():
    assert flat(DataLoader(Shard(7), batch_size=2, num_workers=2)) == [[0, 2], [1, 3], [4, 6], [5]]
    assert flat(DataLoader(Shard(3, split=False), num_workers=2)) == [[0], [0], [1], [1], [2], [2]]
    assert flat(DataLoader(Shard(7), batch_size=2, num_workers=2, drop_last=True)) == [
        [0, 2], [1, 3], [4, 6]]
    assert list(DataLoader(Shard(5), batch_size=None, num_workers=3)) == [0, 1, 2, 3, 4]


def test_persistent_workers_stay():
    loader = DataLoader(Where(), batch_size=None, num_workers=2, persistent_workers=True)
    first, second = ({r[3] for r in loader} for _ in range(2))
    assert first == second and len(first) == 2
    stream = DataLoader(Shard(6), batch_size=2, num_workers=2, persistent_workers=True)
    assert flat(stream) == flat(stream) == [[0, 2], [1, 3], [4], [5]]


def test_a_pass_that_was_left_early_does_not_leak_into_the_next():
    loader = DataLoader(Squares(), batch_size=2, num_workers=2, persistent_workers=True)
    for x, y in loader:
        break
    assert labels(loader) == [[i, i + 1] for i in range(0, 20, 2)]


def test_out_of_order():
    others_came = multiprocessing.get_context("fork").Event()

    class Slow(Squares):
        def __getitem__(self, i):
            if i == 0:
                others_came.wait(30)
            return i
    seen = []
    for batch in DataLoader(Slow(8), num_workers=2, in_order=False):
        seen.append(batch.item())
        others_came.set()
    assert sorted(seen) == list(range(8)) and seen[0] != 0


@pytest.mark.parametrize("error, type_", [
    (ValueError("bad sample"), ValueError), (KeyError("bad sample"), KeyError),
    (UnicodeDecodeError("utf8", b"x", 0, 1, "bad sample"), RuntimeError)])
def test_an_error_in_a_worker_is_raised_with_its_traceback(error, type_):
    loader = DataLoader(Raising(error), num_workers=2)
    with pytest.raises(type_) as caught:
        list(loader)
    text = str(caught.value)
    assert f"Caught {type(error).__name__} in DataLoader worker process 1." in text
    assert "bad sample" in text and "in __getitem__" in text and "\n" in text


def test_after_an_error_the_next_batches_still_come():
    it = iter(DataLoader(Raising(ValueError("x"), at=1), num_workers=2))
    assert next(it).item() == 0
    with pytest.raises(ValueError):
        next(it)
    assert next(it).item() == 2


def test_a_local_exception_type_becomes_runtime_error():
    class Local(Exception):
        def __reduce__(self):
            raise TypeError("cannot")
    Local.__qualname__ = "nowhere.Local"
    with pytest.raises(RuntimeError, match="Caught Local in DataLoader worker process 0"):
        list(DataLoader(Raising(Local("x")), num_workers=1))


def test_what_cannot_be_pickled_is_an_error_not_a_hang():
    with pytest.raises(Exception, match="in DataLoader worker process 0"):
        list(DataLoader(Squares(), num_workers=1, collate_fn=lambda samples: lambda: 0))


def test_a_result_on_the_tape_is_refused():
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        list(DataLoader(Squares(), num_workers=1,
                        collate_fn=lambda samples: rushlight.ones(2, requires_grad=True) * 2))


def seconds_until_a_killed_worker_is_named():
    it = iter(DataLoader(Dies(), num_workers=2, prefetch_factor=1))
    pids = [one.process.pid for one in it.workers]
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) "
                       f"{pids[1]}" r"\) exited unexpectedly: worker 1, killed by signal: Killed"):
        list(it)
    taken = time.monotonic() - start
    assert all(is_gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(it)
    return taken


def test_a_killed_worker_is_named_at_once():
    """In one of several attempts, for the machine may be busy."""
    assert any(seconds_until_a_killed_worker_is_named() < 2 for _ in range(10))


def test_workers_killed_at_random_moments_leave_nothing():
    assert min(kills.run(6, seed=3, seconds=600)) < 2


def test_a_loop_that_is_left_keeps_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for _ in DataLoader(Squares(size=40, shape=(100, 100)), batch_size=2, num_workers=1, prefetch_factor=8):
            time.sleep(0.1)
            break
    assert len(os.listdir("/proc/self/fd")) <= before


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def has_ended(pid):
    """True also for an orphan that nobody has asked how it ended, as the first process of a container may never do."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_timeout():
    loader = DataLoader(Sleeps(), num_workers=1, timeout=0.3)
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        list(loader)


def test_a_dropped_iterator_stops_its_workers():
    it = iter(DataLoader(Squares(), num_workers=2))
    next(it)
    pids = [one.process.pid for one in it.workers]
    del it
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_copy_of_an_iterator_leaves_the_workers_alone():
    code = ("import gc, os, rushlight\n"
            "from rushlight.utils.data import DataLoader\n"
            "batches = iter(DataLoader(range(40), 4, num_workers=1))\n"
            "next(batches)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    del batches\n"
            "    gc.collect()\n"
            "    os._exit(0)\n"
            "os.waitpid(child, 0)\n"
            "print(sum(len(b) for b in batches))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("36\n", "")


def test_large_keys_and_large_results_do_not_wait_for_each_other():
    keys = [list(range(60000)) for _ in range(12)]
    loader = DataLoader(range(60000), batch_sampler=keys, num_workers=1, prefetch_factor=12,
                        collate_fn=lambda samples: b"x" * 400000)
    assert [len(batch) for batch in loader] == [400000] * 12


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_started_without_fork(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(f"""
        import rushlight
        from rushlight.utils.data import DataLoader, TensorDataset

        if __name__ == "__main__":
            data = TensorDataset(rushlight.arange(80000.).view(8, 10000))
            loader = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context={method!r})
            print([x[:, 0].tolist() for x, in loader])
    """))
    done = subprocess.run([sys.executable, program], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, timeout=240)
    assert done.stdout == "[[0.0, 10000.0, 20000.0], [30000.0, 40000.0, 50000.0], [60000.0, 70000.0]]\n", \
        done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_program_is_stopped(number, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent("""
        import signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from rushlight.utils.data import DataLoader

        it = iter(DataLoader(range(100000), num_workers=2))
        next(it)
        print(*[one.process.pid for one in it.workers], flush=True)
        for x in it:
            time.sleep(0.05)
    """))
    running = subprocess.Popen([sys.executable, program], env={**os.environ, "PYTHONPATH": str(ROOT)},
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               start_new_session=True)
    with running.stdout:
        pids = [int(word) for word in running.stdout.readline().split()]
    (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
    running.wait(120)
    deadline = time.monotonic() + 60
    while not all(map(has_ended, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and all(map(has_ended, pids))


@pytest.mark.parametrize("options, error, message", [
    (dict(num_workers=-1), ValueError, "num_workers option should be non-negative"),
    (dict(num_workers=1, timeout=-1), ValueError, "timeout option should be non-negative"),
    (dict(num_workers=1, multiprocessing_context="thread"), ValueError, "valid start method in"),
    (dict(num_workers=1, multiprocessing_context=3), TypeError, "valid context object or a string"),
    (dict(num_workers=0, multiprocessing_context="fork"), ValueError, "multi-process loading"),
])
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(Squares(), **options)


def test_more_workers_than_cores_warns():
    with pytest.warns(UserWarning, match="This DataLoader will create 500 worker processes in total"):
        DataLoader(Squares(), num_workers=500)


def test_flushed_before_the_fork():
    x = rushlight.ones(3) + 1
    list(DataLoader(Squares(2), num_workers=1))
    assert x.storage.node.buffer is not None
