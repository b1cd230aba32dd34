"""vmap is the loop: every primitive at every axis, compositions, what a failed call leaves behind."""
from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.func import functional_call, grad, grad_and_value, vmap
from rushlight.func.batching import Capture
from rushlight.nn import functional as F
from rushlight.prims import PRIMITIVES
from rushlight.trace import record
from rushlight.trace.record import pending

SIZE, SMALL = 3, 3000
CALLED = [p for p in PRIMITIVES.values() if p.name not in ("write", "random_words")]


def tensor(a):
    return torch.tensor(np.asarray(a)) if np.asarray(a).dtype.kind in "biufc" else \
        torch.tensor(np.asarray(a).astype(np.float32)).to(torch.bfloat16)


def numbers(x):
    return x.numpy() if x.dtype is torch.bool or x.is_complex() else x.to(torch.float64).numpy()


def cases(prim):
    """A sample of each combination of shapes and parameters that has an operand."""
    seen = set()
    for arrays, params in prim.samples(np.random.default_rng(0)):
        signature = (tuple(np.asarray(a).shape for a in arrays), str(params), np.asarray(arrays[0]).dtype.kind)
        if signature not in seen and np.asarray(arrays[0]).size < SMALL:
            seen.add(signature)
            yield [np.asarray(a) for a in arrays], params


def entries(a):
    """As many arrays like this one: floats scaled, which keeps domains, others rolled, so that indices stay in range."""
    if a.dtype.kind not in "biu":
        return [(a * (1 - 0.125 * k)).astype(a.dtype) for k in range(SIZE)]
    return [np.roll(a, k) if a.ndim else a for k in range(SIZE)]


def check(prim, arrays, params, mapped, axis):
    made = [entries(a) for a in arrays]
    dims = [axis % (a.ndim + 1) if on else None for a, on in zip(arrays, mapped)]
    xs = [tensor(m[0]) if d is None else torch.stack([tensor(e) for e in m], d) for m, d in zip(made, dims)]
    got = vmap(lambda *xs: prim(*xs, **params), in_dims=tuple(dims))(*xs)
    want = [prim(*[tensor(m[k if on else 0]) for m, on in zip(made, mapped)], **params) for k in range(SIZE)]
    assert got.dtype is want[0].dtype
    tolerance = 1e-5 if prim.ulp >= 16 else 1e-6
    np.testing.assert_allclose(numbers(got), np.stack([numbers(w) for w in want]), rtol=tolerance, atol=tolerance,
                               err_msg=f"{prim}{params} mapped {mapped} at {axis}")


@pytest.mark.parametrize("prim", [p for p in CALLED if p.name not in ("iota", "full")], ids=repr)
def test_every_primitive_at_every_axis(prim):
    for arrays, params in list(cases(prim))[:6]:
        ways = [w for w in itertools.product((True, False), repeat=len(arrays)) if any(w)]
        for k, mapped in enumerate(ways if len(ways) < 8 else ways[:1] + ways[-2:]):
            check(prim, arrays, params, mapped, 0)
            for axis in range(1, arrays[0].ndim + 1) if k == 0 else ():
                check(prim, arrays, params, mapped, axis)


# -- writes ---------------------------------------------------------------------------------------------
def put_row(a, b):
    a = a.clone()
    a[1] = b
    return a


def put_column(a, b):
    a = a.clone()
    a.t()[1, ::2] += b[::2]
    return a * 2


def through_a_view(a, b):
    y = torch.zeros_like(a)
    y.view(-1)[1:4] = b
    return y.t()


def into_common(a, b):
    y = torch.zeros(4, 3)
    y = y + 0 * a
    y[1:3] -= b
    return y


@pytest.mark.parametrize("f", [put_row, put_column, through_a_view, into_common])
@pytest.mark.parametrize("dims", [(0, 0), (0, None), (1, 1), (2, 0)])
def test_writes(f, dims):
    a, b = torch.arange(36.).view(3, 4, 3).movedim(0, dims[0]), torch.arange(9.).view(3, 3)
    b = b if dims[1] is not None else b[0]
    if f is put_column:
        b = torch.cat([b, b[..., :1]], -1)
    n = 4 if dims[1] == 1 and f is put_column else 3
    got = vmap(f, dims)(a, b) if n == 3 else vmap(f, (dims[0], 0))(a, b)
    column = dims[1] if n == 3 else 0
    want = [f(a.select(dims[0], k), b if column is None else b.select(column, k)) for k in range(3)]
    np.testing.assert_array_equal(got.numpy(), torch.stack(want).numpy())


