"""rushlight.compile: replays give what the function gives, and stop when what it read has changed."""
import gc
import math
import random
import time

import pytest

import rushlight as torch
from rushlight import nn


def model(seed=0, *layers):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), *layers, nn.Linear(8, 3))


def training(optimizer=torch.optim.Adam, layers=(), **options):
    """A net, its optimiser, and a step on given data."""
    net = model(0, *layers)
    opt = optimizer(net.parameters(), **options)

    def step(x, y):
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        opt.step()
        return loss
    return net, opt, step


def batches(n, rows=4):
    torch.manual_seed(7)
    return [(torch.randn(rows, 5), torch.randn(rows, 3)) for _ in range(n)]


def same_training(make, n=9, each=lambda k, opt: None, data=None, replayed=True):
    """Losses, parameters and gradients of a compiled step against those of the step itself."""
    data = data or batches(n)
    results = []
    for wrap in (lambda f: f, torch.compile):
        net, opt, step = make()
        step = wrap(step)
        torch.manual_seed(3)
        losses = []
        for k, (x, y) in enumerate(data):
            each(k, opt)
            losses.append(step(x, y).item())
        results.append((losses, [p.tolist() for p in net.parameters()], [p.grad.tolist() for p in net.parameters()],
                        torch.get_rng_state().tolist()))
    assert results[0] == results[1]
    assert not replayed or step.replays > 0, torch.explain(step)
    return step


@pytest.mark.parametrize("optimizer, options", [
    (torch.optim.SGD, {"lr": 0.1}), (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (torch.optim.Adam, {}), (torch.optim.AdamW, {"lr": 0.01}), (torch.optim.Adadelta, {}), (torch.optim.RMSprop, {}),
    (torch.optim.Adagrad, {}), (torch.optim.NAdam, {}), (torch.optim.Adamax, {})])
def test_a_step_is_replayed_with_the_same_bits(optimizer, options):
    step = same_training(lambda: training(optimizer, **options), 10)
    assert step.replays >= 4


def test_dropout_draws_the_same_numbers():
    same_training(lambda: training(layers=(nn.Dropout(0.3),)))


def test_batch_norm_counts_and_moves_its_statistics():
    layers = nn.BatchNorm1d(8)

    def make():
        made = training(torch.optim.SGD, (nn.BatchNorm1d(8),), lr=0.1)
        return made
    assert layers.num_batches_tracked.item() == 0
    kept = []

    def check(wrap):
        net, _, step = make()
        step = wrap(step)
        for x, y in batches(8):
            step(x, y)
        norm = net[2]
        kept.append((norm.num_batches_tracked.item(), norm.running_mean.tolist(), norm.running_var.tolist()))
    check(lambda f: f)
    check(torch.compile)
    assert kept[0] == kept[1] and kept[0][0] == 8


def test_learning_rate_is_an_input():
    def halve(k, opt):
        opt.param_groups[0]["lr"] = 0.1 / (1 + k)
    step = same_training(lambda: training(torch.optim.SGD, lr=0.1, momentum=0.9), 12, halve)
    assert step.replays >= 6


def test_scheduler_outside_of_the_step():
    made = {}

    def each(k, opt):
        if id(opt) not in made:
            made[id(opt)] = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 20)
        elif k:
            made[id(opt)].step()
    step = same_training(lambda: training(torch.optim.AdamW, lr=0.05), 12, each)
    assert step.replays >= 5


def test_float_argument_is_an_input():
    w = torch.ones(3)

    def f(x, scale):
        return (x * scale + w / (1 + scale)).sum()
    g = torch.compile(f)
    for k in range(10):
        x, scale = torch.arange(3.0) + k, 0.5 + k / 7
        assert g(x, scale).item() == f(x, scale).item()
    assert g.replays >= 5


def test_comparisons_of_floats_are_guarded():
    def f(x, t):
        return x * 2 if t < 0.5 else x * 3
    g = torch.compile(f)
    for t in [0.1, 0.2, 0.3, 0.4, 0.45, 0.6, 0.7, 0.8, 0.9, 0.1, 0.95]:
        assert g(torch.ones(2), t).tolist() == f(torch.ones(2), t).tolist()


def test_batch_sizes_have_programs_of_their_own():
    data = [b for pair in zip(batches(6, 4), batches(6, 3)) for b in pair]
    step = same_training(training, data=data)
    assert len(step.programs) == 2 and step.replays >= 4


def test_mode_of_a_module_is_guarded():
    net = model(0, nn.Dropout(0.5))
    x = torch.ones(4, 5)

    @torch.compile
    def f():
        with torch.no_grad():
            return net(x)
    for training_ in (*[True] * 8, *[False] * 8, True):       # dropout is traced after a few calls
        net.train(training_)
        torch.manual_seed(1)
        got = f()
        torch.manual_seed(1)
        with torch.no_grad():
            assert torch.equal(got, net(x))
    assert f.replays >= 3


