"""What programs are warned of: the same calls, categories and key phrases as PyTorch's."""
from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

OPTIMISER = "o = m.optim.SGD([m.ones(1, requires_grad=True)], lr=0.1, momentum=0.9); s = m.optim.lr_scheduler."
READ_ONLY = "a = np.ones(3); a.flags.writeable = False; "
HOOK = "l.register_backward_hook(lambda *a: None); l(x).sum().backward()"
CASES = f"""
    {OPTIMISER}StepLR(o, 1); s.step()              | UserWarning   | `lr_scheduler.step()` before `optimizer.step()`
    {OPTIMISER}StepLR(o, 1); o.step(); s.step(2)   | UserWarning   | The epoch parameter in `scheduler.step()`
    {OPTIMISER}StepLR(o, 1); o.step(); s.get_lr()  | UserWarning   | please use `get_last_lr()`
    m.range(0, 3)                                  | UserWarning   | torch.range is deprecated
    F.mse_loss(x, x, size_average=False)           | UserWarning   | size_average and reduce args will be deprecated
    F.kl_div(x.log(), x)                           | UserWarning   | reduction: 'mean' divides the total loss by both
    F.softmax(x)                                   | UserWarning   | Implicit dimension choice for softmax has been deprecated
    F.mse_loss(m.ones(3, 1), m.ones(3))            | UserWarning   | that is different to the input size
    x.sum(0).T                                     | UserWarning   | tensors of dimension other than 2
    x[None].T                                      | UserWarning   | tensors of dimension other than 2
    x.T; x[None].mT                                |               |
    m.meshgrid(x[0], x[1])                         | UserWarning   | it will be required to pass the indexing argument
    m.meshgrid(x[0], x[1], indexing='xy')          |               |
    m.ones(1).std(); x.std()                       | UserWarning   | std(): degrees of freedom is <= 0
    m.ones(1, 3).var(0)                            | UserWarning   | var(): degrees of freedom is <= 0
    m.std_mean(m.ones(1))                          | UserWarning   | std_mean(): degrees of freedom is <= 0
    m.ones(1).var(correction=0)                    |               |
    (m.ones(2, requires_grad=True) * 2).grad       | UserWarning   | The .grad attribute of a Tensor that is not a leaf
    m.tensor([1j]).to(m.float32)                   | UserWarning   | Casting complex values to real discards the imaginary part
    {READ_ONLY}m.from_numpy(a)                     | UserWarning   | The given NumPy array is not writable
    m.frombuffer(b'abcd', dtype=m.uint8)           | UserWarning   | The given buffer is not writable
    m.tensor(x)                                    | UserWarning   | To copy construct from a tensor, it is recommended
    m.tensor([np.ones(2), np.ones(2)])             | UserWarning   | from a list of numpy.ndarrays is extremely slow
    F.upsample(x[None, None], scale_factor=2)      | UserWarning   | `nn.functional.upsample` is deprecated
    F.grid_sample(x[None, None], m.zeros(1, 2, 2, 2)) | UserWarning | behavior has changed to align_corners=False since 1.3.0
    F.affine_grid(m.ones(1, 2, 3), (1, 1, 4, 4))   | UserWarning   | behavior has changed to align_corners=False since 1.3.0
    F.dropout2d(x)                                 | UserWarning   | dropout2d: Received a 2-D input
    m.nn.utils.clip_grad_norm([x], 1.0)            | FutureWarning | `torch.nn.utils.clip_grad_norm` is now deprecated
    m.nn.utils.weight_norm(m.nn.Linear(2, 2))      | FutureWarning | `torch.nn.utils.weight_norm` is deprecated
    m.nn.init.xavier_uniform(x)                    | FutureWarning | `nn.init.xavier_uniform` is now deprecated
    m.nn.init.kaiming_uniform_(m.zeros(0, 2))      | UserWarning   | Initializing zero-element tensors is a no-op
    l = m.nn.Linear(2, 2); {HOOK}                  | FutureWarning | forward contains multiple autograd Nodes
    l = m.nn.ReLU(); x = x * m.ones(1, requires_grad=True); {HOOK} | |
    m.nn.LSTM(2, 3, dropout=0.5)                   | UserWarning   | dropout option adds dropout after all but last
    m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2), 1) | UserWarning | self.use_nested_tensor is False because
    m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2, batch_first=True), 1) | |
    l = m.nn.MultiheadAttention(2, 1); l(x, x, x, key_padding_mask=m.zeros(2, dtype=m.bool), attn_mask=m.zeros(2, 2)) \
                                                   | UserWarning   | mismatched key_padding_mask and attn_mask is deprecated
    x[m.tensor([1, 0], dtype=m.uint8)]             | UserWarning   | indexing with dtype torch.uint8 is now deprecated
    m.where(m.ones(2, 2, dtype=m.uint8), x, x)     | UserWarning   | where received a uint8 condition tensor
    m.cholesky(m.eye(2))                           | UserWarning   | torch.cholesky is deprecated in favor of torch.linalg.cholesky
    m.qr(x)                                        | UserWarning   | torch.qr is deprecated in favor of torch.linalg.qr
    m.lu(x)                                        | UserWarning   | torch.lu is deprecated in favor of torch.linalg.lu_factor
    m.triangular_solve(x, m.eye(2))                | UserWarning   | torch.triangular_solve is deprecated
    m.linalg.qr(x)                                 |               |
    m.chain_matmul(x, x)                           | UserWarning   | torch.chain_matmul is deprecated
    m.cross(m.ones(3, 3), m.ones(3, 3))            | UserWarning   | Using torch.cross without specifying the dim arg
    m.linalg.cross(m.ones(3, 3), m.ones(3, 3))     |               |
    m.stft(m.ones(8), 4, return_complex=True)      | UserWarning   | A window was not provided. A rectangular window will be applied
    m.add(x, x, out=m.zeros(3))                    | UserWarning   | An output with one or more elements was resized
    m.add(x, x, out=m.empty(0))                    |               |
    m.autograd.Variable(x, volatile=True)          | UserWarning   | volatile was removed and now has no effect
    m.nn.Linear(2, 2).state_dict({{}}, 'a')        | FutureWarning | Positional args are being deprecated
    m.set_default_tensor_type('torch.FloatTensor') | UserWarning   | torch.set_default_tensor_type() is deprecated
    m.ones(1, requires_grad=True).sum().backward(create_graph=True) | UserWarning | create_graph=True will create a reference cycle
    m.nn.Hardtanh(min_value=0, max_val=1)          | FutureWarning | `min_value` is deprecated and renamed to `min_val`
    F.gumbel_softmax(x, eps=1e-5)                  | UserWarning   | `eps` parameter is deprecated and has no effect
    m.nn.LazyLinear(2)                             |               |
    m.cuda.amp.GradScaler(enabled=False)           | FutureWarning | is deprecated. Please use `torch.amp.GradScaler
    m.div(x, 2, rounding_mode='floor'); x // 2     |               |
    x.add(2, x)                                    | UserWarning   | This overload of add is deprecated
"""
ROWS = [tuple(part.strip() for part in row.rsplit("|", 2)) for row in CASES.strip().splitlines()]


