"""Which of equal elements comes first."""
import pytest

import rushlight

torch = pytest.importorskip("torch")

LENGTHS = [5, 16, 17, 30, 100, 1000, 1500, 33000]
KINDS = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("kind", KINDS)
def test_sort(kind):
    torch.manual_seed(0)
    for n in LENGTHS:
        for most in (2, 60):
            x = torch.randint(0, 2 if kind == "bool" else most, (n,))
            theirs, ours = x.to(getattr(torch, kind)), rushlight.tensor(x.tolist()).to(getattr(rushlight, kind))
            for descending in (False, True):
                for a, b in zip(theirs.sort(descending=descending), ours.sort(descending=descending)):
                    assert a.tolist() == b.tolist(), (n, most, descending)
            assert theirs.argsort().tolist() == ours.argsort().tolist()


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_axes(dim):
    torch.manual_seed(1)
    x = torch.randint(0, 4, (40, 30, 20)).float()
    ours = rushlight.tensor(x.tolist())
    for name in ("sort", "argsort", "mode", "median"):
        theirs, found = getattr(x, name)(dim=dim), getattr(ours, name)(dim=dim)
        pairs = [(theirs, found)] if name == "argsort" else zip(theirs, found)
        assert all(a.tolist() == b.tolist() for a, b in pairs), name
    nans = [float("nan"), 0.0, -0.0, 1.0, float("-inf")] * 9
    for descending in (False, True):
        order = rushlight.tensor(nans).argsort(descending=descending).tolist()
        assert order == torch.tensor(nans).argsort(descending=descending).tolist()


def test_dropout_between_layers_of_packed_sequences():
    """Sequences of one length are packed in PyTorch's order, so they get the same masks."""
    found = []
    for T in (torch, rushlight):
        T.manual_seed(0)
        net, x = T.nn.GRU(4, 5, 2, dropout=0.5), T.randn(9, 40, 4)
        packed = T.nn.utils.rnn.pack_padded_sequence(x, T.randint(3, 10, (40,)), enforce_sorted=False)
        out, last = net(packed)
        found.append((packed.sorted_indices.tolist(), out.data.sum().item(), last.sum().item()))
    assert found[0][0] == found[1][0]
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-4)
