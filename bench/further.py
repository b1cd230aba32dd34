"""Programs beyond the ten: other architectures, sampling, tiny tensors, float64.

The same form as in bench/programs.py: make(torch) -> step, where step() returns a number that says
whether the result is right (a loss, or a sum over what was sampled). Sizes are such that PyTorch
needs 5 to 100 ms a step, but for those that are about overhead.
"""
from __future__ import annotations

import math
from importlib import import_module

from .programs import training


# -- images -----------------------------------------------------------------------------------------
def convnext(torch):
    """Depthwise 7x7, layer norm over channels, inverted bottleneck, layer scale."""
    nn, F = torch.nn, torch.nn.functional

    class ChannelNorm(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm = nn.LayerNorm(c, eps=1e-6)

        def forward(self, x):
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.dw, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, eps=1e-6)
            self.up, self.down = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
            self.gamma = nn.Parameter(1e-2 * torch.ones(c))

        def forward(self, x):
            y = self.norm(self.dw(x).permute(0, 2, 3, 1))
            return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 4, 4), ChannelNorm(32), Block(32), Block(32),
                        ChannelNorm(32), nn.Conv2d(32, 64, 2, 2), Block(64), Block(64),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 10))
    x, y = torch.randn(8, 3, 64, 64), torch.randint(0, 10, (8,))
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b, label_smoothing=0.1), x, y)


def mobilenet(torch):
    """Inverted residuals: 1x1, depthwise 3x3, 1x1, ReLU6, squeeze and excitation."""
    nn, F = torch.nn, torch.nn.functional

    class Squeeze(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.down, self.up = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

        def forward(self, x):
            s = F.relu(self.down(x.mean((2, 3), keepdim=True)))
            return x * F.hardsigmoid(self.up(s))

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            e = 4 * i
            self.add = stride == 1 and i == o
            self.body = nn.Sequential(
                nn.Conv2d(i, e, 1, bias=False), nn.BatchNorm2d(e), nn.ReLU6(),
                nn.Conv2d(e, e, 3, stride, 1, groups=e, bias=False), nn.BatchNorm2d(e),
                nn.Hardswish(), Squeeze(e), nn.Conv2d(e, o, 1, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            return x + self.body(x) if self.add else self.body(x)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
                        Block(16, 16, 1), Block(16, 24, 2), Block(24, 24, 1), Block(24, 32, 2),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 10))
    x, y = torch.randn(8, 3, 64, 64), torch.randint(0, 10, (8,))
    opt = torch.optim.RMSprop(net.parameters(), lr=1e-3, eps=1e-3, momentum=0.9, weight_decay=1e-5)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def inception(torch):
    """Branches of 1x1, 3x3, 5x5 and pooling, concatenated."""
    nn, F = torch.nn, torch.nn.functional

    def conv(i, o, k):
        return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2), nn.BatchNorm2d(o), nn.ReLU())

    class Branches(nn.Module):
        def __init__(self, i, a, b, c, d):
            super().__init__()
            self.one = conv(i, a, 1)
            self.three = nn.Sequential(conv(i, b // 2, 1), conv(b // 2, b, 3))
            self.five = nn.Sequential(conv(i, c // 2, 1), conv(c // 2, c, 5))
            self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(i, d, 1))

        def forward(self, x):
            return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)

    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 32, 3), Branches(32, 16, 32, 16, 16), nn.MaxPool2d(2),
                        Branches(80, 32, 48, 24, 24), nn.AvgPool2d(2),
                        nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 64, 10))
    x, y = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def groupnorm_resnet(torch):
    """Weight-standardised 3x3 convolutions and group norm, clipped gradients."""
    nn, F = torch.nn, torch.nn.functional

    class Conv(nn.Conv2d):
        def forward(self, x):
            w = self.weight
            mean, var = w.mean((1, 2, 3), keepdim=True), w.var((1, 2, 3), keepdim=True)
            return F.conv2d(x, (w - mean) / (var + 1e-5).sqrt(), self.bias, self.stride, self.padding)

    class Block(nn.Module):
        def __init__(self, i, o, s):
            super().__init__()
            self.n1, self.c1 = nn.GroupNorm(8, i), Conv(i, o, 3, s, 1)
            self.n2, self.c2 = nn.GroupNorm(8, o), Conv(o, o, 3, 1, 1)
            self.down = nn.Identity() if i == o and s == 1 else Conv(i, o, 1, s)

        def forward(self, x):
            y = self.c1(F.silu(self.n1(x)))
            return self.down(x) + self.c2(F.silu(self.n2(y)))

    torch.manual_seed(0)
    net = nn.Sequential(Conv(3, 32, 3, 1, 1), Block(32, 32, 1), Block(32, 64, 2), Block(64, 64, 1),
                        nn.GroupNorm(8, 64), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(64, 10))
    x, y = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    def step():
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        return loss
    return step


