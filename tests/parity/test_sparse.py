"""Sparse tensors against PyTorch: what is printed, values, gradients, errors, optimisers, files."""
from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)

BOTH = (torch, rushlight)

# One expression a line, of: s and u (COO, u not coalesced), c and cc (CSR, CSC), d (dense), z (empty), h (hybrid),
# sl (a leaf that requires gradients), sp (of values that do). What is printed has to be the same.
EXPRESSIONS = """
T.zeros(2,3,layout=T.sparse_coo)
T.zeros((2,3),layout=T.sparse_csr)
T.zeros(2,3,layout=T.sparse_csc,dtype=T.float64)
T.ones(2,layout=T.sparse_coo)
T.zeros_like(d,layout=T.sparse_coo)
T.zeros_like(s,layout=T.strided)
T.zeros(2,3,layout=T.strided)
T.ones_like(d,layout=T.strided)
s
u
u.coalesce()
c
cc
sp
sl
h
z
T.sparse_coo_tensor([[0,1],[1,1]],[1,2],(2,2))
sl*2
u.indices()
u.values()
u._indices()
s.crow_indices()
c.indices()
c.coalesce()
s+d
d+s
s-d
d-s
s+1
s*2
2*s
s*d
d*s
s/2
s/d
s/s
s*s
s+s
u+u
s-s
-s
s.abs()
s.sqrt()
s.exp()
s.cos()
s.sum()
s.sum(0)
s.sum((0,1))
T.sparse.sum(s)
T.sparse.sum(s,0)
T.sparse.sum(s,(0,1))
T.sparse.sum(h,0)
T.sparse.sum(h,1)
s.mean()
s.t()
s.transpose(0,1)
s.permute(1,0)
s[0]
s[0,1]
s[:,1]
s.select(0,1)
s.index_select(0,T.tensor([1,1]))
s.unsqueeze(0)
s.reshape(3,2)
s.view(3,2)
T.cat([s,s])
T.stack([s,s])
s@d.t()
d@s.t()
s@s.t()
T.mm(s,d.t())
T.mm(d,s.t())
T.mv(s,T.ones(3))
s.matmul(T.ones(3))
T.addmm(T.ones(2,2),s,d.t())
T.sparse.addmm(T.ones(2,2),s,d.t(),beta=2,alpha=3)
T.smm(s,d.t())
T.hspmm(s,d.t())
T.bmm(s.unsqueeze(0),d.t().unsqueeze(0))
T.sparse.softmax(s,1)
T.sparse.log_softmax(s,0)
s.is_sparse
c.is_sparse,c.is_sparse_csr,c.layout
s.layout
s.sparse_dim(),h.dense_dim()
d.sparse_dim()
s._nnz(),c._nnz()
d._nnz()
d.is_coalesced()
d.indices()
d.values()
d.crow_indices()
c.t()
c*2
c+c
c+d
d+c
c*c
c*d
c@d.t()
d.t()@c
c.sum()
c.sum(0)
c.sum(1)
T.sparse.sum(c)
c.abs()
-c
c.transpose(0,1)
c.to_sparse_coo()
c.to_sparse_csc()
c.to_dense()
c[0]
c[0,1]
c.values()
d.to_sparse(1)
d.to_sparse()
d.to_sparse(layout=T.sparse_csr)
d.to_sparse_coo()
d.sparse_mask(s)
s.sparse_mask(s)
s.to_dense()
s.to(T.float64)
s.double().dtype
s.numpy()
s.tolist()
s.item()
s.storage()
s.data_ptr()
s.stride()
s.is_contiguous()
s.contiguous()
s.clone()
s.detach()
sl.detach()
T.zeros_like(s)
T.ones_like(s)
T.empty_like(s)
s.numel()
s.norm()
s.norm(1)
s.pow(2)
s**2
s.float()
s.long()
s==s
T.allclose(s,s)
s.nonzero()
s.isnan()
s.any()
s.all()
s.max()
s.argmax()
T.relu(s)
T.nn.functional.relu(s)
T.sigmoid(s)
T.tanh(s)
s.zero_()
T.is_tensor(s)
sp.to_dense()
sp.coalesce()
(sp@d.t())
sp.values()
sp.coalesce().values()
sp.t()
sp*2
sp*sp
sp+sp
T.sparse_coo_tensor([[0,5],[0,0]],[1.,2],(2,2),check_invariants=True)
T.sparse_coo_tensor([[0,5],[0,0]],[1.,2],(2,2))
T.sparse_coo_tensor([[0,1]],[1.,2,3],(2,))
T.sparse_coo_tensor([[0,1],[0,1]],[1.,2],(2,))
T.sparse_coo_tensor([[0,-1]],[1.,2])
T.sparse_coo_tensor([[0,3]],[1.,2])
T.sparse_coo_tensor(T.zeros(2),[1.,2])
T.sparse_csr_tensor([0,1,2],[0,1],[1.,2.])
T.sparse_csr_tensor([0,1,2],[0,1],[1.,2.],(2,3))
T.sparse_csr_tensor([0,1],[0,1],[1.,2.],(2,3))
T.sparse_csr_tensor([0,1,3],[0,1],[1.,2.],(2,3))
T.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],(2,3),layout=T.sparse_csc)
T.sparse.FloatTensor(T.tensor(i),T.tensor([1.,2,3]),T.Size([2,3]))
T.sparse.FloatTensor(T.tensor(i),T.tensor([1.,2,3]))
T.sparse.FloatTensor(2,3)
T.sparse.mm(s,d)
T.mm(s,d)
s.new_zeros(2)
s.sin_()
s.mul_(2)
s.add_(s)
s.type()
s.is_cuda,s.device
T.sparse.spdiags(T.ones(2,3),T.tensor([0,1]),(3,3))
T.sparse.check_sparse_tensor_invariants.is_enabled()
s.coalesce().is_coalesced(), s.is_coalesced(), (s*2).is_coalesced(), (-s).is_coalesced(),s.coalesce().t().is_coalesced()
T.sparse.mm(s,d.t(),'sum')
T.sparse.mm(c,d.t(),'mean')
T.sparse.mm(c,d.t(),'amax')
T.sparse.sampled_addmm(c,d,d.t().contiguous()@d)
T.sum(s,dim=1)
s.mul(s)
d.mul_(s)
d.add_(s)
d.add(s,alpha=2)
T.mul(s,T.tensor(2.))
s.div(2)
s.div_(2)
s//2
s.unbind()
list(s)
len(s)
s.flatten()
s.expand(2,2,3)
s.T
s.sparse_resize_((3,3),2,0)
T.sqrt(u)
u.sqrt()
T.isinf(s)
s.copy_(s)
repr(T.sparse_coo_tensor(T.arange(1200)[None],T.ones(1200)))
"""


