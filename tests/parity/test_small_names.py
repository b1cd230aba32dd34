"""Names and states that differed silently: segments, orders of axes, nodes of samplers, inference tensors, odd strides."""
from __future__ import annotations

import warnings

import pytest

import rushlight
from tests.parity.test_conj import described, same

torch = pytest.importorskip("torch")

LINES = """
m.segment_reduce(m.arange(6.), "sum", lengths=m.tensor([2,1,3]))
m.segment_reduce(m.arange(6.), "mean", lengths=m.tensor([2,0,4]))
m.segment_reduce(m.arange(6.), "max", lengths=m.tensor([2,0,4]))
m.segment_reduce(m.arange(6.), "min", lengths=m.tensor([2,0,4]), initial=-1)
m.segment_reduce(m.arange(6.), "prod", lengths=m.tensor([2,0,4]), initial=2.)
m.segment_reduce(m.arange(6.), "sum", offsets=m.tensor([0,2,6]))
m.segment_reduce(m.arange(12.).reshape(6,2), "sum", lengths=m.tensor([2,1,3]))
m.segment_reduce(m.arange(12.).reshape(2,6), "sum", lengths=m.tensor([[2,1,3],[1,5,0]]), axis=1)
m.segment_reduce(m.arange(6.), "sum", lengths=m.tensor([2,1]), unsafe=True)
m.segment_reduce(m.arange(6.), "sum", lengths=m.tensor([2,1]))
m.segment_reduce(m.arange(6.), "sum")
m.segment_reduce(m.arange(6.), "foo", lengths=m.tensor([2,4]))
m.segment_reduce(m.arange(6), "sum", lengths=m.tensor([2,4]))
m.segment_reduce(m.arange(6.), "mean", lengths=m.tensor([-2,8]))
m.constant_pad_nd(m.ones(2,2), (1,1,0,2), 3.)
m.constant_pad_nd(m.ones(2,2), (1,-1))
m.constant_pad_nd(m.ones(2,2), (1,))
m.zeros(2,3,4,5).dim_order()
m.zeros(2,3,4,5).to(memory_format=m.channels_last).dim_order()
m.zeros(2,3).t().dim_order()
m.zeros(2,3).expand(4,2,3).dim_order()
m.zeros(2,3).dim_order(ambiguity_check=True)
m.zeros(1,3,1,1).dim_order(ambiguity_check=True)
m.zeros(2,3,4,5).dim_order(ambiguity_check=[m.contiguous_format, m.channels_last])
(m.zeros(2,1,3,4).to(memory_format=m.channels_last)+1).stride()
(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last)).stride()
(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last)*m.ones(2,1,3,4)).stride()
m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last).clone().stride()
m.zeros_like(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last)).stride()
m.relu(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last)).stride()
m.relu(m.zeros(2,3,1,1).contiguous(memory_format=m.channels_last)).stride()
(m.zeros(2,3,1,1).contiguous(memory_format=m.channels_last)+1).stride()
(m.zeros(1,1,3,4).contiguous(memory_format=m.channels_last)+1).stride()
(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last)).to(m.float64).stride()
(m.zeros(2,4,3,1).permute(0,3,1,2)+1).stride()
m.add(m.zeros(2,1,3,4).contiguous(memory_format=m.channels_last),m.zeros(1)).stride()
(m.zeros(1,3)+1).stride(),m.zeros(3,1).t().add(1).stride(), m.zeros(1,3).t().add(1).stride()
m.zeros(4,1,3).transpose(0,1).add(1).stride()
m.zeros(4,1,3).transpose(0,2).add(1).stride()
m.nn.Conv2d(1,3,3)(m.zeros(2,1,5,5).contiguous(memory_format=m.channels_last)).stride()
m.normal(m.zeros(3,requires_grad=True), 1.).grad_fn.name()
m.normal(m.zeros(3), m.ones(3,requires_grad=True)).grad_fn.name()
m.normal(m.zeros(3,requires_grad=True), m.ones(3)).grad_fn.name()
m.normal(1., m.ones(3,requires_grad=True)).grad_fn.name()
m.bernoulli(m.full((3,),.5,requires_grad=True)).grad_fn.name()
m.full((3,),.5,requires_grad=True).bernoulli().grad_fn.name()
m.poisson(m.full((3,),.5,requires_grad=True)).grad_fn.name()
m.bernoulli(m.full((3,),.5,requires_grad=True), 0.3).grad_fn.name()
m.binomial(m.full((3,),5.), m.full((3,),.5,requires_grad=True)).grad_fn.name()
m.multinomial(m.full((3,),.5,requires_grad=True),2).grad_fn
(m.zeros(3,requires_grad=True)*1).normal_().grad_fn.name()
(m.zeros(3,requires_grad=True)*1).uniform_().grad_fn.name()
(m.zeros(3,requires_grad=True)*1).bernoulli_(0.5).grad_fn.name()
(m.zeros(3,requires_grad=True)*1).exponential_().grad_fn.name()
(m.zeros(3,requires_grad=True)*1).cauchy_().grad_fn.name()
(m.zeros(3,requires_grad=True)*1).log_normal_().grad_fn.name()
(m.zeros(3,requires_grad=True)*1).geometric_(.5).grad_fn.name()
(m.zeros(3,requires_grad=True)*1).random_().grad_fn.name()
gradient(m, lambda x: m.normal(x, 1.).sum(), m.zeros(3))
gradient(m, lambda x: m.normal(0., x).sum(), m.ones(3))
gradient(m, lambda x: m.bernoulli(x).sum(), m.full((3,),.5))
gradient(m, lambda x: m.poisson(x).sum(), m.ones(3))
gradient(m, lambda x: (x*1).normal_().sum(), m.ones(3))
gradient(m, lambda x: (x*1).uniform_().sum(), m.ones(3))
gradient(m, lambda x: m.segment_reduce(x, "sum", lengths=m.tensor([2,1,3])).pow(2).sum(), m.arange(6.))
gradient(m, lambda x: m.segment_reduce(x, "mean", lengths=m.tensor([2,1,3])).pow(2).sum(), m.arange(6.))
gradient(m, lambda x: m.segment_reduce(x, "max", lengths=m.tensor([2,1,3])).pow(2).sum(), m.tensor([1.,1,2,3,4,4]))
gradient(m, lambda x: m.segment_reduce(x, "prod", lengths=m.tensor([2,1,3])).pow(2).sum(), m.tensor([1.,1,2,0,4,4]))
m.segment_reduce(m.arange(6.).requires_grad_(), "prod", lengths=m.tensor([2,1,3])).grad_fn.name()
m.constant_pad_nd(m.ones(2,2,requires_grad=True), (1,1,0,2), 3.).grad_fn.name()
m.is_inference(m.ones(2))
inf(m, lambda: m.ones(2))
inf(m, lambda: m.ones(2)).is_inference()
inf(m, lambda: m.ones(2)).add_(1)
inf(m, lambda: m.ones(2)).requires_grad_()
inf(m, lambda: m.ones(2)) * m.ones(2,requires_grad=True)
(inf(m, lambda: m.ones(2)) + m.ones(2,requires_grad=True)).sum()
inf(m, lambda: m.ones(2)) * 2
(inf(m, lambda: m.ones(2)) * 2).is_inference()
inf(m, lambda: m.ones(2)).view(2,1).is_inference()
inf(m, lambda: m.ones(2)).view(2,1).add_(1)
inf(m, lambda: m.ones(2)).clone().is_inference()
inf(m, lambda: m.ones(2)).clone().add_(1)
inf(m, lambda: m.ones(2)).detach().is_inference()
inf(m, lambda: m.ones(2))._version
inf(m, lambda: m.ones(2)).copy_(m.zeros(2))
m.ones(2).copy_(inf(m, lambda: m.ones(2)))
inf(m, lambda: m.ones(2,requires_grad=True)).requires_grad
inf(m, lambda: plain(m).view(2)).is_inference()
inf(m, lambda: plain(m).view(2)).add_(1)
inf(m, lambda: plain(m).add_(1)).is_inference()
inf(m, lambda: plain(m).mul(2)).is_inference()
inf(m, lambda: m.nn.Linear(2,2)(m.ones(2))).is_inference()
inf(m, lambda: m.nn.Linear(2,2)(m.ones(2))).requires_grad
m.nn.Linear(2,2)(inf(m, lambda: m.ones(2)))
no_grad(m, lambda: inf(m, lambda: m.ones(2)).add_(1))
no_grad(m, lambda: inf(m, lambda: m.ones(2)) * m.ones(2,requires_grad=True))
inf(m, lambda: m.ones(2)).sum().backward()
inf(m, lambda: m.ones(2)).numpy().tolist()
inf(m, lambda: m.ones(2))[0].is_inference()
inf(m, lambda: m.ones(2))[0:1].fill_(3)
inf(m, lambda: m.ones(2)).__setitem__(0, 1.)
inf(m, lambda: inf(m, lambda: m.ones(2)).add_(1))
inf(m, lambda: plain(m).is_inference())
inf(m, lambda: m.is_inference_mode_enabled())
inf(m, lambda: m.is_grad_enabled())
inf(m, lambda: (leaf(m)*2).grad_fn)
inf(m, lambda: leaf(m).sum().backward())
inf(m, lambda: leaf(m).detach().is_inference())
leaf(m).mul(inf(m, lambda: m.ones(2)))
m.exp(inf(m, lambda: m.ones(2)).requires_grad_(False))
m.cat([inf(m, lambda: m.ones(2)), leaf(m)]).grad_fn.name()
m.matmul(inf(m, lambda: m.ones(2,2)), leaf(m))
inf(m, lambda: m.ones(2)).data.is_inference()
m.nn.Parameter(inf(m, lambda: m.ones(2)))
inf(m, lambda: m.nn.Parameter(m.ones(2))).requires_grad
"""


