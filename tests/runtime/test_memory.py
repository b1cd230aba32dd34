"""The allocator reuses, aligns, counts and never hands out memory that somebody still sees."""
import gc
import os
import platform
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

from rushlight.runtime import memory


@pytest.fixture(autouse=True)
def clean():
    memory.empty_cache()
    memory.reset_peak()


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 1024, 1025, 4097, 10**6, 5 * 10**6])
def test_buffers_are_aligned_and_have_slack(nbytes):
    buffer = memory.allocate(nbytes)
    assert buffer.address % 64 == 0 and buffer.nbytes == nbytes
    assert not buffer.shared and buffer.has_slack
    block = buffer.base.__array_interface__["data"][0]
    assert block <= buffer.address - 64
    assert buffer.address + buffer.capacity + 64 <= block + buffer.base.nbytes
    assert nbytes <= buffer.capacity <= max(64, nbytes * 1.125 + 64)


def test_freed_memory_is_reused_at_once():
    buffer = memory.allocate(100_000)
    address = buffer.address
    del buffer
    assert memory.allocate(99_900).address == address


def test_live_buffers_do_not_overlap():
    buffers = [memory.allocate(n) for n in (1, 64, 100, 5000, 64, 1) * 20]
    spans = sorted((b.address, b.address + b.nbytes) for b in buffers)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_counters_follow():
    before = memory.statistics()
    buffer = memory.allocate(1 << 20)
    during = memory.statistics()
    assert during.live - before.live == 1 << 20 and during.peak >= during.live
    del buffer
    after = memory.statistics()
    assert after.live == before.live and after.cached - before.cached == 1 << 20
    memory.empty_cache()
    assert memory.statistics().cached == 0


def test_the_cache_is_bounded():
    allocator = memory.Allocator(limit=10_000_000)
    blocks = [allocator.allocate(1 << 20) for _ in range(30)]
    for block in blocks:
        allocator.release(block.address, block.capacity, block.base)
        assert allocator.cached <= 10_000_000
        block.capacity = 0
    assert allocator.live == 0 and allocator.cached > 0


def test_an_array_keeps_its_buffer_alive():
    buffer = memory.allocate(4096)
    array = buffer.as_numpy(np.float32, (4, 8), (64, 4), 128)
    address = buffer.address
    assert array.__array_interface__["data"][0] == address + 128 and array.strides == (64, 4)
    array[...] = 3
    del buffer
    tail = array[1:]
    del array
    assert memory.allocate(4096).address != address
    assert (tail == 3).all()
    del tail
    assert memory.allocate(4096).address == address


def test_array_views_of_every_kind():
    import ml_dtypes
    buffer = memory.allocate(256)
    whole = buffer.as_numpy(np.uint8, (256,))
    whole[:] = np.arange(256)
    assert (buffer.as_numpy(np.uint8, (256,), (-1,), 255) == whole[::-1]).all()
    assert (buffer.as_numpy(np.int16, (3, 5), (0, 2)) == whole.view(np.int16)[:5]).all()
    assert buffer.as_numpy(ml_dtypes.bfloat16, (2, 2)).dtype == ml_dtypes.bfloat16
    assert buffer.as_numpy(np.float32, ()).shape == ()
    assert memory.allocate(0).as_numpy(np.float32, (0, 3)).shape == (0, 3)
    with pytest.raises((ValueError, TypeError)):
        buffer.as_numpy(np.float32, (100,))


def test_wrapped_memory_is_shared_and_kept():
    array = np.arange(10.0)
    buffer = memory.Buffer.wrap(array)
    assert buffer.shared and buffer.nbytes == 80
    buffer.as_numpy(np.float64, (10,))[3] = -1
    assert array[3] == -1
    view = buffer.as_numpy(np.float64, (10,))
    del array, buffer
    gc.collect()
    assert view[3] == -1 and view[9] == 9
    kept = object()
    assert memory.Buffer.wrap(4096 + 64, 64, kept).base is kept
    assert memory.Buffer.wrap(np.arange(6)[2:], 32).nbytes == 32