def tensors(T):
    at = [[0, 1, 1], [2, 0, 2]]
    d = T.arange(6.).reshape(2, 3)
    p = T.tensor([1., 2, 3], requires_grad=True)
    return dict(
        T=T, i=at, d=d, s=T.sparse_coo_tensor(at, [3., 4, 5], (2, 3)),
        u=T.sparse_coo_tensor([[0, 0, 1], [1, 1, 2]], [1., 2, 3], (2, 3)), c=d.to_sparse_csr(), cc=d.to_sparse_csc(),
        sp=T.sparse_coo_tensor(at, p, (2, 3)), sl=T.sparse_coo_tensor(at, [1., 2, 3], (2, 3), requires_grad=True),
        h=T.sparse_coo_tensor([[0, 1]], T.ones(2, 3), (4, 3)), z=T.sparse_coo_tensor((2, 3)))


def shown(T, expression):
    """What an expression prints, or how it fails: PyTorch's type and the beginning of its words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(eval(expression, tensors(T)))
        except Exception as error:
            kind = next(k for k in type(error).__mro__ if k.__module__ == "builtins")
            return f"{kind.__name__} {str(error)[:60]}"


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_prints_alike(expression):
    assert shown(rushlight, expression) == shown(torch, expression)


# -- gradients ---------------------------------------------------------------------------------------
RNG = np.random.default_rng(0)
AT = np.stack([RNG.integers(0, 5, 9), RNG.integers(0, 7, 9)])
VALUES, D, E, F = (RNG.standard_normal(s) for s in (9, (7, 4), (5, 7), (5, 4)))


def leaf(T, layout="coo"):
    s = T.sparse_coo_tensor(T.tensor(AT), T.tensor(VALUES), (5, 7)).coalesce()
    s = {"coo": s.to_sparse_coo, "csr": s.to_sparse_csr, "csc": s.to_sparse_csc}[layout]()
    return s.detach().requires_grad_()


def dense(T, a):
    return T.tensor(a, requires_grad=True)


PROGRAMS = {
    "mm": lambda T: (T.mm, leaf(T), dense(T, D)),
    "sparse.mm": lambda T: (T.sparse.mm, leaf(T), dense(T, D)),
    "matmul": lambda T: (lambda a, b: a @ b, leaf(T), dense(T, D)),
    "mm of rows": lambda T: (lambda a, b: a @ b, leaf(T, "csr"), dense(T, D)),
    "sums of rows": lambda T: (lambda b: T.sparse.mm(leaf(T, "csr").detach(), b, "sum"), dense(T, D)),
    "means of rows": lambda T: (lambda b: T.sparse.mm(leaf(T, "csr").detach(), b, "mean"), dense(T, D)),
    "maxima of rows": lambda T: (lambda b: T.sparse.mm(leaf(T, "csr").detach(), b, "amax"), dense(T, D)),
    "mv": lambda T: (lambda a, b: T.mv(a, b[:, 0]), leaf(T), dense(T, D)),
    "dense times sparse": lambda T: (lambda a: a @ leaf(T).detach().t(), dense(T, E)),
    "sparse times sparse": lambda T: (T.sparse.mm, leaf(T), leaf(T).detach().t().coalesce().requires_grad_()),
    "sparse.addmm": lambda T: (lambda c, a, b: T.sparse.addmm(c, a, b, beta=.5, alpha=2), dense(T, F), leaf(T), dense(T, D)),
    "addmm": lambda T: (lambda c, a, b: T.addmm(c, a, b, beta=.5, alpha=2), dense(T, F), leaf(T), dense(T, D)),
    "sampled_addmm": lambda T: (lambda a, b: T.sparse.sampled_addmm(leaf(T, "csr").detach(), a, b, beta=.5, alpha=2.),
                                dense(T, F), dense(T, D.T.copy())),
    "bmm": lambda T: (lambda a: T.bmm(leaf(T).detach().unsqueeze(0), a.unsqueeze(0)), dense(T, D)),
    "linear": lambda T: (lambda a: T.nn.functional.linear(leaf(T).detach(), a.t()), dense(T, D)),
    "softmax": lambda T: (lambda a: T.sparse.softmax(a, 1), leaf(T)),
    "softmax 0": lambda T: (lambda a: T.sparse.softmax(a, 0), leaf(T)),
    "log_softmax": lambda T: (lambda a: T.sparse.log_softmax(a, 1), leaf(T)),
    "sum 0": lambda T: (lambda a: T.sparse.sum(a, 0), leaf(T)),
    "sum 1": lambda T: (lambda a: T.sparse.sum(a, 1), leaf(T)),
    "sum": lambda T: (T.sparse.sum, leaf(T)),
    "times dense": lambda T: (lambda a, b: a * b, leaf(T), dense(T, E)),
    "square": lambda T: (lambda a: a * a, leaf(T)),
    "times number": lambda T: (lambda a: a * 3., leaf(T)),
    "dense plus sparse": lambda T: (lambda a, b: a + b, dense(T, E), leaf(T)),
    "dense minus sparse": lambda T: (lambda a, b: a - b, dense(T, E), leaf(T)),
    "sparse plus sparse": lambda T: (lambda a: a + a.t().t() * 2, leaf(T)),
    "t": lambda T: (lambda a: a.t(), leaf(T)),
    "pow": lambda T: (lambda a: a ** 2, leaf(T)),
    "neg": lambda T: (lambda a: -a, leaf(T)),
    "div": lambda T: (lambda a: a / 3, leaf(T)),
    "relu": lambda T: (T.nn.functional.relu, leaf(T)),
    "to_dense": lambda T: (lambda a: a.to_dense(), leaf(T)),
    "to_dense of rows": lambda T: (lambda a: a.to_dense(), leaf(T, "csr")),
    "to_sparse": lambda T: (lambda a: a.to_sparse() * 2, dense(T, E)),
    "to_sparse(1)": lambda T: (lambda a: T.sparse.sum(a.to_sparse(1), 0), dense(T, E)),
    "sparse_mask": lambda T: (lambda a: a.sparse_mask(leaf(T).detach()), dense(T, E)),
    "values": lambda T: (lambda a: a.values() * 2, leaf(T)),
    "constructor": lambda T: (lambda b: T.sparse_coo_tensor(T.tensor(AT[:, :7]), b[:, 0], (5, 7)), dense(T, D)),
    "coalesce": lambda T: (lambda b: T.sparse_coo_tensor(T.tensor(AT[:, [0, 1, 1, 0, 2, 3, 3]]), b[:, 0], (5, 7)).coalesce() ** 2,
                           dense(T, D)),
    "rows": lambda T: (lambda b: T.sparse_csr_tensor([0, 2, 7], [0, 1, 0, 1, 2, 3, 4], b[:, 0], (2, 5)).to_dense(),
                       dense(T, D)),
    "cast": lambda T: (lambda a: a.to(T.float32), leaf(T)),
}


def array(x):
    return x.to_dense().detach().numpy()


def outcome(T, name):
    """The result and the gradients of a program, those of sparse leaves where these store something."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fn, *xs = PROGRAMS[name](T)
        y = fn(*xs)
        flat = y if y.layout == T.strided else y.to_dense()
        (flat * T.arange(1., flat.numel() + 1, dtype=flat.dtype).reshape(flat.shape).cos()).sum().backward()
        return [array(y)] + [array(x.grad) * (array(x) != 0 if x.layout != T.strided else 1) for x in xs]


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    for expected, found in zip(outcome(torch, name), outcome(rushlight, name), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, 1e-6, 1e-6)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
@pytest.mark.parametrize("way", ["to_sparse_coo", "to_sparse_csr", "to_sparse_csc"])
@pytest.mark.filterwarnings("ignore")
def test_conversions(layout, way):
    assert str(getattr(leaf(torch, layout).detach(), way)()) == str(getattr(leaf(rushlight, layout).detach(), way)())