def plain(m):
    return m.ones(2)


def leaf(m):
    return m.ones(2, requires_grad=True)


def inf(m, f):
    with m.inference_mode():
        return f()


def no_grad(m, f):
    with m.no_grad():
        return f()


def gradient(m, f, x):
    x = x.clone().requires_grad_()
    f(x).backward()
    return x.grad


NAMES = dict(plain=plain, leaf=leaf, inf=inf, no_grad=no_grad, gradient=gradient)


def outcome(line, m):
    """What a line gives, whether it is an inference tensor and how it got on the tape, or the error."""
    m.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = eval(line, NAMES | {"m": m})
    except Exception as error:
        return type(error).__name__, str(error)[:110]
    taped = (y.is_inference(), y.grad_fn and y.grad_fn.name()) if isinstance(y, m.Tensor) else ()
    return described(y, m), taped


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_line(line):
    theirs, ours = outcome(line, torch), outcome(line, rushlight)
    assert same(theirs, ours), f"PyTorch: {theirs}\nrushlight: {ours}"


def test_gradient_of_smallest_is_shared_by_equals():
    """PyTorch shares positive gradients alone."""
    x = rushlight.tensor([1., -3, -3, 4], requires_grad=True)
    rushlight.segment_reduce(x, "min", lengths=rushlight.tensor([1, 3])).pow(2).sum().backward()
    assert x.grad.tolist() == [2, -3, -3, 0]


