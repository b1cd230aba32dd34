"""Conjugates and negatives are views, as in PyTorch: values, flags, strides, writes through them, gradients, files, errors."""
from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

LINES = """
x=mk(m); y=x.conj(); (y, y.is_conj(), y._is_view(), y._base is x, y.data_ptr()==x.data_ptr())
x=mk(m); y=x.conj(); x.mul_(2); y
x=mk(m); y=x.conj(); y[0,0]=5+5j; (x,y)
x=mk(m); y=x.conj(); y.mul_(1j); (x,y)
x=mk(m); y=x.conj(); y[0].mul_(1j); (x,y)
x=mk(m); y=x.t().conj(); y[0].mul_(1j); (x,y)
x=mk(m); y=x.conj(); y.fill_(2+3j); (x,y)
x=mk(m); y=x.conj(); y.zero_(); (x,y)
x=mk(m); y=x.conj(); y.copy_(mk(m)); (x,y)
x=mk(m); y=x.conj(); y.copy_(mk(m).conj()); (x,y)
x=mk(m); y=x.conj(); x.copy_(y); (x,y)
x=mk(m); y=x.conj(); x.add_(y); (x,y)
x=mk(m); y=x.conj(); y.add_(x); (x,y)
x=mk(m); x.conj().conj().is_conj()
x=mk(m); y=x.conj().conj(); y._base is x
x=mk(m); y=x.conj().conj(); y is x
x=mk(m); x.conj().resolve_conj()
x=mk(m); x.resolve_conj() is x
x=mk(m); m.resolve_conj(x.conj())
x=mk(m); x.conj().numpy()
x=mk(m); x.conj().numpy(force=True).tolist()
x=mk(m); __import__('numpy').asarray(x.conj()).tolist()
x=mk(m); m.view_as_real(x.conj())
x=mk(m); m.view_as_real(x.conj().resolve_conj())
x=mk(m); x.conj().real
x=mk(m); x.conj().imag
x=mk(m); i=x.conj().imag; i.mul_(2); (x, i)
x=mk(m); i=x.conj().imag; i[0]=7; (x, i)
x=mk(m); x.conj().imag.resolve_neg()
x=mk(m); x.conj().imag.numpy()
x=mk(m); x.conj().imag.numpy(force=True).tolist()
x=mk(m); x.conj().imag.is_neg()
x=mk(m); x.imag.is_neg()
x=mk(m); x.conj().imag + 1
x=mk(m); x.conj().imag.t()
x=mk(m); x.conj().imag.clone()
x=mk(m); x.conj().imag.contiguous()
x=mk(m); x.conj().imag.view(m.int32)
x=mk(m); x.conj().view(m.float32)
x=mk(m); x.conj().view(m.complex64)
x=mk(m); x.mH
x=mk(m); x.H
x=mk(m); x.adjoint()
x=mk(m); m.adjoint(x)
x=mk(m); x.mT.conj()
x=mk(m); x[0].conj()
x=mk(m); x.conj()[0]
x=mk(m); x.conj()[[0,1]]
x=mk(m); x.conj().clone()
x=mk(m); x.conj().contiguous()
x=mk(m); x.conj().contiguous() is x.conj()
x=mk(m); y=x.conj(); y.contiguous() is y
x=mk(m); x.mH.contiguous()
x=mk(m); y=x.conj(); y.to(m.complex128)
x=mk(m); y=x.conj(); y.to(m.complex64) is y
x=mk(m); y=x.conj(); y.to(m.complex64, copy=True)
x=mk(m); y=x.conj(); y.cpu() is y
x=mk(m); y=x.conj(); y.detach()
x=mk(m); y=x.conj(); y.data
x=mk(m); y=x.conj(); y.reshape(4)
x=mk(m); y=x.mH; y.reshape(4)
x=mk(m); y=x.conj(); y.flatten()
x=mk(m); y=x.conj(); y.expand(2,2,2)
x=mk(m); y=x.conj(); y.diagonal()
x=mk(m); y=x.conj(); y.unbind(0)
x=mk(m); y=x.conj(); y.split(1)
x=mk(m); y=x.conj(); y.as_strided((2,),(1,),1)
x=mk(m); y=x.conj(); y+y
x=mk(m); y=x.conj(); y@x
x=mk(m); y=x.conj(); y.mH@x
x=mk(m); y=x.conj(); y.sum()
x=mk(m); y=x.conj(); y.abs()
x=mk(m); y=x.conj(); -y
x=mk(m); y=x.conj(); y.angle()
x=mk(m); y=x.conj(); m.cat([y,y])
x=mk(m); y=x.conj(); m.stack([y,x])
x=mk(m); y=x.conj(); m.zeros_like(y)
x=mk(m); y=x.conj(); m.empty_like(y).is_conj()
x=mk(m); y=x.conj(); y.new_zeros(2)
x=mk(m); y=x.conj(); m.where(y.abs()>2, y, x)
x=mk(m); y=x.conj(); repr(y)
x=mk(m); y=x.conj(); repr(y.imag)
x=mk(m); y=x.conj(); y[0,0].item()
x=mk(m); y=x.conj(); y.imag[0,0].item()
x=mk(m); y=x.conj(); y.tolist()
x=mk(m); y=x.conj(); pickle.loads(pickle.dumps(y))
x=mk(m); y=x.conj(); copy.deepcopy(y)
x=mk(m); y=x.conj(); copy.copy(y)
x=mk(m); y=x.conj(); b=io.BytesIO(); m.save(y,b); b.seek(0); m.load(b)
x=mk(m); y=x.conj().imag; b=io.BytesIO(); m.save(y,b); b.seek(0); m.load(b)
x=mk(m); y=x.conj().imag; copy.deepcopy(y)
x=mk(m); y=x.conj(); y.storage_offset()
x=mk(m); y=x.conj(); y.untyped_storage().data_ptr()==x.untyped_storage().data_ptr()
x=mk(m); y=x.conj(); y.untyped_storage().tolist()
x=mk(m); y=m._neg_view(x); (y, y.is_neg())
x=mk(m); y=m._neg_view(x).conj(); (y, y.is_neg(), y.is_conj())
x=m.arange(3.); y=m._neg_view(x); y.add_(1); (x,y)
x=m.arange(3.); y=m._neg_view(x); y.resolve_neg()
x=m.arange(3.); y=m._neg_view(x); y[1]=9; (x,y)
x=m.arange(3.); y=m._neg_view(m._neg_view(x)); y.is_neg()
x=m.arange(3.); y=m._neg_view(x); y.view(m.int32)
x=m.arange(4.); y=m._neg_view(x); m.view_as_complex(y.view(2,2))
x=m.arange(3.); x.conj() is x
x=m.arange(3.); x.resolve_neg() is x
x=m.arange(3); x.conj() is x
x=mk(m); y=m.conj(x); y
x=mk(m); y=m.conj_physical(x); y
x=mk(m); y=x.conj_physical(); y
x=mk(m); y=x.conj(); y.conj_physical()
x=mk(m); y=x.conj(); y.conj_physical_(); (x,y)
x=mk(m); x.conj_physical_()
x=mk(m); y=x.conj(); y.resolve_conj().is_conj()
x=mk(m); y=x.conj(); y.real.is_neg(), y.real._base is x
x=mk(m); y=x.conj(); y.real=m.zeros(2,2); (x,y)
x=mk(m); y=x.conj(); y.imag=m.ones(2,2); (x,y)
x=mk(m); y=x.conj(); y.imag.fill_(3); (x,y)
x=mk(m); y=x.conj(); m.vdot(y[0],x[0])
x=mk(m); y=x.conj(); m.dot(y[0],x[0])
x=mk(m); y=x.conj(); m.einsum('ij,jk->ik', y, x)
x=mk(m); y=x.conj(); m.fft.fft(y)
x=mk(m); y=x.conj(); y==x
x=mk(m); y=x.conj(); m.equal(y, x.conj())
x=mk(m); y=x.conj(); m.allclose(y, x.conj())
x=mk(m); y=x.conj(); y.index_add_(0, m.tensor([0]), m.ones(1,2,dtype=m.complex64)); (x,y)
x=mk(m); y=x.conj(); y.index_fill_(0, m.tensor([0]), 3j); (x,y)
x=mk(m); y=x.conj(); y.masked_fill_(m.tensor([True,False]), 3j); (x,y)
x=mk(m); y=x.conj(); y[m.tensor([True,False])]=3j; (x,y)
x=mk(m); y=x.conj(); y.scatter_(0, m.tensor([[0,1]]), m.tensor([[1j,2j]])); (x,y)
x=mk(m); y=x.conj(); y.t_(); (x,y)
x=mk(m); y=x.conj(); y.squeeze_(); y.is_conj()
x=mk(m); o=mk(m).conj(); m.add(x,x,out=o); o
x=mk(m); b=mk(m); o=b.conj(); m.mul(x,x,out=o); (o,b)
x=mk(m); b=mk(m); o=b.conj(); m.matmul(x,x,out=o); (o,b)
x=mk(m).requires_grad_(); y=x.conj(); (y.grad_fn.name(), y.requires_grad, y.is_leaf)
x=mk(m).requires_grad_(); y=x.conj(); y.sum().abs().backward(); x.grad
x=mk(m).requires_grad_(); y=x.conj().imag; (y.grad_fn.name(),)
x=mk(m).requires_grad_(); y=x.conj().imag; (y**2).sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj(); y.mul_(2j); z.abs().sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj(); y.mul_(2j); (y*(1+1j)).real.sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj(); z.mul_(2j); (y*(1+1j)).real.sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj(); y[0]=y[1]*2j; (z*(1+1j)).real.sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj().imag; y[0]=y[1]*2; (z*(1+1j)).real.pow(2).sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj().imag; z.mul_(1+3j); (y**2).sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.mH; y[0]*=3j; (z*(1+1j)).real.pow(2).sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x*1; y=z.conj(); w=y*y; z.add_(1); w.sum().abs().backward()
x=mk(m).requires_grad_(); y=x.conj(); y.add_(1)
x=mk(m).requires_grad_(); y=(x.mH@x); y.abs().sum().backward(); x.grad
x=mk(m).requires_grad_(); z=x.resolve_conj(); z is x
x=mk(m).requires_grad_(); z=x.conj().resolve_conj(); z.grad_fn.name()
x=mk(m).requires_grad_(); z=x.conj().clone(); z.grad_fn.name()
x=mk(m); y=x.conj(); m.is_same_size(x,y)
x=mk(m); y=x.conj(); m.view_as_complex(m.view_as_real(x)).conj()
x=mk(m); y=x.conj(); y.view(4)
x=mk(m); y=x.conj(); y.unfold(0,1,1).is_conj()
x=mk(m); y=x.conj(); y.chunk(2)[0].is_conj()
x=mk(m); y=x.conj(); m.conj(y.real).is_conj()
x=mk(m); y=x.conj(); y.sgn()
x=mk(m); y=x.conj(); y.set_(mk(m))
x=mk(m); y=x.conj(); y.resize_(4)
x=mk(m); y=x.conj(); x.set_(y)
x=mk(m); y=x.conj(); x.is_set_to(y)
x=mk(m); y=mk(m); y.data=x.conj(); y
x=mk(m); y=x.conj(); y.type(m.complex64) is y
x=mk(m); y=x.conj(); y.cfloat() is y
x=mk(m); y=x.conj(); y.cdouble()
x=mk(m); y=x.conj(); m.asarray(y) is y
x=mk(m); y=x.conj(); m.as_tensor(y) is y
x=mk(m); y=x.conj(); m.tensor(y)
x=mk(m); y=x.conj(); y.permute(1,0)
x=mk(m); y=x.conj(); y.__dlpack__() is None
x=mk(m); y=x.conj(); y.swapaxes(0,1).is_conj()
x=mk(m); m._conj_physical(x).is_conj()
x=mk(m); y=x.conj(); y.share_memory_().is_conj()
x=mk(m); y=x.conj(); m.real(y).is_neg()
x=mk(m); y=x.conj(); m.isreal(y)
x=mk(m); y=x.conj(); y.to(memory_format=m.contiguous_format).is_conj()
x=mk(m); y=x.conj(); y.broadcast_to((3,2,2)).is_conj()
x=mk(m); y=x.conj(); y.narrow(0,0,1).is_conj()
x=mk(m); y=x.conj(); y.movedim(0,1).is_conj()
x=mk(m); y=x.conj(); y.view_as(x).is_conj()
x=mk(m); y=x.conj(); y.unsqueeze(0).is_conj()
x=mk(m); y=x.conj(); m.Tensor.conj(x).is_conj()
x=mk(m); y=m.vmap(lambda r: r.conj()*2)(x); y
x=mk(m); y=m.vmap(lambda r: r*2)(x.conj()); y
x=mk(m); m.func.grad(lambda z: (z.conj()*z).real.sum())(x)
x=mk(m); m.autograd.functional.jacobian(lambda z: z.conj().imag, x.real.to(m.complex64))
x=mk(m); y=x.conj(); y.exp_(); (x,y)
x=mk(m); y=x.conj(); m.add(y, 1, alpha=2j)
x=mk(m); y=x.conj(); y.addcmul_(x,x); (x,y)
x=mk(m); y=x.conj(); y.lerp_(x*2,0.5); (x,y)
x=mk(m); y=x.mH; m.addmm(x,y,y)
x=mk(m); y=x.mH; m.bmm(y[None],y[None])
x=mk(m); m.nn.Parameter(x.conj()).is_conj()
x=mk(m); y=x.conj(); y.requires_grad_().is_leaf
x=mk(m); y=x.conj(); y.imag.normal_().shape
x=mk(m); y=x.conj(); m.testing.assert_close(y, x.conj_physical())
x=mk(m); y=x.conj(); y.to_sparse().coalesce().values()
x=mk(m); y=x.conj(); x.to_sparse().conj().is_conj()
x=mk(m); y=x.conj(); x.to_sparse().conj().to_dense()
x=mk(m); y=x.conj(); m.nonzero(y)
x=mk(m); y=x.conj(); y.take(m.tensor([0,1]))
x=mk(m); y=x.conj(); y.gather(0, m.tensor([[0,1]]))
x=mk(m); y=x.conj(); y.isnan().any()
x=mk(m); y=x.conj(); bool(y[0,0])
x=mk(m); y=x.conj(); complex(y[0,0])
x=mk(m); y=x.conj(); f"{y[0,0]}"
x=mk(m); y=x.conj(); y.imag.to(m.float64)
x=mk(m); y=x.conj(); y.imag.float() is y.imag
"""


