"""Small relatives of the programs in bench/: make() -> (step, tensors that a step changes or reads)."""
from __future__ import annotations

import math

import rushlight as T
from rushlight import func, nn, optim

F = nn.functional


def training(net, optimizer, loss_fn):
    """A step, and all that it leaves behind."""
    def step():
        optimizer.zero_grad()
        loss = loss_fn()
        loss.backward()
        optimizer.step()
        return loss
    return step, [*net.parameters(), *net.buffers()]


def classifier(net, shape, optimizer, classes=5):
    x, y = T.randn(shape), T.randint(0, classes, shape[:1])
    return training(net, optimizer(net.parameters()), lambda: F.cross_entropy(net(x), y))


def mlp_small():
    net = nn.Sequential(nn.Linear(17, 32), nn.Tanh(), nn.Linear(32, 6))
    x, y = T.randn(24, 17), T.randn(24, 6)
    return training(net, optim.Adam(net.parameters(), lr=1e-3), lambda: F.mse_loss(net(x), y))


def mlp_large():
    net = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 5))
    return classifier(net, (70, 300), lambda p: optim.SGD(p, lr=1e-2, momentum=0.9))


def cnn_mnist():
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Dropout(0.25), nn.Flatten(), nn.Linear(400, 5))
    return classifier(net, (9, 1, 14, 14), lambda p: optim.Adadelta(p, lr=1.0))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(x)))


def resnet():
    """32 channels and more take Winograd's path."""
    net = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1), Residual(32), nn.Conv2d(32, 48, 3, 2, 1), Residual(48),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 5))
    return classifier(net, (4, 3, 16, 16), lambda p: optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-4))


class Attention(nn.Module):
    def __init__(self, c, heads, by_hand):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(c), nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.up, self.down = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.heads, self.attend = heads, self.by_hand if by_hand else self.given

    def by_hand(self, q, k, v):
        n = q.shape[-2]
        scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(q.shape[-1]))
        return scores.masked_fill(T.ones(n, n).tril() == 0, float("-inf")).softmax(-1) @ v

    def given(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.norm(x)).split(c, 2))
        x = x + self.out(self.attend(q, k, v).transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(x)))


def gpt(by_hand=True):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(50, 32), nn.Embedding(20, 32)
            self.block, self.head = Attention(32, 4, by_hand), nn.Linear(32, 50, bias=False)

        def forward(self, ids):
            return self.head(self.block(self.words(ids) + self.places(T.arange(ids.shape[1]))))
    net, ids = Net(), T.randint(0, 50, (3, 21))
    return training(net, optim.AdamW(net.parameters(), lr=3e-3), lambda: F.cross_entropy(
        net(ids[:, :-1]).reshape(-1, 50), ids[:, 1:].reshape(-1)))


def gpt_given():
    return gpt(by_hand=False)


def recurrent(layer):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.rnn, self.out = nn.Embedding(40, 16), layer(16, 24, 2, batch_first=True), nn.Linear(24, 40)

        def forward(self, ids):
            return self.out(self.rnn(self.words(ids))[0])
    net, ids = Net(), T.randint(0, 40, (5, 9))
    return training(net, optim.SGD(net.parameters(), lr=0.5), lambda: F.cross_entropy(
        net(ids[:, :-1]).reshape(-1, 40), ids[:, 1:].reshape(-1)))


def lstm():
    return recurrent(nn.LSTM)


def gru():
    return recurrent(nn.GRU)


def unet():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.low = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
            self.norm, self.up = nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 8, 2, 2)
            self.last = nn.Conv2d(16, 2, 1)

        def forward(self, x):
            a = self.first(x).relu()
            b = self.norm(self.low(F.max_pool2d(a, 2))).relu()
            return self.last(T.cat([a, self.up(b)], 1))
    net, x, y = Net(), T.randn(2, 1, 16, 16), T.randint(0, 2, (2, 16, 16))
    return training(net, optim.Adam(net.parameters(), lr=1e-3), lambda: F.cross_entropy(net(x), y))