def test_globals_cells_attributes_and_containers_are_guarded():
    class Config:
        kind = "sum"
    config, table, factor = Config(), {"w": [1, 2]}, 2

    def f(x):
        y = x * factor + table["w"][1]
        return y.sum() if config.kind == "sum" else y.mean()

    g = torch.compile(f)
    x = torch.arange(4.0)

    def check():
        for _ in range(5):
            assert g(x).item() == f(x).item()
    check()
    factor = 3
    check()
    table["w"][1] = 7
    check()
    Config.kind = "mean"
    check()
    config.kind = "sum"
    check()
    assert g.replays > 5


def test_parameter_replaced_or_changed_outside():
    net, _, step = training(torch.optim.SGD, lr=0.1)
    other, _, plain = training(torch.optim.SGD, lr=0.1)
    step = torch.compile(step)
    for k, (x, y) in enumerate(batches(12)):
        if k == 6:
            for n in (net, other):
                with torch.no_grad():
                    n[0].weight.mul_(0.5)
        if k == 9:
            for n in (net, other):
                n[0].weight.data = torch.full((8, 5), 0.25)
        assert step(x, y).item() == plain(x, y).item()
    assert step.replays >= 4


def test_values_of_others_are_not_overwritten():
    net, _, step = training(torch.optim.SGD, lr=0.1)
    step = torch.compile(step)
    copies, grads, losses = [], [], []
    for x, y in batches(9):
        losses.append(step(x, y))
        copies.append(net[0].weight.detach().clone())
        grads.append(net[0].weight.grad)
    assert step.replays > 2
    net, _, plain = training(torch.optim.SGD, lr=0.1)
    for (x, y), loss, copy, grad in zip(batches(9), losses, copies, grads):
        assert plain(x, y).item() == loss.item()
        assert torch.equal(copy, net[0].weight.detach()) and torch.equal(grad, net[0].weight.grad)


def test_gradients_set_to_none_outside():
    net, opt, _ = training(torch.optim.SGD, lr=0.1)

    def backward(x, y):
        nn.functional.mse_loss(net(x), y).backward()
    g = torch.compile(backward)
    for x, y in batches(8):
        opt.zero_grad()
        g(x, y)
        got = [p.grad.clone() for p in net.parameters()]
        opt.zero_grad()
        backward(x, y)
        assert all(torch.equal(a, p.grad) for a, p in zip(got, net.parameters()))
        opt.step()
    assert g.replays > 2, torch.explain(g)


def test_gradients_accumulate():
    net, _, _ = training(torch.optim.SGD, lr=0.1)
    other = model()

    def backward(n, x, y):
        nn.functional.mse_loss(n(x), y).backward()
    g = torch.compile(backward)
    for x, y in batches(8):
        g(net, x, y)
        backward(other, x, y)
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(net.parameters(), other.parameters()))
    assert g.replays > 2, torch.explain(g)


def test_numpy_sees_what_the_replay_writes():
    net, _, step = training(torch.optim.SGD, lr=0.1)
    step = torch.compile(step)
    data = batches(8)
    for x, y in data[:6]:
        step(x, y)
    seen = net[0].weight.detach().numpy()
    before = seen.copy()
    step(*data[6])
    assert (seen == net[0].weight.detach().numpy()).all() and not (seen == before).all()


@pytest.mark.parametrize("what, effect", [
    (lambda x: print("hello"), "print"), (lambda x: time.time(), "time.time"), (lambda x: random.random(), "random"),
    (lambda x: x.sum().item() > 3, "reads a value"), (lambda x: torch.manual_seed(1), "generator")])
def test_what_cannot_be_done_again_is_not_replayed(what, effect, capsys):
    def f(x):
        y = x * 2
        what(y)
        return y + 1
    g = torch.compile(f)
    for k in range(8):
        x = torch.full((2,), float(k))
        assert g(x).tolist() == (x * 2 + 1).tolist()
    assert g.replays == 0 and effect in torch.explain(g)
    if effect == "print":
        assert capsys.readouterr().out.count("hello") == 8


def test_python_state_that_the_call_changes():
    losses, box = [], {"n": 0, "total": 0.0}

    def append(x):
        losses.append(x.sum().detach())
        return x + 1

    def count(x):
        box["n"] += 1
        return x * box["n"]

    def total(x):
        box["total"] += 0.5
        return x * box["total"]
    for f, replayed in ((append, False), (count, False), (total, True)):
        g = torch.compile(f)
        got = [g(torch.full((2,), 3.0)).tolist() for _ in range(8)]
        want = [[3.0 + 1] * 2] * 8 if f is append else [[3.0 * (k + 1)] * 2 for k in range(8)] if f is count else [
            [3.0 * 0.5 * (k + 1)] * 2 for k in range(8)]
        assert got == want and bool(g.replays) == replayed
    assert len(losses) == 8 and box == {"n": 8, "total": 4.0}


