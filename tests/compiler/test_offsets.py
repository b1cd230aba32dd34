"""Parts chosen by data, as in `probabilities[action]`: other parts of the same shapes need no new passes."""
import itertools
import random

import pytest

import rushlight as torch
from rushlight.compiler import plan as planning


def episode(w, choices):
    rows = [torch.softmax(w[k % 4] * 1.5, -1)[c].log() for k, c in enumerate(choices)]
    w.grad = None
    torch.stack(rows).sum().backward()
    return w.grad.tolist()


def test_parts_at_other_offsets_are_bound_by_a_recipe(monkeypatch):
    made = []
    monkeypatch.setattr("rushlight.compiler.recipe.plain_recipe", _counted(made))
    torch.manual_seed(0)
    w = torch.randn(4, 3, requires_grad=True)
    for choices in itertools.islice(itertools.product(range(3), repeat=6), 0, 700, 29):
        got = episode(w, choices)
        want = [[0.0] * 3 for _ in range(4)]
        for k, c in enumerate(choices):
            p = torch.softmax(w[k % 4].detach().double() * 1.5, -1).tolist()
            for j in range(3):
                want[k % 4][j] += 1.5 * ((j == c) - p[j])
        assert torch.allclose(torch.tensor(got), torch.tensor(want), atol=1e-5)
    assert len(made) < 14


def onehots(letters, n=7):
    x = torch.zeros(len(letters), 1, n)
    for k, c in enumerate(letters):
        x[k][0][c] = 1
    return x * 2 + 1


def swaps(pairs):
    """Reads, writes and sums into parts of pending and of realised memory, at places that may be the same."""
    kept, x = torch.arange(6.).tolist(), torch.arange(12.).reshape(6, 2) * 1
    y = torch.arange(6.)
    for i, j in pairs:
        x[i] = x[j] + x[i]
        x[j] += 1
        y[i] = y[j] * 2 + x[i].sum()
    return x.tolist() + [(y + y[pairs[0][0]]).tolist(), kept]


def swaps_of_numbers(pairs):
    x, y = [[2. * k, 2. * k + 1] for k in range(6)], [float(k) for k in range(6)]
    for i, j in pairs:
        x[i] = [a + b for a, b in zip(x[j], x[i])]
        x[j] = [a + 1 for a in x[j]]
        y[i] = y[j] * 2 + sum(x[i])
    return x + [[a + y[pairs[0][0]] for a in y], [0., 1., 2., 3., 4., 5.]]


def test_chosen_offsets_share_a_plan():
    rng = random.Random(0)
    for turn in range(30):
        letters = [rng.randrange(7) for _ in range(5)]
        if turn == 8:
            before = planning.misses
        got = onehots(letters).squeeze(1).tolist()
        assert got == [[3. if k == c else 1. for k in range(7)] for c in letters]
    assert planning.misses == before


def test_lengths_not_seen_before_have_chosen_offsets_at_once():
    rng = random.Random(1)
    for turn in range(50):
        letters = [rng.randrange(7) for _ in range(2 + turn % 10)]
        assert onehots(letters)[:, 0].argmax(-1).tolist() == letters
        if turn == 30:
            before = planning.misses
    assert planning.misses == before


def test_chosen_places_that_are_the_same_or_not():
    rng = random.Random(2)
    for _ in range(60):
        pairs = [(rng.randrange(6), rng.randrange(6)) for _ in range(4)]
        assert swaps(pairs) == swaps_of_numbers(pairs), pairs


def test_two_actions_meet_one_plan():
    """The first element of a row begins where the row does: that too is no other graph."""
    rng, rows = random.Random(3), [torch.randn(2, requires_grad=True) for _ in range(6)]
    for turn in range(24):
        chosen = [rng.randrange(2) for _ in rows]
        if turn == 8:
            before = planning.misses
        shown = [torch.softmax(r, -1) for r in rows]
        picked = [p[c].item() for p, c in zip(shown, chosen)]
        for r in rows:
            r.grad = None
        sum(p[c].log() for p, c in zip(shown, chosen)).backward()
        for r, p, c, of_choice in zip(rows, shown, chosen, picked):
            want = [(k == c) - q for k, q in enumerate(p.tolist())]
            assert of_choice == p.tolist()[c] and r.grad.tolist() == pytest.approx(want, abs=1e-6)
    assert planning.misses == before


def _counted(made):
    from rushlight.compiler import recipe
    original = recipe.plain_recipe

    def counted(nodes, d):
        made.append(len(nodes))
        return original(nodes, d)
    return counted
