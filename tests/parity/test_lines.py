"""One-line programs that once gave something else, or another error, than PyTorch: values, dtypes, strides, words."""
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

LINES = """
# dtypes of indices
m.gather(m.arange(4).reshape(2, 2), 1, m.zeros(1, 1, dtype=m.int16))
m.zeros(2, 2).scatter_add(1, m.zeros(1, 1, dtype=m.int16), m.ones(1, 1))
m.zeros(2, 2).index_add(0, m.zeros(1, dtype=m.int16), m.ones(1, 2))
m.zeros(2, 2).index_fill(0, m.zeros(1, dtype=m.int32), 3)
m.zeros(2, 2).index_copy(0, m.zeros(1, dtype=m.int32), m.ones(1, 2))
m.zeros(2, 2).index_reduce(0, m.zeros(1, dtype=m.int16), m.ones(1, 2), 'prod')
m.zeros(2, 2).take(m.zeros(1, dtype=m.int32))
m.zeros(2, 2).put(m.zeros(1, dtype=m.int32), m.ones(1))
m.zeros(2, 2)[m.zeros(1, dtype=m.int16)]
m.where(m.ones(2), 1., 0.)
m.where(m.tensor([2, 0], dtype=m.uint8), 1., 0.)
m.bincount(m.tensor([1., 2]))
# indices, repeats
m.index_select(m.tensor(4.), 0, m.tensor([0, 0]))
m.index_select(m.tensor(4.), 0, m.tensor([1]))
m.zeros(3).scatter(0, m.tensor([1]), 1, reduce='amax')
m.zeros(2).masked_scatter(m.ones(2, dtype=m.bool), m.ones(1))
m.repeat_interleave(m.arange(3), -1)
m.repeat_interleave(m.arange(3), m.tensor([-1, 1, 1]))
m.repeat_interleave(m.arange(3), m.tensor([[1, 1, 1]]))
m.repeat_interleave(m.tensor([1, 2]))
m.repeat_interleave(m.arange(3), 2, output_size=5)
# numbers that a dtype does not hold
m.zeros(2, dtype=m.uint8).masked_fill(m.ones(2, dtype=m.bool), -1)
m.zeros(2, dtype=m.uint8).masked_fill(m.ones(2, dtype=m.bool), -256)
m.zeros(2, dtype=m.float16).masked_fill(m.ones(2, dtype=m.bool), 1e6)
m.full((2,), -1, dtype=m.uint8)
m.full((2,), 1e40, dtype=m.float32)
m.full((2,), -m.inf, dtype=m.float16)
m.full((2,), 200, dtype=m.int8)
m.zeros(2, dtype=m.bfloat16).fill_(1e39)
m.zeros(2, dtype=m.float16).fill_(65505.)
m.zeros(2, dtype=m.uint8).clamp(1, 500)
m.zeros(2, dtype=m.float16).clamp(0, 1e6)
m.zeros(2, dtype=m.float16).clamp(0, m.inf)
m.zeros(2, dtype=m.float16).index_fill(0, m.tensor([0]), 1e6)
m.zeros(2, dtype=m.float16).scatter(0, m.tensor([0]), 1e6)
m.zeros(2, 3).scatter_(1, m.tensor([[1]]), 1j)
put(m.zeros(2, dtype=m.float16), 0, 1e6)
put(m.zeros(2, dtype=m.float16), 0, -65510.)
put(m.zeros(2, dtype=m.uint8), 0, -3)
put(m.zeros(2, dtype=m.uint8), m.tensor([0]), 300)
# whole numbers divided by zeros in a tensor
m.tensor([1]) // m.tensor([0])
m.tensor([1, 2]) % m.tensor([[1], [0]])
m.tensor([1]).fmod(m.tensor([0]))
m.div(m.tensor(1), m.tensor(0), rounding_mode='trunc')
7 // m.tensor([[-3, 3], [1, 0]])
m.tensor([7, 8], dtype=m.uint8).remainder_(m.tensor([3, 0], dtype=m.uint8))
7. // m.tensor([[-3, 3], [1, 0]])
m.tensor([7, 8], dtype=m.int8) % m.tensor([[-3, 3], [5, 1]])
m.tensor([5])[:0] // m.tensor([0])[:0]
# probabilities
F.binary_cross_entropy(m.tensor([1.5]), m.tensor([1.]))
F.binary_cross_entropy(m.tensor([-.5, 0.]), m.tensor([1., 0.]), reduction='none')
F.binary_cross_entropy(m.tensor([.5]), m.tensor([5.]))
F.binary_cross_entropy(m.tensor([m.nan]), m.tensor([1.]))
F.binary_cross_entropy(m.tensor(.5), m.tensor(.5))
F.binary_cross_entropy(m.tensor([.5], requires_grad=True), m.tensor([1.])).grad_fn.name()
F.binary_cross_entropy_with_logits(m.tensor([.5], requires_grad=True), m.tensor([1.])).grad_fn.name()
F.soft_margin_loss(m.tensor([.5], requires_grad=True), m.tensor([1.])).grad_fn.name()
F.multi_margin_loss(m.tensor([[.5, 1]], requires_grad=True), m.tensor([0])).grad_fn.name()
# named results, results that are given
str(m.return_types.max)
type(m.max(m.ones(2, 2), 0)) is m.return_types.max
isinstance(m.sort(m.ones(2)), m.return_types.sort)
m.return_types.topk((m.ones(1), m.zeros(1)))
m.return_types.linalg_lu((1, 2, 3)).L
m.prod(m.ones(2, 2), 0, out=m.empty(2, dtype=m.float64))
m.prod(m.tensor([1.6, 2.6]), 0, out=m.empty((), dtype=m.int64))
m.prod(m.ones(2, 2) * 1j, 0, out=m.empty(2, dtype=m.complex64))
m.sum(m.tensor([.6, .6]), 0, out=m.empty((), dtype=m.int64))
m.sum(m.ones(2, 2) * 1j, 0, out=m.empty(2, dtype=m.complex128))
m.sum(m.ones(2, 2) * 1j, 0, out=m.empty(2))
m.sum(m.ones(2), 0, dtype=m.float64, out=m.empty(()))
m.mean(m.tensor([1.6, 2.6]), 0, out=m.empty((), dtype=m.float64))
m.all(m.tensor([3, 4]), 0, out=m.empty((), dtype=m.uint8))
m.median(m.tensor([3., 4]), 0, out=(m.empty(()), m.empty((), dtype=m.int64))).indices
# how results lie
m.softmax(m.zeros(7, 33, 20).transpose(0, -1), -1).stride()
m.log_softmax(m.zeros(2, 3, 4, 5).to(memory_format=m.channels_last), 1).stride()
F.logsigmoid(m.zeros(7, 24, 22).permute(2, 0, 1)).stride()
F.batch_norm(m.zeros(7, 24, 22).permute(2, 0, 1), None, None, training=True).stride()
F.batch_norm(m.zeros(2, 3, 4, 5).to(memory_format=m.channels_last), None, None, training=True).stride()
F.group_norm(m.zeros(7, 24, 22).permute(2, 0, 1), 7).stride()
F.instance_norm(m.zeros(2, 4, 4, 5).to(memory_format=m.channels_last)).stride()
F.rms_norm(m.zeros(3, 4, 5).permute(2, 0, 1), (4,)).stride()
F.one_hot(m.zeros(3, 4, 2).permute(2, 0, 1).long(), 2).stride()
F.rrelu(m.zeros(7, 25, 21).permute(2, 0, 1), training=True).stride()
F.gumbel_softmax(m.zeros(7, 33, 20).transpose(0, -1), hard=True).stride()
F.binary_cross_entropy(m.zeros(4, 5).t(), m.zeros(4, 5).t(), reduction='none').stride()
m.zeros(4, 5).t().triu().stride()
m.empty_like(m.zeros(15, 1, 66).transpose(0, -1)).stride()
m.rand_like(m.zeros(10, 1, 1, 1).permute(1, 2, 3, 0)).stride()
m.zeros(3).masked_scatter(m.zeros(3) > 0, m.zeros(0))
m.zeros(3).masked_scatter(m.zeros(3) == 0, m.zeros(0))
m.linspace(4.3, 5, 3, dtype=m.complex128)
m.linspace(m.tensor(4.3), 5.5, 3, dtype=m.complex64)
m.linspace(1.5, 2, 3, out=m.empty(3, dtype=m.complex64))
# what is no tensor
m.sigmoid([1.])
m.sum(np.ones(2))
F.relu(np.ones(2))
m.nn.Linear(2, 2)(np.ones(2))
m.nn.Linear(2, 2)([1., 2.])
m.matmul(m.zeros(2, 2), [[1., 2.]])
m.mean(None)
m.reshape([1, 2], (2,))
m.sort([2, 1])
m.flatten(3)
m.exp(2)
m.abs('x')
# sizes, numbers, nan
m.unique(m.tensor([m.nan, m.nan, 1.]))
m.unique(m.tensor([m.nan, m.nan, 1.]), return_inverse=True, return_counts=True)
m.unique(m.tensor([[m.nan, 1], [m.nan, 1.]]), dim=0)
m.unique_consecutive(m.tensor([m.nan, m.nan, 1.]))
m.histc(m.tensor([1., 2]), bins=0)
m.histc(m.tensor([1., m.inf]))
m.combinations(m.arange(3), -1)
m.vander(m.tensor(1.))
m.tril_indices(2, -1)
m.tensor([3, 1, 2]).kthvalue(5)
m.stack(m.zeros(2, 3))
~m.tensor([1.])
~m.tensor([1, 2])
m.eye(-1)
m.eye(2, -1)
m.tensor([1, 2, 3]).split(0)
m.arange(4).reshape(2, 2).rot90(1, (0, 0))
m.quantile(m.tensor([1., 2, 3]), 1.5)
m.bincount(m.tensor([1, 2]), m.tensor([1., 2, 3]))
m.frexp(m.tensor([4]))
# einsum by lists of numbers
m.einsum(m.ones(2, 3), [0, 1], m.ones(2, 3), [2, 1])
m.einsum(m.ones(2, 3), [0, ...], [..., 0])
m.einsum(m.arange(6.).reshape(2, 3), [30, 1], [1, 30])
m.einsum("ij,kl->im", m.ones(2, 3), m.ones(2, 3))
m.einsum("ij,jk", m.ones(2, 3), m.ones(2, 3))
m.zeros(2, 3).unflatten(1, (2, 2))
m.zeros(0).quantile(.5)
m.distributions.StickBreakingTransform().forward_shape(m.Size([3]))
m.distributions.LowerCholeskyTransform().bijective
# complex numbers and parameters
m.nn.Parameter(m.ones(2)) * 1j
(1 + 2j) * m.nn.Parameter(m.ones(2))
1j - m.nn.Parameter(m.ones(2, dtype=m.cfloat))
m.nn.Parameter(m.ones(2)) ** 2j
m.nn.Parameter(m.ones(2)) == 1j
# lists of tensors
m._foreach_add([m.ones(2), m.ones(1)], [m.ones(2), m.ones(1)], alpha=3)
m._foreach_mul_([m.ones(2), m.ones(1)], [2., 3.])
m._foreach_lerp([m.zeros(2), m.zeros(1)], [m.ones(2), m.ones(1)], .25)
m._foreach_addcdiv([m.ones(2)], [m.ones(2)], [m.full((2,), 2.)], m.tensor([.5]))
m._foreach_pow(2., [m.arange(3.)])
m._foreach_norm([m.ones(2, 2), m.ones(1)])
m._foreach_maximum([m.arange(3.)], 1.5)
m._foreach_add([], 1)
m._foreach_add([m.ones(2)], [1., 2.])
m._foreach_add([m.ones(2)], [m.ones(2), m.ones(2)])
# other sizes of memory
m.arange(10.)[5:].resize_(3)
m.arange(10.)[5:].resize_(8)[:5]
m.arange(12.).view(3, 4)[1:, 1:].resize_(2, 2)
m.zeros(2).resize_(3)._version
m.zeros(2, requires_grad=True).resize_(3)
(m.zeros(2, requires_grad=True) * 1).resize_(3)
# weights, lengths, reductions
m.bincount(m.tensor([0, 2]), m.ones(2))
m.bincount(m.tensor([0, 2]), m.ones(2).half())
F.ctc_loss(m.zeros(4, 1, 3), m.tensor([[1, -1]]), [4], [1]) > 0
F.ctc_loss(m.zeros(4, 1, 3), m.tensor([1, 1]), [5], [2])
F.ctc_loss(m.zeros(4, 1, 3), m.tensor([1, 1]), [4], [-2])
F.kl_div(m.zeros(2), m.zeros(2), reduction='x')
F.cross_entropy(m.zeros(2, 3).long(), m.tensor([0, 1]))
F.nll_loss(m.zeros(2, 3), m.zeros(2, 3))
F.cosine_embedding_loss(m.zeros(2, 3), m.zeros(2, 3), m.zeros(2, 3))
m.geqrf(m.tensor([[3., 1.], [4., 2.]])).tau.round(decimals=5)
m.ormqr(*m.geqrf(m.tensor([[3., 0.], [4., 5.]])), m.eye(2)).contiguous().round(decimals=5) + 0
m.ormqr(*m.geqrf(m.tensor([[3., 0.], [4., 5.]])), m.eye(2), False, True).contiguous().round(decimals=5) + 0
# devices
within(m.device("cpu"), lambda: [m.zeros(2), str(m.get_default_device())])
[m.set_default_device("cpu"), m.get_default_device(), m.set_default_device(None)]
m.device(0)
"""


def put(x, place, value):
    x[place] = value
    return x


def within(context, fn):
    with context:
        return fn()


def outcome(m, line):
    """What a line gives, or what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = eval(line, {"m": m, "F": m.nn.functional, "put": put, "within": within, "np": np})
            return shown(y)
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0]


def shown(y):
    if isinstance(y, (tuple, list)):
        return type(y).__name__, [shown(v) for v in y]
    return (str(y.tolist()), str(y.dtype), tuple(y.shape), y.stride()) if hasattr(y, "stride") else str(y)


@pytest.mark.parametrize("line", [line for line in LINES.strip().splitlines() if not line.startswith("#")])
def test_line(line):
    actual, expected = outcome(rushlight, line), outcome(torch, line)
    if expected[0].endswith("Error") and actual[0] == expected[0]:
        words = expected[1].split(" (while checking")[0]
        assert actual[1].startswith(words), (actual[1], words)
    else:
        assert actual == expected
