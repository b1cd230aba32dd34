"""Loops of another length each time: their traces are cut into pieces that come again."""
import pytest

import rushlight as torch
from rushlight.compiler import recipe
from rushlight.trace import periods


@pytest.fixture
def nothing_grows():
    before = dict(periods.growing), dict(periods.begun)
    periods.growing.clear()
    periods.begun.clear()
    yield
    for lines, known in zip((periods.growing, periods.begun), before):
        lines.clear()
        lines.update(known)


@pytest.fixture
def passed(monkeypatch):
    """How many applications went through the passes, one entry for each time."""
    made, original = [], recipe.build

    def counted(nodes, *rest):
        made.append(len(nodes))
        return original(nodes, *rest)
    monkeypatch.setattr(recipe, "build", counted)
    return made


def unrolled(cell, head, x, length):
    h = torch.zeros(3, 8)
    outputs = []
    for t in range(length):
        h = cell(x[t], h)
        outputs.append(h)
    loss = head(torch.stack(outputs)).square().mean()
    cell.zero_grad()
    head.zero_grad()
    loss.backward()
    return loss.item(), [p.grad.clone() for p in (*cell.parameters(), *head.parameters())]


def model(make):
    torch.manual_seed(0)
    return make(5, 8), torch.nn.Linear(8, 2), torch.randn(60, 3, 5)


@pytest.mark.parametrize("make", [torch.nn.GRUCell, torch.nn.RNNCell])
def test_loops_of_new_lengths_are_cut_and_their_bits_stay(make, nothing_grows, passed):
    parts = model(make)
    got = [unrolled(*parts, length) for length in range(9, 60, 5)]
    assert periods.growing
    passed.clear()
    got += [unrolled(*parts, length) for length in (57, 58, 53, 47)]
    assert max(passed, default=0) <= 120        # a whole graph has 700 to 1200 applications
    periods.growing.clear()
    lengths = [*range(9, 60, 5), 57, 58, 53, 47]
    for length, (loss, grads) in zip(lengths, got):
        periods.begun.clear()
        expected, wanted = unrolled(*parts, length)
        assert not periods.growing
        assert loss == expected and all(torch.equal(a, b) for a, b in zip(grads, wanted, strict=True))


def test_items_of_a_list_that_gather_gradients(nothing_grows, passed):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    lengths = torch.randint(2, 40, (30, 6)).tolist()
    for turn, some in enumerate(lengths):
        if turn == 20:
            passed.clear()
        optimizer.zero_grad()
        for n in some[: 3 + turn % 4]:
            (net(torch.ones(n, 4)).square().mean() / 6).backward()
        optimizer.step()
    assert len(passed) <= 6


def test_a_program_that_repeats_itself_is_not_cut(nothing_grows):
    torch.manual_seed(0)
    net = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(6)])
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for turn in range(30):
        x = torch.ones(3 + turn % 7, 4)
        for layer in net:
            x = layer(x).relu()
        optimizer.zero_grad()
        x.sum().backward()
        optimizer.step()
    assert not periods.growing


def test_trees_are_cut_until_their_pieces_come_again(nothing_grows, passed):
    torch.manual_seed(0)
    word, join, head = torch.nn.Embedding(9, 4), torch.nn.Linear(8, 4), torch.nn.Linear(4, 1)
    shape = torch.randint(0, 3, (40, 128)).tolist()

    def encoded(bits, depth=0):
        if depth == 7 or depth > 2 and not bits.pop():
            return word(torch.tensor(depth))
        return torch.tanh(join(torch.cat([encoded(bits, depth + 1), encoded(bits, depth + 1)])))

    def gradient(bits):
        join.zero_grad()
        head(encoded(bits)).sum().backward()
        return join.weight.grad.tolist()
    got = [gradient(list(bits)) for bits in shape[:30]]
    passed.clear()
    got += [gradient(list(bits)) for bits in shape[30:]]
    assert sum(passed) <= 600           # ten trees have some 4000 applications
    periods.growing.clear()
    for bits, grad in zip(shape[::7], got[::7]):
        periods.begun.clear()
        assert gradient(list(bits)) == grad


def test_an_episode_that_reads_at_each_step_is_cut_at_its_end(nothing_grows, passed):
    torch.manual_seed(0)
    net, x = torch.nn.Linear(3, 2), torch.randn(1, 3)

    def episode(length):
        logs = []
        for _ in range(length):
            log = net(x).log_softmax(1)
            logs.append(log[0, int(log[0, 0].item() > 0)] * 2)
        net.zero_grad()
        (torch.stack(logs).sum() / length).backward()
        return net.weight.grad.sum().item()
    for length in range(8, 50, 3):
        episode(length)
    passed.clear()
    for length in (51, 54, 58, 61):
        episode(length)
    assert max(passed, default=0) <= 200        # a whole backward pass has 600 applications and more


def stack(depth):
    layers = [layer for _ in range(depth) for layer in (torch.nn.Linear(4, 4), torch.nn.Tanh())]
    net = torch.nn.Sequential(*layers)
    return net, torch.optim.SGD(net.parameters(), 0.01)


def trained(net, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = net(torch.ones(3, 4)).square().mean()
        loss.backward()
        optimizer.step()
        loss.item()


def test_models_that_one_function_trains_in_turn_do_not_grow(nothing_grows):
    for depth in range(4, 9):
        trained(*stack(depth), 12)
    assert not periods.growing


def test_a_line_that_was_taken_to_grow_and_repeats_itself_is_let_go(nothing_grows, passed, monkeypatch):
    model, lines = stack(9), []
    with monkeypatch.context() as patch:
        patch.setattr(periods, "pieces_of", lines.append)
        trained(*model, 3)
    periods.growing.update((line, periods.Pieces()) for line in lines)
    trained(*model, periods.STEADY + 6)
    assert not periods.growing
    passed.clear()
    trained(*model, 4)
    assert not passed