def test_replays_make_what_the_mode_says():
    """A call that is replayed in inference mode makes inference tensors, outside of it plain ones."""
    f, x = rushlight.nn.functional.gelu, rushlight.rand(5)
    for _ in range(2):
        for _ in range(4):
            with rushlight.inference_mode():
                y = f(x)
            with rushlight.no_grad():
                z = f(x)
            assert y.is_inference() and not z.is_inference() and not f(x).is_inference()


def test_tables_made_in_inference_mode_serve_training():
    x = rushlight.rand(1, 1, 5, 5)
    def grown(x):
        return rushlight.nn.functional.pad(rushlight.nn.functional.interpolate(x, size=(7, 9), mode="bicubic"), (1,) * 4, "reflect")
    for _ in range(3):
        with rushlight.inference_mode():
            grown(x)
    w = x.clone().requires_grad_()
    (grown(w) ** 2).sum().backward()
    assert w.grad.shape == x.shape


def test_another_thread_makes_plain_tensors():
    import threading
    found = []
    with rushlight.inference_mode():
        worker = threading.Thread(target=lambda: found.append((rushlight.ones(2) * 2).is_inference()))
        worker.start()
        worker.join()
        assert (rushlight.ones(2) * 2).is_inference()
    assert found == [False]


ODD = {"cl": lambda m: m.rand(2, 1, 3, 4).to(memory_format=m.channels_last), "w1": lambda m: m.rand(2, 4, 3, 1).permute(0, 3, 1, 2),
       "hw": lambda m: m.rand(2, 3, 1, 1).to(memory_format=m.channels_last), "t": lambda m: m.rand(3, 1).t(),
       "t2": lambda m: m.rand(1, 3).t(), "t3": lambda m: m.rand(4, 1, 3).transpose(0, 1), "s": lambda m: m.rand(4, 2, 3)[:, :1]}
DONE = """x+1 1-x x*2 x/3 x**2 x>0.5 x%0.3 x//0.3 x.fmod(.2) x.clamp(.2) x.exp() m.relu(x) m.nn.functional.gelu(x) x+x x*m.ones(x.shape)
    x+m.tensor(1.) x+m.ones(1) x.double() x.half() x.bool() x.clone() m.zeros_like(x) x.eq(1) (x+1)*2 x[...,None]+1 x.masked_fill(x>.5,0)
    m.nn.functional.layer_norm(x,x.shape[-1:]) m.sub(x,1,alpha=2) x.lerp(x,.3) m.nn.functional.log_softmax(x,-1)"""