def vit(torch):
    """Patches, a class token, nn.TransformerEncoderLayer with norm first."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self, c=128, patches=64):
            super().__init__()
            self.patch = nn.Conv2d(3, c, 4, 4)
            self.token, self.place = (nn.Parameter(0.02 * torch.randn(1, n, c)) for n in (1, patches + 1))
            self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(
                c, 4, 4 * c, 0.1, "gelu", batch_first=True, norm_first=True) for _ in range(3)])
            self.norm, self.head = nn.LayerNorm(c), nn.Linear(c, 10)

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    torch.manual_seed(0)
    net = Net()
    x, y = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    opt = torch.optim.AdamW(net.parameters(), lr=3e-4, weight_decay=0.05)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def video(torch):
    """3-D convolutions and pooling."""
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(), nn.MaxPool3d(2),
                        nn.Conv3d(16, 32, 3, padding=1), nn.BatchNorm3d(32), nn.ReLU(), nn.MaxPool3d(2),
                        nn.Conv3d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1),
                        nn.Flatten(), nn.Linear(32, 8))
    x, y = torch.randn(4, 1, 16, 32, 32), torch.randint(0, 8, (4,))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, opt, lambda m, a, b: F.cross_entropy(m(a), b), x, y)


def vae(torch):
    """Convolutional encoder and decoder, reparametrised draws, binary cross entropy."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1),
                                        nn.ReLU(), nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU())
            self.mean, self.spread = nn.Linear(128, 16), nn.Linear(128, 16)
            self.decode = nn.Sequential(nn.Linear(16, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
                                        nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
                                        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid())

        def forward(self, x):
            h = self.encode(x)
            mean, spread = self.mean(h), self.spread(h)
            z = mean + torch.randn_like(mean) * (0.5 * spread).exp()
            return self.decode(z), mean, spread

    def loss(net, x):
        y, mean, spread = net(x)
        divergence = -0.5 * torch.sum(1 + spread - mean.pow(2) - spread.exp())
        return F.binary_cross_entropy(y, x, reduction="sum") + divergence

    torch.manual_seed(0)
    net = Net()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, opt, loss, torch.rand(64, 1, 28, 28))


