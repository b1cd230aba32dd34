"""A table of commands runs in order, on any number of threads, in any process."""
import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from rushlight import config
from rushlight.compiler.kernel import Code
from rushlight.cpu import jit
from rushlight.runtime import run as runner
from rushlight.runtime import threads, turns

from .conftest import RAISE_FLAG


def expected(size: int, times: int) -> np.ndarray:
    x, i = np.zeros(size, np.int64), np.arange(size)
    for _ in range(times):
        x = x * 3 + i
    return x


def check_many(table, size=1000, times=10, grain=7, rounds=20):
    for _ in range(rounds):
        t = table(size)
        for _ in range(times):
            t.add(size, grain)
        assert t.run() == times
        assert (t.data == expected(size, times)).all()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 9])
def test_any_number_of_threads_gives_the_same(table, number):
    with config.override(threads=number):
        check_many(table)


@pytest.mark.parametrize("units, grain", [
    (1, 1), (2, 1), (7, 7), (8, 7), (100, 1), (100, 99), (100, 100), (100, 10**12), (5, 0), (5, -3)])
def test_every_unit_runs_once(table, units, grain):
    with config.override(threads=2):
        t = table(200).add(units, grain)
        assert t.run() == 1
        assert (t.data[:units] == np.arange(units)).all() and not t.data[units:].any()


def test_nothing_to_do(table):
    assert table(1).run() == 0
    t = table(1).add(0, 1).add(-5, 1).add(0, 0)
    assert t.run() == 3 and t.data[0] == 0


def test_the_flag_stops_the_walk(table):
    flag = np.zeros(1, np.int64)
    raises = np.array([flag.ctypes.data], np.int64)
    t = table(50).add(50, 5).add(1, 1, RAISE_FLAG, raises).add(50, 5)
    assert t.run(flag) == 2 and flag[0] == 1
    assert (t.data == np.arange(50)).all()
    assert t.run(flag) == 0


def test_a_flag_raised_by_a_worker_is_seen(table):
    flag = np.zeros(1, np.int64)
    raises = np.array([flag.ctypes.data], np.int64)
    with config.override(threads=4):
        for _ in range(50):
            flag[0] = 0
            t = table(50).add(40, 1, RAISE_FLAG, raises).add(50, 5)
            assert t.run(flag) == 1 and 1 <= flag[0] <= 40 and not t.data.any()


def test_two_python_threads_run_at_once(table):
    errors = []

    def work():
        try:
            check_many(table, rounds=100)
        except BaseException as error:
            errors.append(error)

    with config.override(threads=2):
        both = [threading.Thread(target=work) for _ in range(3)]
        for one in both:
            one.start()
        for one in both:
            one.join()
    assert not errors


def test_threads_change_while_plans_run(table):
    stop = threading.Event()

    def change():
        for number in (1, 2, 4, 3) * 5:
            threads.set_num_threads(number)
            time.sleep(0.002)
        stop.set()

    before = config.threads.value
    changer = threading.Thread(target=change)
    changer.start()
    while not stop.is_set():
        check_many(table, rounds=1)
    changer.join()
    config.threads.set(before)


def test_workers_that_sleep_are_woken(table):
    with config.override(threads=2):
        check_many(table, rounds=1)
        for _ in range(5):
            time.sleep(0.01)
            check_many(table, rounds=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_after_a_fork_has_its_own_workers(table):
    with config.override(threads=2):
        check_many(table, rounds=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)     # fork with threads around
            child = os.fork()
        if not child:
            try:
                check_many(table, rounds=2)
                jit.address(Code("in_child", "define void @in_child() { ret void }"))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        check_many(table, rounds=2)


def test_number_of_threads():
    before = config.threads.value
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    for wrong, error in ((0, RuntimeError), (-1, RuntimeError), ("2", TypeError), (2.0, TypeError)):
        with pytest.raises(error):
            threads.set_num_threads(wrong)
    config.threads.set(0)
    assert threads.get_num_threads() == threads.available_cores()
    config.threads.set(before)


def test_no_more_threads_is_no_error(table, monkeypatch):
    def none_left(*_):
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threads, "start_new_thread", none_left)
    with config.override(threads=4):
        check_many(table, rounds=2)


EXIT = """
import sys, threading
sys.path[:0] = sys.argv[1].split(";")
from tests.runtime.conftest import Table
from rushlight.runtime.run import run
t = Table(1000)
for _ in range(50):
    t.add(1000, 5)
t.run()
ENDING
"""
ENDINGS = ["", "sys.exit(0)", "import os; os._exit(0)",
           "threading.Thread(target=lambda: [t.run() for _ in iter(int, 1)], daemon=True).start()"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_process_ends(ending):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    script = EXIT.replace("ENDING", ending)
    for number in ("2", "4"):
        done = subprocess.run([sys.executable, "-c", script, root], timeout=120, capture_output=True,
                              env={**os.environ, "RUSHLIGHT_THREADS": number})
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("triple, has", [
    ("aarch64-linux-gnu", ""), ("riscv64-linux-gnu", "+a,+m,+d")])
def test_the_pool_compiles_for_other_machines(triple, has):
    import llvmlite.binding as llvm
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        machine = llvm.Target.from_triple(triple).create_target_machine(features=has)
    except RuntimeError:
        pytest.skip("this LLVM has no such target")
    for ir in (threads.WORKER.ir, runner.WALK.ir, turns.TURNS):
        text = threads.for_machine(ir, triple.partition("-")[0])
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = triple
        module.verify()
        assert "x86" not in str(module) and machine.emit_assembly(module)
