"""Whose memory a gradient is: what is done to one in place must not show in another. Errors of users' functions."""
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402


def plain(x):
    return x.detach().tolist()


def clipped_after_a_graph(T):
    """Two leaves that are given one and the same gradient, which is differentiable."""
    a, b = T.ones(3, requires_grad=True), T.ones(3, requires_grad=True)
    (a + b).square().sum().backward(create_graph=True)
    T.nn.utils.clip_grad_norm_([a, b], 1.0)
    return [plain(a.grad.mul(8).round()), plain(b.grad.mul(8).round()), a.grad is b.grad]


def written_after_a_graph(T):
    """A gradient that is an expanded number, and one of a leaf in another memory order."""
    a = T.ones(2, 3, requires_grad=True)
    b = T.ones(2, 3, 2, 2).to(memory_format=T.channels_last).requires_grad_()
    (a.sum() + b.sum()).backward(create_graph=True)
    a.grad.mul_(3)
    b.grad.mul_(2)
    return [plain(a.grad), a.grad.stride(), plain(b.grad), b.grad.stride()]


def retained(T):
    """Gradients of non-leaves are their own, and have a graph if there is one."""
    x = T.ones(2, requires_grad=True)
    y = x * x
    z = y + 1
    y.retain_grad()
    z.retain_grad()
    (z * z).sum().backward(create_graph=True)
    y.grad.data.mul_(5)
    g, = T.autograd.grad(z.grad.sum(), x)
    return [plain(y.grad), plain(z.grad), plain(g)]


def viewed(T):
    """Gradients of padded inputs, as penalties view them."""
    x = T.arange(32.0).reshape(2, 1, 4, 4).requires_grad_()
    F, found = T.nn.functional, []
    for f in (lambda x: F.pad(x, (1, 1, 1, 1)), lambda x: F.avg_pool2d(x, 3, 2, 1)):
        g, = T.autograd.grad(f(x).square().sum(), x, create_graph=True)
        found += [g.stride(), plain(g.view(2, -1).sum(1).round())]
    return found


def parts_of_a_seed(T):
    """Gradients of what was joined are parts of the gradient of the whole."""
    found = []
    for join in (T.cat, T.stack):
        for dim in (0, 1):
            x, y = (T.full((3, 4), n).requires_grad_() for n in (1.0, 2.0))
            whole = join([x, y * 2], dim)
            seed = T.arange(24.0).reshape(whole.shape)
            g, h = T.autograd.grad(whole, (x, y), seed)
            seed.mul_(3)
            found += [g.stride(), plain(g), h.is_contiguous(), plain(h)]
    return found


def function_of(T, gradient, dirty=False):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            if not dirty:
                return x * 1
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return gradient(g)
    return F


def refused(call):
    with pytest.raises(RuntimeError) as caught:
        call()
    return str(caught.value).split(":")[0]


def wrong_functions(T):
    x = T.ones(3, requires_grad=True)
    short, large = function_of(T, lambda g: g[:2]), function_of(T, lambda g: g.expand(4, 3))
    large.apply(x).sum().backward()
    return [plain(x.grad), refused(lambda: short.apply(x).sum().backward()),
            refused(lambda: function_of(T, lambda g: g, dirty=True).apply(x))]


@pytest.mark.parametrize("program", [clipped_after_a_graph, written_after_a_graph, retained, viewed, parts_of_a_seed,
                                     wrong_functions])
@pytest.mark.filterwarnings("ignore:Using backward")
def test_program(program):
    assert program(rushlight) == program(torch)
