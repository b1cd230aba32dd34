"""Parts chosen by data, as in `probabilities[action]`: other parts of the same shapes need no new passes."""
import itertools

import rushlight as torch


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


def _counted(made):
    from rushlight.compiler import recipe
    original = recipe.plain_recipe

    def counted(nodes, d):
        made.append(len(nodes))
        return original(nodes, d)
    return counted