def diffusion(torch):
    """One step of a noise predictor: U-Net with time embedding, attention in the middle, averaged weights."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, i, o, t=64):
            super().__init__()
            self.n1, self.c1 = nn.GroupNorm(8, i), nn.Conv2d(i, o, 3, padding=1)
            self.time = nn.Linear(t, o)
            self.n2, self.c2 = nn.GroupNorm(8, o), nn.Conv2d(o, o, 3, padding=1)
            self.skip = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

        def forward(self, x, t):
            h = self.c1(F.silu(self.n1(x))) + self.time(F.silu(t))[:, :, None, None]
            return self.skip(x) + self.c2(F.silu(self.n2(h)))

    class Attention(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm, self.qkv, self.out = nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

        def forward(self, x):
            b, c, h, w = x.shape
            q, k, v = self.qkv(self.norm(x)).view(b, 3, 2, c // 2, h * w).transpose(-1, -2).unbind(1)
            y = F.scaled_dot_product_attention(q, k, v)
            return x + self.out(y.transpose(-1, -2).reshape(b, c, h, w))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
            self.first, self.last = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 1, 3, padding=1)
            self.d1, self.d2, self.mid = Block(32, 32), Block(32, 64), Block(64, 64)
            self.attend, self.u2, self.u1 = Attention(64), Block(128, 32), Block(64, 32)

        def forward(self, x, t):
            angles = t[:, None] * torch.exp(-math.log(1e4) / 16 * torch.arange(16))
            t = self.embed(torch.cat([angles.sin(), angles.cos()], 1))
            a = self.d1(self.first(x), t)
            b = self.d2(F.avg_pool2d(a, 2), t)
            m = self.attend(self.mid(F.avg_pool2d(b, 2), t))
            b = self.u2(torch.cat([F.interpolate(m, scale_factor=2.0, mode="nearest"), b], 1), t)
            return self.last(self.u1(torch.cat([F.interpolate(b, scale_factor=2.0), a], 1), t))

    torch.manual_seed(0)
    net, average = Net(), Net()
    opt = torch.optim.AdamW(net.parameters(), lr=2e-4)
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    images = torch.rand(8, 1, 28, 28) * 2 - 1

    def step():
        t, noise = torch.randint(0, 1000, (8,)), torch.randn_like(images)
        a = alphas[t].view(-1, 1, 1, 1)
        opt.zero_grad(set_to_none=True)
        loss = F.mse_loss(net(a.sqrt() * images + (1 - a).sqrt() * noise, t.float()), noise)
        loss.backward()
        opt.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters()):
                slow.lerp_(fast, 0.01)
        return loss
    return step


# -- sequences --------------------------------------------------------------------------------------
def gru_seq2seq(torch):
    """A GRU encoder, and a decoder that attends to it step by step."""
    nn, F = torch.nn, torch.nn.functional

    class Decoder(nn.Module):
        def __init__(self, c, vocabulary):
            super().__init__()
            self.cell, self.out = nn.GRUCell(2 * c, c), nn.Linear(2 * c, vocabulary)

        def forward(self, words, memory, h):
            outputs = []
            for word in words.unbind(1):
                score = torch.bmm(memory, h.unsqueeze(2)).squeeze(2)
                seen = torch.bmm(score.softmax(1).unsqueeze(1), memory).squeeze(1)
                h = self.cell(torch.cat([word, seen], 1), h)
                outputs.append(self.out(torch.cat([h, seen], 1)))
            return torch.stack(outputs, 1)

    class Net(nn.Module):
        def __init__(self, c=128, vocabulary=200):
            super().__init__()
            self.embed = nn.Embedding(vocabulary, c)
            self.encoder, self.decoder = nn.GRU(c, c, batch_first=True), Decoder(c, vocabulary)

        def forward(self, source, target):
            memory, h = self.encoder(self.embed(source))
            return self.decoder(self.embed(target), memory, h[0])

    torch.manual_seed(0)
    net = Net()
    source, target = torch.randint(0, 200, (32, 20)), torch.randint(0, 200, (32, 21))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    return training(net, opt, lambda m, a, b: F.cross_entropy(
        m(a, b[:, :-1]).flatten(0, 1), b[:, 1:].flatten()), source, target)


def recommender(torch):
    """Large embeddings, a bag of words, factorised pairs; only the rows of a batch change."""
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self, users=20000, items=30000, words=5000, c=32):
            super().__init__()
            self.user, self.item = nn.Embedding(users, c), nn.Embedding(items, c)
            self.words = nn.EmbeddingBag(words, c, mode="mean")
            self.bias = nn.Embedding(items, 1)
            self.head = nn.Sequential(nn.Linear(3 * c + 1, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, user, item, words):
            u, i, w = self.user(user), self.item(item), self.words(words)
            pairs = (u * i).sum(1, keepdim=True)
            return (self.head(torch.cat([u, i, w, pairs], 1)) + self.bias(item)).squeeze(1)

    torch.manual_seed(0)
    net = Net()
    batch = [torch.randint(0, n, s) for n, s in ((20000, (1024,)), (30000, (1024,)), (5000, (1024, 8)))]
    clicked = torch.randint(0, 2, (1024,)).float()
    opt = torch.optim.Adagrad(net.parameters(), lr=0.05)
    return training(net, opt, lambda m, *b: F.binary_cross_entropy_with_logits(m(*b[:-1]), b[-1]),
                    *batch, clicked)


def gcn(torch):
    """Two layers of graph convolution: gather by source, weigh, scatter to target."""
    nn, F = torch.nn, torch.nn.functional
    nodes, edges = 2000, 20000

    class Layer(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.linear = nn.Linear(i, o, bias=False)
            self.bias = nn.Parameter(torch.zeros(o))

        def forward(self, x, source, target, weight):
            messages = self.linear(x)[source] * weight[:, None]
            return torch.zeros(x.shape[0], messages.shape[1]).index_add(0, target, messages) + self.bias

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Layer(64, 64), Layer(64, 7)

        def forward(self, x, source, target):
            ones = torch.ones(source.shape[0])
            degree = torch.zeros(x.shape[0]).scatter_add(0, target, ones).clamp(min=1).rsqrt()
            weight = degree[source] * degree[target]
            h = F.dropout(self.a(x, source, target, weight).relu(), 0.5, self.training)
            return self.b(h, source, target, weight)

    torch.manual_seed(0)
    net = Net()
    x, y = torch.randn(nodes, 64), torch.randint(0, 7, (nodes,))
    source, target = torch.randint(0, nodes, (edges,)), torch.randint(0, nodes, (edges,))
    known = torch.rand(nodes) < 0.3
    opt = torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=5e-4)
    return training(net, opt, lambda m, *g: F.cross_entropy(m(*g)[known], y[known]), x, source, target)


def small_gpt(torch, cached):
    """A step is 32 tokens drawn from a GPT whose context grows; with `cached`, keys and values are kept."""
    nn, F = torch.nn, torch.nn.functional
    C, H, T, V = 128, 4, 64, 256

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)
            self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
            self.up, self.down = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

        def forward(self, x, past):
            b, t, _ = x.shape
            q, k, v = (z.view(b, t, H, C // H).transpose(1, 2) for z in self.qkv(self.ln1(x)).split(C, 2))
            if past is not None:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, C))
            return x + self.down(F.gelu(self.up(self.ln2(x)))), (k, v)

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok, self.pos = nn.Embedding(V, C), nn.Embedding(T, C)
            self.blocks = nn.ModuleList([Block() for _ in range(3)])
            self.ln, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)

        def forward(self, ids, past):
            start = past[0][0].shape[2] if past else 0
            x = self.tok(ids) + self.pos(torch.arange(start, start + ids.shape[1]))
            kept = []
            for i, block in enumerate(self.blocks):
                x, kv = block(x, past[i] if past else None)
                kept.append(kv)
            return self.head(self.ln(x)), kept

    torch.manual_seed(0)
    net = GPT().eval()
    prompt = torch.randint(0, V, (1, 8))

    @torch.no_grad()
    def step():
        ids, past = prompt, None
        for _ in range(32):
            logits, kept = net(ids[:, -1:] if past else ids, past)
            past = kept if cached else None
            top, _ = torch.topk(logits[:, -1] / 0.8, 20)
            logits = logits[:, -1].masked_fill(logits[:, -1] < top[:, -1:], float("-inf"))
            ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1)], 1)
        return ids.float().mean()
    return step


def sampling(torch):
    """32 tokens without a cache: each one runs the whole context, which grows."""
    return small_gpt(torch, cached=False)


def sampling_cached(torch):
    """32 tokens with keys and values kept by cat."""
    return small_gpt(torch, cached=True)


# -- overhead, and the second order -----------------------------------------------------------------
def actor_critic(torch):
    """An episode of 50 moves on tiny tensors with a look at each action, then one update."""
    nn, F = torch.nn, torch.nn.functional

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.actor, self.critic = nn.Linear(4, 128), nn.Linear(128, 2), nn.Linear(128, 1)

        def forward(self, x):
            h = F.relu(self.first(x))
            return F.softmax(self.actor(h), dim=-1), self.critic(h)

    torch.manual_seed(0)
    net = Policy()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    worlds = torch.randn(2, 4, 4) * 0.3

    def step():
        state, saved, rewards = torch.ones(4), [], []
        for _ in range(50):
            probabilities, value = net(state)
            choice = torch.multinomial(probabilities, 1).squeeze(0)
            saved.append((probabilities[choice].log(), value))
            with torch.no_grad():
                state = torch.tanh(worlds[int(choice.item())] @ state + 0.1)
            rewards.append(state.sum().item())
        total, returns = 0.0, []
        for reward in reversed(rewards):
            total = reward + 0.99 * total
            returns.insert(0, total)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-6)
        actor = [-log * (r - v.item()) for (log, v), r in zip(saved, returns)]
        critic = [F.smooth_l1_loss(v, r.view(1)) for (_, v), r in zip(saved, returns)]
        opt.zero_grad()
        loss = torch.stack(actor).sum() + torch.stack(critic).sum()
        loss.backward()
        opt.step()
        return loss
    return step


def lbfgs(torch):
    """A small net fitted in float64 by LBFGS with strong Wolfe line search."""
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1)).double()
    x = torch.rand(512, 2, dtype=torch.float64)
    y = torch.sin(3 * x[:, :1]) * torch.cos(2 * x[:, 1:])
    opt = torch.optim.LBFGS(net.parameters(), lr=1.0, max_iter=4, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = (net(x) - y).pow(2).mean()
        loss.backward()
        return loss
    return lambda: opt.step(closure)


def experts(torch):
    """Top-2 routing: the rows that each expert gets are another number in each step."""
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    gate, head = nn.Linear(32, 4), nn.Linear(32, 5)
    nets = nn.ModuleList([nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(4)])
    opt = torch.optim.Adam([*gate.parameters(), *nets.parameters(), *head.parameters()], lr=1e-3)
    generator = torch.Generator().manual_seed(1)

    def step():
        x, y = torch.randn(128, 32, generator=generator), torch.randint(0, 5, (128,), generator=generator)
        weights, chosen = F.softmax(gate(x), -1).topk(2, -1)
        weights, out = weights / weights.sum(-1, keepdim=True), x
        for k, net in enumerate(nets):
            rows, slot = torch.where(chosen == k)
            if rows.numel():
                out = out.index_add(0, rows, net(x[rows]) * weights[rows, slot, None])
        opt.zero_grad()
        loss = F.cross_entropy(head(out), y)
        loss.backward()
        opt.step()
        return loss
    return step


def k_means(torch):
    """Centres as means of masked rows, each looked at before it is taken."""
    torch.manual_seed(0)
    x = torch.randn(1000, 8)

    def step():
        centres = x[:8].clone()
        for _ in range(10):
            nearest = ((x[:, None] - centres) ** 2).sum(-1).argmin(1)
            for k in range(8):
                mine = nearest == k
                if mine.any():
                    centres[k] = x[mine].mean(0)
        return centres.abs().sum()
    return step


def mixture(torch):
    """Expectation and maximisation of three normal distributions: small factorisations, checked arguments."""
    normal = import_module(torch.__name__ + ".distributions").MultivariateNormal
    torch.manual_seed(0)
    x, ridge = torch.randn(1000, 4), 1e-4 * torch.eye(4)

    def step():
        mean, cov, share = x[:3].clone(), torch.eye(4).repeat(3, 1, 1), torch.ones(3) / 3
        for _ in range(5):
            joint = torch.stack([normal(m, c).log_prob(x) for m, c in zip(mean, cov)], 1) + share.log()
            total = torch.logsumexp(joint, 1, keepdim=True)
            weights = (joint - total).exp()
            n = weights.sum(0)
            mean, share = weights.T @ x / n[:, None], n / len(x)
            cov = torch.stack([(w[:, None] * (x - m)).T @ (x - m) / w.sum() + ridge for w, m in zip(weights.T, mean)])
        return -total.mean()
    return step


FURTHER = {f.__name__: f for f in (
    convnext, mobilenet, inception, groupnorm_resnet, vit, video, vae, diffusion, gru_seq2seq, recommender,
    gcn, sampling, sampling_cached, actor_critic, lbfgs, experts, k_means, mixture)}
# Programs whose steps are not alike (a search that converges, sizes that data chooses): so many are timed in either library.
STEPS = {"actor_critic": 100, "lbfgs": 40, "experts": 200}
