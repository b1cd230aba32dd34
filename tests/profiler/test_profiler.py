"""torch.profiler: what it counts, when it records, and that it changes nothing."""
import gzip
import json

import pytest

import rushlight as torch
from rushlight.compiler import plan as planning
from rushlight.profiler import ProfilerActivity, profile, record_function, schedule, tensorboard_trace_handler
from rushlight.runtime import events

F = torch.nn.functional


def train(steps=2, name=record_function):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(32, 8), torch.zeros(32, dtype=torch.int64)
    for _ in range(steps):
        optimizer.zero_grad()
        with name("forward"):
            loss = F.cross_entropy(model(x), y)
        with name("backward"):
            loss.backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def rows(prof, **how):
    return {e.key: e for e in prof.key_averages(**how)}


def test_ranges_plans_kernels_and_operations_are_counted():
    with profile(record_shapes=True, profile_memory=True, with_flops=True, with_stack=True) as prof:
        train()
    found = rows(prof)
    assert found["forward"].count == found["backward"].count == found["Optimizer.step#Adam.step"].count == 2
    assert found["matmul"].kind == "operation" and found["matmul"].count == 10      # 2 forward, 3 backward
    kernels = [e for e in found.values() if e.key.startswith("matmul ")]
    assert sum(e.count for e in kernels) == 10 and all(e.kind == "kernel" and e.cpu_time_total > 0 for e in kernels)
    assert sum(e.flops for e in kernels) == 2 * 2 * 32 * (2 * 8 * 16 + 3 * 16 * 2)
    shapes = [e.input_shapes for e in prof.key_averages(group_by_input_shape=True) if e.key == "matmul"]
    assert ((32, 8), (8, 16)) in shapes
    assert any("test_profiler.py" in line for e in prof.events() for line in e.stack)


def test_times_nest():
    with profile() as prof:
        with record_function("outer"), record_function("inner"):
            torch.randn(100, 100).exp().sum()
    found = {e.name: e for e in prof.events() if e.kind == "range"}
    assert found["inner"].cpu_parent is found["outer"]
    for e in prof.events():
        assert e.self_cpu_time_total >= 0
        if e.kind == "kernel":
            assert e.cpu_parent.name == "run a plan" and e.cpu_parent.cpu_parent is found["inner"]
    total = prof.events().self_cpu_time_total
    assert total == pytest.approx(sum(e.cpu_time_total for e in prof.events() if e.cpu_parent is None))
    assert prof.profiler.total_average().self_cpu_time_total == pytest.approx(total)


def test_work_belongs_to_the_range_that_recorded_it():
    with profile(profile_memory=True) as prof:
        x = torch.ones(1000) + 1
        with record_function("mine"):
            y = torch.ones(5000) * 3
        z = x + 1
    mine = rows(prof)["mine"]
    assert 20000 <= mine.cpu_memory_usage < 24000
    assert y[0] == 3 and z[0] == 3


def test_profile_changes_no_bit_and_leaves_nothing_behind():
    plain = train()
    with profile():
        watched = train()
    assert all(torch.equal(a, b) for a, b in zip(plain, watched))
    assert planning.watcher is None and events.session is None
    with pytest.raises(ZeroDivisionError), profile(), record_function("ends early"):
        raise ZeroDivisionError
    assert planning.watcher is None and events.session is None
    with record_function("outside of any profile"):
        assert all(torch.equal(a, b) for a, b in zip(plain, train()))


def test_one_at_a_time():
    with profile(), pytest.raises(RuntimeError, match="already enabled"), profile():
        raise AssertionError
    with pytest.raises(RuntimeError, match="didn't finish"):
        with torch.autograd.profiler.profile() as prof:
            prof.key_averages()


def test_kernels_of_compiled_functions_are_seen():
    @torch.compile
    def f(x):
        with record_function("inside"):
            return (x * 2 + 1).sum()
    x = torch.randn(64)
    before = [float(f(x)) for _ in range(5)]
    with profile() as prof:
        found = float(f(x))
    assert found == before[0]
    seen = rows(prof)
    assert seen["mul"].count == seen["add"].count == seen["sum"].count == 1
    assert any(e.kind == "kernel" and e.cpu_parent.name == "replay a plan" for e in prof.events())


