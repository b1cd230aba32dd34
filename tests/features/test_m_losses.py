"""M: losses."""
import math

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

LOGITS = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
TARGET = torch.tensor([0, 2, 1, 2])


def close(a, b):
    return torch.allclose(a, torch.as_tensor(b), atol=1e-5)


def test_m01_cross_entropy():
    by_hand = F.nll_loss(F.log_softmax(LOGITS, 1), TARGET)
    assert close(nn.CrossEntropyLoss()(LOGITS, TARGET), by_hand)
    assert close(nn.CrossEntropyLoss()(torch.tensor([[1000.0, 0.0]]), torch.tensor([1])), 1000.0)
    loss = nn.CrossEntropyLoss(weight=torch.ones(3), ignore_index=-100, reduction="mean", label_smoothing=0.0)
    assert close(loss(LOGITS, TARGET), by_hand)
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        assert nn.CrossEntropyLoss(size_average=False).reduction == "sum"


def test_m02_shapes():
    loss = nn.CrossEntropyLoss(reduction="none")
    assert loss(LOGITS, TARGET).shape == (4,)
    assert loss(torch.rand(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)).shape == (2, 4, 4)
    assert loss(torch.rand(3), torch.tensor(1)).shape == ()


def test_m03_reduction_none():
    w = torch.tensor([1.0, 2.0, 3.0])
    target = torch.tensor([0, -100, 1, 2])
    losses = F.cross_entropy(LOGITS, target, weight=w, reduction="none")
    by_hand = [-w[y] * torch.log(LOGITS[n, y].exp() / LOGITS[n].exp().sum()) if y >= 0 else torch.tensor(0.0)
               for n, y in enumerate(target.tolist())]
    assert close(losses, torch.stack(by_hand))


def test_m04_reductions():
    w = torch.tensor([1.0, 2.0, 3.0])
    none, total, mean = (F.cross_entropy(LOGITS, TARGET, weight=w, reduction=r) for r in ("none", "sum", "mean"))
    assert close(total, none.sum()) and close(mean, none.sum() / w[TARGET].sum())
    assert F.cross_entropy(LOGITS, torch.full((4,), -100)).isnan()
    with pytest.raises(ValueError, match="some is not a valid value for reduction"):
        F.cross_entropy(LOGITS, TARGET, reduction="some")


def test_m05_ignore_index():
    some = F.cross_entropy(LOGITS, torch.tensor([0, -100, 1, -100]))
    assert close(some, F.cross_entropy(LOGITS[[0, 2]], TARGET[[0, 2]]))
    assert close(F.cross_entropy(LOGITS, TARGET, ignore_index=2), some)


def test_m06_label_smoothing():
    loss = F.cross_entropy(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0]), label_smoothing=0.1)
    logp = F.log_softmax(torch.tensor([1.0, 2.0, 3.0]), 0)
    assert close(loss, 2.3076) and close(loss, 0.9 * -logp[0] + 0.1 / 3 * -logp.sum())


def test_m07_probabilities_as_target():
    hot = F.one_hot(TARGET, 3).float()
    assert close(F.cross_entropy(LOGITS, hot), F.cross_entropy(LOGITS, TARGET))
    assert close(F.cross_entropy(LOGITS, torch.full((4, 3), 1 / 3)), -F.log_softmax(LOGITS, 1).mean())


def test_m08_target_errors():
    with pytest.raises(IndexError, match="Target 2 is out of bounds."):
        F.cross_entropy(torch.rand(1, 2), torch.tensor([2])).item()
    with pytest.raises(RuntimeError, match="expected target dtype to be Long or Byte, but got Int"):
        F.cross_entropy(torch.rand(1, 2), torch.tensor([1], dtype=torch.int32))
    with pytest.raises(ValueError, match=r"Expected input batch_size \(4\) to match target batch_size \(3\)"):
        F.cross_entropy(LOGITS, TARGET[:3])


def test_m09_binary_cross_entropy():
    d = torch.tensor([0.9, 0.2])
    real, fake = (nn.BCELoss(reduction="sum")(d, torch.full((2,), label)) for label in (1.0, 0.0))
    assert close(real, -(math.log(0.9) + math.log(0.2))) and close(fake, -(math.log(0.1) + math.log(0.8)))
    assert close(F.binary_cross_entropy_with_logits(torch.logit(d), torch.ones(2), reduction="sum"), real)
    assert nn.BCELoss()(torch.tensor([0.0]), torch.tensor([1.0])) == 100
    with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
        nn.BCELoss()(torch.tensor([1.5]), torch.tensor([1.0])).item()


def test_m10_sum_as_a_loss():
    data = torch.arange(4.0, requires_grad=True)
    (data * (data < 2)).sum().backward()
    assert data.grad.tolist() == [1, 1, 0, 0]


def test_m11_mean_absolute_error():
    a, b = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([0.0, 2.0])
    loss = nn.L1Loss()(a, b)
    loss.backward()
    assert loss == 2.5 and a.grad.tolist() == [0.5, -0.5] and F.l1_loss(a, b, reduction="sum") == 5