@pytest.mark.parametrize("kind", ODD)
def test_strides_of_axes_of_size_one(kind):
    for expression in DONE.split():
        theirs, ours = (eval(expression, {"m": m, "x": ODD[kind](m)}).stride() for m in (torch, rushlight))
        assert theirs == ours, expression


LAPACK = """
m.linalg.svd(A)
m.linalg.svd(T)
m.linalg.svd(W, full_matrices=False)
m.svd(A)
m.svd(W)
m.linalg.qr(T)
m.linalg.qr(W,mode="complete")
m.linalg.cholesky(P)
m.linalg.cholesky(P,upper=True)
m.cholesky(P,upper=True)
m.cholesky_inverse(m.linalg.cholesky(P))
m.cholesky_inverse(m.linalg.cholesky(P,upper=True),upper=True)
m.cholesky_solve(A, m.linalg.cholesky(P))
m.cholesky_solve(A, m.linalg.cholesky(P,upper=True),upper=True)
m.linalg.eigh(P)
m.linalg.eigvalsh(P)
m.linalg.eig(A)
m.linalg.eigvals(A)
m.linalg.inv(A)
m.linalg.pinv(T)
m.linalg.pinv(P,hermitian=True)
m.linalg.det(A)
m.linalg.slogdet(A)
m.logdet(A)
m.linalg.solve(A,P)
m.linalg.solve_triangular(A,P,upper=True)
m.linalg.solve_triangular(A,P,upper=True,left=False)
m.triangular_solve(P,A)
m.triangular_solve(P,A,transpose=True)
m.linalg.lu(A)
m.linalg.lu_factor(A)
m.lu_solve(P,*m.linalg.lu_factor(A))
m.linalg.lu_solve(*m.linalg.lu_factor(A),P,adjoint=True)
m.linalg.lu_solve(*m.linalg.lu_factor(A),P,left=False)
m.linalg.matrix_exp(A)
m.linalg.matrix_power(A,3)
m.linalg.matrix_power(A,-2)
m.linalg.householder_product(T,m.geqrf(T)[1])
m.geqrf(T)
m.ormqr(T,m.geqrf(T)[1],mk(m, 4,4))
m.ormqr(T,m.geqrf(T)[1],mk(m, 4,4),left=False)
m.ormqr(T,m.geqrf(T)[1],mk(m, 4,4),left=False,transpose=True)
m.linalg.ldl_factor(P)
m.linalg.ldl_factor(P,hermitian=True)
m.linalg.vecdot(A,P)
m.vdot(A[0],P[0])
m.linalg.cond(A)
m.linalg.norm(A)
m.linalg.multi_dot([A,P,A])
m.linalg.tensorinv(mk(m, 4,4).reshape(2,2,4),ind=2)
m.linalg.cross(A,P)
m.linalg.svdvals(A)
m.cov(A)
m.corrcoef(A)
m.var(A)
m.std(A,0)
m.fft.ihfft(A.real)
m.fft.hfft(A)
m.fft.ihfft2(A.real)
m.fft.ihfftn(A.real)
m.fft.hfft2(A)
m.istft(m.stft(A.real.reshape(-1),4,return_complex=True),4)
m.linalg.inv_ex(A)
m.linalg.solve_ex(A,P)
m.svd_lowrank(T,q=2)[1]
m.linalg.diagonal(A)
m.pinverse(T)
m.inverse(A)
m.linalg.tensorsolve(mk(m, 4,4).reshape(2,2,4),mk(m, 2,2))
"""


def mk(m, rows=3, columns=3):
    """A fixed complex matrix."""
    i = m.arange(rows * columns, dtype=m.float64).reshape(rows, columns)
    return m.complex((i * 1.7 + 0.3).sin(), (i * 0.9 + 1).cos())


def lies(y, m):
    if isinstance(y, (tuple, list)):
        return [lies(part, m) for part in y]
    return (tuple(y.shape), y.stride(), y.is_conj()) if isinstance(y, m.Tensor) else y


@pytest.mark.parametrize("line", LAPACK.strip().splitlines())
def test_matrices_lie_as_lapack_leaves_them(line):
    found = []
    for m in (torch, rushlight):
        A = mk(m)
        P = (A @ A.mH).resolve_conj() + m.eye(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(lies(eval(line, dict(m=m, mk=mk, A=A, T=mk(m, 4, 3), W=mk(m, 3, 4), P=P)), m))
    assert found[0] == found[1]


def test_resized_out_lies_as_the_result():
    for m in (torch, rushlight):
        x, out = m.rand(3, 4), m.empty(0)
        assert m.add(x.t(), 1, out=out).stride() == (1, 4)