# -- embeddings and optimisers -----------------------------------------------------------------------
def rows(T, **options):
    T.manual_seed(0)
    return T.nn.Embedding(6, 3, sparse=True, **options)


@pytest.mark.parametrize("padding_idx", [None, 1])
def test_gradients_of_tables_add_up(padding_idx):
    grads = []
    for T in BOTH:
        table = rows(T, padding_idx=padding_idx)
        for index in ([[1, 0], [2, 5]], [[3, 3], [1, 0]]):
            (table(T.tensor(index)) * T.arange(1., 13).reshape(2, 2, 3)).sum().backward()
        assert table.weight.grad.is_sparse and not table.weight.grad.is_coalesced()
        grads.append(table.weight.grad.coalesce())
    assert str(grads[0]) == str(grads[1])


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_gradients_of_bags(mode, padding_idx):
    grads = []
    for T in BOTH:
        T.manual_seed(0)
        bag = T.nn.EmbeddingBag(6, 3, sparse=True, mode=mode, padding_idx=padding_idx)
        bag(T.tensor([0, 1, 2, 2, 3]), T.tensor([0, 2])).pow(2).sum().backward()
        grads.append(bag.weight.grad.coalesce().to_dense().numpy())
    np.testing.assert_allclose(grads[1], grads[0], 1e-6)


