"""Nested and masked tensors against PyTorch's."""
import re
import warnings

import numpy as np
import pytest
import torch

import rushlight

BOTH = (torch, rushlight)
warnings.filterwarnings("ignore", category=UserWarning)


def shown(x):
    """What is compared of a result."""
    if isinstance(x, (tuple, list)):
        return [shown(y) for y in x]
    if getattr(x, "is_nested", False):
        return [shown(y) for y in x.unbind()]
    return x.detach().numpy() if hasattr(x, "detach") else x


def same(a, b, where):
    if isinstance(a, list):
        assert len(a) == len(b), where
        for x, y in zip(a, b):
            same(x, y, where)
    elif isinstance(a, np.ndarray):
        assert a.shape == b.shape, (where, a.shape, b.shape)
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5, err_msg=str(where))
    else:
        assert a == b, where


def batch(T, layout, grad=True):
    parts = [T.sin(T.arange(6.)).view(2, 3), T.cos(T.arange(12.)).view(4, 3), T.arange(3.).view(1, 3)]
    return T.nested.nested_tensor(parts, layout=getattr(T, layout), requires_grad=grad)


EITHER = {
    "double": lambda T, x: x * 2,
    "sum of two": lambda T, x: x + x.relu(),
    "softmax": lambda T, x: x.softmax(-1),
    "linear": lambda T, x: T.nn.functional.linear(x, T.arange(6.).view(2, 3), T.ones(2)),
    "layer norm": lambda T, x: T.nn.functional.layer_norm(x, (3,), T.arange(3.), T.ones(3)),
    "to": lambda T, x: x.to(T.float64),
    "zeros": lambda T, x: T.zeros_like(x),
    "module": lambda T, x: T.nn.GELU()(x),
}
NO_GRADIENT = {"last sum", "ragged sum", "ragged mean"}       # of these in PyTorch,
WRONG = {"ragged softmax"}                                    # and one that does not sum to 0 over the softmax
JAGGED = {
    "chunks": lambda T, x: x.chunk(3, -1),
    "plain norm": lambda T, x: T.nn.functional.layer_norm(x, (3,)),
    "sigmoid": lambda T, x: T.sigmoid(x).tanh(),
    "bias": lambda T, x: x + T.ones(3),
    "of each entry": lambda T, x: x * T.arange(9.).view(3, 1, 3),
    "total": lambda T, x: x.sum(),
    "last sum": lambda T, x: x.sum(-1),
    "ragged sum": lambda T, x: x.sum(1),
    "ragged mean": lambda T, x: T.mean(x, dim=1),
    "ragged softmax": lambda T, x: T.softmax(x, dim=1),
    "product": lambda T, x: x @ T.arange(6.).view(3, 2),
    "heads": lambda T, x: x.unflatten(-1, [3, 1]).transpose(1, 2).transpose(1, 2).flatten(-2),
    "view": lambda T, x: x.view(3, -1, 3, 1),
    "attention": lambda T, x: T.nn.functional.scaled_dot_product_attention(
        *(y.unflatten(-1, [3, 1]).transpose(1, 2) for y in (x, x * 2, x + 1))).transpose(1, 2),
    "joined": lambda T, x: T.cat([x, x * 2], dim=-1),
    "comparison": lambda T, x: (x > 0.5).to(T.float32),
    "where": lambda T, x: T.where(x > 0.5, x, x * 0),
    "unsqueezed": lambda T, x: x.unsqueeze(-1),
    "values": lambda T, x: x.values(),
}


@pytest.mark.parametrize("layout, name", [(l, n) for l in ("strided", "jagged") for n in EITHER]
                         + [("jagged", n) for n in JAGGED])
def test_functions(layout, name):
    found = []
    for T in BOTH:
        x = batch(T, layout)
        y = {**EITHER, **JAGGED}[name](T, x)
        first = y[0] if isinstance(y, tuple) else y
        if first.requires_grad and name not in NO_GRADIENT | WRONG:
            if not first.is_nested:
                total = first.square().sum()
            elif layout == "jagged":
                total = first.values().square().sum()
            else:
                total = T.nested.to_padded_tensor(first * first, 0.0).sum()
            total.backward()
            found.append([shown(y), shown(x.grad)])
        else:
            found.append([shown(y), None])
    same(*found, name)


@pytest.mark.parametrize("layout", ["strided", "jagged"])
def test_what_they_are(layout):
    found = []
    for T in BOTH:
        x = batch(T, layout)
        known = [x.is_nested, x.dim(), x.numel(), x.size(0), x.size(2), x.requires_grad, x.is_leaf,
                 isinstance(x, T.Tensor), str(x.dtype).split(".")[1], str(x.layout).split(".")[1], x.is_contiguous()]
        found.append([*known, shown(x), shown(T.nested.to_padded_tensor(x, -1.0)),
                      shown(x.to_padded_tensor(0.0, (3, 6, 3))), shown(x[1]),
                      re.sub(r"j\d+", "j", repr(x))])
    same(*found, layout)


