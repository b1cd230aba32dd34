"""Ten training programs written once against the torch API, run by any library that speaks it.

PROGRAMS maps a name to make(torch) -> step, where step() is one training iteration (forward, loss,
backward, optimiser) and returns the loss as a tensor.
"""
from __future__ import annotations

import math
from importlib import import_module


def training(net, opt, loss_fn, *batch):
    """The usual step; where a batch is one, `step.smaller()` is another step on all but its last sample."""
    def step():
        opt.zero_grad()
        loss = loss_fn(net, *batch)
        loss.backward()
        opt.step()
        return loss
    if len({len(x) for x in batch}) == 1:
        step.smaller = lambda: training(net, opt, loss_fn, *[x[:-1] for x in batch])
    return step


def mlp_small(torch):
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(17, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 6))
    x, y = torch.randn(64, 17), torch.randn(64, 6)
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, opt, lambda m, a, b: nn.functional.mse_loss(m(a), b), x, y)


def mlp_large(torch):
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Dropout(0.5),
                        nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    x, y = torch.randn(256, 784), torch.randint(0, 10, (256,))
    opt = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    return training(net, opt, lambda m, a, b: nn.functional.cross_entropy(m(a), b), x, y)


def cnn_mnist(torch):
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
                        nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))
    opt = torch.optim.Adadelta(net.parameters(), lr=1.0)
    return training(net, opt, lambda m, a, b: nn.functional.cross_entropy(m(a), b), x, y)


def resnet(torch):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, i, o, s):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            self.down = nn.Identity() if s == 1 and i == o else nn.Sequential(
                nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.down(x))

    torch.manual_seed(0)
    layers, i = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for o, s in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        layers.append(Block(i, o, s))
        i = o
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    x, y = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def gpt(torch):
    nn, F = torch.nn, torch.nn.functional
    C, H, T, V, B, L = 256, 8, 128, 512, 8, 4

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)
            self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
            self.up, self.down = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
            self.register_buffer("mask", torch.tril(torch.ones(T, T)).view(1, 1, T, T))

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(self.ln1(x)).split(C, dim=2)
            q, k, v = (z.view(b, t, H, c // H).transpose(1, 2) for z in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = (F.softmax(att, dim=-1) @ v).transpose(1, 2).contiguous().view(b, t, c)
            x = x + self.proj(y)
            return x + self.down(F.gelu(self.up(self.ln2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok, self.pos = nn.Embedding(V, C), nn.Embedding(T, C)
            self.blocks = nn.ModuleList([Block() for _ in range(L)])
            self.ln, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)

        def forward(self, i):
            x = self.tok(i) + self.pos(torch.arange(i.shape[1]))
            for b in self.blocks:
                x = b(x)
            return self.head(self.ln(x))

    torch.manual_seed(0)
    net = GPT()
    ids = torch.randint(0, V, (B, T + 1))
    opt = torch.optim.AdamW(net.parameters(), lr=3e-4)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a).view(-1, V), b.reshape(-1)), ids[:, :-1], ids[:, 1:])


def lstm(torch):
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.out = nn.Embedding(1000, 128), nn.Linear(256, 1000)
            self.rnn = nn.LSTM(128, 256, 2, batch_first=True)

        def forward(self, x):
            return self.out(self.rnn(self.emb(x))[0])

    net = Net()
    ids = torch.randint(0, 1000, (16, 36))
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a).reshape(-1, 1000), b.reshape(-1)),
                    ids[:, :-1], ids[:, 1:])


def unet(torch):
    nn, F = torch.nn, torch.nn.functional

    def double(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
                             nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.d = nn.ModuleList([double(1, 16), double(16, 32), double(32, 64), double(64, 128)])
            self.u = nn.ModuleList([nn.ConvTranspose2d(2 * n, n, 2, 2) for n in (64, 32, 16)])
            self.c = nn.ModuleList([double(2 * n, n) for n in (64, 32, 16)])
            self.out = nn.Conv2d(16, 2, 1)

        def forward(self, x):
            skips = []
            for i, d in enumerate(self.d):
                x = d(x)
                if i < 3:
                    skips.append(x)
                    x = F.max_pool2d(x, 2)
            for u, c in zip(self.u, self.c):
                x = c(torch.cat([skips.pop(), u(x)], dim=1))
            return self.out(x)

    torch.manual_seed(0)
    net = UNet()
    x, y = torch.randn(4, 1, 128, 128), torch.randint(0, 2, (4, 128, 128))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def dcgan(torch):
    nn = torch.nn
    torch.manual_seed(0)
    G = nn.Sequential(nn.ConvTranspose2d(64, 128, 4, 1, 0, bias=False), nn.BatchNorm2d(128), nn.ReLU(True),
                      nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
                      nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
                      nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True),
                      nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, True),
                      nn.Conv2d(64, 1, 8, 1, 0, bias=False), nn.Flatten(0))
    og = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    od = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real, ones, zeros = torch.randn(32, 1, 32, 32), torch.ones(32), torch.zeros(32)
    bce = nn.BCEWithLogitsLoss()

    def step():
        od.zero_grad()
        fake = G(torch.randn(32, 64, 1, 1))
        ld = bce(D(real), ones) + bce(D(fake.detach()), zeros)
        ld.backward()
        od.step()
        og.zero_grad()
        lg = bce(D(fake), ones)
        lg.backward()
        og.step()
        return lg
    return step


def pointwise(torch):
    torch.manual_seed(0)
    x = torch.randn(2048, 2048, requires_grad=True)

    def step():
        x.grad = None
        y = torch.tanh(x) * torch.sigmoid(x) + torch.exp(-x * x) * torch.sin(x)
        loss = (y - y.mean(dim=1, keepdim=True)).pow(2).mean()
        loss.backward()
        return loss
    return step


def per_sample_grad(torch):
    nn, F = torch.nn, torch.nn.functional
    fx = import_module(torch.__name__ + ".func")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 8, 2, padding=3), nn.ReLU(), nn.MaxPool2d(2, 1),
                        nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1),
                        nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10))
    params = {k: v.detach() for k, v in net.named_parameters()}
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))

    def loss(p, a, b):
        return F.cross_entropy(fx.functional_call(net, p, (a.unsqueeze(0),)), b.unsqueeze(0))
    psg = fx.vmap(fx.grad(loss), in_dims=(None, 0, 0))

    def step():
        g = psg(params, x, y)
        norm = sum(v.flatten(1).pow(2).sum(1) for v in g.values()).sqrt()
        scale = (1.0 / (norm + 1e-6)).clamp(max=1.0)
        s = [torch.einsum("n,n...->...", scale, v) for v in g.values()]
        return sum(t.sum() for t in s)
    return step


PROGRAMS = {f.__name__: f for f in (mlp_small, mlp_large, cnn_mnist, resnet, gpt, lstm, unet, dcgan,
                                    pointwise, per_sample_grad)}