@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
def test_gradients_by_frequency(kind):
    grads = []
    for T in BOTH:
        T.manual_seed(0)
        options = {"mode": "sum"} if kind == "EmbeddingBag" else {"padding_idx": 1}
        table = getattr(T.nn, kind)(4, 3, scale_grad_by_freq=True, **options)
        table(T.tensor([[1, 0, 2], [3, 3, 3]])).pow(2).sum().backward()
        grads.append(table.weight.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], 1e-6)


TAKES_SPARSE = {
    "SGD": [{}, {"momentum": .9}, {"momentum": .9, "nesterov": True}, {"momentum": .9, "dampening": .1},
            {"maximize": True}, {"weight_decay": .1}],
    "Adagrad": [{}, {"lr_decay": .1, "initial_accumulator_value": .5}, {"weight_decay": .1}],
    "SparseAdam": [{}, {"betas": (.5, .6)}, {"maximize": True}, {"eps": .1}],
    **{name: [{}] for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adadelta", "RMSprop", "Rprop", "ASGD")}}


def trained(T, name, options):
    table = rows(T)
    optimizer = getattr(T.optim, name)(table.parameters(), lr=.1, **options)
    seen = []
    try:
        for k in range(4):
            optimizer.zero_grad()
            table(T.tensor([1, k, 2, 1])).pow(2).sum().backward()
            optimizer.step()
            seen.append(table.weight.detach().numpy().copy())
        return seen, optimizer.state_dict()
    except RuntimeError as error:
        return str(error), None


@pytest.mark.parametrize("name, options", [(n, o) for n, all_ in TAKES_SPARSE.items() for o in all_])
def test_optimisers(name, options):
    (expected, state), (found, ours) = (trained(T, name, options) for T in BOTH)
    if state is None:
        assert found == expected
        return
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
    assert ours["param_groups"][0].keys() == state["param_groups"][0].keys()
    for key, value in state["state"].get(0, {}).items():
        mine = ours["state"][0][key]
        if isinstance(value, torch.Tensor):
            np.testing.assert_allclose(array(mine), array(value), 1e-5, 1e-6)
        else:
            assert mine == value


@pytest.mark.parametrize("options", [{"lr": -1}, {"lr": 0}, {"eps": -1}, {"betas": (1, .9)}])
def test_options_of_sparse_adam(options):
    said = []
    for T in BOTH:
        with pytest.raises(ValueError) as error:
            T.optim.SparseAdam(rows(T).parameters(), **options)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_sparse_adam_wants_sparse_gradients():
    for T in BOTH:
        table = T.nn.Embedding(3, 2)
        table(T.tensor([1])).sum().backward()
        with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
            T.optim.SparseAdam(table.parameters()).step()


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_embedding_bag(mode):
    found = [T.embedding_bag(T.arange(12.).reshape(4, 3), T.tensor([0, 1, 2, 3, 1]), T.tensor([0, 2]), False, mode)
             for T in BOTH]
    assert [str(x) for x in found[0]] == [str(x) for x in found[1]]


# -- files -------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("writer, reader", [BOTH, BOTH[::-1]])
def test_files_go_both_ways(writer, reader, weights_only):
    s = leaf(writer).detach()
    uncoalesced = writer.sparse_coo_tensor([[0, 0]], [1., 2.], (3,))
    stream = io.BytesIO()
    writer.save({"s": s, "rows": s.to_sparse_csr(), "columns": s.to_sparse_csc(), "u": uncoalesced}, stream)
    stream.seek(0)
    got = reader.load(stream, weights_only=weights_only)
    expected = leaf(reader).detach()
    assert str(got["s"]) == str(expected) and got["s"].is_coalesced()
    assert str(got["rows"]) == str(expected.to_sparse_csr()) and str(got["columns"]) == str(expected.to_sparse_csc())
    assert not got["u"].is_coalesced() and got["u"].to_dense().tolist() == [3, 0, 0]