def test_causal_attention_is_that_of_each_entry():
    x = batch(rushlight, "jagged")
    heads = [y.unflatten(-1, [3, 1]).transpose(1, 2) for y in (x, x * 2, x + 1)]
    attend = rushlight.nn.functional.scaled_dot_product_attention
    out = attend(*heads, is_causal=True).transpose(1, 2).flatten(-2)
    for i, part in enumerate(out.unbind()):
        want = attend(*(h.unbind()[i] for h in heads), is_causal=True).transpose(0, 1).flatten(-2)
        assert rushlight.allclose(part, want)


def test_making():
    found = []
    for T in BOTH:
        values = T.arange(12.).view(6, 2).requires_grad_()
        x = T.nested.nested_tensor_from_jagged(values, T.tensor([0, 2, 6]))
        (x * T.arange(4.).view(2, 1, 2)).values().sum().backward()
        holes = T.nested.nested_tensor_from_jagged(values, T.tensor([0, 2, 6]), lengths=T.tensor([1, 3]))
        own = [T.ones(2, 3, requires_grad=True), T.ones(1, 3, requires_grad=True)]
        joined = T.nested.as_nested_tensor(own, layout=T.jagged)
        (joined * 3).values().sum().backward()
        found.append([shown(x), shown(x.offsets()), shown(values.grad), shown(holes), [shown(p.grad) for p in own],
                      shown(T.nested.narrow(T.arange(12.).view(2, 6), 1, T.tensor([0, 1]), T.tensor([2, 3]),
                                            layout=T.jagged)),
                      shown(T.nested.masked_select(T.arange(4).view(2, 2), T.tensor([[True, False], [True, True]]))),
                      shown(T.nested.nested_tensor([[1.0, 2.0], [3.0]]))])
    same(*found, "making")


@pytest.mark.parametrize("call", [
    lambda T: T.nested.nested_tensor([T.ones(2, 3), T.ones(2)]),
    lambda T: T.nested.nested_tensor(3),
    lambda T: batch(T, "strided").size(1),
    lambda T: batch(T, "jagged") + T.nested.nested_tensor([T.ones(1, 3)] * 3, layout=T.jagged),
    lambda T: T.nested.to_padded_tensor(batch(T, "strided"), 0.0, (3, 2, 3)),
    lambda T: T.masked.masked_tensor(T.ones(2, 3), T.ones(3).bool()),
    lambda T: T.masked.masked_tensor(T.ones(2), T.ones(2).bool()) + T.masked.masked_tensor(T.ones(2), T.arange(2) > 0),
])
def test_refusals(call):
    errors = []
    for T in BOTH:
        with pytest.raises(Exception) as error:
            call(T)
        errors.append(error.value)
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0])[:30] == str(errors[1])[:30]


# -- masks ---------------------------------------------------------------------------------------------

REDUCTIONS = ("sum", "prod", "amax", "amin", "argmax", "argmin", "mean", "logsumexp", "var", "std")


@pytest.mark.parametrize("name", [*REDUCTIONS, "norm", "median", "softmax", "log_softmax", "softmin", "normalize",
                                  "cumsum", "cumprod"])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("masked", ["none", "rows", "all of some"])
def test_masked_reductions(name, dim, masked):
    if name not in REDUCTIONS + ("norm",) and not isinstance(dim, int) or name.startswith("arg") and dim == (0, 2):
        pytest.skip("takes one dimension")
    found = []
    for T in BOTH:
        x = T.cos(T.arange(24.) * 1.7).view(2, 3, 4).requires_grad_()
        mask = {"none": None, "rows": T.arange(3).view(3, 1) != 1,
                "all of some": (T.arange(24).view(2, 3, 4) % 5 > 1) & (T.arange(4) != 2)}[masked]
        args = (2.0, dim) if name in ("norm", "normalize") else (dim,)
        y = getattr(T.masked, name)(x, *args, mask=mask)
        if not name.startswith("arg"):
            T.nan_to_num(y, 0.0, 0.0, 0.0).square().sum().backward()
        found.append([shown(y), shown(x.grad) if name not in ("logsumexp", "log_softmax", "prod", "amax", "amin", "std")
                      or masked != "all of some" else None])
    same(*found, name)


def program(T):
    m, found = T.masked, []
    x, k = T.tensor([[1., 2, 3], [4, 5, 6]]), T.tensor([[True, False, True], [False, False, False]])
    mt = m.masked_tensor(x, k, requires_grad=True)
    y = mt * 2 + mt.exp()
    y.sum().backward()
    found += [mt, mt.sum(), mt.sum(1), mt.mean(1), y, mt.grad, mt.get_mask(), mt.to_tensor(0.0).detach(), mt[0]]
    found += [T.softmax(mt, 1), mt.amax(1), mt.var(1), T.where(k, mt, mt), mt.reshape(3, 2), mt == mt, tuple(mt.shape),
              mt.prod(0), m.is_masked_tensor(mt), 2 / mt - mt, T.mean(mt), -mt, T.exp(mt), mt.to(T.float64),
              m.masked_tensor(T.arange(4), T.arange(4) > 1), mt.transpose(0, 1)]
    for call in (lambda: mt + x, lambda: mt @ x.T):
        try:
            found.append(call())
        except Exception as error:
            found.append((type(error).__name__, str(error)))
    return [str(f) for f in found]


def test_masked_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = program(torch), program(rushlight)
    for a, b in zip(theirs, ours, strict=True):
        assert a == b