def dcgan():
    made = nn.Sequential(nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
                         nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False), nn.Tanh())
    judge = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(8, 1, 4), nn.Flatten(0))
    a, b = (optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (made, judge))
    real, loss = T.randn(6, 1, 8, 8), nn.BCEWithLogitsLoss()

    def step():
        b.zero_grad()
        fake = made(T.randn(6, 8, 1, 1))
        (loss(judge(real), T.ones(6)) + loss(judge(fake.detach()), T.zeros(6))).backward()
        b.step()
        a.zero_grad()
        last = loss(judge(fake), T.ones(6))
        last.backward()
        a.step()
        return last
    return step, [*made.parameters(), *made.buffers(), *judge.parameters()]


def pointwise():
    x = T.randn(130, 257, requires_grad=True)

    def step():
        x.grad = None
        y = T.tanh(x) * T.sigmoid(x) + T.exp(-x * x) * T.sin(x)
        loss = (y - y.mean(dim=1, keepdim=True)).pow(2).mean()
        loss.backward()
        with T.no_grad():
            x.sub_(x.grad)
        return loss
    return step, [x]


def per_sample_grad():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    parameters = {k: v.detach() for k, v in net.named_parameters()}
    x, y = T.randn(6, 1, 9, 9), T.randint(0, 5, (6,))

    def loss(p, a, b):
        return F.cross_entropy(func.functional_call(net, p, (a.unsqueeze(0),)), b.unsqueeze(0))
    gradients = func.vmap(func.grad(loss), in_dims=(None, 0, 0))

    def step():
        g = gradients(parameters, x, y)
        norm = sum(v.flatten(1).pow(2).sum(1) for v in g.values()).sqrt()
        scale = (1.0 / (norm + 1e-6)).clamp(max=1.0)
        for k, v in g.items():
            parameters[k].sub_(T.einsum("n,n...->...", scale, v))
        return norm.sum()
    return step, list(parameters.values())


# -- others -----------------------------------------------------------------------------------------
def depthwise():
    net = nn.Sequential(nn.Conv2d(4, 24, 1), nn.BatchNorm2d(24), nn.ReLU6(), nn.Conv2d(24, 24, 3, 2, 1, groups=24),
                        nn.GroupNorm(4, 24), nn.Hardswish(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96, 5))
    return classifier(net, (5, 4, 8, 8), lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9))


def graph():
    source, target, x = T.randint(0, 30, (200,)), T.randint(0, 30, (200,)), T.randn(30, 12)
    first, second = nn.Linear(12, 16), nn.Linear(16, 4)
    net = nn.ModuleList([first, second])

    def loss():
        h = T.zeros(30, 16).index_add(0, target, first(x)[source]).relu()
        h = T.zeros(30, 4).index_add(0, target, second(F.dropout(h, 0.3))[source])
        return h.log_softmax(1).square().mean()
    return training(net, optim.Adagrad(net.parameters(), lr=0.05), loss)


def video():
    net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 6, 3), nn.Flatten(),
                        nn.Linear(48, 5))
    return classifier(net, (3, 1, 8, 8, 8), lambda p: optim.NAdam(p, lr=1e-3))


def clipped():
    """Gradients of two batches, clipped together; a schedule; an average of the weights."""
    net, average = (nn.Sequential(nn.Linear(20, 30), nn.SiLU(), nn.Linear(30, 5)) for _ in range(2))
    optimizer = optim.AdamW(net.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    batches = [(T.randn(11, 20), T.randint(0, 5, (11,))) for _ in range(2)]

    def step():
        optimizer.zero_grad()
        for x, y in batches:
            loss = F.cross_entropy(net(x), y, label_smoothing=0.1) / 2
            loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        schedule.step()
        with T.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters()):
                slow.lerp_(fast, 0.1)
        return loss
    return step, [*net.parameters(), *average.parameters()]


PROGRAMS = {f.__name__: f for f in (
    mlp_small, mlp_large, cnn_mnist, resnet, gpt, gpt_given, lstm, gru, unet, dcgan, pointwise, per_sample_grad,
    depthwise, graph, video, clipped)}