def test_table(capsys):
    with profile(record_shapes=True) as prof:
        train()
    averages = prof.key_averages()
    text = averages.table(sort_by="cpu_time_total", row_limit=3, header="Mine", time_unit="ms")
    lines = text.splitlines()
    assert lines[1] == "Mine" and lines[3].split()[0] == "Name" and len(lines) == 5 + 3 + 2
    assert lines[-1].startswith("Self CPU time total: ") and lines[-1].endswith("ms")
    times = [e.cpu_time_total for e in sorted(averages, key=lambda e: -e.cpu_time_total)]
    assert f"{times[0] / 1e3:.3f}ms" in lines[5] and f"{times[2] / 1e3:.3f}ms" in lines[7]
    assert "[[32, 8], [8, 16]]" in prof.key_averages(group_by_input_shape=True).table()
    assert averages[0].device_time_total == averages[0].self_cuda_memory_usage == 0
    with pytest.raises(AttributeError):
        averages.table(sort_by="beauty")


def test_chrome_trace(tmp_path):
    with profile(record_shapes=True) as prof:
        train()
    prof.export_chrome_trace(str(tmp_path / "a.json"))
    prof.export_chrome_trace(str(tmp_path / "a.json.gz"))
    told = json.loads((tmp_path / "a.json").read_text())
    with gzip.open(tmp_path / "a.json.gz", "rt") as file:
        assert json.load(file) == told
    timed = [e for e in prof.events() if e.kind != "operation"]
    assert len(told["traceEvents"]) == len(timed)
    assert {"forward", "backward", "run a plan"} <= {e["name"] for e in told["traceEvents"]}
    assert all(e["ph"] == "X" and e["dur"] >= 0 for e in told["traceEvents"])


def test_schedule_records_the_chosen_steps(tmp_path):
    seen = []

    def ready(prof):
        seen.append([e.key for e in prof.key_averages() if e.key.startswith("ProfilerStep")])
        tensorboard_trace_handler(str(tmp_path), "me", use_gzip=True)(prof)
    with profile(activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=2, repeat=2),
                 on_trace_ready=ready) as prof:
        for _ in range(12):
            torch.ones(3).sum().item()
            prof.step()
    assert seen == [["ProfilerStep#2", "ProfilerStep#3"], ["ProfilerStep#6", "ProfilerStep#7"]]
    assert len(list(tmp_path.glob("me.*.pt.trace.json.gz"))) == 2 and prof.step_num == 12


def test_decorator_and_switched_off():
    @record_function("named")
    def f(x):
        return x + 1
    with torch.autograd.profiler.profile() as prof:
        f(f(torch.ones(2)))
    assert rows(prof)["named"].count == 2
    with torch.autograd.profiler.profile(enabled=False) as off:
        f(torch.ones(2))
    assert off.function_events is None


def test_failure_in_a_profile_is_the_programs():
    with profile() as prof:
        bad = torch.ones(3)[torch.tensor([7])]
        with pytest.raises(IndexError):
            bad.tolist()
        del bad
        assert (torch.ones(3) + 1).tolist() == [2, 2, 2]
    assert len(prof.events())


def test_sizes_that_are_told_are_right():
    w = torch.randn(8, 16)
    told = []
    for n in (3, 5, 7, 9, 11, 13, 40):
        x = torch.randn(n, 8)
        with profile(record_shapes=True, with_flops=True) as prof:
            (x @ w).relu().sum(1).tolist()
        kernel = next(e for e in prof.events() if e.name.startswith("matmul ") and e.kind == "kernel")
        assert (kernel.input_shapes, kernel.flops) in (([n, 8, 16], 2 * n * 8 * 16), ((), 0))
        told.append(kernel.flops)
    assert told[:2] == [768, 1280]
    assert any(e.input_shapes == ((40, 8), (8, 16)) for e in prof.events() if e.kind == "operation")