def test_write_into_an_argument_changes_it():
    x = torch.zeros(4, 3)
    vmap(lambda a, b: a.add_(b), (1, 0))(x, torch.arange(3.))
    assert x.tolist() == [[0, 1, 2]] * 4


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.parametrize("f", [torch.clone, lambda a: (a * 2, (a * 2).clone())[1], lambda a: a.clone().add_(0)])
def test_results_have_their_own_memory(f, taped):
    x = torch.arange(3.).requires_grad_(taped)
    before = x.detach().clone()
    y = vmap(lambda a: (f(a), f(a), a * 2))(x)
    again = [v.detach().clone() for v in y]
    y[0].add_(1)
    assert x.tolist() == before.tolist()
    assert [v.tolist() for v in y[1:]] == [v.tolist() for v in again[1:]]


def test_a_value_returned_twice():
    def f(a):
        b = a * 2
        return b, b.clone()
    first, second = vmap(f)(torch.arange(3.))
    first.add_(1)
    assert second.tolist() == [0, 2, 4]


def test_common_writes_to_captured_tensors_stay():
    count = torch.zeros(())
    assert vmap(lambda a: (a + count.add_(1)))(torch.zeros(3)).tolist() == [1, 1, 1]
    assert count.item() == 1


# -- nothing is left behind ---------------------------------------------------------------------------------
def failing(program):
    with pytest.raises((RuntimeError, ValueError, ZeroDivisionError)) as caught:
        program()
    return str(caught.value)


def test_a_failed_call_leaves_nothing():
    x, kept = torch.arange(6.).view(3, 2), torch.ones(2)
    before = kept * 3

    def bad(a):
        kept.copy_(a)
        return a

    def late(a):
        kept[0] = a[0]
        return 1 / 0
    assert "inplace arithmetic" in failing(lambda: vmap(bad)(x))
    failing(lambda: vmap(late)(x))
    failing(lambda: vmap(lambda a: a.sum().item())(x))
    failing(lambda: vmap(vmap(lambda a: 3))(x))
    assert pending.capture is None
    assert kept.tolist() == [1, 1] and before.tolist() == [3, 3]
    assert vmap(lambda a: a + kept)(x).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_common_values_can_be_read_inside():
    p, seen = torch.arange(3.) * 2, []

    def f(a):
        seen.append((p.sum() + 1).item())
        return a * int(p.max()) if bool(p.sum() > 5) else a
    assert vmap(vmap(f))(torch.ones(2, 3)).tolist() == [[4] * 3] * 2
    assert seen == [7]


def test_a_tensor_that_escapes_says_so():
    out = []
    vmap(lambda a: (out.append(a * 2), a)[1])(torch.ones(3))
    assert "left the function" in failing(lambda: out[0].tolist())
    assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_other_threads_wait():
    done = []

    def f(a):
        thread = threading.Thread(target=lambda: done.append((torch.ones(3) * 2).sum().item()))
        thread.start()
        f.thread = thread
        return a * 2
    assert vmap(f)(torch.ones(2)).tolist() == [2, 2]
    f.thread.join()
    assert done == [6]


def test_values_of_a_taped_call_go_with_the_tape():
    x = torch.ones(3, 5, requires_grad=True)
    y = vmap(lambda a: a.exp().sin().sum())(x)
    fn = y.grad_fn
    y.sum().backward()
    gc.collect()
    assert fn.capture is None
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_results_can_be_written_to_before_backward():
    x = torch.ones(3, requires_grad=True)
    y = vmap(torch.exp)(x)
    y.add_(1)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(np.ones(3)), rtol=1e-6)


# -- per-sample gradients -------------------------------------------------------------------------------------
class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Linear(4, 3)

    def forward(self, x):
        y = F.relu(self.norm(self.first(x)))
        return self.last((y + x.mean(1, keepdim=True)).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.block = nn.Embedding(7, 8), nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.block(self.words(x)).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.cell(x)[0][:, -1])


