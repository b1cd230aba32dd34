"""Quantisation-aware training against PyTorch's."""
import warnings

import numpy as np
import pytest
import torch

import rushlight

warnings.filterwarnings("ignore")
BOTH = (torch, rushlight)


def data(T, step, *shape):
    return T.sin(T.arange(int(np.prod(shape))) * 1.3 + step).view(shape) * (1 + 0.3 * step)


class Made:
    """The same small model in either library."""

    @staticmethod
    def of(T):
        T.manual_seed(0)
        q = T.ao.quantization
        return T.nn.Sequential(q.QuantStub(), T.nn.Conv2d(2, 3, 3), T.nn.ReLU(), T.nn.Flatten(), T.nn.Linear(48, 4),
                               q.DeQuantStub())


@pytest.mark.parametrize("name, args", [
    ("MinMaxObserver", {}), ("MinMaxObserver", {"reduce_range": True}), ("MovingAverageMinMaxObserver", {}),
    ("MinMaxObserver", {"dtype": "qint8", "qscheme": "per_tensor_symmetric"}),
    ("MinMaxObserver", {"qscheme": "per_tensor_symmetric"}), ("MinMaxObserver", {"quant_min": 0, "quant_max": 15}),
    ("PerChannelMinMaxObserver", {"dtype": "qint8", "qscheme": "per_channel_symmetric"}),
    ("PerChannelMinMaxObserver", {"ch_axis": 1}), ("MovingAveragePerChannelMinMaxObserver", {"ch_axis": 1})])
def test_observers(name, args):
    found = []
    for T in BOTH:
        given = {k: getattr(T, v) if isinstance(v, str) else v for k, v in args.items()}
        observer = getattr(T.ao.quantization, name)(**given)
        for step in range(3):
            observer(data(T, step, 4, 5))
        scale, zero = observer.calculate_qparams()
        found.append([scale.reshape(-1).numpy(), zero.reshape(-1).numpy(), list(observer.state_dict())])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-6) if isinstance(a, np.ndarray) else None
        assert isinstance(a, np.ndarray) or a == b


@pytest.mark.parametrize("backend", ["fbgemm", "qnnpack", "x86", None])
def test_training(backend):
    found = []
    for T in BOTH:
        q, model = T.ao.quantization, Made.of(T)
        model.qconfig = q.get_default_qat_qconfig(backend) if backend else q.default_qat_qconfig
        model = q.prepare_qat(model.train())
        optimizer, losses = T.optim.SGD(model.parameters(), lr=0.02), []
        for step in range(4):
            if step == 3:
                model.apply(q.disable_observer)
            optimizer.zero_grad()
            loss = (model(data(T, step, 3, 2, 6, 6)) - 1).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
        again = q.prepare_qat(Made.of(T).train().apply(lambda m: setattr(m, "qconfig", model.qconfig)))
        again.load_state_dict(model.state_dict())
        x = data(T, 9, 3, 2, 6, 6)
        found.append([losses, state, model.eval()(x).detach().numpy(), again.eval()(x).detach().numpy(),
                      model.apply(q.disable_fake_quant)(x).detach().numpy()])
    a, b = found
    assert list(a[1]) == list(b[1])
    np.testing.assert_allclose(b[0], a[0], rtol=1e-4)
    for k in a[1]:
        np.testing.assert_allclose(b[1][k], a[1][k], rtol=1e-3, atol=1e-5, err_msg=k)
    for x, y in zip(a[2:], b[2:]):
        np.testing.assert_allclose(y, x, atol=1e-3)


@pytest.mark.parametrize("trained", [True, False])
def test_conversion(trained):
    """The converted model gives what PyTorch's integers give, to one step of the grid."""
    found = []
    for T in BOTH:
        q, model = T.ao.quantization, Made.of(T)
        if T is torch:
            torch.backends.quantized.engine = "fbgemm"
        if trained:
            model.qconfig = q.get_default_qat_qconfig("fbgemm")
            model = q.prepare_qat(model.train())
        else:
            model.qconfig = q.default_qconfig
            model = q.prepare(model.eval())
        with T.no_grad():
            for step in range(3):
                model(data(T, step, 3, 2, 6, 6))
            done = q.convert(model.eval())
            found.append(done(data(T, 1, 3, 2, 6, 6)).detach().numpy())
    np.testing.assert_allclose(found[1], found[0], atol=0.0066)
    assert len(np.unique(found[1])) < 13
