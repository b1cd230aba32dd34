"""Integers and numbers given as 0-d tensors, or as NumPy's, wherever an int or a number is wanted."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

CALLS = """
    x.sum(dim=i0) | x.mean(i1) | x.prod(dim=i0) | x.sort(dim=i0) | x.argsort(dim=i0) | x.topk(i2, dim=i1) | x.argmax(dim=i0)
    x.cumsum(i0) | x.cumprod(dim=i0) | x.cummax(i0) | x.logcumsumexp(i0) | x.softmax(dim=i0) | F.log_softmax(x, dim=i1)
    F.glu(x, dim=i1) | F.normalize(x, dim=i0) | F.cosine_similarity(x, x, dim=i0) | m.cat([x, x], dim=i0) | x.chunk(i2)
    m.stack([x, x], dim=i1) | x.split(2, dim=i1) | x.tensor_split(2, dim=i1) | x.squeeze(i0) | x.unsqueeze(i1)
    x.transpose(i0, i1) | x.permute(i1, i0) | x.movedim(i0, i1) | x.flip(i0) | x.roll(i1, i0) | x.roll(shifts=i1, dims=i0)
    x.flatten(i0, i1) | x.unflatten(i1, (i2, i2)) | x.view(i4, i3) | x.view(i12) | x.reshape((i4, i3)) | x.expand(i2, 3, 4)
    x.repeat(i2, i1) | x.tile(i2) | m.zeros(i2) | m.ones((i2, i3)) | m.full((i2, i3), i4) | m.eye(i3, i2) | m.arange(i1, i4)
    m.linspace(0, 1, i4) | x.narrow(i0, i1, i2) | x.select(i0, i1) | x[i0] | x[:, i1:] | x.unfold(i1, i2, i1) | x.diag(i1)
    x.diagonal(i1) | x.tril(i1) | x.as_strided((i2, i2), (i1, i2)) | x.add(x, alpha=i2) | x.addcmul(x, x, value=f2)
    x.clamp(i1, i4) | x.clamp(min=f2) | x.norm(p=i2, dim=i0) | F.leaky_relu(x, f2) | F.hardtanh(x, f0, f2)
    x.index_select(i0, m.tensor([0, 1])) | x.index_fill(i0, m.tensor([0]), i3) | x.kthvalue(i1, i0) | x.median(i0)
    x.std(dim=i0, correction=i1) | x.any(i0) | x.logsumexp(i0) | x.quantile(0.5, dim=i0) | x.amax(i0) | x.aminmax(dim=i0)
    x.count_nonzero(i0) | x.sum((i0, i1)) | x.sum([i0]) | F.conv2d(im, w, stride=i2, padding=i1) | F.max_pool2d(im, i2)
    F.max_pool2d(im, (i2, i2), stride=i1) | F.avg_pool2d(im, i2) | m.linalg.vector_norm(x, f2, i0) | m.trapezoid(x, dim=i0)
    m.linalg.matrix_norm(x, dim=(i0, i1)) | m.nn.Softmax(dim=i1)(x) | m.nn.MaxPool2d(i2)(im) | m.nn.Linear(i4, i2)(x).shape
    m.normal(f0, f2, (i2,)).shape | m.multinomial(x + 1, i2).shape | m.nn.Embedding(i3, i2).weight.shape
""".replace("\n", "|").split("|")
REFUSED = ("x.sort(f2)", "x.cumsum(f2)", "x.softmax(dim=f0)", "m.cat([x, x], f0)", "x.transpose(g, 1)", "x.sum(f2)", "F.leaky_relu(x, g)")


def scope(m, integer, number):
    x = m.arange(12.).reshape(3, 4) / 7
    return dict(m=m, F=m.nn.functional, x=x, im=m.arange(108.).reshape(1, 3, 6, 6), w=m.ones(2, 3, 3, 3),
                f0=number(0.0), f2=number(2.0), g=m.tensor(1.0, requires_grad=True),
                **{f"i{n}": integer(n) for n in (0, 1, 2, 3, 4, 12)})


def shown(y):
    if isinstance(y, (tuple, list)) and not hasattr(y, "numel"):
        return [shown(part) for part in y]
    return (tuple(map(type, y.shape)), list(y.shape), y.stride(), str(y.dtype)[6:], y.detach().tolist()) \
        if hasattr(y, "tolist") else list(y)


def close(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(close, a, b))
    return abs(a - b) <= 1e-5 * (1 + abs(b)) if isinstance(a, float) else a == b


def outcome(m, call, integer, number):
    try:
        return shown(eval(call, scope(m, integer, number)))
    except Exception as e:
        return type(e)


@pytest.mark.parametrize("kind", ["tensor", "int32 tensor", "numpy"])
def test_integers_and_numbers_may_be_tensors_of_no_axes_or_numpys(kind):
    for call in filter(None, map(str.strip, CALLS)):
        pairs = [outcome(m, call, *{"tensor": (m.tensor, m.tensor), "numpy": (np.int64, np.float32),
                                    "int32 tensor": (lambda n, m=m: m.tensor(n, dtype=m.int32), m.tensor)}[kind])
                 for m in (rushlight, torch)]
        assert isinstance(pairs[1], (list, tuple)), (call, pairs[1])
        assert close(*pairs), (call, pairs)


@pytest.mark.parametrize("call", REFUSED)
def test_tensors_that_are_no_such_numbers_are_refused(call):
    assert outcome(torch, call, torch.tensor, torch.tensor) is outcome(rushlight, call, rushlight.tensor, rushlight.tensor) \
        is TypeError
