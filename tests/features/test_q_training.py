"""Q: optimisers and the training loop."""
import pytest

import rushlight as torch
from rushlight import nn, optim


def test_q01_sgd():
    net = nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    net(torch.tensor([[1.0, 3.0]])).sum().backward()
    optimizer.step()
    assert torch.allclose(net.weight, before - 0.5 * torch.tensor([[1.0, 3.0]]))
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.SGD([], lr=0.1)


def test_q02_zero_grad_backward_step():
    torch.manual_seed(0)
    net, criterion = nn.Linear(3, 1), nn.MSELoss()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    samples = [(torch.rand(3), torch.rand(1)) for _ in range(4)]

    def epoch():
        optimizer.zero_grad()
        losses = [criterion(net(x), y) for x, y in samples]
        for loss in losses:
            loss.backward()
        optimizer.step()
        return sum(loss.item() for loss in losses)
    assert net.weight.grad is None
    first = epoch()
    assert [epoch() for _ in range(20)][-1] < first
    optimizer.zero_grad()
    assert net.weight.grad is None


def test_q03_gradient_accumulation():
    net = nn.Linear(3, 1)
    samples = [torch.rand(n, 3) for n in (1, 4, 2)]
    for sample in samples:
        net(sample).sum().backward()
    assert torch.allclose(net.weight.grad[0], torch.cat(samples).sum(0)) and net.bias.grad.item() == 7


def test_q04_optimiser_state():
    net = nn.Linear(2, 1)
    optimizer = optim.Adam(net.parameters())
    assert optimizer.state_dict()["state"] == {}
    net(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    assert state["state"][0]["exp_avg"].shape == (1, 2) and state["param_groups"][0]["params"] == [0, 1]
    other = optim.Adam(net.parameters())
    other.load_state_dict(state)
    assert torch.equal(other.state[net.weight]["exp_avg_sq"], state["state"][0]["exp_avg_sq"])


def test_q05_two_optimisers():
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    kept = second.weight.detach().clone()
    optimizer = optim.SGD(first.parameters(), lr=0.1)
    second(first(torch.rand(3, 2))).sum().backward()
    before = first.weight.detach().clone()
    optimizer.step()
    assert torch.equal(second.weight, kept) and not torch.equal(first.weight, before)


def test_q06_accuracy_by_class():
    classes = ("cat", "dog")
    correct, total = (dict.fromkeys(classes, 0) for _ in range(2))
    outputs, labels = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1, 1])
    for label, prediction in zip(labels, outputs.argmax(1)):
        correct[classes[label]] += int(label == prediction)
        total[classes[label]] += 1
    assert correct == {"cat": 1, "dog": 1} and total == {"cat": 1, "dog": 2}


class Corridor:
    """A simulator that speaks NumPy: walk right to the end."""

    def reset(self):
        import numpy as np
        self.at = 0
        return np.array([0.0])

    def step(self, action):
        import numpy as np
        self.at = max(0, self.at + (1 if action == 1 else -1))
        return np.array([self.at / 5]), float(self.at == 5), self.at == 5


def test_q07_reinforcement_learning_loop():
    torch.manual_seed(0)
    env, policy = Corridor(), nn.Linear(1, 2)
    optimizer = optim.SGD(policy.parameters(), lr=0.5)

    def episode():
        state, done, logps = env.reset(), False, []
        while not done and len(logps) < 60:
            choice = torch.distributions.Categorical(logits=policy(torch.from_numpy(state).float()))
            action = choice.sample()
            logps.append(choice.log_prob(action))
            state, reward, done = env.step(action.numpy())
        optimizer.zero_grad()
        (-torch.stack(logps).sum() * (reward - len(logps) / 60)).backward()
        optimizer.step()
        return len(logps)
    lengths = [episode() for _ in range(60)]
    assert sum(lengths[-10:]) < sum(lengths[:10])


def test_q08_tqdm():
    tqdm = pytest.importorskip("tqdm").tqdm
    from rushlight.utils.data import DataLoader, TensorDataset
    loader = DataLoader(TensorDataset(torch.arange(10)), batch_size=4)
    assert [batch.tolist() for batch, in tqdm(loader, disable=True)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(tqdm(loader, disable=True)) == 3


def test_q09_overfitting():
    torch.manual_seed(0)
    x, y = torch.randn(20, 30), torch.randn(20, 1)
    held_x, held_y = torch.randn(200, 30), torch.randn(200, 1)
    net = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss < 0.05 < 0.9 < nn.functional.mse_loss(net(held_x), held_y)