def test_slack_of_wrapped_memory_is_within_its_pages():
    wrap = memory.Buffer.wrap
    assert wrap(8192 + 64, 100).has_slack
    assert not wrap(8192, 100).has_slack
    assert not wrap(8192 + 64, 4096 - 64).has_slack


def test_too_much_memory_is_a_runtime_error():
    with pytest.raises(RuntimeError, match=r"DefaultCPUAllocator: can't allocate memory: "
                                           r"you tried to allocate \d+ bytes"):
        memory.allocate(1 << 62)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        memory.allocate(1 << 80)
    assert memory.allocate(64).nbytes == 64


def test_threads_keep_the_count():
    before = memory.statistics().live

    def work(seed):
        sizes = np.random.default_rng(seed).integers(1, 5000, 1000).tolist()
        held = []
        for n in sizes:
            buffer = memory.allocate(n)
            buffer.as_numpy(np.uint8, (n,))[:] = seed
            held.append(buffer)
            if len(held) > 20:
                first = held.pop(0)
                assert (first.as_numpy(np.uint8, (first.nbytes,)) == seed).all()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.statistics().live == before


def test_no_cycles():
    gc.collect()
    gc.disable()
    try:
        before = memory.statistics().live
        for _ in range(10):
            memory.allocate(1 << 16).as_numpy(np.uint8, (5,))
        assert memory.statistics().live == before
    finally:
        gc.enable()


def test_limits_of_a_container(monkeypatch, tmp_path):
    from rushlight.runtime import limits
    monkeypatch.setattr(limits, "CGROUP", str(tmp_path))
    assert limits._quota.__wrapped__() == 0
    machine = limits.available_memory.__wrapped__()
    for cpu, cores in (("max 100000", 0), ("150000 100000", 2), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(cpu + "\n")
        assert limits._quota.__wrapped__() == cores
    for memory_max, found in (("max", machine), ("1000000", 1000000)):
        (tmp_path / "memory.max").write_text(memory_max + "\n")
        assert limits.available_memory.__wrapped__() == found


MIB = 1 << 20


def used(allocator, *sizes):
    """Allocate some sizes together and give all back; the sizes of blocks kept then."""
    blocks = [allocator.allocate(n * MIB) for n in sizes]
    spans = sorted((b.address, b.address + b.nbytes) for b in blocks)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for block in blocks:
        allocator.release(block.address, block.capacity, block.base)
        block.capacity = 0
    kept = sorted(c // MIB for c, found in allocator.free.items() for _ in found)
    assert allocator.cached == sum(kept) * MIB and allocator.live == 0
    return kept


def test_a_large_block_takes_the_place_of_a_smaller_one_and_serves_in_it():
    allocator = memory.Allocator(limit=1 << 30)
    assert used(allocator, 20) == [20]
    assert used(allocator, 32) == [32]              # not 20 and 32
    fresh = allocator.fresh_blocks
    assert used(allocator, 20) == [32] and used(allocator, 26) == [32] and allocator.fresh_blocks == fresh
    assert used(allocator, 8) == [8, 32]            # much smaller: a block of its own
    assert used(allocator, 32, 20, 8) == [8, 20, 32]
    assert used(allocator, 2, 3) == [2, 3, 8, 20, 32]


def test_programs_that_take_turns_stop_asking_the_system():
    allocator = memory.Allocator(limit=1 << 30)
    for turn in range(8):
        if turn == 4:
            fresh = allocator.fresh_blocks
        used(allocator, 20, 20, 10)
        used(allocator, 32, 8)
        used(allocator, 26, 16, 12, 5)
    assert allocator.fresh_blocks == fresh


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ),
                    reason="what a C library keeps is its own business")
def test_small_arrays_come_from_memory_that_was_freed():
    code = ("import numpy as np, resource, rushlight\n"
            "def faults():\n"
            "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "    arrays = [np.ones(12_000) for _ in range(60)]\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
            "print([faults() for _ in range(4)])\n")
    first, *_, last = eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert first > 1000 and last < 100