def mk(m):
    return m.tensor([[1 + 2j, 3 - 4j], [0.5j, -2 + 1j]], dtype=m.complex64)


def described(value, m):
    """Everything about a result that is compared."""
    if isinstance(value, m.Tensor):
        return (str(value.dtype), tuple(value.shape), value.stride(), value.is_conj(), value.is_neg(),
                np.array(value.detach().resolve_conj().resolve_neg().tolist()))
    if isinstance(value, (tuple, list)):
        return [described(v, m) for v in value]
    return np.array(value.tolist()) if hasattr(value, "tolist") else value


def outcome(line, m):
    """What a line of statements and one expression gives, or the error."""
    *first, last = line.split("; ")
    names = dict(m=m, mk=mk, io=io, copy=copy, pickle=pickle, np=np)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec("; ".join(first), names)
            return described(eval(last, names), m)
    except Exception as error:
        return type(error).__name__, str(error)[:75]


def same(a, b) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_line(line):
    theirs, ours = outcome(line, torch), outcome(line, rushlight)
    assert same(theirs, ours), f"PyTorch: {theirs}\nrushlight: {ours}"


def test_part_of_large_memory_costs_its_part():
    """A row's conjugate computes a row; memory that NumPy sees is read at the call."""
    a = np.ones((64, 8), np.complex64)
    x = rushlight.from_numpy(a)
    y = x[3].conj() * 1j
    a[3] = 5
    assert y.tolist() == [1j] * 8
    from rushlight.trace.record import pending
    z = rushlight.ones(64, 8, dtype=rushlight.complex64)
    kept = z[3].conj() + 1
    sizes = [n.sig.numel for r in pending.nodes if (n := r()) is not None and n.sig.prim.name == "conj"]
    assert sizes == [8] and kept.shape == (8,)


