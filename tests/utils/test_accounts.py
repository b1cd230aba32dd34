"""Accounts of memory by kind."""
import rushlight as torch
from rushlight.utils import memory_report


def trained(optimizer=torch.optim.Adam):
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.BatchNorm1d(32), torch.nn.Linear(32, 8))
    opt = optimizer(model.parameters())
    x = torch.randn(16, 64)

    def step():
        opt.zero_grad()
        model(x).square().mean().backward()
        opt.step()
    return model, opt, step


def test_kinds():
    model, opt, step = trained()
    numbers = sum(p.numel() for p in model.parameters())
    before = memory_report(model, opt)
    assert before.parameters == (6, 4 * numbers) and before.buffers == (3, 4 * 64 + 8)
    assert before.gradients == before.optimizer_state == before.activations == (0, 0) and before.peak is None
    after = memory_report(model, opt, step)
    assert after.parameters == before.parameters and after.gradients == (6, 4 * numbers)
    assert after.optimizer_state == (18, 2 * 4 * numbers + 6 * 4)       # two averages and a counter for each
    assert after.total == sum(kind.bytes for kind in after[:-1])
    assert after.peak > after.gradients.bytes + after.optimizer_state.bytes


def test_activations_grow_with_the_batch_and_are_what_the_tape_saves():
    w = torch.nn.Parameter(torch.randn(100))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = w
    model = Model()
    for rows in (10, 20):
        x = torch.randn(rows, 100)

        def step():
            (x * w).exp().sum().backward()
        found = memory_report(model, step=step)
        assert found.activations == (2, 2 * rows * 100 * 4)     # x and the result of exp; w is a parameter


def test_what_is_let_go_between_is_not_added_up():
    w = torch.nn.Parameter(torch.randn(100))
    model = torch.nn.ParameterList([w])

    def twice():
        for _ in range(2):
            (w * 2).exp().sum().backward()
    assert memory_report(model, step=twice).activations == (1, 400)


def test_shared_memory_counts_once_and_nothing_changes():
    lin = torch.nn.Linear(4, 4)
    tied = torch.nn.Sequential(lin, lin)
    assert memory_report(tied).parameters == (2, 80)
    torch.manual_seed(0)
    a, _, step = trained()
    step()
    torch.manual_seed(0)
    b, opt, step = trained()
    memory_report(b, opt, step)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_table():
    lines = str(memory_report(*trained())).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["parameters", "buffers", "gradients", "optimizer state",
                                                            "activations", "together", "peak of the step"]
    assert "static" in lines[1] and "dynamic" in lines[3] and lines[1].endswith(" KB")