def test_state_in_an_attribute_moves_on():
    class Cell:
        def __init__(self):
            self.h, self.c = torch.zeros(3), torch.ones(3)

        def step(self, x):
            self.c = self.c * 0.9 + self.h
            self.h = torch.tanh(self.h * 0.5 + x) * self.c
            return self.h.sum()
    a, b = Cell(), Cell()
    step = torch.compile(a.step)
    for k in range(9):
        x = torch.arange(3.0) * k
        assert step(x).item() == b.step(x).item()
    assert torch.equal(a.h, b.h) and torch.equal(a.c, b.c) and step.replays > 2, torch.explain(step)


def test_nested_results_views_and_inputs_come_back():
    w = torch.arange(6.0).reshape(2, 3)

    @torch.compile
    def f(x):
        y = x + w
        return {"y": y, "t": (y.t(), 3, "name"), "x": x, "w": w, "row": w[0]}
    for k in range(6):
        x = torch.full((2, 3), float(k))
        got = f(x)
        assert torch.equal(got["t"][0], (x + w).t()) and got["t"][1:] == (3, "name")
        assert got["x"] is x and got["w"] is w and got["row"].data_ptr() == w.data_ptr()
        assert got["t"][0].data_ptr() == got["y"].data_ptr()
    assert f.replays > 1, torch.explain(f)


def test_slices_of_one_tensor_at_other_offsets():
    data = torch.arange(40.0).reshape(10, 4)

    @torch.compile
    def f(x):
        return (x * 2).sum(0)
    for k in range(8):
        assert torch.equal(f(data[k:k + 2]), (data[k:k + 2] * 2).sum(0))
    assert f.replays > 3, torch.explain(f)


def test_arguments_that_share_memory_are_not_taken_for_others():
    @torch.compile
    def f(a, b):
        a.add_(1)
        return a + b
    for k in range(6):
        a, b = torch.zeros(2), torch.ones(2)
        assert f(a, b).tolist() == [2.0, 2.0] and a.tolist() == [1.0, 1.0]
    assert f.replays > 1, torch.explain(f)
    x = torch.zeros(2)
    assert f(x, x).tolist() == [2.0, 2.0] and x.tolist() == [1.0, 1.0]


def test_outputs_on_the_tape_are_recorded_each_time():
    net = model()
    compiled = torch.compile(net)
    for x, y in batches(5):
        loss = nn.functional.mse_loss(compiled(x), y)
        loss.backward()
        got = net[0].weight.grad.clone()
        net.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        assert torch.equal(got, net[0].weight.grad)
        net.zero_grad()
    assert "on the tape" in torch.explain(compiled)


def test_module_without_gradients_is_replayed():
    net = model().eval()
    compiled = torch.compile(net)
    with torch.no_grad():
        for x, _ in batches(6):
            assert torch.equal(compiled(x), net(x))
    assert compiled._compiled_call.replays > 2, torch.explain(compiled)
    assert list(compiled.state_dict()) == ["_orig_mod." + k for k in net.state_dict()]
    assert compiled[0] is net[0]


def test_loss_that_comes_back_is_spent():
    _, _, step = training(torch.optim.SGD, lr=0.1)
    step = torch.compile(step)
    for x, y in batches(6):
        loss = step(x, y)
    assert loss.requires_grad and loss.grad_fn.name() == "MseLossBackward0"
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_index_error_in_a_replay_changes_nothing():
    table = nn.Embedding(4, 2)
    opt = torch.optim.SGD(table.parameters(), lr=0.1)

    @torch.compile
    def step(i):
        opt.zero_grad()
        loss = table(i).sum()
        loss.backward()
        opt.step()
        return loss
    for _ in range(5):
        step(torch.tensor([0, 3]))
    assert step.replays
    before = table.weight.detach().clone()
    with pytest.raises(IndexError, match="index out of range"):
        step(torch.tensor([0, 9])).item()
    assert torch.equal(before, table.weight.detach())
    step(torch.tensor([1, 2]))
    assert not torch.equal(before, table.weight.detach())


def test_threads_and_default_dtype_are_looked_at():
    @torch.compile
    def f():
        return torch.zeros(2) + 1.5
    for _ in range(5):
        assert f().dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert f().dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert f().dtype is torch.float32