def test_writes_reach_memory_that_numpy_sees():
    a = np.zeros(4, np.complex64)
    x = rushlight.from_numpy(a)
    x.conj()[1:3] = 1 + 2j
    x.conj().imag[3] = 4
    assert a.tolist() == [0, 1 - 2j, 1 - 2j, -4j]
    x.conj().fill_(1j)
    assert a.tolist() == [-1j] * 4


def test_conjugate_goes_to_another_process_as_one():
    from rushlight.multiprocessing.reductions import rebuild_tensor, reduce_tensor
    x = mk(rushlight)
    rebuilt, arguments = reduce_tensor(x.conj())
    assert rebuilt is rebuild_tensor and arguments[-2:] == (True, False) and x.is_shared()


def test_collated_views():
    x = mk(rushlight)
    for batch in ([x.conj()[0], x.conj()[1]], [x.conj().imag[0], x.imag[1]], [x.real[0], x.real[1]]):
        found = rushlight.utils.data.default_collate(batch)
        assert found.tolist() == [b.tolist() for b in batch]


def test_compiled_function_of_a_conjugate():
    x = mk(rushlight)
    y = x.conj()
    f = rushlight.compile(lambda z: (z * 2).imag.sum())
    for k in range(5):
        x.mul_(2)
        assert f(y).item() == pytest.approx((x.conj() * 2).imag.sum().item()), k
