"""Tensors in other processes."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rushlight
import rushlight.multiprocessing as mp

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="descriptors are handed on by POSIX sockets")
ROOT = Path(__file__).resolve().parents[2]
FORK = mp.get_context("fork")


def test_it_is_pythons_multiprocessing():
    import multiprocessing
    assert mp.Queue is multiprocessing.Queue or mp.Queue.__name__ == "Queue"
    assert mp.cpu_count() == multiprocessing.cpu_count()
    assert rushlight.multiprocessing.spawn is mp.spawn


def add_one(tensor):
    tensor.add_(1)


def in_child(function, *args):
    process = FORK.Process(target=function, args=args)
    process.start()
    process.join(30)
    assert process.exitcode == 0


def test_a_shared_tensor_is_written_by_a_child():
    shared, own = rushlight.zeros(3), rushlight.zeros(3)
    assert not shared.is_shared() and shared.share_memory_() is shared and shared.is_shared()
    view = shared[1:]
    in_child(add_one, shared)
    in_child(add_one, own)
    assert shared.tolist() == [1, 1, 1] and view.is_shared() and own.tolist() == [0, 0, 0]
    result = shared * 2                  # recorded: it keeps the value of this moment
    in_child(add_one, view)
    assert result.tolist() == [2, 2, 2] and shared.tolist() == [1, 2, 2]


def train(model, seed):
    rushlight.manual_seed(seed)
    optimizer = rushlight.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        x = rushlight.randn(8, 4)
        ((model(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
        optimizer.step()


def test_hogwild_training():
    rushlight.manual_seed(0)
    model = rushlight.nn.Linear(4, 1).share_memory()
    processes = [FORK.Process(target=train, args=(model, seed)) for seed in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert (model.weight - 1).abs().max() < 0.3


def test_a_queue_shares_what_it_carries():
    there, back = FORK.Queue(), FORK.Queue()
    process = FORK.Process(target=echo, args=(there, back))
    process.start()
    sent = rushlight.zeros(2, 3)
    there.put(sent.t())
    got = back.get(timeout=240)
    there.put(None)
    process.join(240)
    assert got.shape == (3, 2) and got.stride() == (1, 3) and got.sum() == 6
    assert sent.is_shared() and sent.tolist() == [[1] * 3] * 2


def echo(there, back):
    x = there.get()
    x.add_(1)
    back.put(x)
    there.get()             # the receiver asks this process for the descriptor


def test_kinds_and_dtypes_stay():
    ours, theirs = FORK.Pipe()
    weight = rushlight.nn.Parameter(rushlight.ones(2))
    weight.note = "mine"
    ours.send((weight, rushlight.ones(0, 2), rushlight.tensor(True)))
    parameter, empty, flag = theirs.recv()
    assert type(parameter) is rushlight.nn.Parameter and parameter.requires_grad and parameter.note == "mine"
    assert empty.shape == (0, 2) and flag.item() is True


def test_a_result_on_the_tape_is_refused():
    ours, _ = FORK.Pipe()
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        ours.send(rushlight.ones(2, requires_grad=True) * 2)


def test_memory_of_numpy_is_not_moved():
    x = rushlight.zeros(3)
    array = x.numpy()
    with pytest.raises(RuntimeError, match="belongs to a NumPy array"):
        x.share_memory_()
    del array
    assert x.share_memory_().is_shared()


# -- groups of processes ------------------------------------------------------------------------------
def write_rank(rank, out):
    out[rank] = rank + 1


def raises(rank):
    if rank == 1:
        raise ValueError("of process one")
    time.sleep(600)


def leaves(rank):
    sys.exit(3)


def is_killed(rank):
    os.kill(os.getpid(), signal.SIGKILL)


def test_spawn_in_new_interpreters():
    out = rushlight.zeros(2).share_memory_()
    assert mp.spawn(write_rank, args=(out,), nprocs=2) is None
    assert out.tolist() == [1, 2]


def test_a_process_that_raises_ends_the_others():
    start = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException, match="-- Process 1 terminated with the following error:") as e:
        mp.start_processes(raises, nprocs=2, start_method="fork")
    assert "ValueError: of process one" in str(e.value) and e.value.error_index == 1
    assert time.monotonic() - start < 300


@pytest.mark.parametrize("function, message, code, name", [
    (leaves, "process 0 terminated with exit code 3", 3, None),
    (is_killed, "process 0 terminated with signal SIGKILL", -9, "SIGKILL")])
def test_a_process_that_leaves(function, message, code, name):
    with pytest.raises(mp.ProcessExitedException, match=message) as e:
        mp.start_processes(function, nprocs=1, start_method="fork")
    assert (e.value.exit_code, e.value.signal_name) == (code, name)


def test_a_group_that_is_not_joined():
    out = rushlight.zeros(2).share_memory_()
    group = mp.start_processes(write_rank, args=(out,), nprocs=2, join=False, start_method="fork")
    assert len(group.pids()) == 2
    while not group.join(timeout=10):
        continue
    assert out.tolist() == [1, 2]


def test_sharing_strategies():
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    with pytest.raises(ValueError, match="found 'smoke'"):
        mp.set_sharing_strategy("smoke")


def test_under_the_name_torch(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torch.multiprocessing as mp\nimport torch\n"
        "def main(rank, out):\n    out[rank] = 7\n"
        "if __name__ == '__main__':\n"
        "    out = torch.zeros(2).share_memory_()\n"
        "    mp.spawn(main, args=(out,), nprocs=2)\n    print(out)\n")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", program], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=240)
    assert done.stdout == "tensor([7., 7.])\n", done.stderr


def in_new_process(program):
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_imported_while_a_queue_pickles():
    """A process that is forked while another thread imports can never import the same."""
    assert in_new_process("""
import pickle, sys
from multiprocessing.reduction import ForkingPickler
import rushlight, rushlight.multiprocessing
for x in rushlight.arange(3.), rushlight.nn.Parameter(rushlight.ones(2)):
    x.detach().add(1).tolist()
    before = set(sys.modules)
    pickle.loads(ForkingPickler.dumps(x))
    print(*set(sys.modules) - before)
""").split() == []


def test_a_fork_waits_for_what_another_thread_is_computing():
    """Its first plan imports the compiler; a child that is forked meanwhile computes as well."""
    assert in_new_process("""
import multiprocessing, threading, time
import rushlight
def child(n):
    assert rushlight.arange(float(n)).exp().log().sum().round().item() == n * (n - 1) / 2
def work():
    for n in range(2, 40):
        rushlight.rand(n, n).mul(n).sum(0).tolist()
thread = threading.Thread(target=work)
thread.start()
context, children = multiprocessing.get_context("fork"), []
while thread.is_alive() and len(children) < 40:
    children.append(context.Process(target=child, args=(len(children) % 5 + 2,)))
    children[-1].start()
    time.sleep(0.003)
for process in children:
    process.join(30)
    assert process.exitcode == 0, process.exitcode
print(len(children))
""").strip() > "0"