def test_decorator_arguments_methods_and_disable():
    @torch.compile(mode="max-autotune", fullgraph=True)
    def f(x):
        return x + 1

    @torch.compile(disable=True)
    def g(x):
        return x + 1

    class Thing:
        def __init__(self, k):
            self.k = torch.full((2,), float(k))

        @torch.compile
        def plus(self, x):
            return x + self.k
    a, b = Thing(1), Thing(2)
    for _ in range(6):
        x = torch.ones(2)
        assert f(x).tolist() == g(x).tolist() == a.plus(x).tolist() == [2.0, 2.0]
        assert b.plus(x).tolist() == [3.0, 3.0]
    assert f.replays and not g.replays and a.plus.replays and b.plus.replays
    with pytest.raises(TypeError, match="compile"):
        torch.compile(3)
    with pytest.raises(TypeError, match="explain"):
        torch.explain(len)


def test_explain_says_what_was_made():
    _, _, step = training()
    step = torch.compile(step)
    for x, y in batches(8):
        step(x, y)
    text = torch.explain(step)
    assert "8 calls" in text and "1 plans" in text and "numbers that may vary" in text


def test_numbers_that_are_read_come_back():
    class Meter:
        total = 0.0
    results = []
    for wrap in (lambda f: f, torch.compile):
        _, _, step = training(lr=0.05)
        meter = Meter()
        meter.total = 0.0

        def train(x, y, step=step, meter=meter):
            loss = step(x, y).item()
            meter.total += loss * x.shape[0]
            return loss, loss / 2
        train = wrap(train)
        results.append([train(x, y) for x, y in batches(9)] + [meter.total])
    assert results[0] == results[1] and train.replays > 2, torch.explain(train)


def test_a_read_that_decides_is_not_replayed():
    def f(x):
        y = x * 2
        return y if y.sum().item() < 10 else -y
    g = torch.compile(f)
    for k in (1, 2, 3, 9, 2, 30, 4, 5):
        x = torch.full((2,), float(k))
        assert g(x).tolist() == f(x).tolist()
    assert not g.replays and "goes by it" in torch.explain(g)


def test_a_read_that_is_computed_with_is_not_replayed():
    g = torch.compile(lambda x: x / x.sum().item())
    for k in range(1, 7):
        x = torch.full((2,), float(k))
        assert g(x).tolist() == [0.5, 0.5]
    assert not g.replays


def test_a_check_for_nan_is_made_each_time():
    def f(x):
        loss = (x * 2).sum().item()
        if math.isnan(loss):
            raise FloatingPointError("nan")
        return loss
    g = torch.compile(f)
    for k in range(6):
        assert g(torch.full((2,), float(k))) == 4.0 * k
    with pytest.raises(FloatingPointError):
        g(torch.full((2,), float("nan")))


def test_names_of_torch_compiler():
    @torch.compiler.disable
    def outside(x):
        return x + 1
    g = torch.compile(lambda x: outside(x) * 2)
    assert [g(torch.full((2,), float(k))).tolist() for k in range(6)] == [[2.0 * (k + 1)] * 2 for k in range(6)]
    assert not g.replays and "outside" in torch.explain(g)
    h = torch.compile(lambda x: x * 2)
    for _ in range(5):
        h(torch.ones(2))
    assert h.replays
    torch.compiler.reset()
    assert not h.programs and not torch.compiler.is_compiling()
    with pytest.raises(AttributeError, match="no attribute"):
        torch.compiler.something


def test_a_collection_in_between_is_not_the_functions():
    def told(phase, info):
        time.perf_counter()
    gc.callbacks.append(told)
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        same_training(training)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(told)


def test_autocast_is_guarded_and_replayed():
    """Inside and round a compiled function; another state of autocast is another program."""
    def make():
        net = model()
        opt = torch.optim.SGD(net.parameters(), 0.1)

        def step(x, y):
            opt.zero_grad()
            with torch.autocast("cpu"):
                loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            opt.step()
            return loss
        return net, opt, step
    same_training(make, 10)
    net = model()
    forward = torch.compile(lambda x: net(x))
    x, y = torch.ones(2, 5), {}
    with torch.no_grad():
        for k in range(24):
            kind = [None, torch.bfloat16, torch.float16][k % 3]
            with torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
                out = forward(x)
            assert out.dtype is (kind or torch.float32)
            assert y.setdefault(k % 3, out.tolist()) == out.tolist()
            if k == 11:
                y.clear()
                net[0].weight.add_(1)
    assert forward.replays > 6, torch.explain(forward)


def test_an_argument_that_is_the_moving_state_is_not_taken_for_another():
    class Cell:
        def __init__(self):
            self.h = torch.zeros(3)

        def step(self, x):
            self.h = self.h * 0.5 + x
            x.add_(1)
            return self.h.sum() + x.sum()
    a, b = Cell(), Cell()
    step = torch.compile(a.step)
    for k in range(8):
        assert step(torch.full((3,), float(k))).item() == b.step(torch.full((3,), float(k))).item()
    assert step.replays
    assert step(a.h).item() == b.step(b.h).item()
    assert torch.equal(a.h, b.h)