IMAGES = lambda: torch.randn(6, 2, 8, 8)
MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), lambda: torch.randn(6, 4)),
    "cnn": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3)), IMAGES),
    "residual": (Residual, IMAGES),
    "attention": (Attention, lambda: torch.randint(0, 7, (6, 5))),
    "recurrent": (Recurrent, lambda: torch.randn(6, 5, 4)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("chunk", [None, 4])
def test_per_sample_gradients(name, chunk):
    torch.manual_seed(0)
    make, data = MODELS[name]
    net, x, y = make(), data(), torch.randint(0, 3, (6,))
    params = {k: p.detach() for k, p in net.named_parameters()}

    def loss(p, a, b):
        return F.cross_entropy(functional_call(net, p, (a.unsqueeze(0),)), b.unsqueeze(0))
    got, values = vmap(grad_and_value(loss), (None, 0, 0), chunk_size=chunk)(params, x, y)
    for i in range(6):
        single = F.cross_entropy(net(x[i:i + 1]), y[i:i + 1])
        net.zero_grad()
        single.backward()
        np.testing.assert_allclose(values[i].item(), single.item(), rtol=1e-5)
        for k, p in net.named_parameters():
            np.testing.assert_allclose(got[k][i].numpy(), p.grad.numpy(), rtol=2e-4, atol=2e-6, err_msg=k)


def test_private_step_through_captured_parameters():
    """Gradients of a vmapped loss with respect to parameters that it has captured."""
    torch.manual_seed(0)
    net, x, y = MODELS["cnn"][0](), IMAGES(), torch.randint(0, 3, (6,))
    losses = vmap(lambda a, b: F.cross_entropy(net(a.unsqueeze(0)), b.unsqueeze(0)))(x, y)
    losses.mean().backward()
    got = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    for a, p in zip(got, net.parameters()):
        np.testing.assert_allclose(a.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_gradient_penalty():
    """A gradient of per-sample gradients' norms, as in WGAN-GP, against taping the loop."""
    torch.manual_seed(0)
    net, x = MODELS["mlp"][0](), torch.randn(6, 4)
    vmap(grad(lambda a: net(a).sum()))(x).norm(dim=1).sub(1).square().mean().backward()
    got = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    x.requires_grad_()
    (g,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    g.norm(dim=1).sub(1).square().mean().backward()
    for a, p in zip(got, net.parameters()):
        if p.grad is not None and a is not None:
            np.testing.assert_allclose(a.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_flush_in_a_replay_computes_what_is_still_to_be_read(monkeypatch):
    """A loop that never reads is cut somewhere, and that may be in the middle of a replay."""
    def f(x):
        c = torch.full((), 0.5) * 2
        return (x * c).sin() + c
    x = torch.arange(4.)
    expected = vmap(f)(x).tolist()
    pending.flush()
    monkeypatch.setattr(pending, "limit", 0)
    monkeypatch.setattr(record, "_at_the_ends", pending.flush)
    assert vmap(f)(x).tolist() == expected


@pytest.mark.parametrize("f", [
    lambda a, x: x.clone().add_(a), lambda a, x: torch.select_scatter(x, a[0], 0, 1), lambda a, x: x.put(torch.tensor([2]), a[0, :1]),
    lambda a, x: torch.slice_scatter(x, a, 0, 0, 2), lambda a, x: torch.diagonal_scatter(x, a[:, 0]),
    lambda a, x: x.index_put((torch.tensor([1]),), a[:1])])
def test_copy_of_a_common_tensor_may_be_written_to(f):
    """The original is nobody's, so PyTorch's refusal of what is not batched has no reason here."""
    a, x = torch.randn(4, 2, 2), torch.randn(2, 2)
    before = x.tolist()
    assert vmap(f, (0, None))(a, x).tolist() == torch.stack([f(one, x) for one in a]).tolist()
    assert vmap(lambda a: f(a, x))(a).tolist() == torch.stack([f(one, x) for one in a]).tolist()
    assert x.tolist() == before


def test_value_that_is_dropped_before_the_replay_is_computed(monkeypatch):
    """Whoever shows a common value when the function ends may have let go of it when it is read."""
    held = []

    def f(x):
        c = torch.full((4,), 0.5).clone()
        c[1] = 3
        held.append(c)
        return x * c

    def replay(self, roots, plainly=Capture._replay):
        held.clear()
        pending.flush()
        return plainly(self, roots)
    monkeypatch.setattr(Capture, "_replay", replay)
    assert vmap(f)(torch.ones(2, 4)).tolist() == [[0.5, 3, 0.5, 0.5]] * 2


def test_loop_of_maps_that_never_reads():
    x = torch.full((4,), 0.25)
    x.tolist()
    for _ in range(9000):
        x = vmap(lambda x: x * torch.full((), 0.5) + 1)(x)
    assert x.tolist() == [2.0] * 4


def test_gaussian_nll_loss_batched_checks_its_variance():
    x, y = torch.randn(3, 4), torch.randn(3, 4)
    loss = torch.func.vmap(torch.nn.functional.gaussian_nll_loss)
    each = [torch.nn.functional.gaussian_nll_loss(a, b, a.abs() + 0.1) for a, b in zip(x, y)]
    assert torch.allclose(loss(x, y, x.abs() + 0.1), torch.stack(each))
    with pytest.raises(ValueError, match="var has negative entry/entries"):
        loss(x, y, -torch.ones(3, 4)).tolist()