def told(m, code):
    scope = dict(m=m, F=m.nn.functional, np=np, io=io, x=m.tensor([[0.1, 0.2], [0.3, 0.7]]))
    before = m.is_warn_always_enabled()
    m.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            exec(code, scope)
    finally:
        m.set_warn_always(before)
    return [(w.category.__name__, str(w.message)) for w in seen]


@pytest.mark.parametrize("code, category, phrase", ROWS, ids=[row[0][-50:] for row in ROWS])
def test_warnings_are_pytorchs(code, category, phrase):
    for m in (torch, rushlight):
        found = told(m, code)
        if category:
            assert any(c == category and phrase in text for c, text in found), (m.__name__, found)
        else:
            assert not found, m.__name__


def test_the_older_order_of_arguments_is_understood():
    def results(m):
        x, y, z = (m.arange(4.0) + k for k in range(3))
        return [r.tolist() for r in (m.add(x, 2, y), x.sub(3, z), x.clone().add_(-0.5, y), x.clone().addcmul_(2, y, z),
                                     m.addcdiv(x, 0.5, y, z), x.clone().addcdiv_(-2, y, z))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for a, b in zip(results(rushlight), results(torch), strict=True):
            assert a == pytest.approx(b)


def test_a_warning_is_given_once_and_points_at_the_caller():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            rushlight.add(rushlight.ones(2), 1, out=rushlight.zeros(3))
    assert [w.filename for w in seen] == [__file__] * 2
    from rushlight import errors
    errors.told.discard("a test of this")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            errors.warn_once("a test of this")
    assert len(seen) == 1
